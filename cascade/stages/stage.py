"""The public `Stage`: one model as the cascade sees it.

Looks at the type of the model and hands it to an adapter; imports torch and scikit-learn only for the models that need
them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Self

from cascade.core.records import IntArray
from cascade.core.rows import n_rows
from cascade.errors import ConfigurationError, InputMismatch
from cascade.stages.base import RunFunction, Runner
from cascade.stages.fingerprint import digest, function_fingerprint

_SCORES = ("probs", "logits")


class Stage:
    """One model, wrapped so that a cascade can run it.

    Parameters
    ----------
    model : scikit-learn classifier, torch.nn.Module or callable
        A fitted classifier or pipeline is asked for ``predict_proba``, else for ``decision_function``. A torch module is
        moved to ``device`` and put in eval mode; flipped back, it is put in eval mode again at the next run. Any other
        callable takes a batch and returns scores (n, c) or a `StageOutput`.
    name : str, optional
        Unique within a cascade. Default: the model's class name in lower case, or the function's name.
    scores : {"probs", "logits"}, optional
        How the table of scores is to be read. Default: ``"probs"`` for ``predict_proba``, else ``"logits"``.
    classes : sequence of hashable, optional
        The caller's labels in the order of the columns. A classifier's own ``classes_`` need not be given.
    device : str, default "auto"
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, for torch modules.
    preprocess : callable, optional
        Applied to the batch before the model: n rows in, n rows out.
    version : str, optional
        Stands in for the hash of the parameters; change it whenever the model changes.

    Attributes
    ----------
    name, scores, classes, device
        As above, with the defaults filled in.
    requires : str or None
        Name of the stage that must have run before; only exits of a multi-exit network have one.
    run : callable
        ``run(batch, carry=None) -> (scores, carry)``: a C-contiguous float32 or float64 array (n, c), or a `StageOutput`
        with arrays (n,); and what the next exit continues from. What the model raises passes through. Values are not
        checked: a model that returns NaN returns NaN here.

    Raises
    ------
    ConfigurationError
        If the model cannot be run, is not fitted, or does not go with another argument.

    Notes
    -----
    The model must not work in place on its input, which shares memory with the caller's batch where no conversion is
    needed; `cascade.testing.check_stage` finds out.

    Examples
    --------
    >>> import numpy as np
    >>> stage = Stage(lambda batch: np.stack((batch, 1.0 - batch), axis=1), name="coin", scores="probs")
    >>> scores, carry = stage.run(np.array([0.25, 0.5]))
    >>> scores.tolist(), carry
    ([[0.25, 0.75], [0.5, 0.5]], None)
    """

    run: RunFunction

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        scores: str | None = None,
        classes: Iterable[Hashable] | None = None,
        device: str = "auto",
        preprocess: Callable[[Any], Any] | None = None,
        version: str | None = None,
    ) -> None:
        name = checked_name(_default_name(model) if name is None else name)
        if scores is not None and scores not in _SCORES:
            raise ConfigurationError(f'stage {name!r}: expected scores "probs" or "logits", got {scores!r}')
        runner = _runner(model, name=name, scores=scores, classes=checked_classes(classes, name), device=device)
        self._wire(runner, name=name, requires=None, preprocess=preprocess, version=version)

    @classmethod
    def from_runner(
        cls,
        runner: Runner,
        *,
        name: str,
        requires: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        version: str | None = None,
    ) -> Self:
        """A stage over an adapter made elsewhere.

        Parameters
        ----------
        runner : Runner
        name, requires, preprocess, version
            As for `Stage`.

        Raises
        ------
        ConfigurationError
            If an argument cannot work.
        """
        stage = cls.__new__(cls)
        stage._wire(runner, name=checked_name(name), requires=requires, preprocess=preprocess, version=version)
        return stage

    def _wire(
        self,
        runner: Runner,
        *,
        name: str,
        requires: str | None,
        preprocess: Callable[[Any], Any] | None,
        version: Any,
    ) -> None:
        if version is not None and not (isinstance(version, str) and version):
            raise ConfigurationError(f"stage {name!r}: expected version to be a non-empty string, got {version!r}")
        if preprocess is not None and not callable(preprocess):
            raise ConfigurationError(f"stage {name!r}: expected preprocess to be callable, got {preprocess!r}")
        self.name = name
        self.scores = runner.scores
        self.classes = runner.classes
        self.device = runner.device
        self.requires = requires
        self._runner = runner
        self._preprocess = preprocess
        self._fingerprint = version
        # The runner's own method: a method here would cost every call a tenth of a microsecond more.
        self.run = runner.run if preprocess is None else partial(_run_preprocessed, runner.run, preprocess, name)

    @property
    def fingerprint(self) -> str:
        """Identifies this version of the model: ``version``, else a hash of the parameters, taken at first use.

        Raises
        ------
        ConfigurationError
            If the model cannot be hashed.
        """
        if self._fingerprint is None:
            parameters = self._runner.fingerprint()
            prepared = self._preprocess
            self._fingerprint = parameters if prepared is None else digest(parameters, function_fingerprint(prepared))
        return self._fingerprint

    def take(self, carry: Any, rows: IntArray) -> Any:
        """The given rows of a carry.

        Parameters
        ----------
        carry : object
            What `run` returned beside the scores.
        rows : ndarray of int, shape (m,)

        Returns
        -------
        object
            None for a stage that carries nothing on.
        """
        return self._runner.take(carry, rows)

    def join(self, carries: Sequence[Any]) -> Any:
        """Several carries, one after the other, as one; None for a stage that carries nothing on."""
        return self._runner.join(carries)

    def synchronise(self) -> None:
        """Return once the device has done all that this stage asked of it; at once on the CPU."""
        self._runner.synchronise()

    def use_lane(self, lane: int) -> None:
        """Let what the calling thread runs from now on be of this lane: on a CUDA device, on a stream of its own."""
        self._runner.use_lane(lane)

    def threads(self) -> int:
        """Number of intra-op threads with which the stage would run in the calling thread."""
        return self._runner.threads()

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which the calling thread runs the stage on ``n`` intra-op threads.

        Parameters
        ----------
        n : int
            At least 1.

        Raises
        ------
        ConfigurationError
            If ``n`` is not an integer of at least 1.
        """
        return self._runner.limit_threads(n)

    def __repr__(self) -> str:
        return f"Stage({self.name!r}, scores={self.scores!r}, device={self.device!r})"


