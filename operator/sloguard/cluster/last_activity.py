"""What a candidate was doing before its end, where a Prometheus has scraped its /metrics."""

import logging
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import Trial
from sloguard.cluster import clock
from sloguard.cluster.cross_check import pod_selector
from sloguard.cluster.objects import Object
from sloguard.domain.activity import activity_of
from sloguard.domain.evidence import Activity
from sloguard.measure.prometheus import Prometheus, PrometheusError

logger = logging.getLogger("sloguard.prometheus")

LOOKS_BACK = timedelta(seconds=120)
"""For a standstill: several scrapes of most, and few enough to be asked for at each look."""


async def last_activity(
    prometheus: Prometheus | None, namespace: str, trial: Trial, pod: Object | None, ended_at: datetime | None
) -> Activity | None:
    """Of its last two minutes; no answer is no harm."""
    if prometheus is None or pod is None:
        return None
    until = ended_at or clock.now()
    selector = pod_selector(prometheus, namespace, pod["metadata"]["name"])
    try:
        return activity_of(await prometheus.samples(selector, until - LOOKS_BACK, until), until.timestamp())
    except PrometheusError as error:
        logger.warning("what the server was doing is not known: %s", error, extra={"trial": trial.name})
        return None
