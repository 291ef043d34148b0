"""The cluster for machines without Docker: a node in a network namespace, with real pods."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.clusters import archive, single_node
from tests.clusters.fixtures import namespace

__all__ = ["namespace"]

NEEDED = ("containerd", "runc", "nsenter", "iptables", "ip", "conntrack", "busybox")
MISSING = [program for program in NEEDED if not shutil.which(program)] + (["root"] if os.geteuid() else [])

pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true",
    reason=f"a node without Docker needs {', '.join(MISSING)}",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One node with a busybox image, in the place of the two that kind makes."""
    assert not MISSING
    busybox = shutil.which("busybox")
    image = tmp_path_factory.mktemp("image") / "busybox.tar"
    archive.write(image, "localhost/busybox:1", {"/busybox": Path(busybox or "")}, ["/busybox", "sh", "-c"])
    with single_node.running() as node:
        node.load(image)
        yield node


def run_pod(cluster, namespace: str, script: str, **limits: str) -> dict:
    """Run a script to its end, and return how the container ended."""
    container = {"name": "main", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "args": [script]}
    container["resources"] = {"limits": limits}
    metadata = {"name": "job", "namespace": namespace}
    spec = {"restartPolicy": "Never", "containers": [container]}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def terminated() -> dict:
        return cluster.get("pod", "job", namespace)["status"]["containerStatuses"][0]["state"]["terminated"]

    cluster.wait_for("end of the pod", terminated, 60)
    return terminated()


def test_a_pod_gets_a_gpu_and_runs(cluster, namespace):
    assert run_pod(cluster, namespace, "exit 3", **{"nvidia.com/gpu": "2"})["exitCode"] == 3


def test_the_kernel_kills_what_exceeds_its_memory(cluster, namespace):
    how = run_pod(cluster, namespace, "x=0123456789; while :; do x=$x$x; done", memory="32Mi")
    assert (how["reason"], how["exitCode"]) == ("OOMKilled", 137)
