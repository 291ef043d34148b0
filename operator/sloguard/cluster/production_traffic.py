"""What production's live traffic says during a promotion, by Prometheus: before it, since it, and beside a canary."""

from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import LoadResult, PromotionState, ServedTraffic, Study, Trial
from sloguard.cluster import clock
from sloguard.cluster.cross_check import PATIENCE, pod_selector
from sloguard.cluster.objects import Object
from sloguard.cluster.production_load import window_of_production
from sloguard.cluster.sources import Sources
from sloguard.cluster.standstill import meanwhile
from sloguard.domain.live import NotMeasuredError, live_measurement
from sloguard.domain.timeline import NotCoveredError
from sloguard.engine.promotion import is_under_way
from sloguard.engine.snapshot import Load, LoadState, Traffic
from sloguard.engine.verification import served
from sloguard.engine.watch import watch_of
from sloguard.measure.live import watched
from sloguard.measure.prometheus import Prometheus, PrometheusError


async def promotion_traffic(prometheus: Prometheus | None, namespace: str, study: Study) -> Traffic | None:
    """None without a Prometheus. What was seen before is read until it stands in the study's status."""
    promotion = study.status.promotion
    if prometheus is None:
        return None
    if promotion is None or not is_under_way(promotion):
        return Traffic()
    length = timedelta(seconds=study.spec.promotion.verification.duration_seconds)
    before, since, unseen = None, None, ""
    # People may take days to merge: what counts is what production served last.
    begun = promotion.started_at if promotion.git is None else promotion.git.arrived_at
    if promotion.before is None and length and begun is not None:
        before, _ = await _measured(prometheus, namespace, study, begun - length, begun)
    if promotion.state is PromotionState.VERIFYING:
        since, unseen = await _measured(prometheus, namespace, study, promotion.changed_at, clock.now())
    return Traffic(before, since, unseen)


async def canary_load(sources: Sources, namespace: str, study: Study, trial: Trial, pod: Object | None) -> Load:
    """A canary's share of production's traffic, with production's own of the same window."""
    watch, now, prometheus = watch_of(trial, study.spec), clock.now(), sources.prometheus
    if watch is None or pod is None or prometheus is None:
        return Load(LoadState.RUNNING)
    if now < watch.readable_at:
        return await meanwhile(sources, namespace, study, trial, pod)
    selector = pod_selector(prometheus, namespace, pod["metadata"]["name"])
    try:
        found = await watched(
            prometheus, selector, watch.begins, watch.ends, study.spec.slos, study.spec.trial.standstill_seconds
        )
    except (NotCoveredError, PrometheusError) as error:
        waits = now - watch.ends < PATIENCE
        return Load(LoadState.RUNNING) if waits else Load(LoadState.FAILED, detail=_canary_unseen(str(error)))
    if found.invalid is not None:
        return Load(LoadState.DONE, found.model_copy(update={"invalid": _canary_unseen(found.invalid)}))
    beside, why = await _measured(prometheus, namespace, study, watch.begins, watch.ends)
    if beside is None:
        return Load(LoadState.DONE, _incomparable(found, why))
    return Load(LoadState.DONE, found, beside=beside)


def _canary_unseen(why: str) -> str:
    return f"the canary's traffic says nothing: {why}. See that production's Services select its pods by their labels"


def _incomparable(found: LoadResult, why: str) -> LoadResult:
    return found.model_copy(update={"invalid": f"there is nothing to hold the canary against: {why}"})


async def _measured(
    prometheus: Prometheus, namespace: str, study: Study, begins: datetime, ends: datetime
) -> tuple[ServedTraffic | None, str]:
    """Of all of production's pods; or why nothing can be said."""
    try:
        covered = await window_of_production(prometheus, namespace, study.spec.target, begins, ends)
        measured = live_measurement(covered, study.spec.slos, round((ends - begins).total_seconds()))
        return served(measured), ""
    except (NotCoveredError, NotMeasuredError, PrometheusError) as error:
        return None, str(error)
