"""What a stage just said becomes evidence about one item: encode, pool, recalibrate.

Knows the fitted evidence model; no clock, no lock, no policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cascade.core.evidence import EvidenceModel, label_features, members_of, spread_log_probs
from cascade.core.kernels import absorb_scores, encode_logits, encode_probs, pool_loglinear, pool_stacked
from cascade.core.outcomes import FeatureArray
from cascade.core.records import FloatArray, StageLike, StageOutput
from cascade.core.scores import top_classes
from cascade.errors import StageOutputError


class EvidenceReader(Protocol):
    """Turns outputs of stages into evidence under one evidence model.

    The evidence about one item in progress is a flat array: encoded outputs (K d), pooled probabilities (c), top class.
    """

    def new_state(self) -> FloatArray:
        """Room for the evidence about one item."""
        ...

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        """Read stage j's output about a single item; the confidence under the set ``after``."""
        ...

    def probs(self, state: FloatArray) -> FloatArray:
        """The pooled probabilities in a state, shape (c,): a view."""
        ...

    def new_features(self, n: int) -> FeatureArray:
        """Room for the encoded outputs of n items, shape (n, K, d)."""
        ...

    def encode(self, j: int, output: Any) -> Any:
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
        n_sets, self._k, self._width = evidence.recal.shape[0], len(stages), width
        self._c = evidence.n_classes
        self._names = [stage.name for stage in stages]
        self._logits = [stage.scores == "logits" for stage in stages]
        self._place = {label: i for i, label in enumerate(classes)}
        self._columns = [_column_order(stage, classes) for stage in stages]
        self._own_labels = [stage.classes or classes for stage in stages]
        self._members = [members_of(s) for s in range(n_sets)]
        self._bias = [np.ascontiguousarray(row) for row in evidence.bias]
        self._recal = [np.ascontiguousarray(row) for row in evidence.recal]

        self._said = self._k * width
        self._state_size = self._said + self._c + 1

    def new_state(self) -> FloatArray:
        return np.empty(self._state_size)

    def probs(self, state: FloatArray) -> FloatArray:
        return state[self._said : -1]

    def new_features(self, n: int) -> FeatureArray:
        return np.zeros((n, self._k, self._width), np.float32)

    def _parts(self, state: FloatArray, j: int, encoded: Any) -> tuple[FeatureArray, FloatArray]:
        """Room for stage j's output filled in; everything said so far (1, K, d), and where the probabilities go (1, c)."""
        said = state[: self._said].reshape(1, self._k, self._width)
        said[:, j] = encoded
        return said.astype(np.float32), state[self._said : -1].reshape(1, self._c)

    def _ordered(self, j: int, scores: Any) -> Any:
        if scores.ndim != 2 or scores.shape[1] != self._c:
            raise StageOutputError(
                f"stage {self._names[j]!r} returned scores of shape {scores.shape}: expected {self._c} columns, "
                "one per class of the policy"
            )
        columns = self._columns[j]
        return scores if columns is None else np.ascontiguousarray(scores[:, columns])

    def _log_probs(self, j: int, scores: Any) -> Any:
        encoded = np.empty(scores.shape, np.float32)
        encode = encode_logits if self._logits[j] else encode_probs
        if not encode(scores, encoded):
            raise self._unusable(j)
        return encoded

    def _labels_and_trust(self, j: int, output: StageOutput) -> tuple[Any, FloatArray]:
        trust = np.asarray(output.confidence, np.float64)
        if not np.all((trust >= 0.0) & (trust <= 1.0)):
            raise StageOutputError(f"stage {self._names[j]!r} returned a confidence outside [0, 1]: {trust[:5]}")
        labels = output.outputs.tolist() if hasattr(output.outputs, "tolist") else list(output.outputs)
        # A label never met in fitting gets the number after the last class and says nothing.
        return np.array([self._place.get(label, self._c) for label in labels], np.int64), trust

    def _unusable(self, j: int) -> StageOutputError:
        wanted = "logits below infinity" if self._logits[j] else "probabilities >= 0 with a positive sum"
        return StageOutputError(
            f"stage {self._names[j]!r} returned scores that are not usable: expected {wanted}, got NaN or others"
        )


class _LoglinearReader(_Reader):
    def __init__(self, evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...]) -> None:
        super().__init__(evidence, stages, classes, evidence.n_classes)
        self._floors = np.ascontiguousarray(evidence.floors)
        self._weights = [np.ascontiguousarray(row) for row in evidence.weights]
        # One array instead of four: handing an array to compiled code costs a tenth of a microsecond.
        self._params = [np.concatenate([self._floors, *of_set]) for of_set in zip(self._weights, self._bias, self._recal)]
        self._one = (1, self._c)

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        if type(output) is StageOutput:
            said, probs = self._parts(state, j, self.encode(j, output))
            weights, bias, recal, confidence = self._weights[after], self._bias[after], self._recal[after], np.empty(1)
            pool_loglinear(said, self._members[after], self._floors, weights, bias, recal, probs, confidence)
            state[-1] = probs[0].argmax()
            return float(confidence[0])
        scores = output if self._columns[j] is None and output.shape == self._one else self._ordered(j, output)
        confidence = absorb_scores(scores, self._logits[j], j, self._members[after], self._params[after], state)
        if confidence < 0.0:
            raise self._unusable(j)
        return confidence

    def encode(self, j: int, output: Any) -> Any:
        if not isinstance(output, StageOutput):
            return self._log_probs(j, self._ordered(j, output))
        labels, trust = self._labels_and_trust(j, output)
        known = np.minimum(labels, self._c - 1)
        spread = spread_log_probs(known[:, None], trust[:, None], self._c)[:, 0]
        spread[labels >= self._c] = 0.0
        return spread


class _StackedReader(_Reader):
    def __init__(self, evidence: EvidenceModel, stages: Sequence[StageLike], classes: tuple[Any, ...]) -> None:
        super().__init__(evidence, stages, classes, 3)
        assert evidence.tables is not None
        self._tables = [np.ascontiguousarray(table) for table in evidence.tables]

    def absorb_one(self, state: FloatArray, j: int, after: int, output: Any) -> float:
        said, probs = self._parts(state, j, self.encode(j, output))
        tables, bias, recal, confidence = self._tables[after], self._bias[after], self._recal[after], np.empty(1)
        pool_stacked(said, self._members[after], tables, bias, recal, probs, confidence)
        state[-1] = probs[0].argmax()
        return float(confidence[0])

    def encode(self, j: int, output: Any) -> Any:
        if isinstance(output, StageOutput):
            labels, trust = self._labels_and_trust(j, output)
        else:
            # Not the policy's columns: classes that never occurred as truth were recorded behind the others.
            best, shares = top_classes(self._log_probs(j, output)[:, None])
            own, trust = self._own_labels[j], shares[:, 0]
            labels = np.array([self._place.get(own[i], self._c) for i in best[:, 0]], np.int64)
        return label_features(labels, trust)


def _column_order(stage: StageLike, classes: tuple[Any, ...]) -> Any:
    """Columns of the stage in the order of the policy's classes; None if they are in order."""
    if stage.classes is None or tuple(stage.classes) == classes or set(stage.classes) != set(classes):
        return None
    return np.array([stage.classes.index(label) for label in classes], np.int64)
