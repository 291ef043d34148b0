"""Measurement Prometheus: live traffic is led to the trial that is being measured, and its window is read afterwards.

A trial never receives production's traffic by itself. The study keeps one Service, STUDY-live, which selects the one
trial under measurement; whoever wants it measured mirrors or routes requests there, with whatever gateway there is.
"""

import logging

from sloguard.api.v1alpha1 import LoadResult, Measurement, Study, Trial
from sloguard.cluster import clock
from sloguard.cluster.api import SERVICES, Api
from sloguard.cluster.cross_check import PATIENCE, pod_selector
from sloguard.cluster.labels import TRIAL, live_name
from sloguard.cluster.objects import Object, owned_by, section
from sloguard.cluster.sources import Sources
from sloguard.cluster.standstill import meanwhile
from sloguard.domain.timeline import NotCoveredError
from sloguard.engine.snapshot import Load, LoadState, TargetProblem
from sloguard.engine.watch import watch_of
from sloguard.measure.live import watched
from sloguard.measure.prometheus import Prometheus, PrometheusError

logger = logging.getLogger("sloguard.prometheus")


def missing_prometheus(study: Study, prometheus: Prometheus | None) -> TargetProblem | None:
    """Why no trial of this study can be measured."""
    wanted = study.spec.measurement is Measurement.PROMETHEUS
    return TargetProblem("NoPrometheus", _NO_PROMETHEUS) if wanted and prometheus is None else None


async def live_load(api: Api, sources: Sources, namespace: str, study: Study, trial: Trial, pod: Object | None) -> Load:
    """Absent where the Service does not lead to this trial; running until its window is over and has been read.

    A server that stands still is not watched to the end.
    """
    watch = watch_of(trial, study.spec)
    if watch is None:
        return Load()
    service = await api.get(SERVICES, namespace, live_name(study.name))
    if not owned_by(service, study.metadata.uid) or section(service, "spec", "selector").get(TRIAL) != trial.name:
        return Load()
    now, prometheus = clock.now(), sources.prometheus
    if prometheus is None or pod is None:
        return Load(LoadState.RUNNING)
    if now < watch.readable_at:
        return await meanwhile(sources, namespace, study, trial, pod)
    selector = pod_selector(prometheus, namespace, pod["metadata"]["name"])
    standstill = study.spec.trial.standstill_seconds
    try:
        told = await watched(prometheus, selector, watch.begins, watch.ends, study.spec.slos, standstill)
        return _told(study, told)
    except (NotCoveredError, PrometheusError) as error:
        logger.warning("live traffic is not measured: %s", error, extra={"trial": trial.name})
        where = f"for {selector}; see that it scrapes pods labelled sloguard.dev/role=server"
        detail = str(error) if isinstance(error, PrometheusError) else f"Prometheus has {error} {where}"
        return Load(LoadState.RUNNING) if now - watch.ends < PATIENCE else Load(LoadState.FAILED, detail=detail)


def _told(study: Study, result: LoadResult) -> Load:
    if result.invalid is None:
        return Load(LoadState.DONE, result)
    expects = f"Service {live_name(study.name)} expects the traffic, mirrored or routed to it by a gateway"
    return Load(LoadState.DONE, result.model_copy(update={"invalid": f"{result.invalid}. {expects}"}))


_NO_PROMETHEUS = (
    "measurement Prometheus reads what live traffic does from Prometheus, and the operator knows of none; start it "
    "with --prometheus-url (SLOGUARD_PROMETHEUS_URL), or set measurement to LoadGenerator in a new study"
)
