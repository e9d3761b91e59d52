"""What every stage said about audited requests, and the labels that came for them later.

Bounded in memory. Knows no stage, no thread and no lock: the owner serialises the calls.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np

from cascade.core.inputs import InputSpec
from cascade.core.labels import as_list
from cascade.core.outcomes import Outcomes
from cascade.core.records import IntArray, StageLike, StageOutput
from cascade.errors import EmptyBatch, LabelMismatch, UnknownRequest

_NO_LABEL = object()


@dataclass(frozen=True, slots=True)
class Audit:
    """One request that was drawn for an audit.

    Attributes
    ----------
    id : int
        Of the request, as in `Prediction`.
    path : tuple of str
        The stages that ran for the answer.
    has_run : bool
        Whether every stage has run since.
    is_labelled : bool
        Whether `feedback` brought its label.
    """

    id: int
    path: tuple[str, ...]
    has_run: bool
    is_labelled: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    path: tuple[str, ...]
    outputs: tuple[Any, ...] | None = None
    label: Any = _NO_LABEL


class AuditLog:
    """The audits of one predictor, by the id of the request.

    Parameters
    ----------
    capacity : int
        Most audits kept without a label, and most kept with one; the oldest of either go first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._n_seen = 0
        self._waiting: dict[int, _Entry] = {}
        self._labelled: dict[int, _Entry] = {}

    def see(self, last_id: int) -> None:
        """Requests up to this id have been answered."""
        self._n_seen = max(self._n_seen, last_id + 1)

    def begin(self, request_id: int, path: tuple[str, ...]) -> None:
        """A request was drawn."""
        self._waiting[request_id] = _Entry(path)
        _trim(self._waiting, self._capacity)

    def finish(self, request_id: int, outputs: Sequence[Any]) -> None:
        """Every stage has run for it: one output of one row from each."""
        for entries in (self._waiting, self._labelled):
            if request_id in entries:
                entries[request_id] = replace(entries[request_id], outputs=tuple(outputs))

    def drop(self, request_id: int) -> None:
        """It cannot be audited after all."""
        self._waiting.pop(request_id, None)
        self._labelled.pop(request_id, None)

    def label(self, request_id: Any, label: Any, classes: tuple[Hashable, ...]) -> bool:
        """Keep the true label of a request; False if it was not drawn, or is forgotten.

        Parameters
        ----------
        request_id : int
        label : hashable
            A later one replaces an earlier one.
        classes : tuple of hashable
            What stages that give scores can be right about.

        Raises
        ------
        UnknownRequest
            If no request of this id was answered.
        DataError
            If the label is not hashable, or NaN.
        LabelMismatch
            If no stage scores such a class.
        """
        number = self._known(request_id)
        (truth,) = as_list([label])
        entry = self._waiting.get(number) or self._labelled.get(number)
        if entry is None:
            return False
        is_free = entry.outputs is not None and any(isinstance(output, StageOutput) for output in entry.outputs)
        if truth not in classes and not is_free:
            raise LabelMismatch(
                f"expected a label among the {len(classes)} classes of the stages, {classes[:8]}, got {truth!r}: "
                "pass it as it was passed to fit, before any postprocessing"
            )
        self._waiting.pop(number, None)
        self._labelled[number] = replace(entry, label=truth)
        _trim(self._labelled, self._capacity)
        return True

    def audits(self) -> tuple[Audit, ...]:
        """All that is kept, by id."""
        entries = sorted((self._waiting | self._labelled).items())
        return tuple(
            Audit(number, entry.path, entry.outputs is not None, number in self._labelled) for number, entry in entries
        )

    def outcomes(
        self, stages: Sequence[StageLike], classes: tuple[Hashable, ...], inputs: InputSpec | None
    ) -> Outcomes:
        """The audits that have run and are labelled, as a table.

        Parameters
        ----------
        stages : sequence of stages
            Their names, kinds of scores and versions are read; none is run.
        classes : tuple of hashable
            Labels of the columns, where a stage does not name its own.
        inputs : InputSpec or None

        Raises
        ------
        EmptyBatch
            If there are none.
        """
        ready = [entry for _, entry in sorted(self._labelled.items()) if entry.outputs is not None]
        if not ready:
            raise EmptyBatch(
                f"expected audited requests with labels, got none: {len(self._waiting)} audits wait for a label and "
                f"{len(self._labelled)} labelled ones have not run yet; pass labels to feedback"
            )
        said = [
            _Said(stage, [entry.outputs[j] for entry in ready if entry.outputs], classes)
            for j, stage in enumerate(stages)
        ]
        table = Outcomes.record(said, np.arange(len(ready)), [entry.label for entry in ready], progress=False)
        return replace(table, inputs=inputs)

    def forget_outcomes(self) -> None:
        """Drop what `outcomes` gives."""
        self._labelled = {number: entry for number, entry in self._labelled.items() if entry.outputs is None}

    def _known(self, request_id: Any) -> int:
        try:
            number = index(request_id)
        except TypeError:
            number = -1
        if not 0 <= number < self._n_seen:
            raise UnknownRequest(
                f"expected the id of a prediction of this predictor, a whole number below {self._n_seen}, got {request_id!r}"
            )
        return number


class _Said:
    """A stage that repeats what was said: its batches are numbers of audits."""

    def __init__(self, stage: StageLike, outputs: list[Any], classes: tuple[Hashable, ...]) -> None:
        self.name, self.scores, self.requires, self.fingerprint = (
            stage.name,
            stage.scores,
            stage.requires,
            stage.fingerprint,
        )
        is_wide = not isinstance(outputs[0], StageOutput) and outputs[0].shape[1] == len(classes)
        self.classes = stage.classes or (classes if is_wide else None)
        self._outputs = outputs

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:  # noqa: ARG002 - nothing to continue from
        return joined([self._outputs[i] for i in batch.tolist()]), None

    def take(self, carry: Any, rows: IntArray) -> Any:  # noqa: ARG002 - as run
        return None

    def join(self, carries: Sequence[Any]) -> Any:  # noqa: ARG002 - as run
        return None


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of one stage, one after the other, as a copy.

    Examples
    --------
    >>> joined([np.array([[0.1, 0.9]]), np.array([[0.5, 0.5]])]).tolist()
    [[0.1, 0.9], [0.5, 0.5]]
    """
    if not isinstance(outputs[0], StageOutput):
        return np.concatenate(outputs)
    labels = [label for output in outputs for label in as_list(output.outputs)]
    return StageOutput(labels, np.concatenate([np.asarray(output.confidence, np.float64) for output in outputs]))


def _trim(entries: dict[int, _Entry], capacity: int) -> None:
    while len(entries) > capacity:
        del entries[next(iter(entries))]
