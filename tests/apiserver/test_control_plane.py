"""The cluster that the other tests stand on: what it does for them that a mock would not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import control_plane
from tests.clusters.handle import KubectlError


def config_map(name: str, namespace: str, **metadata: object) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **metadata}}


def test_objects_are_kept_and_given_a_version(cluster, namespace):
    created = cluster.create(config_map("notes", namespace) | {"data": {"key": "value"}})
    assert created["metadata"]["resourceVersion"]
    assert cluster.get("configmap", "notes", namespace)["data"] == {"key": "value"}


def test_a_second_object_of_one_name_is_refused(cluster, namespace):
    cluster.create(config_map("notes", namespace))
    with pytest.raises(KubectlError, match="already exists"):
        cluster.create(config_map("notes", namespace))


def test_what_an_object_owns_goes_with_it(cluster, namespace):
    owner = cluster.create(config_map("owner", namespace))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    cluster.create(config_map("owned", namespace, ownerReferences=[reference]))
    cluster.kubectl("delete", "configmap", "owner", "-n", namespace)
    cluster.wait_for("garbage collection", lambda: not cluster.exists("configmap", "owned", namespace))


def test_a_deployment_gets_pods_that_wait_for_a_node(cluster, namespace):
    cluster.kubectl("create", "deployment", "web", "--image=none:1", "-n", namespace)
    cluster.wait_for("a pod", lambda: cluster.get("pods", "", namespace)["items"])
    assert cluster.get("pods", "", namespace)["items"][0]["status"]["phase"] == "Pending"


def test_a_test_can_play_the_kubelet(cluster, namespace):
    cluster.kubectl("run", "lonely", "--image=none:1", "-n", namespace)
    cluster.patch_status("pod", "lonely", {"phase": "Failed", "reason": "Evicted"}, namespace)
    assert cluster.get("pod", "lonely", namespace)["status"]["reason"] == "Evicted"


def test_a_service_account_may_do_only_what_it_was_given(cluster, namespace, tmp_path):
    limited = cluster.as_service_account(namespace, "default", tmp_path)
    with pytest.raises(KubectlError, match="forbidden"):
        limited.get("configmaps", "", namespace)
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", "-n", namespace)
    subject = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", subject, "-n", namespace)
    cluster.wait_for("the right", lambda: limited.get("configmaps", "", namespace))


def test_two_clusters_know_nothing_of_each_other(namespace):
    with control_plane.running() as other:
        assert not other.exists("namespace", namespace)
        pids = [int(record.read_text().split()[0]) for record in (other.kubeconfig.parent.parent / "pids").iterdir()]
        assert len(pids) == 3
    assert not other.kubeconfig.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
