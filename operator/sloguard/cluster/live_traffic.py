"""Measurement Prometheus: live traffic is led to the trial that is being measured, and its window is read afterwards.

A trial never receives production's traffic by itself. The study keeps one Service, STUDY-live, which selects the one
trial under measurement; whoever wants it measured mirrors or routes requests there, with whatever gateway there is.
"""

import logging
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import LoadResult, Measurement, Study, Trial
from sloguard.cluster import clock
from sloguard.cluster.api import SERVICES, Api
from sloguard.cluster.cross_check import PATIENCE, pod_selector
from sloguard.cluster.labels import TRIAL, live_name
from sloguard.cluster.last_activity import LOOKS_BACK
from sloguard.cluster.objects import Object, owned_by, section
from sloguard.domain.timeline import NotCoveredError
from sloguard.engine.snapshot import Load, LoadState, TargetProblem
from sloguard.engine.watch import watch_of
from sloguard.measure.live import stood_still, watched
from sloguard.measure.prometheus import Prometheus, PrometheusError

logger = logging.getLogger("sloguard.prometheus")


def is_live(study: Study) -> bool:
    return study.spec.measurement is Measurement.PROMETHEUS


def missing_prometheus(study: Study, prometheus: Prometheus | None) -> TargetProblem | None:
    """Why no trial of this study can be measured."""
    return TargetProblem("NoPrometheus", _NO_PROMETHEUS) if is_live(study) and prometheus is None else None


async def live_load(
    api: Api, prometheus: Prometheus | None, namespace: str, study: Study, trial: Trial, pod: Object | None
) -> Load:
    """Absent where the Service does not lead to this trial; running until its window is over and has been read.

    A server that stands still is not watched to the end.
    """
    watch = watch_of(trial, study.spec)
    if watch is None:
        return Load()
    service = await api.get(SERVICES, namespace, live_name(study.name))
    if not owned_by(service, study.metadata.uid) or section(service, "spec", "selector").get(TRIAL) != trial.name:
        return Load()
    now, standstill = clock.now(), study.spec.trial.standstill_seconds
    if prometheus is None or pod is None:
        return Load(LoadState.RUNNING)
    selector = pod_selector(prometheus, namespace, pod["metadata"]["name"])
    if now < watch.readable_at:
        return await _meanwhile(prometheus, selector, trial.status.load_started_at or now, now, standstill)
    try:
        told = await watched(prometheus, selector, watch.begins, watch.ends, study.spec.slos, standstill)
        return _told(study, told)
    except (NotCoveredError, PrometheusError) as error:
        logger.warning("live traffic is not measured: %s", error, extra={"trial": trial.name})
        where = f"for {selector}; see that it scrapes pods labelled sloguard.dev/role=server"
        detail = str(error) if isinstance(error, PrometheusError) else f"Prometheus has {error} {where}"
        return Load(LoadState.RUNNING) if now - watch.ends < PATIENCE else Load(LoadState.FAILED, detail=detail)


async def _meanwhile(
    prometheus: Prometheus, selector: str, began: datetime, now: datetime, standstill_seconds: int
) -> Load:
    """What Prometheus fails to answer now may well come later: at the window's end it has to."""
    since = max(began, now - LOOKS_BACK - timedelta(seconds=standstill_seconds))
    try:
        fault = await stood_still(prometheus, selector, since, now, standstill_seconds)
    except PrometheusError:
        fault = None
    return Load(LoadState.RUNNING) if fault is None else Load(LoadState.DONE, fault)


def _told(study: Study, result: LoadResult) -> Load:
    if result.invalid is None:
        return Load(LoadState.DONE, result)
    expects = f"Service {live_name(study.name)} expects the traffic, mirrored or routed to it by a gateway"
    return Load(LoadState.DONE, result.model_copy(update={"invalid": f"{result.invalid}. {expects}"}))


_NO_PROMETHEUS = (
    "measurement Prometheus reads what live traffic does from Prometheus, and the operator knows of none; start it "
    "with --prometheus-url (SLOGUARD_PROMETHEUS_URL), or set measurement to LoadGenerator in a new study"
)
