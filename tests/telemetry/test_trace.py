"""Traces, checked against the fields that the trace event format asks for."""

import json
from contextlib import nullcontext
from itertools import pairwise
from math import inf

import pytest

from cascade.errors import ConfigurationError
from cascade.telemetry.requests import RequestRecord, StageRun
from cascade.telemetry.trace import TraceWindow, trace_events

SMALL = StageRun("small", 0, 2, 101.0, 102.0, False, "limit")
BIG = StageRun("big", 1, 1, 102.0, 105.0)
FAILED = StageRun("small", 0, 1, 103.0, 103.5, True)
RECORDS = [
    RequestRecord(
        1, 1, "normal", "answered", 100.0, 105.25, 104.0, 1.0, False, ("small", "big"), 0.8, False, (SMALL, BIG)
    ),
    RequestRecord(2, 1, "interactive", "answered", 100.5, 102.25, inf, 0.5, True, ("small",), 0.9, False, (SMALL,)),
    RequestRecord(3, 1, "normal", "degraded", 103.0, 103.75, 999.0, 0.0, True, (), 0.4, False, (FAILED,)),
    RequestRecord(4, 1, "normal", "rejected", 103.0, 103.0, 103.0, 0.0, False),
    RequestRecord(5, 64, "normal", "answered", 104.0, 105.0, 105.0, 0.0, True, from_cache=True),
]
NUMBER = (int, float)


def check_event(event):
    """Raise unless it is an event of the format."""
    assert isinstance(event["name"], str)
    assert isinstance(event["pid"], int)
    assert isinstance(event["tid"], int)
    assert isinstance(event["ts"], NUMBER)
    assert event["ts"] >= 0
    match event["ph"]:
        case "X":
            assert isinstance(event["dur"], NUMBER)
            assert event["dur"] >= 0
        case "C":
            assert all(isinstance(value, NUMBER) for value in event["args"].values())
        case "b" | "e":
            assert isinstance(event["id"], int)
            assert event["cat"]
        case "i":
            assert event["s"] in {"g", "p", "t"}
        case "M":
            assert event["name"] in {"process_name", "thread_name"}
            assert isinstance(event["args"]["name"], str)
        case _:
            raise AssertionError(event)


def of_kind(kind, records=RECORDS):
    return [event for event in trace_events(records) if event["ph"] == kind]


@pytest.mark.parametrize("records", [[], RECORDS[:1], RECORDS])
def test_every_event_has_what_the_format_asks_for(records):
    events = list(trace_events(records))
    assert json.loads(json.dumps(events)) == events
    for event in events:
        check_event(event)
    assert bool(events) == bool(records)


def test_every_track_has_a_name():
    named = {(event["pid"], event["tid"]): event["args"]["name"] for event in of_kind("M")}
    assert [named[1, 1], named[1, 2]] == ["lane 0", "lane 1"]
    drawn = {(event["pid"], event["tid"]) for kind in "XCi" for event in of_kind(kind)}
    assert drawn <= set(named)


def test_a_batch_is_drawn_once_on_its_lane():
    batches = of_kind("X")
    assert [(event["name"], event["tid"], event["ts"], event["dur"]) for event in batches] == [
        ("small × 2", 1, 1000.0, 1000.0),
        ("big", 2, 2000.0, 3000.0),
        ("small", 1, 3000.0, 500.0),
    ]
    assert batches[0]["args"]["requests"] == [1, 2]
    assert batches[0]["args"]["closed_by"] == "limit"
    assert [event["cat"] for event in batches] == ["batch", "batch", "failed"]


def test_requests_are_slices_that_end_and_nest():
    for number in range(1, 6):
        open_slices = []
        for event in trace_events(RECORDS):
            if event.get("id") == number and event["ph"] == "b":
                open_slices.append(event["name"])
            elif event.get("id") == number:
                assert open_slices.pop() == event["name"]
        assert open_slices == []


def test_the_queue_is_as_long_as_requests_wait():
    counts = [(event["ts"], event["args"]["waiting"]) for event in of_kind("C")]
    assert counts == [(0.0, 1), (500.0, 2), (1000.0, 1), (1000.0, 0)]


def test_deadlines_that_passed_within_the_window_are_instants():
    marks = {event["args"]["request"]: (event["name"], event["ts"]) for event in of_kind("i")}
    assert marks == {
        1: ("deadline missed", 4000.0),
        4: ("deadline missed", 3000.0),
        5: ("deadline kept", 5000.0),
    }


def test_the_file_holds_what_was_heard_and_how_much_was_not_kept(tmp_path):
    path, heard = tmp_path / "trace.json", []

    def listen(listener):
        heard.append(listener)
        return nullcontext()

    with TraceWindow(path, listen, 2) as window:
        for record in RECORDS:
            heard[0].ended(record, heard[0].began())
    trace = json.loads(path.read_text(encoding="utf-8"))
    assert trace["otherData"] == {"requests": 2, "requests_dropped": 3}
    assert trace["traceEvents"] == list(trace_events(RECORDS[-2:]))
    assert window.n_dropped == 3


def test_a_block_that_raises_leaves_its_trace(tmp_path):
    path = tmp_path / "trace.json"
    with pytest.raises(KeyError), TraceWindow(path, lambda listener: nullcontext(), 10):
        raise KeyError
    assert json.loads(path.read_text(encoding="utf-8"))["traceEvents"] == []


def test_what_cannot_be_written_is_said_before_the_window_opens(tmp_path):
    for path in (tmp_path / "missing" / "trace.json", tmp_path):
        with pytest.raises(ConfigurationError, match="expected a file in a folder that exists"):
            TraceWindow(path, nullcontext, 1)
    with pytest.raises(ConfigurationError, match="expected max_requests of at least 1, got 0"):
        TraceWindow(tmp_path / "trace.json", nullcontext, 0)


def test_batches_of_a_lane_do_not_overlap():
    lane = sorted((event["ts"], event["ts"] + event["dur"]) for event in of_kind("X") if event["tid"] == 1)
    assert all(end <= start for (_, end), (start, _) in pairwise(lane))
