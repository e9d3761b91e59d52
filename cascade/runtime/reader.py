"""What a stage just said becomes evidence about one item: encode, pool, recalibrate.

Knows the fitted evidence model; no clock, no lock, no policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cascade.core.evidence import EvidenceModel, label_features, members_of, spread_log_probs
from cascade.core.kernels import absorb_scores, pool_stacked, pool_state
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, IntArray, StageLike
from cascade.core.scores import top_classes
from cascade.core.stage_outputs import Answers, check_rows, read_output
from cascade.errors import StageOutputError

_ARRAY, _empty = np.ndarray, np.empty
"""Looking a name up in NumPy takes a twentieth of a microsecond."""


class EvidenceReader(Protocol):
    """Turns outputs of stages into evidence under one evidence model.

    The evidence about one item in progress is a flat array: encoded outputs (K d), pooled probabilities (c), top class.

    Attributes
    ----------
    pooled_part : slice
        Where the pooled probabilities are.
    """

    pooled_part: slice

    def new_state(self) -> FloatArray:
        """Room for the evidence about one item."""
        ...

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        """Read stage j's output about a single item; the confidence under the set ``after``."""
        ...

    def row(self, state: FloatArray, j: int) -> FeatureArray:
        """What stage j said, encoded, shape (d,): a copy."""
        ...

    def resume(self, state: FloatArray, rows: Mapping[int, FeatureArray], evidence_set: int) -> float:
        """Take over what stages have said, by stage, as `row` gives it; the confidence under their set."""
        ...

    def encoding(self, j: int) -> str:
        """What a row of stage j depends on besides the stage: rows of one encoding mean the same."""
        ...

    def pooled(self, state: FloatArray) -> tuple[int, FloatArray]:
        """Top class and pooled probabilities (c,) of a state: a view of what the next stage overwrites."""
        ...

    def new_features(self, n: int) -> FeatureArray:
        """Room for the encoded outputs of n items, shape (n, K, d)."""
        ...

    def encode(self, j: int, output: Any, n: int) -> FeatureArray:
        """Encoded output of stage j for n items, shape (n, d)."""
        ...


def evidence_reader(evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...]) -> EvidenceReader:
    """The reader for the form in which the evidence was fitted."""
    kind = _LoglinearReader if evidence.tables is None else _StackedReader
    return kind(evidence, stages, classes)


class _Reader:
    def __init__(
        self, evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...], width: int
    ) -> None:
        self._k, self._width = len(stages), width
        self._c = evidence.n_classes
        self._stages = tuple(stages)
        self._classes, self._place = classes, {label: i for i, label in enumerate(classes)}
        self._own_labels = [stage.classes or classes for stage in stages]
        self._bias = [np.ascontiguousarray(row) for row in evidence.bias]
        self._recal = [np.ascontiguousarray(row) for row in evidence.recal]
        self._said = self._k * width
        self._state_size = self._said + self._c + 1
        self.pooled_part = slice(self._said, -1)

    def new_state(self) -> FloatArray:
        return _empty(self._state_size)

    def pooled(self, state: FloatArray) -> tuple[int, FloatArray]:
        return int(state[-1]), state[self.pooled_part]

    def row(self, state: FloatArray, j: int) -> FeatureArray:
        start = j * self._width
        return state[start : start + self._width].astype(np.float32)

    def encoding(self, j: int) -> str:
        named = [f"{type(label).__qualname__} {label!r}" for label in self._classes]
        return f"{type(self).__name__} {self._width} {self._stages[j].scores} {named}"

    def new_features(self, n: int) -> FeatureArray:
        return np.zeros((n, self._k, self._width), np.float32)

    def _fill(self, state: FloatArray, rows: Mapping[int, FeatureArray]) -> None:
        width = self._width
        for j, row in rows.items():
            state[j * width : (j + 1) * width] = row

    def _parts(self, state: FloatArray) -> tuple[FeatureArray, FloatArray]:
        """Everything said so far (1, K, d), and where the probabilities go (1, c)."""
        said = state[: self._said].reshape(1, self._k, self._width)
        return said.astype(np.float32), state[self._said : -1].reshape(1, self._c)

    def _labels(self, answers: Answers) -> IntArray:
        # A label never met in fitting gets the number after the last class and says nothing.
        return np.array([self._place.get(label, self._c) for label in answers.labels], np.int64)


