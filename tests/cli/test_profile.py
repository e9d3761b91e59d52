import json
import sys

import numpy as np
import pytest

from cascade.cli import main
from cascade.core.service import ServiceTable

MODELS = """
import numpy as np
from cascade.testing.fakes import FakeStage

stages = [FakeStage(name, [[0.9, 0.1], [0.2, 0.8]]) for name in ("small", "big")]
broken = [FakeStage("broken", lambda batch: batch.no_such_thing)]
number = 3
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder to be in, with a module of stages and an array of inputs; gone from the interpreter afterwards."""
    (tmp_path / "models_to_profile.py").write_text(MODELS, encoding="utf-8")
    (tmp_path / "fails_to_import.py").write_text("1 / 0", encoding="utf-8")
    np.save(tmp_path / "inputs.npy", np.array([0, 1, 1, 0]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("models_to_profile", None)


def profile(stages, *more, data="inputs.npy"):
    return main(["profile", "--stages", stages, "--data", data, "--out", "service.json", "--max-batch", "2", *more])


def test_it_saves_service_times_of_the_imported_stages(models, capsys):
    assert profile("models_to_profile:stages") == 0
    service = ServiceTable.load(models / "service.json")
    assert service.stages == ("small", "big")
    assert service.batch_sizes == (1, 2)
    text = capsys.readouterr().out
    assert "ms per item" in text
    assert "saved service.json" in text


def test_json_is_the_table_that_was_saved(models, capsys):
    assert profile("models_to_profile:stages", "--threads", "leave", "--json") == 0
    assert ServiceTable.from_dict(json.loads(capsys.readouterr().out)) == ServiceTable.load(models / "service.json")


def test_what_the_module_prints_does_not_mix_with_the_json(models, capsys):
    with (models / "models_to_profile.py").open("a", encoding="utf-8") as module:
        module.write("print('loading weights')")
    assert profile("models_to_profile:stages", "--json") == 0
    out, err = capsys.readouterr()
    assert out.startswith("{")
    assert err == "loading weights\n"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            "models_to_profile",
            "expected --stages as module:attribute, such as my_models:stages, got 'models_to_profile'",
        ),
        ("no_such_module:stages", "cannot import the module 'no_such_module' of --stages: ModuleNotFoundError"),
        ("fails_to_import:stages", "cannot import the module 'fails_to_import' of --stages: ZeroDivisionError"),
        ("models_to_profile:nothing", "to be a list of cascade.Stage, got nothing of that name"),
        ("models_to_profile:number", "to be a list of cascade.Stage, got a value of type int"),
        ("models_to_profile:broken", "stage 'broken' raised AttributeError when it was profiled at batch size 1"),
    ],
)
def test_stages_that_cannot_be_had_say_why(models, stages, message, capsys):
    assert profile(stages) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--threads", "many"], 'expected threads as an integer of at least 1 or "leave"'),
        (["--max-batch", "0"], "max_batch"),
    ],
)
def test_numbers_out_of_range_are_refused(models, more, message, capsys):
    assert profile("models_to_profile:stages", *more) == 2
    assert message in capsys.readouterr().err


def test_inputs_that_cannot_be_read_are_named(models, capsys):
    assert profile("models_to_profile:stages", data="none.npy") == 2
    assert (
        "error: expected an npy file of one array without objects at none.npy, got 'No such file or directory' on opening it"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x04."])
def test_a_file_that_is_no_array_is_refused_without_advice_to_run_its_code(models, content, capsys):
    (models / "inputs.npy").write_bytes(content)
    assert profile("models_to_profile:stages") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "at inputs.npy, got what does not read as one: save it with numpy.save" in line
    assert "pickle" not in line


def test_an_archive_of_arrays_is_no_array(models, capsys):
    np.savez(models / "inputs.npz", a=[0])
    assert profile("models_to_profile:stages", data="inputs.npz") == 2
    assert "error: expected an npy file of one array with one input per row at inputs.npz" in capsys.readouterr().err
