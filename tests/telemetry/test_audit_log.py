import numpy as np
import pytest

from cascade.core.inputs import InputSpec
from cascade.core.outcomes import Outcomes
from cascade.core.records import StageOutput
from cascade.errors import DataError, EmptyBatch, LabelMismatch, UnknownRequest
from cascade.telemetry.audit_log import Audit, AuditLog
from cascade.testing.fakes import FakeExit, FakeStage

PROBS = np.random.default_rng(0).dirichlet((1, 1, 1), (20, 2))
STAGES = [FakeStage(name, PROBS[:, j]) for j, name in enumerate(("a", "b"))]
CLASSES = (0, 1, 2)


def filled(n=5, capacity=100):
    log = AuditLog(capacity)
    log.see(n - 1)
    for i in range(n):
        log.begin(i, ("a",))
        log.finish(i, [PROBS[i : i + 1, 0], PROBS[i : i + 1, 1]])
    return log


def test_labelled_audits_are_the_outcomes_that_recording_the_stages_gives():
    log, labels = filled(), [2, 0, 1, 1, 0]
    for i in (3, 0, 4, 1, 2):
        assert log.label(i, labels[i], CLASSES)
    spec = InputSpec((1,), "int64")
    table, direct = log.outcomes(STAGES, CLASSES, spec), Outcomes.record(STAGES, np.arange(5), labels, progress=False)
    assert np.array_equal(table.log_probs, direct.log_probs)
    assert table.labels.tolist() == labels
    assert (table.stages, table.classes, table.fingerprints) == (direct.stages, direct.classes, direct.fingerprints)
    assert table.inputs == spec


def test_only_audits_that_have_run_and_are_labelled_are_given():
    log = filled(3)
    log.see(9)
    log.begin(9, ())
    assert log.label(9, 0, CLASSES)
    assert log.label(1, 2, CLASSES)
    assert log.outcomes(STAGES, CLASSES, None).labels.tolist() == [2]
    assert log.audits() == (
        Audit(0, ("a",), True, False),
        Audit(1, ("a",), True, True),
        Audit(2, ("a",), True, False),
        Audit(9, (), False, True),
    )


def test_a_label_may_come_before_the_audit_has_run():
    log = AuditLog(10)
    log.see(4)
    log.begin(4, ("a",))
    assert log.label(4, 1, CLASSES)
    log.finish(4, [PROBS[:1, 0], PROBS[:1, 1]])
    assert log.outcomes(STAGES, CLASSES, None).n_items == 1


def test_a_later_label_replaces_an_earlier_one():
    log = filled(1)
    log.label(0, 1, CLASSES)
    log.label(0, 2, CLASSES)
    assert log.outcomes(STAGES, CLASSES, None).labels.tolist() == [2]


def test_a_request_that_was_not_drawn_or_was_dropped_keeps_no_label():
    log = filled(2)
    log.see(7)
    log.drop(1)
    assert not log.label(5, 0, CLASSES)
    assert not log.label(1, 0, CLASSES)


@pytest.mark.parametrize("request_id", [5, -1, "a", None, 1.0])
def test_an_id_that_no_request_has_is_refused(request_id):
    with pytest.raises(UnknownRequest, match="whole number below 5") as caught:
        filled().label(request_id, 0, CLASSES)
    assert isinstance(caught.value, LookupError)


def test_numpy_ids_and_labels_are_taken():
    log = filled()
    assert log.label(np.int64(2), np.int64(1), CLASSES)
    assert log.outcomes(STAGES, CLASSES, None).labels.tolist() == [1]


@pytest.mark.parametrize(("label", "error"), [(3, LabelMismatch), ([1], DataError), (float("nan"), DataError)])
def test_a_label_that_no_stage_can_give_is_refused_at_once(label, error):
    log = filled()
    with pytest.raises(error):
        log.label(0, label, CLASSES)
    assert not log.audits()[0].is_labelled


def test_a_truth_that_stages_never_say_is_fine_where_they_say_labels():
    log = AuditLog(10)
    for i in range(2):
        log.see(i)
        log.begin(i, ("a",))
        log.finish(i, [StageOutput(np.array(["cat"]), np.array([0.8])), StageOutput(["dog"], [0.5])])
        assert log.label(i, "owl", ("cat", "dog"))
    table = log.outcomes(STAGES, ("cat", "dog"), None)
    assert [table.classes[i] for i in table.predicted[0]] == ["cat", "dog"]
    assert table.classes[table.labels[0]] == "owl"


def test_columns_without_names_are_the_classes_of_the_policy():
    log = filled(2)
    log.label(0, "x", ("z", "x", "y"))
    table = log.outcomes(STAGES, ("z", "x", "y"), None)
    assert (table.classes, table.labels.tolist()) == (("z", "x", "y"), [1])


def test_exits_keep_what_they_continue_from():
    log = filled(1)
    log.label(0, 0, CLASSES)
    exits = [FakeExit("a", PROBS[:, 0], requires=None), FakeExit("b", PROBS[:, 1], requires="a")]
    assert log.outcomes(exits, CLASSES, None).requires == (-1, 0)


def test_nothing_labelled_is_an_error_that_says_what_waits():
    with pytest.raises(EmptyBatch, match="5 audits wait for a label"):
        filled().outcomes(STAGES, CLASSES, None)


def test_no_more_is_kept_than_the_capacity_and_the_oldest_go_first():
    log = AuditLog(3)
    for i in range(10):
        log.see(i)
        log.begin(i, ())
        log.finish(i, [PROBS[:1, 0], PROBS[:1, 1]])
        if i < 5:
            assert log.label(i, 0, CLASSES)
    assert [(audit.id, audit.is_labelled) for audit in log.audits()] == [
        (2, True),
        (3, True),
        (4, True),
        (7, False),
        (8, False),
        (9, False),
    ]
    assert not log.label(5, 0, CLASSES)
