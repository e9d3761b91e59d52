"""What every stage said about every item, and whether it was right: the table everything offline starts from.

Pure but for `Outcomes.record`, which calls the stages it is given, and for loading and saving npz files.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cascade.core.inputs import InputSpec
from cascade.core.outcome_fields import (
    Fields,
    check_fields,
    check_length,
    fields_of_answers,
    fields_of_probs,
    fields_of_scores,
    some_labels,
)
from cascade.core.outcome_files import fields_of_file, write_fields
from cascade.core.recording import predecessors, run_stages
from cascade.core.records import FloatArray, IntArray, StageLike
from cascade.core.rows import n_rows
from cascade.errors import DataError

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
        check_fields(self._fields())

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

    def __repr__(self) -> str:
        said = "labels and confidences" if self.log_probs is None else "probabilities"
        return f"Outcomes({self.n_items} items, stages {', '.join(self.stages)}, {len(self.classes)} classes, {said})"

    def take(self, rows: Any) -> Outcomes:
        """The same table for some of the items, in the given order.

        Parameters
        ----------
        rows : array of int or bool
            Row numbers, or a mask of shape (n,).

        Raises
        ------
        DataError
            If a row does not exist, or the mask is of another length.
        EmptyBatch
            If no row is left.
        """
        try:
            at = np.arange(self.n_items)[rows]
        except IndexError as error:
            raise DataError(f"expected rows below {self.n_items} or a mask of that length: {error}") from error
        return replace(
            self,
            labels=self.labels[at],
            predicted=self.predicted[at],
            confidence=self.confidence[at],
            log_probs=None if self.log_probs is None else self.log_probs[at],
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
        EmptyBatch
            If there are no rows.
        DataError
            If the shapes do not fit together, a probability is negative, or a row sums to zero.
        NotFinite
            If a probability is NaN or infinite.
        LabelMismatch
            If a label is not among ``classes``, or their number is not c.

        Examples
        --------
        >>> outcomes = Outcomes.from_probs([[[0.9, 0.1], [0.2, 0.8]]], [1])
        >>> outcomes.correct.tolist()
        [[False, True]]
        """
        return cls(**fields_of_probs(probs, labels, stages, classes))

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
        EmptyBatch
            If there are no rows.
        NotFinite
            If a confidence is NaN.

        Examples
        --------
        >>> Outcomes.from_predictions([["cat", "dog"]], [[0.7, 0.9]], ["dog"]).classes
        ('dog', 'cat')
        """
        return cls(**fields_of_answers(labels_hat, confidence, labels, stages=stages))

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
        truth = some_labels(y)
        check_length(truth, n_rows(X))
        said = run_stages(stages, X, batch_size=batch_size, progress=progress)
        names = tuple(stage.name for stage in stages)
        marks = tuple(stage.fingerprint for stage in stages)
        if said.log_probs is not None and said.classes is not None:
            table = cls(**fields_of_scores(said.log_probs, truth, names, said.classes))
        else:
            table = cls.from_predictions(said.labels, said.confidence, truth, stages=names)
        return replace(table, requires=predecessors(stages), fingerprints=marks, inputs=InputSpec.of_batch(X))

    @classmethod
    def load(cls, path: str | Path) -> Outcomes:
        """A table from a file: npz arrays, or CSV.

        An npz file holds ``labels`` (n,) and one of ``probs`` (n, K, c), ``log_probs`` (n, K, c), or both ``predictions``
        and ``confidence`` (n, K); ``stages`` (K,) and ``classes`` (c,) are optional. A CSV file has the columns ``label``,
        then ``<stage>_label`` and ``<stage>_confidence`` for every stage; its labels are whole numbers if all of them
        read as such, else texts.

        Parameters
        ----------
        path : str or Path
            Ends in ``.csv`` for CSV; anything else is read as npz.

        Raises
        ------
        DataError
            If the file is missing, damaged or of another kind, or lacks an array; the message lists what is there. Also if its
            arrays cannot be used, as in `from_probs` and `from_predictions`.
        """
        return cls(**fields_of_file(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the table to an npz file, from which `load` makes an equal one.

        Parameters
        ----------
        path : str or Path
            Ends in ``.npz``.

        Raises
        ------
        ConfigurationError
            If the labels are neither all texts nor all whole numbers, or the path ends otherwise.
        """
        write_fields(Path(path), self._fields())

    def _fields(self) -> Fields:
        return {field.name: getattr(self, field.name) for field in fields(self)}
