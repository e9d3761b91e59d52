import json

import numpy as np
import pytest

from cascade.cli import main
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable

STAGES = ["small", "middle", "big"]


@pytest.fixture
def simulate(arrays, tmp_path):
    """Run the command on a saved chain; returns the exit status."""
    service = ServiceTable.from_costs([0.5, 2.0, 8.0], stages=STAGES)
    Policy.from_thresholds([0.9, 0.8], service).save(tmp_path / "policy.json")

    def run(*more):
        return main(["simulate", "--policy", str(tmp_path / "policy.json"), "--outcomes", str(arrays), *more])

    return run


def test_the_table_says_in_time_and_accuracy(simulate, capsys):
    assert simulate("--rate", "100", "--slo", "50", "--duration-ms", "2000") == 0
    text = capsys.readouterr().out
    for part in ("requests in", "effective acc.", "ended: ", "answers from: ", "small + middle"):
        assert part in text


def test_json_holds_the_figures_of_every_budget(simulate, capsys):
    assert simulate("--rate", "100", "--slo", "15:0.3,50:0.7", "--duration-ms", "3000", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert [row["budget_ms"] for row in figures["by_budget"]] == [15.0, 50.0]
    assert figures["by_budget"][0]["n_requests"] == pytest.approx(0.3 * figures["n_requests"], rel=0.3)
    assert figures["n_lanes"] == 1


@pytest.mark.parametrize("pattern", ["poisson", "bursty", "diurnal"])
def test_every_pattern_comes_at_the_rate(pattern, simulate, capsys):
    assert simulate("--rate", "100", "--slo", "50", "--duration-ms", "10000", "--pattern", pattern, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_requests"] == pytest.approx(1000, rel=0.45)


def test_bursts_are_harder_than_poisson(simulate, capsys):
    late = []
    for pattern in ("poisson", "bursty"):
        assert simulate("--rate", "300", "--slo", "20", "--duration-ms", "3000", "--pattern", pattern, "--json") == 0
        late.append(json.loads(capsys.readouterr().out)["latency_ms"]["0.99"])
    assert late[0] < late[1]


def test_arrivals_come_from_a_file(simulate, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.arange(0.0, 1000.0, 20.0))
    words = ("--pattern", "file", "--arrivals", str(tmp_path / "a.npy"), "--slo", "50", "--json")
    assert simulate(*words) == 0
    assert json.loads(capsys.readouterr().out)["n_requests"] == 50
    assert simulate(*words, "--rate", "100", "--duration-ms", "250") == 0
    assert json.loads(capsys.readouterr().out)["n_requests"] == 25


def test_lanes_and_times_of_another_machine_count(simulate, tmp_path, capsys):
    ServiceTable.from_costs([5.0, 20.0, 80.0], stages=STAGES).save(tmp_path / "slow.json")
    words = ("--rate", "30", "--slo", "500", "--duration-ms", "2000", "--json")
    busy = []
    for more in (
        (),
        ("--service", str(tmp_path / "slow.json")),
        ("--service", str(tmp_path / "slow.json"), "--lanes", "2"),
    ):
        assert simulate(*words, *more) == 0
        busy.append(json.loads(capsys.readouterr().out)["utilisation"])
    assert busy[0] < busy[2] < busy[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--slo", "50"), "expected --rate RPS, which --pattern poisson needs"),
        (("--slo", "50", "--pattern", "file"), "expected --arrivals FILE together with --pattern file"),
        (
            ("--slo", "50", "--rate", "5", "--arrivals", "a.npy"),
            "expected --arrivals FILE together with --pattern file",
        ),
        (("--slo", "50", "--pattern", "file", "--arrivals", "no.npy"), "No such file or directory: no.npy"),
        (("--slo", "50", "--rate", "-5"), "rate_rps and duration_ms finite and above 0, got -5.0"),
        (("--slo", "0", "--rate", "5"), "expected budgets above 0 ms"),
        (("--slo", "1:0.5", "--rate", "5"), "shares of each budget_ms that sum to 1"),
        (("--slo", "50", "--rate", "5", "--headroom", "2"), "headroom in (0, 1], got 2.0"),
        (("--slo", "50", "--rate", "5", "--jitter", "-1"), "jitter of at least 0"),
    ],
)
def test_an_error_is_one_line(words, message, simulate, capsys):
    assert simulate(*words) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not printed.out
