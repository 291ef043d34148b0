"""What a trial's load is told to do. Pure; both substrates share it."""

from datetime import datetime

from sloguard.api.v1alpha1 import Purpose, Study, Trial
from sloguard.measure.request import LoadRequest


def load_request_of(study: Study, trial: Trial, url: str, starts_at: datetime) -> LoadRequest:
    """The study's workload and limits, for the server at this address.

    Several generators all begin at `starts_at`; a single one, as soon as it can. Only the search may give a rate up:
    baselines and confirmations are compared by their figures, which must be whole. One generator of several must not:
    it sees its own share of the requests, and the others would go on without it.
    """
    return LoadRequest(
        url=url,
        workload=study.spec.workload,
        slos=study.spec.slos,
        standstill_seconds=study.spec.trial.standstill_seconds,
        starts_at=starts_at if study.spec.workload.generators > 1 else None,
        stop_when_hopeless=trial.spec.purpose is Purpose.SEARCH and study.spec.workload.generators == 1,
    )
