"""Trials as the operator leaves them behind, for a study that is to promote one without having measured any."""

from datetime import UTC, datetime
from typing import Any

from sloguard.api.v1alpha1 import (
    Metric,
    Outcome,
    Purpose,
    RateMeasurement,
    SLOResult,
    Study,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.cluster.labels import MANAGED_BY, STUDY
from sloguard.cluster.records import owner_of

Object = dict[str, Any]


def finished_trials(
    study: Object, production: list[str], candidate: list[str], parameters: dict[str, str]
) -> list[Object]:
    """Of a stored study whose budget is three trials: both baselines, and the one that may be promoted."""
    own = {"max_num_seqs": next(a.partition("=")[2] for a in production if a.startswith("--max-num-seqs="))}
    defaults = [a for a in production if not a.startswith("--max-num-seqs=")]
    return [
        _trial(study, 0, Purpose.PRODUCTION, own, production),
        _trial(study, 1, Purpose.DEFAULT, {}, defaults),
        _trial(study, 2, Purpose.SEARCH, parameters, candidate),
    ]


def _trial(study: Object, number: int, purpose: Purpose, parameters: dict[str, str], arguments: list[str]) -> Object:
    now = datetime.now(UTC)
    name = study["metadata"]["name"]
    slos = [
        SLOResult(
            metric=Metric(slo["metric"]),
            percentile=slo["percentile"],
            limit_milliseconds=slo["milliseconds"],
            measured_microseconds=1000,
            met=True,
        )
        for slo in study["spec"]["slos"]
    ]
    rate = RateMeasurement(
        rate_percent=100,
        requests_per_minute=60,
        duration_milliseconds=10_000,
        sent=100,
        completed=100,
        good=100,
        prompt_tokens=100,
        output_tokens=100,
        good_tokens=100,
        slos=slos,
    )
    status = TrialStatus(
        phase=TrialPhase.FINISHED,
        outcome=Outcome.FEASIBLE,
        started_at=now,
        finished_at=now,
        gpu_seconds=1,
        arguments=arguments,
        measurements=[rate],
        message="as the test has it",
    )
    spec = TrialSpec(study=name, number=number, purpose=purpose, parameters=parameters, reason="The test has it so.")
    return {
        "apiVersion": study["apiVersion"],
        "kind": "SLOGuardTrial",
        "metadata": {
            "name": f"{name}-{number}-1",
            "namespace": study["metadata"]["namespace"],
            "labels": {STUDY: name, MANAGED_BY: "sloguard"},
            "ownerReferences": [owner_of(Study.model_validate(study))],
        },
        "spec": spec.dump(),
        "status": status.dump(),
    }
