"""Files that hold a table of outcomes: npz archives of arrays, and CSV with columns for what each stage said.

Reads and writes files. No pickle: an archive with objects is refused.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.inputs import InputSpec
from cascade.core.labels import as_list, shortened, stage_names
from cascade.core.outcome_fields import (
    Fields,
    check_length,
    check_score_shape,
    fields_of_answers,
    fields_of_probs,
    fields_of_scores,
    some_labels,
)
from cascade.core.scores import as_numbers
from cascade.errors import ConfigurationError, DataError, NotFinite

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    # An encrypted member, or one of a later version of zip.
    RuntimeError,
    # NumPy reads a header as Python, and a damaged one may ask for any shape.
    SyntaxError,
    TokenError,
    MemoryError,
)
"""What zipfile and NumPy raise on an archive that is damaged, or not written by NumPy."""


def fields_of_file(path: Path) -> Fields:
    """The fields of the table in a ``.csv`` file, or else in an npz archive; raises as `Outcomes.load`."""
    arrays = _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path)
    names = as_list(arrays["stages"]) if "stages" in arrays else None
    classes = as_list(arrays["classes"]) if "classes" in arrays else None
    stages = None if names is None else [str(name) for name in names]
    if {"labels", "probs"} <= arrays.keys():
        fields = fields_of_probs(arrays["probs"], arrays["labels"], stages, classes)
    elif {"labels", "log_probs"} <= arrays.keys():
        fields = _fields_of_log_probs(arrays["log_probs"], arrays["labels"], stages, classes)
    elif {"labels", "predictions", "confidence"} <= arrays.keys():
        fields = fields_of_answers(
            arrays["predictions"], arrays["confidence"], arrays["labels"], stages=stages, classes=classes
        )
    else:
        got = f"{sorted(arrays)}: rename them" if arrays else "no array: save them with numpy.savez"
        raise DataError(f"expected arrays labels and probs, or labels, predictions and confidence in {path}, got {got}")
    return fields | _recorded(arrays)


def write_fields(path: Path, fields: Fields) -> None:
    """Write the fields of a table to an npz archive that `fields_of_file` reads; raises as `Outcomes.save`."""
    if path.suffix != ".npz":
        raise ConfigurationError(f"expected a path that ends in .npz, got {path}: rename it")
    classes, inputs = _label_array(fields["classes"]), fields["inputs"]
    arrays = {
        "labels": classes[fields["labels"]],
        "classes": classes,
        "stages": np.array(fields["stages"]),
        "requires": np.array(fields["requires"], np.int64),
    }
    if fields["log_probs"] is None:
        arrays |= {"predictions": classes[fields["predicted"]], "confidence": fields["confidence"]}
    else:
        arrays["log_probs"] = fields["log_probs"]
    if fields["fingerprints"] is not None:
        arrays["fingerprints"] = np.array(fields["fingerprints"])
    if inputs is not None:
        arrays["input_dtype"] = np.array(inputs.dtype or "")
        if inputs.shape is not None:
            arrays["input_shape"] = np.array(inputs.shape, np.int64)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            # numpy.savez can be told not to pickle from NumPy 2 on only.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _fields_of_log_probs(
    log_probs: Any, labels: Any, stages: Sequence[str] | None, classes: Sequence[Hashable] | None
) -> Fields:
    truth = some_labels(labels)
    # What is beyond float32 becomes an infinity, which is refused below.
    with np.errstate(over="ignore"):
        table = as_numbers(log_probs, "log_probs").astype(np.float32)
    check_score_shape(table, "log_probs")
    check_length(truth, table.shape[0])
    if not np.isfinite(table).all():
        raise NotFinite("expected finite log_probs, got NaN or infinity: save probs instead, zeros are fine there")
    columns = tuple(range(table.shape[2])) if classes is None else tuple(classes)
    return fields_of_scores(table, truth, stage_names(stages, table.shape[1]), columns)


def _recorded(arrays: Mapping[str, Any]) -> Fields:
    """What only recorded outcomes know: the order of exits, the versions of the stages, the form of the inputs."""
    fields: Fields = {}
    try:
        if "requires" in arrays:
            fields["requires"] = tuple(int(before) for before in arrays["requires"])
        if "fingerprints" in arrays:
            fields["fingerprints"] = tuple(str(mark) for mark in arrays["fingerprints"])
        if "input_dtype" in arrays:
            shape = tuple(int(side) for side in arrays["input_shape"]) if "input_shape" in arrays else None
            fields["inputs"] = InputSpec(shape, str(arrays["input_dtype"]) or None)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"expected arrays requires, fingerprints and input_shape as Outcomes.save writes them: {error}"
        ) from error
    return fields


def _label_array(labels: Sequence[Hashable]) -> NDArray[Any]:
    """The labels as an array that a file can hold without objects."""
    kinds = {type(label) for label in labels}
    if kinds in ({str}, {int}):
        array = np.array(labels)
        # Longer numbers become objects, and NumPy drops zero characters at the end of a text.
        if array.dtype.kind in "Ui" and array.tolist() == list(labels):
            return array
    raise ConfigurationError(
        f"expected labels that are all texts or all whole numbers, to be saved without objects, got {shortened(labels)}: "
        "rename them, or keep the arrays that the outcomes were made from"
    )


def _read_npz(path: Path) -> dict[str, Any]:
    _check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            return {info.filename.removesuffix(".npy"): _array_in(archive, info) for info in members}
    except _DAMAGE as error:
        raise DataError(
            f"expected an npz archive of whole arrays without objects at {path}, got one that cannot be read ({error}): "
            "copy it again, or save it again, with Outcomes.save or with numpy.savez and labels that are texts or whole numbers"
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse a file that is no complete archive, by what it looks like."""
    try:
        with path.open("rb") as file:
            start, is_archive = file.read(6), zipfile.is_zipfile(file)
    except OSError as error:
        raise _unopened(path, error) from error
    if is_archive:
        return
    if not start:
        got = "an empty file: save it again with Outcomes.save or numpy.savez"
    elif start.startswith(b"PK"):
        got = "one whose end is missing: copy it again, or save it again"
    elif start == np.lib.format.MAGIC_PREFIX:
        got = "a single array: save all arrays in one file with numpy.savez"
    else:
        got = f"another kind of file (it begins with {start!r}): save arrays with numpy.savez, and name a CSV file .csv"
    raise DataError(f"expected an npz archive at {path}, got {got}")


