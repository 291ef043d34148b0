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


def replace_operator(cluster: KindCluster) -> None:
    """SIGKILL to its process, and another pod: in the same one the kubelet would wait longer after each death.

    Its successor acts when the Lease has run out.
    """
    pod = _pod(cluster)
    engine.docker("exec", pod["spec"]["nodeName"], "pkill", "-9", "-f", "sloguard operator")
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", NAMESPACE, "--force", "--grace-period=0")
    cluster.wait_for("another operator", lambda: _is_ready(_pod(cluster)), 90)


def _is_ready(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(cluster: KindCluster) -> int:
    return _pod(cluster)["status"]["containerStatuses"][0]["restartCount"]


def _pod(cluster: KindCluster) -> dict:
    found = cluster.get("pods", "", NAMESPACE, "-l", "app.kubernetes.io/name=sloguard")["items"]
    return next(p for p in found if "deletionTimestamp" not in p["metadata"])