def checked_name(name: Any) -> str:
    """The name of a stage, or `ConfigurationError` if it is not a non-empty string."""
    if isinstance(name, str) and name:
        return name
    raise ConfigurationError(f"expected the name of a stage to be a non-empty string, got {name!r}")


def checked_classes(classes: Iterable[Hashable] | None, name: str) -> tuple[Hashable, ...] | None:
    """The classes as a tuple of Python scalars, or `ConfigurationError` unless they are two or more different labels."""
    if classes is None:
        return None
    labels = tuple(classes.tolist() if hasattr(classes, "tolist") else classes)
    try:
        distinct = len(set(labels))
    except TypeError as error:
        raise ConfigurationError(f"stage {name!r}: expected hashable classes, got {labels!r}") from error
    if distinct < 2 or distinct != len(labels):
        raise ConfigurationError(f"stage {name!r}: expected two or more different classes, got {labels!r}")
    return labels


def _run_preprocessed(
    run: RunFunction, preprocess: Callable[[Any], Any], name: str, batch: Any, carry: Any = None
) -> tuple[Any, Any]:
    """Run on the preprocessed batch; a carry was computed from one, so it is not made again."""
    if carry is not None:
        return run(batch, carry)
    scores, carry_out = run(preprocess(batch))
    n, n_scored = n_rows(batch), n_rows(getattr(scores, "outputs", scores))
    if n_scored != n:
        raise InputMismatch(
            f"stage {name!r}: expected preprocess to keep the {n} rows of the batch, got {n_scored} back"
        )
    return scores, carry_out


def _default_name(model: Any) -> str:
    while isinstance(model, partial):
        model = model.func
    name = getattr(model, "__name__", None)
    return name.strip("<>") if isinstance(name, str) and name else type(model).__name__.lower()


def _is_torch_module(model: Any) -> bool:
    return any(
        kind.__module__ == "torch.nn.modules.module" and kind.__name__ == "Module" for kind in type(model).__mro__
    )


def _runner(model: Any, *, name: str, scores: str | None, classes: tuple[Hashable, ...] | None, device: str) -> Runner:
    if _is_torch_module(model):
        from cascade.stages.placed_module import place
        from cascade.stages.torch import TorchRunner

        return TorchRunner(place(model, name, device), name=name, scores=scores or "logits", classes=classes)
    if isinstance(model, type):
        raise ConfigurationError(
            f"stage {name!r}: expected a model, got the class {model.__name__}; give an instance of it"
        )
    if device not in ("auto", "cpu"):
        raise ConfigurationError(
            f'stage {name!r}: expected device "auto" or "cpu" for a {type(model).__name__}, got {device!r}; '
            f"only torch modules can be placed"
        )
    if hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        from cascade.stages.sklearn import SklearnRunner

        return SklearnRunner(model, name=name, scores=scores, classes=classes)
    if callable(model):
        from cascade.stages.function import FunctionRunner

        return FunctionRunner(model, name=name, scores=scores or "logits", classes=classes)
    raise ConfigurationError(
        f"stage {name!r}: cannot run a {type(model).__name__}: expected a fitted classifier with predict_proba or "
        f"decision_function, a torch.nn.Module, or a callable from a batch to scores (n, c) or a StageOutput"
    )
