import shutil
import subprocess
import sys

import pytest

from cascade.cli import main

# What bash does at a press of the tab key: the words so far, the one under the cursor, then the function that it was told.
PRESS_TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_cascade
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def offered(tmp_path, monkeypatch, capsys):
    """What bash offers for the last of these words, in a folder with one file and one folder."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    here = tmp_path / "here"
    (here / "results").mkdir(parents=True)
    (here / "policy.json").touch()

    def ask(*words):
        done = subprocess.run(
            ["bash", "-c", PRESS_TAB, "bash", str(script), *words], capture_output=True, text=True, check=True, cwd=here
        )
        return set(done.stdout.split())

    return ask


def test_bash_completes_commands(offered):
    assert offered("cascade", "ex") >= {"explain"}
    assert "fit" not in offered("cascade", "ex")


def test_bash_completes_options_and_their_choices(offered):
    assert offered("cascade", "certify", "--max") == {"--max-risk"}
    assert offered("cascade", "certify", "--risk", "") == {"error", "lost", "drop", "selective"}


def test_bash_completes_files_where_a_file_is_expected_and_folders_where_a_folder_is(offered):
    assert "policy.json" in offered("cascade", "explain", "--policy", "po")
    assert offered("cascade", "demo", "--out", "re") == {"results"}
    assert "policy.json" not in offered("cascade", "demo", "--out", "po")


@pytest.mark.parametrize(
    ("shell", "says"), [("bash", "complete -"), ("zsh", "#compdef cascade"), ("tcsh", "complete cascade")]
)
def test_each_shell_gets_its_own(shell, says, capsys):
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert says in out
    assert not err


def test_without_shtab_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'cascade-inference[completion]'" in capsys.readouterr().err


def test_a_shell_that_is_not_known_is_an_error_of_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["completion", "fish"])
    assert stopped.value.code == 2
    assert "'fish'" in capsys.readouterr().err