class _LoglinearReader(_Reader):
    def __init__(self, evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...]) -> None:
        super().__init__(evidence, stages, classes, evidence.n_classes)
        self._logits = [stage.scores == "logits" for stage in stages]
        self._columns = [_column_order(stage, classes) for stage in stages]
        # One array instead of four: handing an array to compiled code costs a tenth of a microsecond.
        self._params = [
            np.concatenate([evidence.floors, *of_set])
            for of_set in zip(evidence.weights, self._bias, self._recal, strict=True)
        ]
        # The shape of scores that can be read as they are.
        self._ready_shapes = [(1, self._c) if order is None else None for order in self._columns]

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        if type(output) is _ARRAY and output.shape == self._ready_shapes[j]:
            confidence = absorb_scores(output, self._logits[j], j, after, self._params[after], state)
            if confidence >= 0.0:
                return confidence
        return self.resume(state, {j: self.encode(j, output, 1)[0]}, after)

    def resume(self, state: FloatArray, rows: Mapping[int, FeatureArray], evidence_set: int) -> float:
        self._fill(state, rows)
        confidence: float = pool_state(self._k, evidence_set, self._params[evidence_set], state)
        return confidence

    def encode(self, j: int, output: Any, n: int) -> FeatureArray:
        check_rows(self._stages[j], output, n)
        said = read_output(self._stages[j], output)
        if not isinstance(said, Answers):
            return self._ordered(j, said)
        labels = self._labels(said)
        known = np.minimum(labels, self._c - 1)
        spread = spread_log_probs(known[:, None], said.confidence[:, None], self._c)[:, 0]
        spread[labels >= self._c] = 0.0
        return spread

    def _ordered(self, j: int, log_probs: FeatureArray) -> FeatureArray:
        if log_probs.shape[1] != self._c:
            raise StageOutputError(
                f"stage {self._stages[j].name!r} returned scores of shape {log_probs.shape}: expected {self._c} columns, "
                "one per class of the policy"
            )
        columns = self._columns[j]
        return log_probs if columns is None else log_probs[:, columns]


class _StackedReader(_Reader):
    def __init__(self, evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...]) -> None:
        super().__init__(evidence, stages, classes, 3)
        assert evidence.tables is not None
        self._tables = [np.ascontiguousarray(table) for table in evidence.tables]
        self._members = [members_of(s) for s in range(len(self._tables))]

    def new_state(self) -> FloatArray:
        # All of it is read in single precision, what has not been said too.
        return np.zeros(self._state_size)

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        return self.resume(state, {j: self.encode(j, output, 1)[0]}, after)

    def resume(self, state: FloatArray, rows: Mapping[int, FeatureArray], evidence_set: int) -> float:
        self._fill(state, rows)
        said, probs = self._parts(state)
        tables, bias, recal = self._tables[evidence_set], self._bias[evidence_set], self._recal[evidence_set]
        trust = np.empty(1)
        pool_stacked(said, self._members[evidence_set], tables, bias, recal, probs, trust)
        state[-1] = probs[0].argmax()
        return float(trust[0])

    def encode(self, j: int, output: Any, n: int) -> FeatureArray:
        check_rows(self._stages[j], output, n)
        said = read_output(self._stages[j], output)
        if not isinstance(said, Answers):
            # Not the policy's columns: classes that never occurred as truth were recorded behind the others.
            best, shares = top_classes(said[:, None])
            said = Answers([self._own_labels[j][i] for i in best[:, 0].tolist()], shares[:, 0])
        return label_features(self._labels(said), said.confidence)


def _column_order(stage: StageLike, classes: tuple[Any, ...]) -> Any:
    """Columns of the stage in the order of the policy's classes; None if they are in order."""
    if stage.classes is None or tuple(stage.classes) == classes or set(stage.classes) != set(classes):
        return None
    return np.array([stage.classes.index(label) for label in classes], np.int64)
