"""When live traffic on a trial is watched (measurement Prometheus). Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import Measurement, StudySpec, Trial, TrialPhase

SETTLE = timedelta(seconds=2)
"""A scrape that began before a watch ended is stored by then."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The window that a trial's figures are taken from. It can be read at `readable_at`, and not before."""

    begins: datetime
    ends: datetime

    @property
    def readable_at(self) -> datetime:
        return self.ends + SETTLE


def watch_of(trial: Trial, spec: StudySpec) -> Watch | None:
    """From the end of the warm-up on; None where the trial is not watched now."""
    led_at, workload = trial.status.load_started_at, spec.workload
    watched = spec.measurement is Measurement.PROMETHEUS and trial.status.phase is TrialPhase.LOADING
    if not watched or led_at is None:
        return None
    begins = led_at + timedelta(seconds=workload.warmup_seconds)
    return Watch(begins, begins + timedelta(seconds=workload.duration_seconds))
