"""The public methods for what is learnt once answers are out: labels of audited requests, and drift."""

from __future__ import annotations

from collections.abc import Hashable

from cascade.core.outcomes import Outcomes
from cascade.core.replay import Replay
from cascade.errors import ConfigurationError
from cascade.runtime.auditing import Auditor
from cascade.runtime.serving import Server
from cascade.runtime.watch import DriftWatcher
from cascade.telemetry.audit_log import Audit
from cascade.telemetry.drift import DriftReport


class Feedback:
    """What a predictor learns after it has answered; whoever inherits makes the server and the auditor."""

    _server: Server
    _auditor: Auditor | None
    _drift: DriftWatcher | None

    def feedback(self, id: int, label: Hashable) -> bool:  # noqa: A002 - the name of the field of a prediction
        """Hand in the true label of an answered request.

        Parameters
        ----------
        id : int
            `Prediction.id`, or an entry of `BatchPrediction.ids`.
        label : hashable
            As it was passed to `fit`, before any postprocessing. A later one replaces an earlier one.

        Returns
        -------
        bool
            True if the label is kept; False if the request was not drawn for an audit, or its audit failed or is forgotten
            (``audit_capacity``).

        Raises
        ------
        UnknownRequest
            If no request of this id was answered.
        LabelMismatch
            If the stages score no such class.
        DataError
            If the label is not hashable, or NaN.
        ConfigurationError
            If the predictor makes no audits.

        Notes
        -----
        Audited requests are a fair sample of all requests. Those with labels are one of what is served only if a label
        comes whatever was answered.
        """
        return self._audited().feedback(id, label, self._server.ready)

    def recorded_outcomes(self, *, forget: bool = False) -> Outcomes:
        """What every stage said about the audited requests whose labels came by `feedback`.

        Parameters
        ----------
        forget : bool
            Keep them no longer, so that the next call gives those that came since: a policy is not to be compared on
            what it was fitted on.

        Returns
        -------
        Outcomes
            In the order of the requests, for `update_policy`, `fit_policy` or `control_risk`.

        Raises
        ------
        EmptyBatch
            If there are none yet.
        ConfigurationError
            If the predictor makes no audits.
        """
        return self._audited().outcomes(self._server.ready, forget=forget)

    def audits(self) -> tuple[Audit, ...]:
        """The requests drawn so far that are still kept, by id: those to find labels for.

        Raises
        ------
        ConfigurationError
            If the predictor makes no audits.
        """
        return self._audited().audits()

    def run_audits(self) -> int:
        """Run on this thread the audits that wait, and return once none is left or running.

        Returns
        -------
        int
            Audits that this call has run.

        Raises
        ------
        ConfigurationError
            If the predictor makes no audits.
        """
        return self._audited().run_all()

    def drift(self, reference: Replay | None = None, alpha: float = 0.01) -> DriftReport:
        """Whether the latest answers come otherwise than before, told without labels.

        Parameters
        ----------
        reference : Replay, optional
            What to compare with: ``policy.replay(outcomes)`` on outcomes the policy was not fitted on, at the budget that is
            usual. By default the first ``drift_window`` answers, counted anew after every `swap_policy`.
        alpha : float
            Probability, in (0, 1), that a report raises a false alarm.

        Raises
        ------
        ConfigurationError
            If the predictor does not look for drift, or ``alpha`` is out of range.

        Notes
        -----
        Paths are compared by a chi-square test, confidences by a Kolmogorov-Smirnov test. What they see is how answers come:
        other budgets, loads or failing stages move them as other inputs do.
        """
        if self._drift is None:
            raise ConfigurationError(
                "expected a predictor that looks for drift, got drift_window=0: pass drift_window=1000, say, to Predictor"
            )
        return self._drift.report(reference, alpha)

    def _audited(self) -> Auditor:
        if self._auditor is None:
            raise ConfigurationError(
                "expected a predictor that makes audits, got audit_fraction=0: pass audit_fraction=0.001, say, to Predictor"
            )
        return self._auditor
