import json
from math import inf

import pytest

from cascade.telemetry.json_lines import JsonLines
from cascade.telemetry.requests import RequestRecord, StageRun

RUNS = (StageRun("small", 0, 1, 1.5, 2.0), StageRun("big", 0, 4, 2.0, 2.75, True, "limit"))


def record(number=7, ended_ms=3.0, deadline_ms=6.0, **fields):
    return RequestRecord(number, 1, "normal", "answered", 1.0, ended_ms, deadline_ms, 0.5, True, **fields)


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "requests.jsonl"


def test_a_request_becomes_one_object_with_its_runs(path):
    lines = JsonLines(path, lambda: 1700000000.0)
    lines.ended(record(path=("small",), confidence=0.9, runs=RUNS), None)
    lines.close()
    assert lines_of(path) == [
        {
            "time": 1700000000.0,
            "id": 7,
            "rows": 1,
            "priority": "normal",
            "outcome": "answered",
            "budget_ms": 5.0,
            "latency_ms": 2.0,
            "queue_wait_ms": 0.5,
            "slack_ms": 3.0,
            "in_time": True,
            "path": ["small"],
            "confidence": 0.9,
            "from_cache": False,
            "runs": [
                {"stage": "small", "lane": 0, "rows": 1, "start_ms": 0.5, "service_ms": 0.5, "failed": False},
                {"stage": "big", "lane": 0, "rows": 4, "start_ms": 1.0, "service_ms": 0.75, "failed": True},
            ],
        }
    ]


def test_without_a_deadline_there_is_neither_budget_nor_slack(path):
    lines = JsonLines(path)
    lines.ended(record(deadline_ms=inf), None)
    lines.close()
    (line,) = lines_of(path)
    assert (line["budget_ms"], line["slack_ms"]) == (None, None)


def test_lines_are_written_out_once_a_second_of_requests(path):
    lines = JsonLines(path)
    for ended_ms in (0.0, 999.0, 1000.0, 1500.0):
        lines.ended(record(ended_ms=ended_ms), None)
    assert len(lines_of(path)) == 3
    lines.close()
    assert len(lines_of(path)) == 4


def test_a_file_that_is_there_is_added_to(path):
    for number in (1, 2):
        lines = JsonLines(path)
        lines.ended(record(number), None)
        lines.close()
    assert [line["id"] for line in lines_of(path)] == [1, 2]


def test_what_ends_after_closing_is_left_out(path):
    lines = JsonLines(path)
    lines.close()
    lines.ended(record(), None)
    lines.close()
    assert lines_of(path) == []
