"""The contract of a stage notices what it is there for."""

import threading

import numpy as np
import pytest
import torch

from cascade.core.records import StageOutput
from cascade.stages.stage import Stage
from cascade.testing.contract import check_stage
from cascade.testing.fakes import FakeExit, FakeStage


class Broken(FakeStage):
    """A fake with the identity as its table, and whatever a test breaks."""

    def __init__(self, **attributes):
        super().__init__("broken", np.eye(4))
        for name, value in attributes.items():
            setattr(self, name, value)


def answering(function):
    """A stage that breaks what it would have answered."""
    stage = Broken()
    right = stage.run
    stage.run = lambda batch, carry=None: (function(right(batch)[0], batch), None)
    return stage


def alternating(scores, _, calls=[]):  # noqa: B006 - the state is the fault
    calls.append(1)
    return scores if len(calls) % 2 else scores[:, ::-1].copy()


def in_place(_, batch):
    batch += 0
    batch[0] = 3
    return np.eye(4)[batch]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Broken(name=""), "name must be a non-empty string, got ''"),
        (Broken(scores="margins"), "scores must be .* got 'margins'"),
        (Broken(fingerprint=None), "fingerprint must be a non-empty string, got None"),
        (Broken(requires=3), "requires must be None or the name of a stage, got 3"),
        (Broken(device=None), "device must be a string"),
        (Broken(classes=["a"]), r"classes must be None or a tuple, got \['a'\]"),
        (Broken(classes=("a", "a")), "classes must be different labels"),
        (Broken(classes=("a", "b")), r"4 columns of scores for the classes \('a', 'b'\)"),
        (Broken(threads=lambda: 0), r"threads\(\) must be at least 1, got 0"),
        (Broken(threads=lambda: 1), r"within limit_threads\(2\), threads\(\) says 1"),
        (Broken(take=lambda carry, rows: rows), r"take\(None, rows\) must be None"),
        (Broken(join=lambda carries: carries), "join of nothing must be None"),
        (answering(lambda scores, _: scores.tolist()), "run must return an array or a StageOutput, got a list"),
        (
            answering(lambda scores, _: scores[:, 0]),
            r"scores must have the shape \(n, c\) = \(4, 2 or more\), got \(4,\)",
        ),
        (answering(lambda scores, _: scores[:, :1]), r"2 or more\), got \(4, 1\)"),
        (answering(lambda scores, _: scores[:2]), r"got \(2, 4\)"),
        (answering(lambda scores, _: scores.astype(int)), "scores must be float32 or float64, got int64"),
        (answering(lambda scores, _: np.asfortranarray(scores)), "scores must be C-contiguous"),
        (answering(lambda scores, _: scores * np.nan), "scores must be finite"),
        (answering(lambda scores, _: scores - 0.5), "probs must not be negative, got -0.5"),
        (answering(lambda scores, _: scores * 2), "rows of probs must sum to 1, got 2.0 to 2.0"),
        (
            answering(lambda scores, batch: StageOutput(list(batch), np.ones(4))),
            r"outputs must be an array of shape \(4,\)",
        ),
        (
            answering(lambda scores, batch: StageOutput(batch, np.ones(3))),
            r"confidence must be an array of shape \(4,\)",
        ),
        (answering(lambda scores, batch: StageOutput(batch, 2 * np.ones(4))), r"confidences must lie in \[0, 1\]"),
        (answering(in_place), "the stage wrote into its input; copy the batch"),
        (answering(alternating), "the stage is not deterministic: they differ by 1"),
        (answering(lambda scores, _: np.eye(4)[: len(scores)]), "permuting the rows does not permute the answers"),
        (
            answering(lambda scores, batch: scores if len(batch) > 1 else np.full((1, 4), 0.25)),
            "a batch of row 0 alone differs from that row of the batch: they differ by 0.75",
        ),
        (
            answering(lambda scores, batch: StageOutput(np.arange(len(batch)), np.ones(len(batch)))),
            r"permuting the rows does not permute the answers: expected \[3 2 1 0\], got \[0 1 2 3\]",
        ),
    ],
)
def test_the_contract_notices_what_is_broken(stage, message):
    with pytest.raises(AssertionError, match=message):
        check_stage(stage, np.arange(4))


def test_the_contract_notices_another_number_of_classes():
    with pytest.raises(AssertionError, match="expected 3 columns of scores, got 4"):
        check_stage(Broken(), np.arange(4), n_classes=3)


def test_the_contract_wants_enough_rows():
    with pytest.raises(AssertionError, match="X needs at least 3 rows for these checks, got 2"):
        check_stage(Broken(), np.arange(2))


def test_the_contract_notices_an_answer_that_depends_on_the_thread():
    main = threading.current_thread()
    stage = answering(lambda scores, _: scores if threading.current_thread() is main else scores[:, ::-1].copy())
    with pytest.raises(AssertionError, match="another thread gets other answers"):
        check_stage(stage, np.arange(4))


def test_the_contract_notices_limits_that_stay():
    class Sticky(Broken):
        def limit_threads(self, n):
            self._n_threads = n
            return super().limit_threads(n)

    with pytest.raises(AssertionError, match="limit_threads left 2 threads behind, there were 1"):
        check_stage(Sticky(), np.arange(4))


class LeakyExit(FakeExit):
    """Answers by what it is handed, if it is handed something."""

    def run(self, batch, carry=None):
        scores, carry_out = super().run(batch)
        return (scores if carry is None else np.eye(4)[carry]), carry_out


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"take": lambda carry, rows: carry[: len(rows)]}, "join of two takes gives other answers"),
        ({"join": lambda carries: np.concatenate(carries[::-1])}, "join of two takes gives other answers"),
    ],
)
def test_the_contract_notices_carries_that_lose_their_order(broken, message):
    first = FakeExit("a", np.eye(4), requires=None)
    for name, function in broken.items():
        setattr(first, name, function)
    with pytest.raises(AssertionError, match=message):
        check_stage(LeakyExit("b", np.eye(4), requires="a"), np.arange(4), predecessor=first)


def test_the_contract_notices_another_predecessor():
    first = FakeExit("a", np.eye(4), requires=None)
    with pytest.raises(AssertionError, match="requires is 'c', the predecessor is 'a'"):
        check_stage(FakeExit("b", np.eye(4), requires="c"), np.arange(4), predecessor=first)


@pytest.mark.parametrize(
    "batch",
    [
        np.array([0.0, np.nan, 2.0]),
        torch.tensor([1.0, float("nan"), 2.0]),
        [{"a": np.zeros(2)}, {"a": np.ones(2)}, {}],
        [object(), object(), object()],
        ["a", "b", "c"],
    ],
)
def test_inputs_of_any_kind_are_compared_with_their_copies(batch):
    check_stage(Stage(lambda items: np.full((len(items), 2), 0.5)), batch)


def test_a_change_deep_in_an_input_is_noticed():
    def spoil(items):
        items[0]["a"][0] = 7
        return np.full((len(items), 2), 0.5)

    with pytest.raises(AssertionError, match="the stage wrote into its input"):
        check_stage(Stage(spoil), [{"a": np.zeros(2)}, {"a": np.ones(2)}, {}])
