"""A real Prometheus in the cluster that scrapes one namespace's vLLM pods, and an operator that asks it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from tests.clusters import engine, prometheus
from tests.e2e import demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters.kind import KindCluster

PROGRAM = "/opt/prometheus"


# Debian's Prometheus has no discovery of Kubernetes' pods; it reads targets from a file, and notices a new one at once.
DISCOVERY = """
import json, os, pathlib, ssl, sys, time, urllib.request
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
namespace = (account / "namespace").read_text()
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}/api/v1/namespaces/"
url += namespace + "/pods"
context = ssl.create_default_context(cafile=account / "ca.crt")
before = None
while True:
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + (account / "token").read_text()})
    with urllib.request.urlopen(request, context=context) as answer:
        pods = [pod for pod in json.load(answer)["items"] if pod["status"].get("podIP")]
    pods = [pod for pod in pods if pod["spec"]["containers"][0]["name"] == "vllm"]
    targets = [
        {"targets": [pod["status"]["podIP"] + ":8000"],
         "labels": {"namespace": namespace, "pod": pod["metadata"]["name"]}}
        for pod in pods
    ]
    if targets != before:
        pathlib.Path("/tmp/new").write_text(json.dumps(targets))
        os.rename("/tmp/new", "/tmp/targets.json")
        before = targets
    time.sleep(0.5)
"""


@contextlib.contextmanager
def scraped(cluster: KindCluster, namespace: str) -> Iterator[None]:
    """As long as it lasts, the operator knows of a Prometheus in that namespace."""
    engine.docker("cp", "--follow-link", prometheus.ensure(), f"{cluster.worker}:{PROGRAM}")
    cluster.apply(*_the_prometheus(namespace, cluster.worker))
    cluster.kubectl("wait", "pod/prometheus", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    _tell_operator(cluster, f"http://prometheus.{namespace}.svc:9090")
    try:
        yield
    finally:
        _tell_operator(cluster, "")


def _the_prometheus(namespace: str, node: str) -> list[demo.Object]:
    """Its program from the node's own disk, in a pod that may list this namespace's pods and nothing else."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "vllm", "file_sd_configs": [{"files": ["/tmp/targets.json"]}]}],
    }
    metadata = {"name": "prometheus", "namespace": namespace}
    command = [PROGRAM, "--config.file=/etc/config/prometheus.yml", "--storage.tsdb.path=/tmp/data"]
    mounts = [
        {"name": "program", "mountPath": PROGRAM, "readOnly": True},
        {"name": "config", "mountPath": "/etc/config", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    probe = {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1}
    pod = demo.pod(namespace, "prometheus", command, volumeMounts=mounts, readinessProbe=probe)
    discovery = demo.pod(namespace, "discovery", ["python3", "-c", DISCOVERY], volumeMounts=mounts[2:])
    pod["spec"]["containers"].append(discovery["spec"]["containers"][0] | {"name": "discovery"})
    pod["spec"] |= {
        "nodeName": node,
        "serviceAccountName": "prometheus",
        "volumes": [
            {"name": "program", "hostPath": {"path": PROGRAM, "type": "File"}},
            {"name": "config", "configMap": {"name": "prometheus"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "prometheus"},
            "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"prometheus.yml": json.dumps(config)},
        },
        pod,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "prometheus"}, "ports": [{"port": 9090}]},
        },
    ]


def _tell_operator(cluster: KindCluster, url: str) -> None:
    where = ("-n", "sloguard-system", "deployment/sloguard")
    cluster.kubectl("set", "env", *where, f"SLOGUARD_PROMETHEUS_URL={url}")
    cluster.kubectl("rollout", "status", *where, "--timeout=120s", timeout_seconds=130)
