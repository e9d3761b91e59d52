"""What stages said earlier becomes a place to start from, and back."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.caching.entries import Entry
from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.runtime.memory import Memory
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.walk import Walk
from cascade.testing.fakes import FakeExit, FakeStage

NAMES = ("first", "second", "third")
SERVICE = ServiceTable.from_costs([1.0, 2.0, 4.0], stages=NAMES)


def memory_of(*, linked=False, chain=False, classes=range(3), versions=("1", "1", "1"), device="cpu"):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3, 3))
    logits[np.arange(200), :, labels] += [1.0, 2.0, 3.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    stages = []
    for j, name in enumerate(NAMES):
        settings = {"version": f"{name} {versions[j]}", "classes": classes}
        if linked:
            stages.append(FakeExit(name, probs[:, j], requires=NAMES[j - 1] if j else None, **settings))
        else:
            stages.append(FakeStage(name, probs[:, j], **settings))
        stages[-1].device = device
    if chain:
        policy = Policy.from_thresholds([0.9, 0.9], SERVICE).for_classes(classes)
    else:
        outcomes = Outcomes.from_probs(probs, labels, stages=NAMES)
        policy = fit_policy(replace(outcomes, requires=(-1, 0, 1)) if linked else outcomes, SERVICE)
    return Memory(ReadyPolicy(policy, stages))


def reached(memory, path, carries=()):
    """A request for which the stages of a path have spoken, stage j in numbers of j + 1."""
    state = memory.ready.new_state()
    for j in range(3):
        state[3 * j : 3 * j + 3] = j + 1.0
    evidence_set = sum(1 << NAMES.index(name) for name in path)
    return SimpleNamespace(evidence_set=evidence_set, path=path, state=state, carry_of=dict(carries).get)


def test_what_was_said_starts_a_request_in_the_order_in_which_it_was_said():
    memory = memory_of()
    said = memory.ran(reached(memory, ("third", "first")), 0, has_ended=True)
    start = memory.start(said)
    assert (start.evidence_set, start.path) == (0b101, ("third", "first"))
    assert {j: row.tolist() for j, row in start.rows.items()} == {2: [3.0] * 3, 0: [1.0] * 3}
    assert start.rows[2].dtype == np.float32


def test_only_what_is_new_is_handed_back():
    memory = memory_of()
    said = memory.ran(reached(memory, ("first", "second")), 0b01, has_ended=True)
    assert memory.start(said).path == ("second",)
    features = np.arange(9.0).reshape(3, 3)
    said = memory.ran_in_batch(features, (2, 0, 1), 0b001)
    assert memory.start(said).path == ("third", "second")
    assert [row.tolist() for row in said.values()] == [[6.0, 7.0, 8.0], [3.0, 4.0, 5.0]]


def test_what_another_version_of_a_stage_said_is_of_no_use():
    memory = memory_of()
    said = memory.ran(reached(memory, NAMES), 0, has_ended=True)
    assert memory_of(versions=("1", "2", "1")).start(said).path == ("first", "third")
    assert memory_of(versions=("2", "2", "2")).start(said) is None


def test_what_was_said_about_other_classes_is_of_no_use():
    memory = memory_of(chain=True)
    said = memory.ran(reached(memory, NAMES), 0, has_ended=True)
    assert memory_of(chain=True, classes=range(1, 4)).start(said) is None
    assert memory_of(chain=True, classes=(0.0, 1.0, 2.0)).start(said) is None


def test_a_chain_and_a_fitted_policy_read_the_same_rows():
    memory = memory_of()
    said = memory.ran(reached(memory, ("third",)), 0, has_ended=True)
    for other in (memory_of(chain=True), memory):
        start = other.start(said)
        assert (start.evidence_set, start.path) == (0b100, ("third",))
        assert other.going_on(start, said) is start


def test_carries_are_kept_once_nothing_can_write_into_them():
    memory, carries = memory_of(linked=True), {0: np.array([7]), 1: np.array([8])}
    running = memory.ran(reached(memory, ("first", "second"), carries), 0, has_ended=False)
    ended = memory.ran(reached(memory, ("first", "second"), carries), 0, has_ended=True)
    assert len(ended) == len(running) + 2
    start = memory.start(ended)
    assert start.carries == {}
    onward = memory.going_on(start, ended)
    assert (onward.path, [*onward.carries]) == (("first", "second"), [1])
    onward.carries[1][:] = 9
    assert memory.going_on(start, ended).carries[1].tolist() == [8]


@pytest.mark.parametrize("chain", [False, True])
def test_exits_without_a_carry_are_left_out_where_the_next_one_is_to_run(chain):
    memory = memory_of(linked=True, chain=chain)
    said = memory.ran(reached(memory, ("first", "second")), 0, has_ended=True)
    start = memory.start(said)
    assert start.path == ("first", "second")
    assert memory.going_on(start, said) is None
    with_first = {**said, **memory.ran(reached(memory, ("first",), {0: np.array([7])}), 0, has_ended=True)}
    onward = memory.going_on(start, with_first)
    assert (onward.path, [*onward.carries]) == (("first",), [0])


def test_exits_whose_predecessor_has_not_spoken_are_of_no_use():
    memory = memory_of(linked=True)
    said = memory.ran(reached(memory, ("first", "second", "third")), 0b010, has_ended=True)
    assert memory.start(said).path == ("first",)
    assert memory.start(memory.ran(reached(memory, NAMES), 0b001, has_ended=True)) is None


def test_what_is_on_a_device_or_cannot_be_copied_is_not_carried_over():
    on_device = memory_of(linked=True, device="cuda")
    assert len(on_device.ran(reached(on_device, ("first",), {0: np.array([7])}), 0, has_ended=True)) == 1
    memory = memory_of(linked=True)
    assert len(memory.ran(reached(memory, ("first",), {0: object()}), 0, has_ended=True)) == 1


def entry_of(said):
    return Entry((b"digest", b"head"), (), said, born_ms=0.0, epoch=0)


@pytest.mark.parametrize("keywords", [{}, {"linked": True}, {"chain": True}])
def test_many_entries_are_read_as_one_by_one(keywords):
    memory = memory_of(**keywords)
    paths = [("third",), ("first", "second"), ("second", "first"), NAMES, (), ("first",), ("third", "first")]
    entries = [entry_of(memory.ran(reached(memory, path), 0, has_ended=True)) for path in paths]
    starts = [None] * len(entries)
    for alike in memory.alike(entries):
        for i, place in enumerate(alike.places):
            starts[place] = alike.start(i)
    for one, many in zip([memory.start(entry.said) for entry in entries], starts, strict=True):
        if one is None:
            assert many is None
            continue
        assert (many.evidence_set, many.path, [*many.rows]) == (one.evidence_set, one.path, [*one.rows])
        assert many.confidence == pytest.approx(one.confidence, abs=1e-9)
        np.testing.assert_allclose(many.state[memory.ready.pooled_part], one.state[memory.ready.pooled_part], atol=1e-9)
        assert many.state[-1] == one.state[-1]
    assert memory.alike([None, entry_of({})]) == []


def test_an_entry_is_read_once_for_requests_that_come_soon_after_one_another():
    memory = memory_of()
    entry = entry_of(memory.ran(reached(memory, NAMES), 0, has_ended=True))
    start = memory.start_of(entry)
    assert memory.start_of(entry) is start
    # Another entry of the same input, as where one has grown.
    assert memory.start_of(entry_of(entry.said)) is not start


def test_what_is_remembered_of_entries_is_bounded():
    memory = memory_of()
    entries = [entry_of(memory.ran(reached(memory, NAMES), 0, has_ended=True)) for _ in range(3000)]
    for entry in entries:
        assert memory.start_of(entry).path == NAMES
        assert len(memory._starts) <= 1024


def test_the_evidence_of_a_start_is_not_written_into():
    memory = memory_of()
    start = memory.start(memory.ran(reached(memory, ("first",)), 0, has_ended=True))
    before = start.state.copy()
    walk = Walk(memory.ready, np.array([0]), 100.0)
    walk.resume(start)
    walk.state[:] = 9.0
    np.testing.assert_array_equal(start.state, before)
