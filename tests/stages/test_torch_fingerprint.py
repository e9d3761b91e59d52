import copy

import pytest
import torch
from torch import nn

from cascade.stages.torch_fingerprint import module_fingerprint


class Other(nn.Sequential):
    pass


class WithBuffer(nn.Module):
    def __init__(self, value, persistent):
        super().__init__()
        self.register_buffer("offset", torch.tensor(value), persistent=persistent)


def test_a_copy_has_the_same_fingerprint(mlp):
    assert module_fingerprint(copy.deepcopy(mlp)) == module_fingerprint(mlp)


def test_modes_do_not_count(mlp):
    assert module_fingerprint(copy.deepcopy(mlp).eval()) == module_fingerprint(mlp.train())


def test_one_changed_weight_changes_the_fingerprint(mlp):
    before = module_fingerprint(mlp)
    with torch.no_grad():
        mlp[0].weight[0, 0] += 1e-6
    assert module_fingerprint(mlp) != before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())),
        (nn.Sequential(nn.ReLU()), Other(nn.ReLU())),
        (WithBuffer(1.0, persistent=True), WithBuffer(2.0, persistent=True)),
        (WithBuffer(1.0, persistent=False), WithBuffer(2.0, persistent=False)),
        (WithBuffer(1, persistent=True), WithBuffer(1.0, persistent=True)),
        (nn.Conv2d(1, 1, 3, stride=1, bias=False), nn.Conv2d(1, 1, 3, stride=2, bias=False)),
    ],
)
def test_what_differs_has_another_fingerprint(first, second):
    for module in (first, second):
        for parameter in module.parameters():
            nn.init.ones_(parameter)
    assert module_fingerprint(first) != module_fingerprint(second)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_parameters_of_any_dtype_count(dtype):
    zeros, ones = (nn.ParameterList([torch.full((2,), value, dtype=dtype)]) for value in (0, 1))
    assert module_fingerprint(zeros) != module_fingerprint(ones)


def test_sparse_parameters_count():
    modules = [WithBuffer(0.0, persistent=True) for _ in range(2)]
    for module, value in zip(modules, (1.0, 2.0), strict=True):
        module.offset = torch.sparse_coo_tensor([[0]], [value], (3,), check_invariants=True)
    assert module_fingerprint(modules[0]) != module_fingerprint(modules[1])


def test_extra_state_that_is_no_tensor_counts():
    class Extra(nn.Module):
        def __init__(self, state):
            super().__init__()
            self.state = state

        def get_extra_state(self):
            return self.state

    assert module_fingerprint(Extra(("a", 1))) != module_fingerprint(Extra(("a", 2)))
