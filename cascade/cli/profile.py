"""``cascade profile``: the service times of a user's own stages."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cascade.cli.text import short, text_table
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError
from cascade.profiling.profile import profile


def run(options: Namespace) -> None:
    """Import the stages, measure them, save and print the table.

    Raises
    ------
    ConfigurationError
        If the stages cannot be imported, or a number is out of range.
    DataError
        If the inputs cannot be read.
    StageError
        If a stage raises.
    """
    # What the user's own code prints must not mix with the result.
    with redirect_stdout(sys.stderr):
        stages = load_stages(options.stages)
        service = profile(stages, load_inputs(options.data), max_batch=options.max_batch, threads=options.threads)
    service.save(options.out)
    print(
        json.dumps(service.to_dict(), indent=1) if options.json else f"{service_table(service)}\n\nsaved {options.out}"
    )


def load_stages(place: str) -> list[Any]:
    """The list of stages at ``module:attribute``; the current folder is searched first.

    Raises
    ------
    ConfigurationError
        If there is no such module or attribute, its import fails, or it is no list of stages.
    """
    module_name, colon, attribute = place.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(f"expected --stages as module:attribute, such as my_models:stages, got {place!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"cannot import the module {module_name!r} of --stages: {type(error).__name__}: {error}"
        ) from error
    stages = getattr(module, attribute, None)
    if not isinstance(stages, list | tuple) or not all(
        hasattr(stage, "run") and hasattr(stage, "name") for stage in stages
    ):
        raise ConfigurationError(
            f"expected {place!r} to be a list of cascade.Stage, got {_described(stages)}: write {attribute} = [cascade.Stage(...), ...]"
        )
    return list(stages)


def load_inputs(path: Path) -> np.ndarray[Any, Any]:
    """The array of an npy file, one input per row.

    Raises
    ------
    DataError
        If the file cannot be read as one array without objects.
    """
    try:
        # Opened here, for numpy leaves a file open that is no archive after all.
        with path.open("rb") as file:
            inputs = np.load(file, allow_pickle=False)
    except OSError as error:
        raise DataError(
            f"expected an npy file of one array without objects at {path}, got {error.strerror!r} on opening it: "
            "check the path"
        ) from error
    except (ValueError, EOFError, BadZipFile) as error:
        # numpy's own words advise to unpickle it, which would run code.
        raise DataError(
            f"expected an npy file of one array without objects at {path}, got what does not read as one: save it with "
            "numpy.save"
        ) from error
    if not isinstance(inputs, np.ndarray) or inputs.ndim == 0:
        raise DataError(f"expected an npy file of one array with one input per row at {path}: save it with numpy.save")
    return inputs


def service_table(service: ServiceTable) -> str:
    """Mean and 0.99 quantile per stage and batch size as text."""
    names = service.stages or tuple(f"stage{j}" for j in range(service.n_stages))
    rows = [
        [name, str(size), short(mean), short(service.quantile_at(j, size, 0.99)), short(mean / size)]
        for j, name in enumerate(names)
        for size, mean in zip(service.batch_sizes, service.mean_ms[j].tolist(), strict=True)
    ]
    return text_table(["stage", "batch", "mean ms", "p99 ms", "ms per item"], rows, right=frozenset({1, 2, 3, 4}))


def _described(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {sorted({type(each).__name__ for each in value})}"
    return "nothing of that name" if value is None else f"a value of type {type(value).__name__}"
