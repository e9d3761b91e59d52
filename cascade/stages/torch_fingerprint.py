"""A hash of a torch module: its class, its structure as printed, and every parameter and buffer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cascade.stages.fingerprint import digest

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def module_fingerprint(module: nn.Module) -> str:
    """Hash of what the module computes with; equal in every process that builds it the same way.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    str
        32 hexadecimal digits.

    Notes
    -----
    The structure counts as ``repr(module)`` shows it, so an activation without parameters is seen; what ``forward`` does
    is not: say ``version=`` where two classes of one name differ in that.
    """
    kind = type(module)
    state = module.state_dict()
    state |= {f"buffer {name}": buffer for name, buffer in module.named_buffers() if name not in state}
    parts: list[bytes | str] = [f"{kind.__module__}.{kind.__qualname__}", _ADDRESS.sub("", repr(module))]
    for name, value in state.items():
        parts.append(name)
        parts.extend(_parts(value))
    return digest(*parts)


def _parts(value: Any) -> Iterator[bytes | str]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, Tensor):
        if value.is_quantized:
            yield str(value.qscheme())
            value = value.dequantize()
        dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
        yield from (str(value.dtype), str(tuple(value.shape)))
        yield dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield _ADDRESS.sub("", repr(value))
