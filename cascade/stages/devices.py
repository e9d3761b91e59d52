"""Which device a torch module goes to, and what to say when that device is not there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from cascade.errors import ConfigurationError


def resolve_device(module: nn.Module, stage_name: str, device: Any) -> torch.device:
    """The device that ``device`` means for this module.

    Parameters
    ----------
    module : torch.nn.Module
    stage_name : str
        For messages.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; or ``"auto"``: the CUDA device the module is on, else the current CUDA
        device, else the CPU.

    Returns
    -------
    torch.device
        With an index, if it is a CUDA device.

    Raises
    ------
    ConfigurationError
        If the device is unknown or not there.
    """
    if device == "auto":
        own = next(module_tensors(module), torch.empty(0)).device
        if own.type == "cuda":
            return own
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if device != "cpu" and (kind != "cuda" or (device != "cuda" and not index.isdecimal())):
        raise ConfigurationError(
            f'stage {stage_name!r}: expected device "auto", "cpu", "cuda" or "cuda:<index>", got {device!r}'
        )
    if device == "cpu":
        return torch.device("cpu")
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if n_devices == 0:
        raise ConfigurationError(
            f"stage {stage_name!r}: device {device!r} was asked for, but torch finds no CUDA device here; "
            f'use device="cpu", or "auto" to take CUDA where there is one'
        )
    number = int(index) if index else torch.cuda.current_device()
    if number >= n_devices:
        raise ConfigurationError(
            f"stage {stage_name!r}: device {device!r} was asked for, but torch finds {n_devices} CUDA device(s) here, "
            f"counted from 0"
        )
    return torch.device("cuda", number)


def module_tensors(module: nn.Module) -> Iterator[Tensor]:
    """Every parameter and buffer of a module."""
    return chain(module.parameters(), module.buffers())
