"""Whether a server stands still while live traffic on it is watched: by its own word, or else by Prometheus'."""

from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import Study, Trial
from sloguard.cluster import clock
from sloguard.cluster.cross_check import pod_selector
from sloguard.cluster.last_activity import LOOKS_BACK
from sloguard.cluster.objects import Object
from sloguard.cluster.render import port_of
from sloguard.cluster.server_signs import Watched, metrics_url
from sloguard.cluster.sources import Sources
from sloguard.cluster.target import container_in
from sloguard.domain.increments import Timeline
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.live import stood_still
from sloguard.measure.prometheus import PrometheusError


async def meanwhile(sources: Sources, namespace: str, study: Study, trial: Trial, pod: Object) -> Load:
    """Running until the window's end, unless the server has stood still for `trial.standstillSeconds`."""
    now, seconds = clock.now(), study.spec.trial.standstill_seconds
    began = trial.status.load_started_at or now
    _follow(sources, namespace, study, trial, pod)
    read = sources.signs.timeline(pod["metadata"]["uid"]) if sources.signs is not None else None
    if read is None:
        since = max(began, now - LOOKS_BACK - timedelta(seconds=seconds))
        read = await _scraped(sources, namespace, pod, since, now)
    fault = stood_still(read, began, now, seconds)
    return Load(LoadState.RUNNING) if fault is None else Load(LoadState.DONE, fault)


def _follow(sources: Sources, namespace: str, study: Study, trial: Trial, pod: Object) -> None:
    serving = container_in(pod, study.spec.target.container or "")
    if sources.signs is None or serving is None:
        return
    if (url := metrics_url(pod, port_of(serving, tuple(trial.status.arguments)))) is not None:
        key, uid = (namespace, study.name), pod["metadata"]["uid"]
        sources.signs.follow(Watched(key, uid, url, study.spec.trial.standstill_seconds))


async def _scraped(sources: Sources, namespace: str, pod: Object, since: datetime, until: datetime) -> Timeline:
    """What Prometheus fails to answer now may well come later: at the window's end it has to."""
    if sources.prometheus is None:
        return {}
    selector = pod_selector(sources.prometheus, namespace, pod["metadata"]["name"])
    try:
        return await sources.prometheus.samples(selector, since, until)
    except PrometheusError:
        return {}
