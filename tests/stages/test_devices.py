import pytest
import torch
from torch import nn

from cascade.errors import ConfigurationError
from cascade.stages.devices import module_tensors, resolve_device
from cascade.stages.stage import Stage


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def with_two_cuda_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_cuda_a_module_runs_on_the_cpu(device):
    assert resolve_device(nn.Linear(1, 1), "net", device) == torch.device("cpu")


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_cuda_asking_for_it_is_an_error(device):
    with pytest.raises(
        ConfigurationError, match=f"device '{device}' was asked for, but torch finds no CUDA device"
    ) as caught:
        resolve_device(nn.Linear(1, 1), "net", device)
    assert 'use device="cpu", or "auto"' in str(caught.value)


@pytest.mark.usefixtures("with_two_cuda_devices")
@pytest.mark.parametrize(("device", "index"), [("auto", 1), ("cuda", 1), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_cuda_device_is_named_with_its_index(device, index):
    assert resolve_device(nn.Linear(1, 1), "net", device) == torch.device("cuda", index)


@pytest.mark.usefixtures("with_two_cuda_devices")
def test_a_cuda_device_beyond_the_last_is_an_error():
    with pytest.raises(ConfigurationError, match=r"device 'cuda:2' was asked for, but torch finds 2 CUDA device\(s\)"):
        resolve_device(nn.Linear(1, 1), "net", "cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "", None, 0])
def test_an_unknown_device_is_an_error(device):
    with pytest.raises(ConfigurationError, match='expected device "auto", "cpu", "cuda" or "cuda:<index>", got'):
        Stage(nn.Linear(1, 2), device=device)


def test_parameters_and_buffers_are_a_modules_tensors():
    assert len(list(module_tensors(nn.BatchNorm1d(2)))) == 5
