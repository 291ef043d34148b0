"""Pattern FromProduction: asks Prometheus once what production serves, and lets the study's trials be loaded so."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import ArrivalPattern, Study, Target
from sloguard.cluster import clock
from sloguard.cluster.workloads.kinds import WORKLOADS
from sloguard.domain.production import NoWorkloadError, as_in_production, production_workload
from sloguard.domain.timeline import Covered, NotCoveredError, observed
from sloguard.engine.snapshot import TargetProblem
from sloguard.measure.prometheus import Prometheus, PrometheusError, quoted

USUAL_MINUTES = 60
LEAST_STEP_SECONDS = 5
MOST_STEPS = 240
"""Of a long window, so many samples of each series are enough: growth is what counts, not its course."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The study as its trials are to be loaded, or why that is not known. `derived`: its status has to be stored."""

    study: Study
    problem: TargetProblem | None = None
    derived: bool = False


async def with_production_load(prometheus: Prometheus | None, namespace: str, study: Study) -> Loaded:
    """Unchanged unless the arrival pattern is FromProduction. What was found once stands in the study's status."""
    if study.spec.workload.arrival.pattern is not ArrivalPattern.FROM_PRODUCTION:
        return Loaded(study)
    seen = study.status.production_workload
    if seen is None:
        if prometheus is None:
            return Loaded(study, TargetProblem("NoPrometheus", _NO_PROMETHEUS))
        try:
            seen = production_workload(await _observed(prometheus, namespace, study))
        except (NoWorkloadError, NotCoveredError, PrometheusError) as error:
            return Loaded(study, TargetProblem("ProductionLoadUnknown", f"pattern FromProduction: {error}"))
    spec = study.spec.model_copy(update={"workload": as_in_production(study.spec.workload, seen)})
    status = study.status.model_copy(update={"production_workload": seen})
    derived = study.status.production_workload is None
    return Loaded(study.model_copy(update={"spec": spec, "status": status}), derived=derived)


async def _observed(prometheus: Prometheus, namespace: str, study: Study) -> Covered:
    minutes = study.spec.workload.arrival.production_minutes or USUAL_MINUTES
    until = clock.now()
    return await window_of_production(
        prometheus, namespace, study.spec.target, until - timedelta(minutes=minutes), until
    )


async def window_of_production(
    prometheus: Prometheus, namespace: str, target: Target, since: datetime, until: datetime
) -> Covered:
    """What all of production's pods counted between the samples within the window.

    Raises:
        NotCoveredError, PrometheusError: that is not to be had.

    """
    step = max(LEAST_STEP_SECONDS, round((until - since).total_seconds()) // MOST_STEPS)
    selector = production_selector(prometheus, namespace, target)
    return observed(await prometheus.steps(selector, since, until, step), since, until)


def production_selector(prometheus: Prometheus, namespace: str, target: Target) -> str:
    """PromQL's, of production's pods, which are named after it."""
    settings = prometheus.settings
    pods = quoted(f"{re.escape(target.name or '')}{WORKLOADS[target.kind].pod_suffix}")
    return f"{settings.namespace_label}={quoted(namespace)}, {settings.pod_label}=~{pods}"


_NO_PROMETHEUS = (
    "pattern FromProduction takes rate and lengths from Prometheus, and the operator knows of none; set "
    "SLOGUARD_PROMETHEUS_URL at the operator, or choose another pattern"
)
