"""Files of outcomes: what comes back from them, and what is said of those that cannot be read."""

from __future__ import annotations

import zipfile
from dataclasses import fields

import numpy as np
import pytest

from cascade.core.inputs import InputSpec
from cascade.core.outcomes import Outcomes
from cascade.errors import ConfigurationError, DataError, EmptyBatch, LabelMismatch, NotFinite
from cascade.stages.stage import Stage

CSV = "label,small_label,small_confidence,big_label,big_confidence\n"
ONE_ROW = CSV + "1,1,0.9,0,0.8\n"


def same(one, other):
    return all(
        np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs
        for mine, theirs in ((getattr(one, field.name), getattr(other, field.name)) for field in fields(Outcomes))
    )


@pytest.fixture
def arrays():
    probs = np.random.default_rng(0).random((400, 2, 3))
    return {"labels": np.arange(400) % 3, "probs": probs, "stages": np.array(["small", "big"])}


@pytest.fixture
def archive(tmp_path, arrays):
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def sheet(tmp_path):
    """Writes a CSV file and gives its path."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "answers.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def recorded():
    x = np.linspace(0.0, 1.0, 12, dtype=np.float32)[:, None]
    stages = [
        Stage(lambda b: np.concatenate((1.0 - b, b), axis=1), name=name, scores="probs", classes=["no", "yes"])
        for name in ("a", "b")
    ]
    return Outcomes.record(stages, x, np.where(x[:, 0] > 0.4, "yes", "no"))


@pytest.mark.parametrize(
    "table",
    [
        Outcomes.from_probs([[[0.9, 0.1], [0.0, 1.0]], [[0.5, 0.5], [1.0, 0.0]]], [1, 0], stages=["s", "t"]),
        Outcomes.from_predictions([["cat", "dog"]], [[0.7, 0.9]], ["dog"]),
        recorded(),
    ],
    ids=["probs", "answers", "recorded"],
)
def test_what_was_saved_comes_back_equal(table, tmp_path):
    table.save(tmp_path / "table.npz")
    assert same(Outcomes.load(tmp_path / "table.npz"), table)


def test_recorded_outcomes_keep_the_form_of_their_inputs(tmp_path):
    recorded().save(tmp_path / "table.npz")
    assert Outcomes.load(tmp_path / "table.npz").inputs == InputSpec((1,), "float32")


def test_compressed_arrays_are_read(tmp_path, arrays):
    np.savez_compressed(tmp_path / "arrays.npz", **arrays)
    assert Outcomes.load(str(tmp_path / "arrays.npz")).stages == ("small", "big")


def test_other_files_in_the_archive_are_left_alone(archive):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("readme.txt", "measured in spring")
    assert Outcomes.load(archive).n_items == 400


@pytest.mark.parametrize("labels", [(0.5, 1.5), ("a", 1), (None, "a"), (2**70, 1), ("a\0", "b"), (True, False)])
def test_labels_that_a_file_cannot_hold_are_refused(labels, tmp_path):
    table = Outcomes.from_probs([[[0.9, 0.1]]], labels[:1], classes=labels)
    with pytest.raises(ConfigurationError, match="labels that are all texts or all whole numbers.*: rename them"):
        table.save(tmp_path / "table.npz")
    assert not (tmp_path / "table.npz").exists()


def test_outcomes_are_saved_under_a_name_that_ends_in_npz(tmp_path):
    table = Outcomes.from_probs([[[0.9, 0.1]]], [0])
    with pytest.raises(ConfigurationError, match=r"expected a path that ends in .npz, got .*table.csv: rename it"):
        table.save(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "got an empty file: save it again"),
        (b"PK\x03\x04 is how an archive begins", "got one whose end is missing: copy it again"),
        (b"label,a_label\n", r"got another kind of file \(it begins with b'label,'\): .* name a CSV file .csv"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(content, got, tmp_path):
    path = tmp_path / "arrays.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"expected an npz archive at .*arrays.npz, {got}"):
        Outcomes.load(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_archive_is_refused(share, archive):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="expected an npz archive at .*, got one whose end is missing: copy it again"):
        Outcomes.load(archive)


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="got a single array: save all arrays in one file with numpy.savez"):
        Outcomes.load(tmp_path / "array.npy")


def test_a_damaged_array_is_refused(archive):
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(
        DataError, match=r"one that cannot be read \(Bad CRC-32 .*'probs.npy'\): copy it again"
    ) as caught:
        Outcomes.load(archive)
    assert isinstance(caught.value.__cause__, zipfile.BadZipFile)


def test_a_damaged_header_that_asks_for_less_is_refused(archive):
    archive.write_bytes(archive.read_bytes().replace(b"(400, 2, 3)", b"(400, 1, 3)"))
    with pytest.raises(DataError, match="Bad CRC-32 .*'probs.npy'"):
        Outcomes.load(archive)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"(400, 2, 9), }", ""),
        (b"(4" + 15 * b"0" + b", 9), }", "Unable to allocate"),
        (b"(400, 2, 3, }", ""),
        (b"(400, 2, 3", ""),
        (b"(400, 'a'), }", "shape is not valid"),
    ],
)
def test_a_damaged_header_that_numpy_trips_over_is_refused(header, why, archive):
    whole = b"(400, 2, 3), }".ljust(40)
    damaged = archive.read_bytes().replace(whole, header.ljust(40))
    assert damaged != archive.read_bytes()
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"one that cannot be read \(.*{why}.*\): copy it again, or save it again"):
        Outcomes.load(archive)


@pytest.mark.parametrize(
    ("mark", "value", "why"),
    [
        # Places in an entry of the central directory and in the local header before the data: APPNOTE 4.3.7 and 4.3.12.
        ((8, 6), 1, "'labels.npy' is encrypted"),
        ((10, 8), 99, "labels.npy is compressed in a way that NumPy does not write"),
        ((10, 8), 14, "labels.npy is compressed in a way that NumPy does not write"),
        ((6, 4), 99, "zip file version 9.9"),
    ],
)
def test_an_archive_that_numpy_did_not_write_is_refused(mark, value, why, archive):
    content = bytearray(archive.read_bytes())
    central, local = mark
    content[content.index(b"PK\x01\x02") + central] = value
    content[content.index(b"PK\x03\x04") + local] = value
    archive.write_bytes(content)
    with pytest.raises(DataError, match=rf"one that cannot be read \(.*{why}.*\): copy it again, or save it again"):
        Outcomes.load(archive)


def test_arrays_of_objects_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "arrays.npz", **arrays | {"labels": np.array(["a", 1] * 200, object)})
    with pytest.raises(DataError, match="without objects at .*Object arrays.*labels that are texts or whole numbers"):
        Outcomes.load(tmp_path / "arrays.npz")


@pytest.mark.parametrize("name", ["none.npz", "none.csv"])
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(
        DataError, match=f"expected a file of outcomes at .*{name}, got 'No such file.*: check the path"
    ):
        Outcomes.load(tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a file of outcomes at .*: check the path"):
        Outcomes.load(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "got"),
    [
        ({"scores": [0.5]}, r"got \['scores'\]: rename them"),
        ({"labels": [0], "predictions": [[0]]}, r"got \['labels', 'predictions'\]: rename them"),
    ],
)
def test_missing_arrays_are_told_by_those_that_are_there(arrays, got, tmp_path):
    np.savez(tmp_path / "arrays.npz", **arrays)
    with pytest.raises(
        DataError, match=f"expected arrays labels and probs, or labels, predictions and confidence.*{got}"
    ):
        Outcomes.load(tmp_path / "arrays.npz")


def test_an_archive_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(DataError, match="got no array: save them with numpy.savez"):
        Outcomes.load(tmp_path / "empty.npz")


@pytest.mark.parametrize("low", [-np.inf, np.nan, -1e300])
def test_log_probabilities_that_are_not_finite_are_refused(low, tmp_path):
    np.savez(tmp_path / "arrays.npz", labels=[0], log_probs=[[[0.0, low]]])
    with pytest.raises(NotFinite, match="expected finite log_probs.*: save probs instead"):
        Outcomes.load(tmp_path / "arrays.npz")


@pytest.mark.parametrize("damage", [{"requires": ["a", "b"]}, {"requires": 3}, {"input_dtype": "f4", "input_shape": 3}])
def test_what_only_save_writes_is_checked_too(damage, tmp_path, arrays):
    np.savez(tmp_path / "arrays.npz", **arrays | damage)
    with pytest.raises(
        DataError, match="expected arrays requires, fingerprints and input_shape as Outcomes.save writes"
    ):
        Outcomes.load(tmp_path / "arrays.npz")


def test_a_sheet_has_a_row_for_each_item(sheet):
    table = Outcomes.load(sheet(CSV + "7, 7,0.9 ,3,0.8\n\n3,7,0.5,3,1\n"))
    assert table.stages == ("small", "big")
    assert table.classes == (3, 7)
    assert table.correct.tolist() == [[True, False], [False, True]]
    assert table.confidence.tolist() == [[0.9, 0.8], [0.5, 1.0]]


def test_labels_of_a_sheet_are_texts_where_one_is_no_whole_number(sheet):
    table = Outcomes.load(sheet(CSV + "07,7,0.9,7,0.8\n7,7,0.5,7,1\n"))
    assert table.classes == ("07", "7")


def test_columns_of_a_sheet_stand_in_any_order(sheet):
    table = Outcomes.load(sheet("b_confidence,label,b_label\n0.5,x,x\n"))
    assert (table.stages, table.correct.tolist()) == (("b",), [[True]])


def test_a_sheet_with_the_mark_of_a_spreadsheet_is_read(sheet):
    assert Outcomes.load(sheet(ONE_ROW, "utf-8-sig")).stages == ("small", "big")


def test_the_ending_of_a_sheet_may_be_in_capitals(sheet):
    path = sheet(ONE_ROW)
    assert Outcomes.load(path.rename(path.with_suffix(".CSV"))).n_items == 1


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DataError, "expected the columns label, then <stage>_label and <stage>_confidence.*got : rename"),
        ("label\n1\n", DataError, "got 'label': rename them"),
        ("label,a_label\n1,1\n", DataError, "got 'label', 'a_label': rename them"),
        ("label,a_label,a_confidence,note\n1,1,0.5,x\n", DataError, "'note': rename them"),
        (ONE_ROW + "1,1,0.9\n", DataError, "expected 5 entries in every row of .*, got 3 in row 1"),
        (CSV + "1,1,high,0,0.8\n", DataError, "numbers in the column small_confidence of .*, got 'high' in row 0"),
        (CSV + "1,1,1.5,0,0.8\n", DataError, r"confidences in \[0, 1\], got 1.5 in row 0 of stage 'small'"),
        (CSV + "1,1,nan,0,0.8\n", NotFinite, "got nan in row 0 of stage 'small'"),
        (CSV, EmptyBatch, "at least one labelled item"),
        (ONE_ROW + '1,"1,0.9,0,0.8\n', DataError, r"expected a CSV file in UTF-8 at .*\(unexpected end of data\)"),
        ("label,a_label,a_confidence,a_label,a_confidence\n1,1,1,1,1\n", ConfigurationError, "distinct stage names"),
    ],
)
def test_a_sheet_that_cannot_be_used_says_why(text, error, words, sheet):
    with pytest.raises(error, match=words):
        Outcomes.load(sheet(text))


def test_a_sheet_in_another_encoding_is_refused(sheet):
    path = sheet(ONE_ROW.replace("big", "gro\u00df"), "latin-1")
    with pytest.raises(DataError, match="expected a CSV file in UTF-8 at .*codec can't decode.*: save it as UTF-8"):
        Outcomes.load(path)


def test_an_archive_named_as_a_sheet_is_refused(archive):
    path = archive.rename(archive.with_suffix(".csv"))
    with pytest.raises(DataError, match="expected a CSV file in UTF-8 at .*name an npz archive .npz"):
        Outcomes.load(path)


def test_classes_of_a_file_must_hold_its_labels(tmp_path, arrays):
    np.savez(tmp_path / "arrays.npz", **arrays, classes=["a", "b", "c"])
    with pytest.raises(LabelMismatch, match="among the 3 classes 'a', 'b', 'c', got 0, 1, 2"):
        Outcomes.load(tmp_path / "arrays.npz")
