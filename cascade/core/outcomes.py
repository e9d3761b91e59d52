"""What every stage said about every item, and whether it was right: the table everything offline starts from.

Pure but for `Outcomes.record`, which calls the stages it is given, and for loading and saving npz files.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cascade.core.inputs import InputSpec
from cascade.core.kernels import encode_probs
from cascade.core.labels import as_list, shortened, sorted_labels, stage_names
from cascade.core.recording import predecessors, run_stages
from cascade.core.records import FloatArray, IntArray, StageLike
from cascade.core.rows import n_rows
from cascade.errors import ConfigurationError, DataError, EmptyBatch, LabelMismatch, NotFinite

FeatureArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The (n, K) table of what K stages said about n labelled items.

    Attributes
    ----------
    stages : tuple of str
        The K stage names.
    classes : tuple of hashable
        The caller's labels; the integer arrays below index into it.
    labels : ndarray of int64, shape (n,)
        The true class.
    predicted : ndarray of int64, shape (n, K)
        The class each stage chose.
    confidence : ndarray of float64, shape (n, K)
        Each stage's own confidence in [0, 1], not yet calibrated.
    log_probs : ndarray of float32, shape (n, K, c), or None
        Uncalibrated log-probabilities; None where only labels and confidences are known.
    requires : tuple of int
        Index of the stage that must run before each stage, -1 for none.
    fingerprints : tuple of str or None
        Versions of the recorded stages; None for saved arrays.
    inputs : InputSpec or None
        Shape and dtype of the recorded inputs; None for saved arrays.
    """

    stages: tuple[str, ...]
    classes: tuple[Hashable, ...]
    labels: IntArray
    predicted: IntArray
    confidence: FloatArray
    log_probs: FeatureArray | None
    requires: tuple[int, ...]
    fingerprints: tuple[str, ...] | None = None
    inputs: InputSpec | None = None

    def __post_init__(self) -> None:
        if self.labels.shape[0] == 0:
            raise EmptyBatch("expected at least one labelled item, got none: pass a non-empty y")
        if len(set(self.stages)) != len(self.stages):
            raise ConfigurationError(f"expected distinct stage names, got {self.stages}: rename the duplicates")

    @property
    def n_items(self) -> int:
        """Number of items n."""
        return int(self.labels.shape[0])

    @property
    def n_stages(self) -> int:
        """Number of stages K."""
        return len(self.stages)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each stage is right, shape (n, K)."""
        return cast("NDArray[np.bool_]", self.predicted == self.labels[:, None])

    def take(self, rows: Any) -> Outcomes:
        """The same table for some of the items, in the given order.

        Parameters
        ----------
        rows : array of int or bool
            Row numbers, or a mask of shape (n,).
        """
        return Outcomes(
            self.stages,
            self.classes,
            self.labels[rows],
            self.predicted[rows],
            self.confidence[rows],
            None if self.log_probs is None else self.log_probs[rows],
            self.requires,
            self.fingerprints,
            self.inputs,
        )

    @classmethod
    def from_probs(
        cls, probs: Any, labels: Any, *, stages: Sequence[str] | None = None, classes: Sequence[Hashable] | None = None
    ) -> Outcomes:
        """A table from saved class probabilities.

        Parameters
        ----------
        probs : array of shape (n, K, c)
            Non-negative; column k belongs to ``classes[k]``.
        labels : array of shape (n,)
            The true labels, each one of ``classes``.
        stages : sequence of str, optional
            K names; ``stage0``, ``stage1``, ... by default.
        classes : sequence of hashable, optional
            The labels of the columns; 0..c-1 by default.

        Raises
        ------
        DataError
            If the shapes do not fit together.
        NotFinite
            If a probability is negative or not finite, or a row sums to zero.
        LabelMismatch
            If a label is not among ``classes``.

        Examples
        --------
        >>> outcomes = Outcomes.from_probs([[[0.9, 0.1], [0.2, 0.8]]], [1])
        >>> outcomes.correct.tolist()
        [[False, True]]
        """
        table = np.asarray(probs)
        if table.ndim != 3:
            raise DataError(f"expected probs of shape (n, K, c), got {table.shape}: stack the stages along axis 1")
        n, k, c = table.shape
        encoded = np.empty((n, k, c), np.float32)
        for j in range(k):
            if not encode_probs(table[:, j], encoded[:, j]):
                raise NotFinite(
                    f"expected probabilities >= 0 with a positive sum per row, got others in stage {j}: check probs[:, {j}]"
                )
        names = stage_names(stages, k)
        columns = tuple(range(c)) if classes is None else tuple(classes)
        return _from_log_probs(encoded, labels, names, columns, (-1,) * k)

    @classmethod
    def from_predictions(
        cls, labels_hat: Any, confidence: Any, labels: Any, *, stages: Sequence[str] | None = None
    ) -> Outcomes:
        """A table from saved answers that come as a label and one confidence.

        Parameters
        ----------
        labels_hat : array of shape (n, K)
            The label each stage chose; labels that never occur as truth are fine.
        confidence : array of shape (n, K)
            In [0, 1].
        labels : array of shape (n,)
            The true labels.
        stages : sequence of str, optional
            K names; ``stage0``, ``stage1``, ... by default.

        Raises
        ------
        DataError
            If the shapes do not fit together or a confidence lies outside [0, 1].

        Examples
        --------
        >>> Outcomes.from_predictions([["cat", "dog"]], [[0.7, 0.9]], ["dog"]).classes
        ('dog', 'cat')
        """
        guesses, trust = np.asarray(labels_hat), np.asarray(confidence, np.float64)
        if guesses.ndim != 2 or guesses.shape != trust.shape:
            raise DataError(
                f"expected labels_hat and confidence of one shape (n, K), got {guesses.shape} and {trust.shape}"
            )
        truth = as_list(labels)
        if len(truth) != guesses.shape[0]:
            raise DataError(f"expected one label per row, got {len(truth)} labels for {guesses.shape[0]} rows")
        if not np.all((trust >= 0.0) & (trust <= 1.0)):
            raise DataError(
                f"expected confidences in [0, 1], got values from {np.nanmin(trust)} to {np.nanmax(trust)}: rescale them first"
            )
        said = as_list(guesses.ravel())
        classes = sorted_labels(set(truth)) + sorted_labels(set(said) - set(truth))
        index = {label: i for i, label in enumerate(classes)}
        return cls(
            stage_names(stages, guesses.shape[1]),
            classes,
            np.array([index[y] for y in truth], np.int64),
            np.array([index[y] for y in said], np.int64).reshape(guesses.shape),
            trust,
            None,
            (-1,) * guesses.shape[1],
        )

    @classmethod
    def record(
        cls, stages: Sequence[StageLike], X: Any, y: Any, *, batch_size: int = 256, progress: bool = True
    ) -> Outcomes:
        """Run every stage on labelled inputs and keep what each one said.

        Parameters
        ----------
        stages : sequence of Stage
        X : array, tensor or sequence with n rows
        y : array of shape (n,)
            True labels among the classes of the stages (column numbers where a stage names no classes).
        batch_size : int
            Rows per call of a stage.
        progress : bool
            Show a progress bar on standard error when the work is long.

        Raises
        ------
        DataError
            If ``X`` and ``y`` differ in length, or the stages differ in their classes.
        LabelMismatch
            If a label of ``y`` has no column.
        StageError
            If a stage raises; the cause is attached.
        StageOutputError
            If a stage returns scores of a wrong shape, or that are not finite.
        """
        truth = as_list(y)
        if n_rows(X) != len(truth):
            raise DataError(f"expected one label per row, got {len(truth)} labels for {n_rows(X)} rows of X")
        said = run_stages(stages, X, batch_size=batch_size, progress=progress)
        names = tuple(stage.name for stage in stages)
        requires = predecessors(stages)
        marks = tuple(stage.fingerprint for stage in stages)
        if said.log_probs is not None and said.classes is not None:
            table = _from_log_probs(said.log_probs, truth, names, said.classes, requires)
        else:
            table = replace(cls.from_predictions(said.labels, said.confidence, truth, stages=names), requires=requires)
        return replace(table, fingerprints=marks, inputs=InputSpec.of_batch(X))

    @classmethod
    def load(cls, path: str | Path) -> Outcomes:
        """A table from an npz file of arrays.

        The file holds ``labels`` (n,) and either ``probs`` (n, K, c) or both ``predictions`` and
        ``confidence`` (n, K); ``stages`` (K,) and, beside ``probs``, ``classes`` (c,) are optional.

        Raises
        ------
        DataError
            If the file cannot be read or lacks an array; the message lists what is there.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"expected an npz file of arrays without objects at {path}: {error}") from error
        names = tuple(arrays["stages"].tolist()) if "stages" in arrays else None
        if {"labels", "probs"} <= arrays.keys():
            classes = arrays["classes"].tolist() if "classes" in arrays else None
            return cls.from_probs(arrays["probs"], arrays["labels"], stages=names, classes=classes)
        if {"labels", "predictions", "confidence"} <= arrays.keys():
            return cls.from_predictions(arrays["predictions"], arrays["confidence"], arrays["labels"], stages=names)
        raise DataError(
            f"expected arrays labels and probs, or labels, predictions and confidence in {path}, got {sorted(arrays)}: rename them"
        )


def _from_log_probs(
    log_probs: FeatureArray,
    labels: Any,
    names: tuple[str, ...],
    classes: tuple[Hashable, ...],
    requires: tuple[int, ...],
) -> Outcomes:
    n, _, c = log_probs.shape
    truth = as_list(labels)
    if len(truth) != n:
        raise DataError(f"expected one label per row, got {len(truth)} labels for {n} rows")
    if len(set(classes)) != c:
        raise DataError(f"expected {c} distinct classes, one per column of the scores, got {classes}")
    index = {label: k for k, label in enumerate(classes)}
    strangers = sorted({repr(label) for label in truth if label not in index})
    if strangers:
        raise LabelMismatch(
            f"expected labels among the {c} classes {shortened(classes)}, got {', '.join(strangers[:5])}: pass classes= in the order of the columns"
        )
    top = log_probs.max(axis=2).astype(np.float64)
    norm = np.log(np.exp(log_probs.astype(np.float64)).sum(axis=2))
    return Outcomes(
        names,
        classes,
        np.array([index[label] for label in truth], np.int64),
        log_probs.argmax(axis=2),
        np.exp(top - norm),
        log_probs,
        requires,
    )
