"""Any callable as a stage: a batch in, scores (n, c) or a `StageOutput` out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from cascade.core.rows import n_rows
from cascade.stages.backends import all_threads, limit_all_threads
from cascade.stages.base import Runner
from cascade.stages.fingerprint import function_fingerprint
from cascade.stages.outputs import as_scores


class FunctionRunner(Runner):
    """Runs a callable.

    Parameters
    ----------
    function : callable
        Takes a batch, returns scores (n, c) as array, tensor or nested list, or a `StageOutput`.
    name : str
        The stage's name, for messages.
    scores : {"probs", "logits"}
    classes : tuple or None
    """

    def __init__(
        self, function: Callable[[Any], Any], *, name: str, scores: str, classes: tuple[Hashable, ...] | None
    ) -> None:
        self.scores = scores
        self.classes = classes
        self.device = "cpu"
        self._function = function
        self._name = name
        self._n_classes = None if classes is None else len(classes)

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:  # noqa: ARG002 - there is nothing to continue from
        """Scores (n, c) or a `StageOutput` for the n rows of ``batch``; carries nothing on."""
        # A tokenizer in front of the model turns a batch into a mapping, whose length is not its number of rows.
        n = None if isinstance(batch, Mapping) else n_rows(batch)
        return as_scores(self._function(batch), n, self._name, self._n_classes), None

    def fingerprint(self) -> str:
        """Hash of the function; what it reads from elsewhere is not seen."""
        return function_fingerprint(self._function)

    def threads(self) -> int:
        """Threads of the largest pool that the function could compute with."""
        return all_threads()

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which torch and every BLAS and OpenMP pool use ``n`` threads."""
        return limit_all_threads(n)
