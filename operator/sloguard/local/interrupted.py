"""Trials that an earlier `sloguard tune` left unfinished: not measured, so made again, but not for free. Pure."""

from datetime import datetime

from sloguard.api.v1alpha1 import Outcome, Trial, TrialPhase
from sloguard.local.command_line import gpus_of


def cancelled(trial: Trial, last_seen: datetime, why: str) -> Trial:
    """The record that ends it. The GPU was held until the server was last seen, which the budget has to know."""
    status = trial.status
    started = status.started_at or last_seen
    seconds = max((last_seen - started).total_seconds(), 0.0) * gpus_of(status.arguments)
    update = {
        "phase": TrialPhase.FINISHED,
        "outcome": Outcome.CANCELLED,
        "finished_at": max(last_seen, started),
        "gpu_seconds": round(seconds),
        "message": why,
    }
    return trial.model_copy(update={"status": status.model_copy(update=update)})


def begun(trial: Trial) -> bool:
    """A trial that is only recorded goes on as it is."""
    return not trial.finished and trial.status.phase is not TrialPhase.PENDING
