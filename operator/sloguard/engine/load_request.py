"""What a trial's load is told to do. Pure; both substrates share it."""

from sloguard.api.v1alpha1 import Purpose, Study, Trial
from sloguard.measure.request import LoadRequest


def load_request_of(study: Study, trial: Trial, url: str) -> LoadRequest:
    """The study's workload and limits, for the server at this address.

    Only the search may give a rate up: baselines and confirmations are compared by their figures, which must be whole.
    """
    return LoadRequest(
        url=url,
        workload=study.spec.workload,
        slos=study.spec.slos,
        stop_when_hopeless=trial.spec.purpose is Purpose.SEARCH,
    )
