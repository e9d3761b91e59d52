"""A torch module on its device: batches go in as arrays or tensors, scores come out as arrays.

Knows devices, streams and dtypes; knows nothing of what the module computes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cascade.core.records import IntArray
from cascade.errors import InputMismatch, StageOutputError
from cascade.stages.devices import module_tensors, resolve_device
from cascade.stages.outputs import as_scores
from cascade.stages.torch_fingerprint import module_fingerprint

_SINGLE = torch.float32
_DOUBLE = torch.float64
_NUMPY_DTYPES = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


class PlacedModule:
    """A module in eval mode on the CPU.

    Parameters
    ----------
    module : torch.nn.Module
        Put in eval mode; stays on the CPU.
    stage_name : str
        For messages.

    Attributes
    ----------
    module : torch.nn.Module
    device : str
    running : callable
        Gives the context in which the module is to be called; `tensor` and `scores` are used inside it.
    """

    device = "cpu"
    running: Callable[[], AbstractContextManager[Any]] = staticmethod(torch.inference_mode)

    def __init__(self, module: nn.Module, stage_name: str) -> None:
        self.module = module
        self._stage_name = stage_name
        self._dtype = _floating_dtype(module)
        # NumPy has no bfloat16: no batch is of that dtype already, and none is an array of objects.
        self._shared_dtype = np.dtype(_NUMPY_DTYPES.get(self._dtype, np.object_))
        self.evaluate()

    def evaluate(self) -> None:
        """Put the module in eval mode, its own flag last: whoever reads the flag then sees children that are ready."""
        for child in self.module.children():
            child.eval()
        self.module.eval()

    def tensor(self, batch: Any) -> Tensor:
        """The batch as a tensor on the device.

        Parameters
        ----------
        batch : array, tensor, frame or list of n items
            Floating values are converted to the module's floating dtype; integers stay.

        Returns
        -------
        Tensor of n rows
            Shares memory with ``batch`` where it needs no conversion.

        Raises
        ------
        InputMismatch
            If the batch is no array of numbers.
        """
        if type(batch) is np.ndarray and batch.dtype == self._shared_dtype and batch.flags.carray:
            return torch.from_numpy(batch)
        return self._converted(batch).to(self.device)

    def scores(self, output: Any) -> NDArray[Any]:
        """What the module returned as a C-contiguous array of float32 or float64, without a copy where it is one.

        Raises
        ------
        StageOutputError
            If the output is not a tensor of numbers.
        """
        if isinstance(output, Tensor) and (output.dtype is _SINGLE or output.dtype is _DOUBLE):
            array: NDArray[Any] = (output.detach() if output.requires_grad else output).numpy()
            return array if array.flags.c_contiguous else np.ascontiguousarray(array)
        return self._unusual_scores(output)

    def indices(self, rows: IntArray) -> Tensor:
        """Row indices as an int64 tensor on the device."""
        # torch warns about arrays that are read-only.
        return torch.from_numpy(np.array(rows, dtype=np.int64)).to(self.device)

    def synchronise(self) -> None:
        """Return once the device has done all that was asked of it: at once, on the CPU."""

    def use_lane(self, lane: int) -> None:
        """Let what the calling thread runs from now on be of this lane; no difference on the CPU."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the module's structure and parameters, taken once."""
        return module_fingerprint(self.module)

    def _converted(self, batch: Any) -> Tensor:
        """The batch as a tensor of the module's dtype, on the device where it is."""
        tensor = batch if isinstance(batch, Tensor) else self._from_objects(batch)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _from_objects(self, batch: Any) -> Tensor:
        if isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], Tensor):
            return torch.stack(list(batch))
        try:
            array = np.asarray(batch)
        except (TypeError, ValueError) as error:
            raise self._no_array(batch) from error
        if array.dtype.kind not in "biuf":
            raise self._no_array(batch)
        if array.dtype == np.longdouble or not array.dtype.isnative:
            array = array.astype(np.float64 if array.dtype.kind == "f" else array.dtype.newbyteorder("="))
        return torch.from_numpy(array if array.flags.carray else np.array(array, order="C"))

    def _no_array(self, batch: Any) -> InputMismatch:
        return InputMismatch(
            f"stage {self._stage_name!r}: a torch module expects an array or tensor of numbers with one shape for all "
            f"rows, got a {type(batch).__name__}; give preprocess= to turn the batch into one"
        )

    def _unusual_scores(self, output: Any) -> NDArray[Any]:
        if not isinstance(output, Tensor):
            raise StageOutputError(
                f"stage {self._stage_name!r}: expected the module to return a tensor of logits of shape (n, c), "
                f"got {_described(output)}; wrap it in a module or function that returns the tensor alone"
            )
        scores = as_scores(output, None, self._stage_name, None)
        assert isinstance(scores, np.ndarray)  # a tensor never becomes a StageOutput
        return scores


