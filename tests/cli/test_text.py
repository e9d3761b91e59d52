import pytest

from cascade.cli.text import Phases, path_mix, short, text_table
from cascade.clock import VirtualClock


def test_columns_are_as_wide_as_their_widest_cell():
    lines = text_table(["a", "b"], [["long cell", "1"], ["x", "22"]], right=frozenset({1})).splitlines()
    assert lines[2:] == ["long cell   1", "x          22"]


def test_an_empty_row_leaves_a_blank_line():
    assert text_table(["a"], [["1"], [], ["2"]]).splitlines()[2:] == ["1", "", "2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0000123, "0.000012"), (0.5, "0.500"), (12.345, "12.3"), (99.96, "100"), (54321.0, "54321")],
)
def test_numbers_keep_about_three_digits(value, text):
    assert short(value) == text


def test_rare_paths_are_summed():
    shares = {"a": 0.5, "b": 0.2, "c": 0.15, "d": 0.1, "e": 0.05}
    assert path_mix(shares) == "a 50 %, b 20 %, c 15 %, 2 other 15 %"


def test_no_stage_is_said_in_words():
    assert path_mix({"": 1.0}) == "no stage 100 %"


def test_phases_say_what_they_took_on_stderr(capsys):
    clock = VirtualClock()
    phases = Phases(clock)
    with phases.timed("training"):
        clock.wait(1500.0)
    assert phases.seconds == {"training": pytest.approx(1.5)}
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["training ...", "training: 1.5 s"]
    assert not printed.out


def test_a_phase_that_fails_is_not_counted():
    phases = Phases(VirtualClock())
    with pytest.raises(ValueError, match="broken"), phases.timed("training"):
        raise ValueError("broken")
    assert not phases.seconds
