"""Files that hold a table of named columns: CSV, and npz archives with one array per column.

Reads and writes files. No pickle: an archive with objects is refused.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

from cascade.errors import ConfigurationError, DataError

Columns = dict[str, list[Any]]
"""Texts, or numbers with None where there is none, by name; all columns of one length."""


def write_columns(path: Path, columns: Columns) -> None:
    """Write the table to a ``.csv`` or an ``.npz`` file; a missing number is an empty cell in the one, NaN in the other.

    Raises
    ------
    ConfigurationError
        If the path ends otherwise.
    """
    if _is_csv(path):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return
    arrays: dict[str, Any] = {
        name: np.array(column) if isinstance(column[0], str) else _floats(column) for name, column in columns.items()
    }
    np.savez(path, **arrays)


def read_columns(path: Path, texts: Sequence[str]) -> Columns:
    """The table in a file that `write_columns` wrote; all columns but ``texts`` are numbers.

    Raises
    ------
    ConfigurationError
        If the path ends neither in ``.csv`` nor in ``.npz``.
    DataError
        If the file is missing or cannot be read as a table.
    """
    read = _read_csv if _is_csv(path) else _read_npz
    try:
        columns = read(path)
        return {name: column if name in texts else _numbers(column) for name, column in columns.items()}
    except OSError as error:
        raise DataError(f"expected a file at {path}, got {error.strerror!r} on opening it: check the path") from error
    except (ValueError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"expected a table at {path}, got a file that cannot be read as one ({error}): save it again"
        ) from error


def _is_csv(path: Path) -> bool:
    if path.suffix not in (".csv", ".npz"):
        raise ConfigurationError(f"expected a path that ends in .csv or .npz, got {path}: rename it")
    return path.suffix == ".csv"


def _floats(column: list[Any]) -> Any:
    return np.array([np.nan if value is None else value for value in column], np.float64)


def _read_csv(path: Path) -> Columns:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file, strict=True))
    if not lines:
        raise ValueError("it is empty")
    return dict(zip(lines[0], (list(column) for column in zip(*lines[1:], strict=True)), strict=True))


def _read_npz(path: Path) -> Columns:
    with path.open("rb") as file:
        # numpy.load takes other kinds of files too.
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no whole npz archive")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name].tolist() for name in archive.files}


def _numbers(column: list[Any]) -> list[float | None]:
    numbers = [nan if value == "" else float(value) for value in column]
    return [None if isnan(number) else number for number in numbers]
