import json

import pytest

from cascade.cli.race import Measured
from cascade.cli.report import Report
from cascade.core.service import ServiceTable


def measured(contestant, budget_ms, accuracy=0.95, **paths):
    return Measured(
        contestant=contestant,
        budget_ms=budget_ms,
        n=100,
        accuracy=accuracy,
        ci_low=accuracy - 0.04,
        ci_high=accuracy + 0.03,
        mean_ms=0.5,
        p50_ms=0.4,
        p99_ms=3.25,
        in_time=0.99,
        path_shares=paths or {contestant: 1.0},
    )


@pytest.fixture
def report():
    return Report(
        seed=3,
        sizes={"train": 600, "calibration": 300, "held_out": 100},
        service=ServiceTable.from_costs([0.1, 4.0], stages=["small", "big"]),
        budgets=[
            [measured("cascade", 2.0, small=0.9, big=0.1), measured("largest", 2.0), measured("smallest", 2.0)],
            [measured("cascade", None), measured("largest", None), measured("smallest", None)],
        ],
        singles=[measured("small", None, 0.9), measured("big", None, 0.96)],
        explained_ms=2.0,
        explanation="Plan for 2 ms: ...",
        seconds={"training": 12.0},
    )


def test_the_text_says_sizes_costs_budgets_paths_plan_and_times(report):
    text = str(report)
    assert "600 train, 300 calibration, 100 held-out" in text
    assert "40 x" in text
    assert "2 ms  cascade       95.00 %  91.0 % to 98.0 %    0.500   0.400    3.25   99.0 %" in text
    assert "2 ms  small 90 %, big 10 %" in text
    assert "Plan for 2 ms: ..." in text
    assert "training 12.0 s" in text


def test_each_budget_is_named_once(report):
    lines = [line for line in str(report).splitlines() if "0.400" in line]
    assert [line.split()[0] for line in lines] == ["2", "largest", "smallest", "none", "largest", "smallest"]


def test_the_values_are_those_that_json_knows(report):
    data = json.loads(json.dumps(report.to_dict()))
    assert [row["contestant"] for row in data["budgets"]] == ["cascade", "largest", "smallest"] * 2
    assert data["budgets"][0]["path_shares"] == {"small": 0.9, "big": 0.1}
    assert ServiceTable.from_dict(data["service"]) == report.service
