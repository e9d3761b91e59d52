import subprocess
import sys
from argparse import _SubParsersAction
from pathlib import Path

import pytest

import cascade
from cascade.cli import main
from cascade.cli.arguments import build_parser
from cascade.cli.command_line import main as defined_main

ROOT = Path(cascade.__file__).resolve().parent.parent
(SUBPARSERS,) = (action for action in build_parser()._actions if isinstance(action, _SubParsersAction))
COMMANDS = tuple(SUBPARSERS.choices)
SILENT = {"completion"}
"""Commands whose output is for another program anyway."""


def error_of(capsys):
    """The one line on stderr."""
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert not printed.out
    return line


def test_the_package_shows_the_entry_point_of_the_installed_script():
    assert main is defined_main


def test_help_lists_every_command_with_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"cascade {command} " in text


def test_help_says_what_each_exit_status_means(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    below = capsys.readouterr().out.split("exit status:")[1]
    assert [line.split()[0] for line in below.strip().splitlines()] == ["0", "1", "2", "130"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_in_lines_of_their_own(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert f"cascade {command}" in text.split("examples:\n")[1]


@pytest.mark.parametrize("columns", ["60", "100"])
def test_words_are_wrapped_at_the_width_of_the_terminal_and_examples_are_kept(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    text = capsys.readouterr().out
    assert "\n  cascade simulate --policy policy.json --outcomes fresh.npz --rate 200 --slo 50\n" in text
    words = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert max(map(len, words)) <= int(columns)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in SILENT])
def test_every_command_that_prints_a_result_can_print_it_as_json(command):
    assert "--json" in SUBPARSERS.choices[command]._option_string_actions


def test_a_command_that_does_not_exist_names_those_that_do(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fot"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "'fot'" in message
    assert "'fit'" in message


def test_version_says_name_and_number(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("cascade ")


def test_no_command_is_an_error_of_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fit", "--data", "a", "--out", "b", "--costs", "1,x"],
            "expected numbers separated by commas, such as 0.3,2.1,9.0, got '1,x'",
        ),
        (
            ["fit", "--data", "a", "--out", "b", "--held-out", "1.5"],
            "expected a share between 0 and 1, such as 0.25, got '1.5'",
        ),
        (["fit", "--data", "a", "--out", "b", "--held-out", "few"], "expected a number, got 'few'"),
        (
            ["fit", "--data", "a", "--out", "no/folder/p.json"],
            "expected a file in a folder that exists, got 'no/folder/p.json'",
        ),
        (["profile", "--out", "."], "expected a file in a folder that exists, got '.'"),
        (["explain", "--policy", "a", "--budget-ms", "-1"], "expected milliseconds of at least 0, got '-1'"),
        (["explain", "--policy", "a", "--budget-ms", "nan"], "expected milliseconds of at least 0, got 'nan'"),
        (["demo", "--seed", "-1"], "expected a whole number from 0 to 4294967295, got '-1'"),
    ],
)
def test_an_argument_that_cannot_be_read_says_what_was_expected(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_error_of_the_package_is_one_line_and_exit_status_two(tmp_path, capsys):
    assert main(["explain", "--policy", str(tmp_path / "none.json")]) == 2
    assert error_of(capsys).startswith("error: expected a policy saved as JSON at ")


def test_a_path_that_is_not_there_is_one_line_and_exit_status_two(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path / "file" / "demo")]) == 2
    assert error_of(capsys) == f"error: Not a directory: {tmp_path / 'file' / 'demo'}"


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cascade.cli.explain.run", interrupted)
    assert main(["explain", "--policy", "policy.json"]) == 130
    assert error_of(capsys) == "error: interrupted"


def test_reading_the_help_loads_nothing_heavy():
    code = "import sys\nfrom cascade.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "numba", "sklearn", "numpy", "matplotlib"} & set(done.stdout.split())


@pytest.mark.slow
def test_output_that_nobody_reads_is_no_traceback():
    words = [sys.executable, "-m", "cascade", "completion", "bash"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, "")


@pytest.mark.slow
def test_the_module_runs_as_the_script_does(tmp_path):
    words = [sys.executable, "-m", "cascade", "explain", "--policy", str(tmp_path / "none.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a policy")
    assert "Traceback" not in done.stderr
