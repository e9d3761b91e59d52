import threading

import numpy as np
import pytest
import torch
from torch import nn

from cascade.errors import InputMismatch
from cascade.stages.placed_module import CudaModule, PlacedModule, place
from cascade.stages.stage import Stage


@pytest.fixture
def placed():
    return place(nn.Linear(4, 2), "net", "cpu")


def test_an_array_of_the_modules_dtype_is_shared(placed, X):
    assert placed.tensor(X).numpy().ctypes.data == X.ctypes.data


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, ">f4", ">f8"])
def test_floats_become_the_modules_dtype(placed, X, dtype):
    tensor = placed.tensor(X.astype(dtype))
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), X, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("dtype", "expected"), [(np.int64, torch.int64), (np.uint8, torch.uint8), (bool, torch.bool)])
def test_integers_stay_as_they_are(placed, dtype, expected):
    assert placed.tensor(np.ones((2, 4), dtype=dtype)).dtype == expected


def test_integers_of_foreign_byte_order_keep_their_values(placed):
    assert placed.tensor(np.array([[1, 2]], dtype=">i4")).tolist() == [[1, 2]]


@pytest.mark.parametrize("view", [lambda X: X[::-1], lambda X: X[:, ::2], lambda X: X.T])
def test_views_of_any_strides_keep_their_values(placed, X, view):
    np.testing.assert_array_equal(placed.tensor(view(X)).numpy(), view(X))


def test_a_read_only_array_is_taken_without_a_warning(placed, X):
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(placed.tensor(frozen).numpy(), X)


def test_tensors_become_the_modules_dtype(placed, X):
    assert placed.tensor(torch.from_numpy(X).double()).dtype == torch.float32
    assert placed.tensor(torch.ones(2, 4, dtype=torch.int32)).dtype == torch.int32


@pytest.mark.parametrize(
    "batch",
    [
        [[1.0, 2.0], [3.0, 4.0]],
        [np.array([1.0, 2.0]), np.array([3.0, 4.0])],
        [torch.tensor([1.0, 2]), torch.tensor([3.0, 4])],
    ],
)
def test_a_list_of_rows_becomes_one_tensor(placed, batch):
    assert placed.tensor(batch).tolist() == [[1, 2], [3, 4]]


def test_a_half_precision_module_gets_half_precision(X):
    assert place(nn.Linear(4, 2).bfloat16(), "net", "cpu").tensor(X).dtype == torch.bfloat16


def test_a_module_without_parameters_gets_single_precision(X):
    assert place(nn.Identity(), "net", "cpu").tensor(X.astype(np.float64)).dtype == torch.float32


def test_a_module_that_looks_words_up_gets_its_integers():
    stage = Stage(nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(6, 2)), device="cpu")
    assert stage.run(np.array([[1, 2], [3, 4]]))[0].shape == (2, 2)


@pytest.mark.parametrize("batch", [["a", "b"], [[1.0], [1.0, 2.0]], [{}], np.array([object()]), {"ids": [1]}, [None]])
def test_what_is_no_array_of_numbers_is_refused(placed, batch):
    with pytest.raises(
        InputMismatch, match=r"stage 'net': a torch module expects an array or tensor of numbers.*give preprocess="
    ):
        placed.tensor(batch)


def test_children_are_in_eval_mode_before_the_flag_of_the_module_says_so(mlp):
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp

        def train(self, mode=True):
            seen.append(self.inner.training)
            return super().train(mode)

    PlacedModule(Watched(), "net")
    assert seen == [False]


def test_indices_are_taken_from_read_only_arrays(placed):
    rows = np.array([2, 0], dtype=np.int32)
    rows.flags.writeable = False
    assert placed.indices(rows).tolist() == [2, 0]
    assert placed.indices(rows).dtype == torch.int64


def test_threads_of_one_lane_share_a_stream_and_those_that_say_nothing_are_on_the_first(monkeypatch):
    made, seen = iter(range(10)), {}
    placed = CudaModule.__new__(CudaModule)
    monkeypatch.setattr(CudaModule, "_new_stream", lambda self: f"stream {next(made)}")
    placed._streams, placed._here = {0: placed._new_stream()}, threading.local()

    def look(name, lane):
        if lane is not None:
            placed.use_lane(lane)
        seen[name] = placed._stream

    for name, lane in (("silent", None), ("first", 0), ("second", 1), ("second again", 1)):
        thread = threading.Thread(target=look, args=(name, lane))
        thread.start()
        thread.join()
    assert seen == {"silent": "stream 0", "first": "stream 0", "second": "stream 1", "second again": "stream 1"}
