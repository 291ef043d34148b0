"""What a pod's GPUs had free, from the metrics of NVIDIA's dcgm-exporter as Prometheus scraped them.

`DCGM_FI_DEV_FB_FREE` and `DCGM_FI_DEV_FB_USED` are in MiB, one series for each GPU, or for each part of one (MIG). The
exporter says which pod has the GPU in labels `namespace` and `pod`, of which Prometheus makes `exported_namespace` and
`exported_pod` where the exporter's own pod has such labels (`honorLabels: false`, the default); with the exporter's
option for old names they are `pod_namespace` and `pod_name`.
"""

from datetime import datetime

from sloguard.domain.device_memory import DeviceMemory, tightest

from .prometheus import Prometheus, quoted, range_between

FREE, USED = "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED"
MIB = 1 << 20
LABELS = (("exported_namespace", "exported_pod"), ("namespace", "pod"), ("pod_namespace", "pod_name"))


async def least_free(
    prometheus: Prometheus, namespace: str, pod: str, start: datetime, end: datetime
) -> DeviceMemory | None:
    """Of the tightest of the pod's GPUs, between two moments; None where there are no such metrics.

    Raises:
        PrometheusError: it gave no answer.

    """
    free = await prometheus.instant(_over("min_over_time", FREE, namespace, pod, start, end), end)
    if not free:
        return None
    used = await prometheus.instant(_over("max_over_time", USED, namespace, pod, start, end), end)
    return tightest(
        DeviceMemory(round(free[gpu] * MIB), round(used[gpu] * MIB)) for gpu in free if gpu in used and free[gpu] >= 0
    )


def _over(function: str, metric: str, namespace: str, pod: str, start: datetime, end: datetime) -> str:
    period = range_between(start, end)
    selectors = (f"{of}={quoted(namespace)}, {name}={quoted(pod)}" for of, name in LABELS)
    return " or ".join(f"{function}({metric}{{{selector}}}[{period}])" for selector in selectors)
