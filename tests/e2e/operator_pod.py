"""The operator's own pod: killed as the kernel would kill it, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clusters import engine

if TYPE_CHECKING:
    from tests.clusters.kind import KindCluster

NAMESPACE = "sloguard-system"


def kill_operator(cluster: KindCluster) -> None:
    """SIGKILL to its process, seen from the node; the kubelet starts it again."""
    pod = _pod(cluster)
    before = restarts(cluster)
    engine.docker("exec", pod["spec"]["nodeName"], "pkill", "-9", "-f", "sloguard operator")
    cluster.wait_for("the operator's restart", lambda: restarts(cluster) > before, 90)


def restarts(cluster: KindCluster) -> int:
    return _pod(cluster)["status"]["containerStatuses"][0]["restartCount"]


def _pod(cluster: KindCluster) -> dict:
    found = cluster.get("pods", "", NAMESPACE, "-l", "app.kubernetes.io/name=sloguard")["items"]
    return next(p for p in found if "deletionTimestamp" not in p["metadata"])
