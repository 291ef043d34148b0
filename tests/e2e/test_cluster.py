"""The cluster that the other tests stand on: nodes, fake GPUs, and how a kubelet says that a pod failed."""

from __future__ import annotations

import shutil
import tarfile

import pytest

from tests.clusters import engine, image

GPU = "nvidia.com/gpu"


def pod(name: str, namespace: str, **container: object) -> dict:
    """A pod of one container that runs SLO-Guard's image, Python by default."""
    program = {"name": "main", "image": image.NAME, "imagePullPolicy": "Never"} | container
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [program]},
    }


def python(code: str) -> dict[str, object]:
    return {"command": ["python3", "-c", code]}


def state(cluster, name: str, namespace: str) -> dict:
    """The state of the pod's container; nothing while it has none."""
    statuses = cluster.get("pod", name, namespace)["status"].get("containerStatuses")
    return statuses[0]["state"] if statuses else {}


def ended(cluster, name: str, namespace: str) -> dict:
    cluster.wait_for(f"end of {name}", lambda: "terminated" in state(cluster, name, namespace), 60)
    return state(cluster, name, namespace)["terminated"]


def test_two_nodes_are_ready_and_offer_gpus(kind_cluster):
    nodes = {node["metadata"]["name"]: node for node in kind_cluster.get("nodes")["items"]}
    assert set(nodes) == {kind_cluster.control_plane, kind_cluster.worker}
    for node in nodes.values():
        assert {"type": "Ready", "status": "True"}.items() <= node["status"]["conditions"][-1].items()
        assert node["metadata"]["labels"][f"{GPU}.count"] == node["status"]["allocatable"][GPU]
    assert nodes[kind_cluster.control_plane]["status"]["allocatable"][GPU] == "1"
    assert nodes[kind_cluster.worker]["status"]["allocatable"][GPU] == "2"


def test_a_pod_gets_the_gpus_it_asks_for(kind_cluster, namespace):
    wanted = {"resources": {"limits": {GPU: "2"}}}
    kind_cluster.create(pod("greedy", namespace, **python("print('ran')"), **wanted))
    assert ended(kind_cluster, "greedy", namespace)["exitCode"] == 0
    assert kind_cluster.get("pod", "greedy", namespace)["spec"]["nodeName"] == kind_cluster.worker
    assert kind_cluster.kubectl("logs", "greedy", "-n", namespace) == "ran\n"


def test_a_pod_that_asks_for_more_gpus_than_a_node_has_waits(cluster, namespace):
    cluster.create(pod("greedier", namespace, **python("0"), resources={"limits": {GPU: "3"}}))

    def refused() -> bool:
        conditions = cluster.get("pod", "greedier", namespace)["status"].get("conditions", [])
        return any(
            one.get("reason") == "Unschedulable" and f"Insufficient {GPU}" in one["message"] for one in conditions
        )

    cluster.wait_for("Unschedulable", refused)


def test_the_kernel_kills_what_exceeds_its_memory(cluster, namespace):
    too_much = python("held = bytearray(256 * 2**20)")
    cluster.create(pod("hungry", namespace, **too_much, resources={"limits": {"memory": "64Mi"}}))
    how = ended(cluster, "hungry", namespace)
    assert (how["reason"], how["exitCode"]) == ("OOMKilled", 137)


def test_what_a_container_says_last_is_in_its_status(cluster, namespace):
    code = "open('/dev/termination-log', 'w').write('goodbye'); raise SystemExit(3)"
    cluster.create(pod("polite", namespace, **python(code)))
    how = ended(cluster, "polite", namespace)
    assert (how["exitCode"], how["message"]) == (3, "goodbye")


@pytest.mark.parametrize(
    ("policy", "reasons"),
    [("Never", {"ErrImageNeverPull"}), ("IfNotPresent", {"ErrImagePull", "ImagePullBackOff"})],
)
def test_a_node_without_the_image_says_so(kind_cluster, namespace, policy, reasons):
    missing = pod("missing", namespace, image="sloguard.invalid/none:1", imagePullPolicy=policy)
    missing["spec"]["nodeName"] = kind_cluster.worker
    kind_cluster.create(missing)
    kind_cluster.wait_for(
        f"one of {reasons}",
        lambda: state(kind_cluster, "missing", namespace).get("waiting", {}).get("reason") in reasons,
    )


@pytest.fixture(scope="module")
def tiny_image(kind_cluster, tmp_path_factory):
    """An image of one static program, brought to all nodes: small enough to come and go in a second."""
    archive = tmp_path_factory.mktemp("image") / "tiny.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(shutil.which("busybox") or "/bin/busybox", "busybox")
    engine.docker("import", "--change", 'CMD ["/busybox", "true"]', archive, "sloguard-tiny:1")
    kind_cluster.load("sloguard-tiny:1")
    return "sloguard-tiny:1"


def test_an_image_can_be_taken_from_one_node_and_brought_back(kind_cluster, namespace, tiny_image):
    kind_cluster.remove_image(kind_cluster.control_plane, tiny_image)
    for name, node in (("served", kind_cluster.worker), ("starved", kind_cluster.control_plane)):
        one = pod(name, namespace, image=tiny_image)
        one["spec"]["nodeName"] = node
        kind_cluster.create(one)
    assert ended(kind_cluster, "served", namespace)["exitCode"] == 0
    kind_cluster.wait_for(
        "ErrImageNeverPull",
        lambda: state(kind_cluster, "starved", namespace).get("waiting", {}).get("reason") == "ErrImageNeverPull",
    )
    kind_cluster.load(tiny_image, kind_cluster.control_plane)
    assert ended(kind_cluster, "starved", namespace)["exitCode"] == 0


ASK_UNTIL_ANSWERED = """
import time, urllib.request
end = time.monotonic() + 30
while True:
    try:
        print(urllib.request.urlopen("{url}", timeout=20).status)
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.5)
"""


def test_services_are_found_by_name_from_the_other_node(kind_cluster, namespace):
    server = pod("server", namespace, command=["python3", "-m", "http.server", "8000"])
    server["metadata"]["labels"] = {"app": "server"}
    server["spec"]["nodeName"] = kind_cluster.worker
    service = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8000}]}
    metadata = {"name": "web", "namespace": namespace}
    kind_cluster.create(server)
    kind_cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    kind_cluster.kubectl("wait", "--for=condition=Ready", "pod/server", "-n", namespace, "--timeout=30s")
    # A pod without a probe is Ready before its program listens, and a node learns of a Service in its own time.
    ask = ASK_UNTIL_ANSWERED.format(url=f"http://web.{namespace}.svc")
    client = pod("client", namespace, **python(ask))
    client["spec"]["nodeName"] = kind_cluster.control_plane
    kind_cluster.create(client)
    assert ended(kind_cluster, "client", namespace)["exitCode"] == 0
