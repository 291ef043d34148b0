"""What goes wrong below a cluster made by kind, done to it on purpose and put right again."""

from __future__ import annotations

import contextlib
import json
import ssl
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters.kind import KindCluster

API_SERVER_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ETCD_KEYS = "/etc/kubernetes/pki/etcd"


def restart(cluster: KindCluster, node: str, unit: str) -> None:
    """Of a systemd unit: kubelet or containerd."""
    engine.docker("exec", node, "systemctl", "restart", unit)
    offer_gpus(cluster)


@contextlib.contextmanager
def kubelet_stopped(cluster: KindCluster, node: str) -> Iterator[None]:
    """The node's containers run on, and nobody tells of them."""
    engine.docker("exec", node, "systemctl", "stop", "kubelet")
    try:
        yield
    finally:
        engine.docker("exec", node, "systemctl", "start", "kubelet")
    offer_gpus(cluster)


@contextlib.contextmanager
def api_server_down(cluster: KindCluster) -> Iterator[None]:
    """The kubelet ends the static pod whose manifest is gone, and begins it anew once that is back."""
    node = cluster.control_plane
    engine.docker("exec", node, "mv", API_SERVER_MANIFEST, "/root/")
    try:
        _until_down(cluster)
        yield
    finally:
        engine.docker("exec", node, "mv", "/root/kube-apiserver.yaml", API_SERVER_MANIFEST)
    cluster.wait_ready(180)


@contextlib.contextmanager
def api_server_unreachable(node: str, pod_address: str) -> Iterator[None]:
    """What this pod sends to the API server's port is dropped; its probes still reach it."""
    rule = ["-s", pod_address, "-p", "tcp", "--dport", "6443", "-j", "DROP"]
    for chain in ("FORWARD", "INPUT"):
        engine.docker("exec", node, "iptables", "-w", "-I", chain, "1", *rule)
    try:
        yield
    finally:
        for chain in ("FORWARD", "INPUT"):
            engine.docker("exec", node, "iptables", "-w", "-D", chain, *rule)


def compact_etcd(cluster: KindCluster) -> None:
    """Drop all history: who watched up to an earlier revision is told 410 Gone once the API server's cache is new."""
    node = cluster.control_plane
    address = next(one for one in engine.docker("exec", node, "hostname", "-i").split() if "." in one)  # IPv4
    url = f"https://{address}:2379/v3/kv"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ca.crt", "healthcheck-client.crt", "healthcheck-client.key"):
            Path(folder, name).write_text(engine.docker("exec", node, "cat", f"{ETCD_KEYS}/{name}"))
        context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
        context.load_cert_chain(f"{folder}/healthcheck-client.crt", f"{folder}/healthcheck-client.key")
    now = _post(f"{url}/range", {"key": "AA=="}, context)["header"]["revision"]
    _post(f"{url}/compaction", {"revision": now, "physical": True}, context)


def ready(cluster: KindCluster, node: str) -> bool:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def offer_gpus(cluster: KindCluster) -> None:
    """As a device plugin does when its kubelet comes back, which forgets what no plugin tells it of."""

    def offered() -> bool:
        for node in cluster.get("nodes")["items"]:
            count = node["metadata"]["labels"]["nvidia.com/gpu.count"]
            gpus = {"nvidia.com/gpu": count}
            cluster.patch_status("node", node["metadata"]["name"], {"capacity": gpus, "allocatable": gpus})
        time.sleep(3)  # a kubelet that comes back writes its own view once
        return all(
            node["status"]["allocatable"].get("nvidia.com/gpu") == node["metadata"]["labels"]["nvidia.com/gpu.count"]
            and ready(cluster, node["metadata"]["name"])
            for node in cluster.get("nodes")["items"]
        )

    cluster.wait_for("GPUs and readiness of all nodes", offered, 120)


def _until_down(cluster: KindCluster) -> None:
    asked = ["exec", cluster.control_plane, "sh", "-c", "pgrep -x kube-apiserver || true"]
    cluster.wait_for("the API server's end", lambda: not engine.docker(*asked).strip(), 90)


def _post(url: str, body: dict[str, object], context: ssl.SSLContext) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return json.load(answer)
