"""When live traffic on a trial is watched (measurement Prometheus, and every canary). Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import Measurement, Purpose, StudySpec, Trial, TrialPhase, TrialSpec

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


def is_live(trial: TrialSpec, spec: StudySpec) -> bool:
    """Whether it is live traffic that the trial is measured by. A soak always has a load of its own."""
    by_watching = spec.measurement is Measurement.PROMETHEUS and trial.purpose is not Purpose.SOAK
    return trial.purpose is Purpose.CANARY or by_watching


def watch_of(trial: Trial, spec: StudySpec) -> Watch | None:
    """From the end of the warm-up on; None where the trial is not watched now."""
    led_at = trial.status.load_started_at
    if not is_live(trial.spec, spec) or trial.status.phase is not TrialPhase.LOADING or led_at is None:
        return None
    warmup_seconds, seconds = _lengths(trial.spec, spec)
    begins = led_at + timedelta(seconds=warmup_seconds)
    return Watch(begins, begins + timedelta(seconds=seconds))


def watched_seconds(trial: TrialSpec, spec: StudySpec) -> int:
    """From the moment that traffic is led to the trial to the end of its watch."""
    return sum(_lengths(trial, spec))


def _lengths(trial: TrialSpec, spec: StudySpec) -> tuple[int, int]:
    if trial.purpose is Purpose.CANARY:
        return spec.promotion.canary.warmup_seconds, spec.promotion.canary.duration_seconds
    return spec.workload.warmup_seconds, spec.workload.duration_seconds
