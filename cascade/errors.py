"""Every error and warning of the package, in one tree drawn by who must act.

::

    CascadeError
    ├── ConfigurationError (ValueError)      the set-up: change the arguments
    │   ├── PolicyMismatch                   a policy fitted on other stages
    │   ├── CorruptPolicy                    a policy file that cannot be read
    │   ├── MissingExtra (ImportError)       an optional dependency is not installed
    │   └── NotPicklable (TypeError)         a predictor is to be sent to another process
    ├── Unavailable (RuntimeError)           the predictor: make one that is open, in this process
    │   ├── PredictorClosed                  it was closed
    │   └── ForkedPredictor                  the process was forked after its stages had used a device
    ├── DataError (ValueError)               the data: change the inputs or the labels
    │   ├── InputMismatch                    shape or dtype differs from what was fitted
    │   ├── NotFinite                        NaN or infinity where a number is needed
    │   ├── EmptyBatch                       no rows
    │   ├── LabelMismatch                    labels outside the columns of the scores
    │   ├── CacheKeyError (TypeError)        an input that the result cache cannot tell from others
    │   ├── UnknownRequest (LookupError)     no request of this id was answered
    │   ├── NotCertifiable                   the data do not prove the promise
    │   └── ReusedData                       rows that were fitted on are to prove something
    ├── OverloadError                        the load: allow more time or send less
    │   ├── BudgetTooSmall (TimeoutError)    not even the fastest stage fits the budget
    │   ├── Rejected                         refused on arrival: too many wait, or it would be late
    │   ├── Shed                             given up so that others are in time
    │   └── Expired (TimeoutError)           too late to start by the time a lane was free
    ├── Regression                           what changed since the baseline: look at it
    └── StageError (RuntimeError)            a model: look at the cause
        └── StageOutputError                 a model returned something unusable

    CascadeWarning (UserWarning)
    ├── SmallSampleWarning                   too few rows for what is estimated from them
    ├── WeakConfidenceWarning                a confidence that does not tell right from wrong
    ├── LabelShiftWarning                    labels in other shares than those that were fitted
    ├── GuaranteeLostWarning                 a certified policy is changed, so that its promise is void
    └── ForeignServiceWarning                service times measured on another machine

This module imports nothing of the package.
"""

from __future__ import annotations


class CascadeError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(CascadeError, ValueError):
    """An argument or a combination of arguments cannot work."""


class PolicyMismatch(ConfigurationError):
    """The policy was fitted on other stages than the ones given."""


class CorruptPolicy(ConfigurationError):
    """A policy file is damaged, incomplete or of an unknown format version."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""


class NotPicklable(ConfigurationError, TypeError):
    """A predictor holds models, threads and locks, which no other process can be sent."""


class Unavailable(CascadeError, RuntimeError):
    """The predictor takes no requests."""


class PredictorClosed(Unavailable):
    """The predictor was closed before the request came, or before it could be answered."""


class ForkedPredictor(Unavailable):
    """The process was forked after the stages had used a device, which the child cannot use."""


class DataError(CascadeError, ValueError):
    """Inputs, labels or recorded arrays cannot be used as they are."""


class InputMismatch(DataError):
    """An input's shape or dtype differs from what the stages were fitted on."""


class NotFinite(DataError):
    """NaN or infinity where a finite number is needed."""


class EmptyBatch(DataError):
    """There are no rows to work on."""


class LabelMismatch(DataError):
    """Labels do not fit the columns of the scores."""


class CacheKeyError(DataError, TypeError):
    """The result cache has no key for an input, which is answered without the cache."""


class UnknownRequest(DataError, LookupError):
    """The id is not that of a request which this predictor has answered."""


class NotCertifiable(DataError):
    """The data do not prove the promise; the message says how many items would be needed."""


class ReusedData(DataError):
    """Rows that a policy was fitted on were handed in where fresh ones are needed."""


class OverloadError(CascadeError):
    """The time allowed or the load offered cannot be met."""


class BudgetTooSmall(OverloadError, TimeoutError):
    """Not even the fastest stage fits into the time that is left."""


class Rejected(OverloadError):
    """The request was refused on arrival: too many wait already, or it could not be answered in time."""


class Shed(OverloadError):
    """The request was given up so that more of the others are answered in time."""


class Expired(OverloadError, TimeoutError):
    """The request waited until it was too late to start."""


class Regression(CascadeError):
    """A figure is worse than that of the baseline, beyond what is borne and beyond chance."""


class StageError(CascadeError, RuntimeError):
    """A stage failed while it ran; the cause is attached."""


class StageOutputError(StageError):
    """A stage returned scores of a wrong shape, or scores that are not finite."""


class CascadeWarning(UserWarning):
    """Base of every warning this package emits on purpose."""


class SmallSampleWarning(CascadeWarning):
    """There are too few rows for a trustworthy estimate."""


class WeakConfidenceWarning(CascadeWarning):
    """A stage's confidence hardly tells its right answers from its wrong ones."""


class LabelShiftWarning(CascadeWarning):
    """The labels come in other shares than those a policy was fitted on."""


class GuaranteeLostWarning(CascadeWarning):
    """A certified policy is solved for other service times or used elsewhere, so its promise is void."""


class ForeignServiceWarning(CascadeWarning):
    """Service times come from another machine, device or library version."""
