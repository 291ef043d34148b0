"""Has a trial's finished load held against what Prometheus scraped of its server, where there is a Prometheus."""

import asyncio
import logging
from datetime import timedelta

from sloguard.api.v1alpha1 import SLO, Trial, TrialPhase
from sloguard.cluster import clock
from sloguard.cluster.objects import Object
from sloguard.domain.timeline import NotCoveredError
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.prometheus import Prometheus, PrometheusError, quoted
from sloguard.measure.prometheus_check import checked

logger = logging.getLogger("sloguard.prometheus")

PATIENCE = timedelta(seconds=40)
"""For the scrape after a load, for which its server is kept: most are scraped every 15 or 30 seconds."""

LOOKS = 3
LOOK_SECONDS = 1.0


async def cross_checked(
    prometheus: Prometheus | None, namespace: str, trial: Trial, pod: Object | None, load: Load, slos: list[SLO]
) -> Load:
    """The load with Prometheus' view of it; as one that still runs while a scrape after it may yet come.

    Without an answer of use, the load's own readings of /metrics have to do.
    """
    whole = load.result is not None and load.result.rates and load.result.fault is None and load.result.invalid is None
    if prometheus is None or pod is None or not whole or trial.status.phase is not TrialPhase.LOADING:
        return load
    assert load.result is not None, "looked at above"
    selector = pod_selector(prometheus, namespace, pod["metadata"]["name"])
    for _ in range(LOOKS):
        try:
            return Load(load.state, await checked(prometheus, selector, load.result, slos), load.detail)
        except NotCoveredError as error:
            if not error.later or clock.now() - load.result.finished_at > PATIENCE:
                return _unchecked(trial, load, error)
        except PrometheusError as error:
            return _unchecked(trial, load, error)
        await asyncio.sleep(LOOK_SECONDS)
    return Load(LoadState.RUNNING)


def pod_selector(prometheus: Prometheus, namespace: str, pod: str) -> str:
    """PromQL's, of one pod, by the labels that this Prometheus gives its targets."""
    settings = prometheus.settings
    return f"{settings.namespace_label}={quoted(namespace)}, {settings.pod_label}={quoted(pod)}"


def _unchecked(trial: Trial, load: Load, error: Exception) -> Load:
    logger.warning("not held against Prometheus: %s", error, extra={"trial": trial.name})
    return load
