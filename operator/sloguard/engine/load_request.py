"""What a trial's load is told to do. Pure; both substrates share it."""

from datetime import datetime

from sloguard.api.v1alpha1 import Measurement, Purpose, Study, Trial, TrialSpec
from sloguard.engine.soak import full_batch
from sloguard.measure.request import LoadRequest, Soak


def load_request_of(study: Study, trial: Trial, url: str, starts_at: datetime) -> LoadRequest:
    """The study's workload and limits, for the server at this address.

    Several generators all begin at `starts_at`; a single one, as soon as it can. Only the search may give a rate up:
    baselines and confirmations are compared by their figures, which must be whole. One generator of several must not:
    it sees its own share of the requests, and the others would go on without it.
    """
    generators = generators_of(study, trial.spec)
    return LoadRequest(
        url=url,
        workload=study.spec.workload,
        slos=study.spec.slos,
        standstill_seconds=study.spec.trial.standstill_seconds,
        starts_at=starts_at if generators > 1 else None,
        stop_when_hopeless=trial.spec.purpose is Purpose.SEARCH and generators == 1,
        soak=_soak(trial),
    )


def generators_of(study: Study, trial: TrialSpec) -> int:
    """A soak's closed loop cannot be shared, and needs no more: it sends one request for one that has ended."""
    return 1 if trial.purpose is Purpose.SOAK else study.spec.workload.generators


def most_generators(study: Study) -> int:
    """Of any trial that is yet to come: where traffic is live, of its soak alone."""
    if study.spec.measurement is Measurement.PROMETHEUS:
        return 1 if study.spec.promotion.soak_seconds else 0
    return study.spec.workload.generators


def _soak(trial: Trial) -> Soak | None:
    if trial.spec.soak_seconds is None:
        return None
    tokens = trial.status.margins.kv_cache_tokens if trial.status.margins is not None else None
    return Soak(seconds=trial.spec.soak_seconds, max_num_seqs=full_batch(trial), kv_cache_tokens=tokens or None)