class CudaModule(PlacedModule):
    """A module on a CUDA device, with a stream of its own for every lane.

    Parameters
    ----------
    module : torch.nn.Module
        Moved to the device and put in eval mode.
    stage_name : str
    device : torch.device
        With an index.

    Notes
    -----
    Batches are staged in pinned memory, which torch keeps for reuse and guards until the copy has been made.
    `scores` waits for the stream, so that what `running` encloses is complete when it ends.
    """

    def __init__(self, module: nn.Module, stage_name: str, device: torch.device) -> None:
        super().__init__(module.to(device), stage_name)
        self.device = str(device)
        # The parameters were copied on another stream.
        torch.cuda.synchronize(device)
        self._device = device
        self._streams = {0: self._new_stream()}
        self._here = threading.local()
        self.running = self._on_stream

    def tensor(self, batch: Any) -> Tensor:
        """The batch as a tensor on the device, copied there without waiting."""
        if isinstance(batch, Tensor) and batch.is_cuda:
            return self._converted(batch).to(self.device)
        return self._converted(batch).pin_memory().to(self.device, non_blocking=True)

    def scores(self, output: Any) -> NDArray[Any]:
        """What the module returned as an array, once the stream has got there."""
        if not (isinstance(output, Tensor) and output.is_cuda):
            return super().scores(output)
        host = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
        host.copy_(output.detach(), non_blocking=True)
        self._stream.synchronize()
        # A copy, for pinned memory is too scarce to be kept by whoever keeps the scores.
        return super().scores(host).copy()

    def synchronise(self) -> None:
        """Return once the streams have done all that was asked of them."""
        for stream in [*self._streams.values()]:
            stream.synchronize()

    def use_lane(self, lane: int) -> None:
        """Let what the calling thread runs from now on be on the stream of this lane."""
        stream = self._streams.get(lane)
        if stream is None:
            # Of two threads that come first at once, both get the stream that was kept.
            stream = self._streams.setdefault(lane, self._new_stream())
        self._here.stream = stream

    @property
    def _stream(self) -> torch.cuda.Stream:
        """Of the lane that the calling thread runs on; threads that were never told are on the first."""
        found: torch.cuda.Stream = getattr(self._here, "stream", self._streams[0])
        return found

    def _new_stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        # Inputs and carries may have been made on the caller's stream.
        stream = self._stream
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.inference_mode(), torch.cuda.stream(stream):
            yield


def place(module: nn.Module, stage_name: str, device: str) -> PlacedModule:
    """Put a module on a device, in eval mode.

    Parameters
    ----------
    module : torch.nn.Module
    stage_name : str
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; or ``"auto"``: the CUDA device the module is on, else the current CUDA
        device, else the CPU.

    Raises
    ------
    ConfigurationError
        If the device is unknown or not there.
    """
    target = resolve_device(module, stage_name, device)
    if target.type == "cpu":
        return PlacedModule(module.to(target), stage_name)
    return CudaModule(module, stage_name, target)


def _floating_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of the first floating parameter or buffer: what the first layer is likely to want."""
    return next(
        (tensor.dtype for tensor in module_tensors(module) if tensor.is_floating_point()), torch.get_default_dtype()
    )


def _described(output: Any) -> str:
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {[type(part).__name__ for part in output]}"
    if isinstance(output, dict):
        return f"a {type(output).__name__} with the keys {list(output)}"
    return f"a {type(output).__name__}"