def _array_in(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed in a way that NumPy does not write")
    with archive.open(info.filename) as member:
        # For what is no array numpy.load would offer to unpickle.
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        # The checksum is compared at the end only, which a damaged header may not reach.
        member.read()
    return array


def _unopened(path: Path, error: OSError) -> DataError:
    return DataError(f"expected a file of outcomes at {path}, got {error.strerror!r} on opening it: check the path")


def _read_csv(path: Path) -> dict[str, Any]:
    """The arrays ``labels``, ``predictions``, ``confidence`` and ``stages`` of a CSV file."""
    try:
        # Spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except OSError as error:
        raise _unopened(path, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"expected a CSV file in UTF-8 at {path}, got what does not read as one ({error}): "
            "save it as UTF-8, and name an npz archive .npz"
        ) from error
    header, rows = [name.strip() for name in lines[0]] if lines else [], lines[1:]
    stages = _stages_of(header, path)
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(f"expected {len(header)} entries in every row of {path}, got {len(row)} in row {i}")
    columns = {name: [row[at].strip() for row in rows] for at, name in enumerate(header)}
    said = [columns[f"{stage}_label"] for stage in stages]
    sure = [_numbers(columns[f"{stage}_confidence"], f"{stage}_confidence", path) for stage in stages]
    texts = _whole_numbers([columns["label"], *said])
    return {
        "labels": texts[0],
        "predictions": list(zip(*texts[1:], strict=True)),
        "confidence": np.array(sure, np.float64).T,
        "stages": np.array(stages),
    }


def _stages_of(header: list[str], path: Path) -> list[str]:
    stages = [name.removesuffix("_label") for name in header if name.endswith("_label")]
    wanted = ["label", *(f"{stage}_{what}" for stage in stages for what in ("label", "confidence"))]
    if not stages or sorted(header) != sorted(wanted):
        raise DataError(
            f"expected the columns label, then <stage>_label and <stage>_confidence for every stage in {path}, "
            f"got {shortened(header)}: rename them"
        )
    return stages


def _numbers(texts: list[str], column: str, path: Path) -> list[float]:
    numbers = []
    for i, text in enumerate(texts):
        try:
            numbers.append(float(text))
        except ValueError as error:
            raise DataError(f"expected numbers in the column {column} of {path}, got {text!r} in row {i}") from error
    return numbers


def _whole_numbers(columns: list[list[str]]) -> list[list[Any]]:
    """The texts as whole numbers if all of them are written as such, without leading zeros; else as they are."""
    try:
        numbers = [[int(text) for text in column] for column in columns]
    except ValueError:
        return list(columns)
    same = all(
        str(n) == text
        for some, texts in zip(numbers, columns, strict=True)
        for n, text in zip(some, texts, strict=True)
    )
    return list(numbers) if same else list(columns)
