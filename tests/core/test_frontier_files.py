"""Tables of columns in files: what goes in comes out, and what is no table is refused with its name."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.frontier_files import read_columns, write_columns
from cascade.errors import ConfigurationError, DataError

COLUMNS = {"name": ['a "b", c', "é\n"], "share": [1.0 / 3.0, None], "count": [3.0, 1e-300]}


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_what_was_written_is_read(tmp_path, suffix):
    write_columns(tmp_path / f"table{suffix}", COLUMNS)
    assert read_columns(tmp_path / f"table{suffix}", ["name"]) == COLUMNS


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_a_missing_file_is_named(tmp_path, suffix):
    with pytest.raises(DataError, match=f"expected a file at .*none{suffix}, got 'No such file or directory'"):
        read_columns(tmp_path / f"none{suffix}", ())


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 and then nothing", b"a,b\n1\n2,3\n", b'a\n"1\n', b"\xff\xfe\x00"]
)
def test_a_damaged_file_is_named(tmp_path, suffix, content):
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"at .*table{suffix}, got"):
        read_columns(path, ())


def test_a_shortened_archive_is_refused(tmp_path):
    path = tmp_path / "table.npz"
    write_columns(path, COLUMNS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="expected a table at .*table.npz"):
        read_columns(path, ())


def test_objects_are_not_unpickled(tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, name=np.array([{}], object))
    with pytest.raises(DataError, match="allow_pickle"):
        read_columns(path, ())


def test_an_archive_of_a_single_array_is_refused(tmp_path):
    with (tmp_path / "table.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="expected a table at .*table.npz"):
        read_columns(tmp_path / "table.npz", ())


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="ends in .csv or .npz, got .*table.txt: rename it"):
        write_columns(tmp_path / "table.txt", COLUMNS)
