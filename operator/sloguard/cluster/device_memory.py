"""What a trial's GPUs had free under load, where a Prometheus has the metrics of dcgm-exporter."""

import logging
from datetime import timedelta

from sloguard.api.v1alpha1 import Trial, TrialPhase
from sloguard.cluster import clock
from sloguard.cluster.objects import Object
from sloguard.domain.device_memory import DeviceMemory
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.dcgm import least_free
from sloguard.measure.prometheus import Prometheus, PrometheusError

logger = logging.getLogger("sloguard.dcgm")

AFTERWARDS = timedelta(seconds=60)
"""After the load a server keeps what it took: by default DCGM is read every 30 s, and is scraped as rarely."""


async def memory_under_load(
    prometheus: Prometheus | None, namespace: str, trial: Trial, pod: Object | None, load: Load
) -> DeviceMemory | None:
    """Asked once for each trial, when its load is over; no answer is no harm."""
    result = load.result
    if prometheus is None or pod is None or result is None or load.state is not LoadState.DONE:
        return None
    if trial.status.phase is not TrialPhase.LOADING or result.fault is not None or result.invalid is not None:
        return None
    end = max(min(clock.now(), result.finished_at + AFTERWARDS), result.finished_at)
    try:
        return await least_free(prometheus, namespace, pod["metadata"]["name"], result.started_at, end)
    except PrometheusError as error:
        logger.warning("free GPU memory is not known: %s", error, extra={"trial": trial.name})
        return None
