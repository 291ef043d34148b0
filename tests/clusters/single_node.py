"""A control plane and one node, in one network namespace: pods by kubelet, containerd and runc, without Docker. Root.

Everything listens inside the namespace, so nothing is reachable from, or sent to, anywhere else. The addresses are
of the ranges for documentation and benchmarks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters import archive, binaries, control_plane, processes
from tests.clusters.cache import locked, wait_until, workspace
from tests.clusters.control_plane import Settings
from tests.clusters.handle import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "node0"
NAMESPACE = "sloguard-node"
CGROUP = "sloguard-node-pods"
ADDRESS = "192.0.2.2"
POD_CIDR = "198.18.0.0/24"
PAUSE = "localhost/pause:1"
GPUS = 2
LABELS = {
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": str(GPUS),
}
# not `ip netns exec`, which hides /sys/fs/cgroup from what it runs
INSIDE = ("nsenter", f"--net=/var/run/netns/{NAMESPACE}")


@dataclass(frozen=True)
class SingleNode(Cluster):
    """A cluster whose commands run inside the namespace."""

    folder: Path = Path()

    def load(self, image_archive: Path) -> None:
        """Make an image known to the node, from what `docker save` or `buildah push` wrote."""
        _ctr(self.folder, "images", "import", str(image_archive), check=True)


@contextlib.contextmanager
def running() -> Iterator[SingleNode]:
    """One at a time on a machine, since the names and addresses are fixed."""
    programs = binaries.ensure(binaries.SINGLE_NODE)
    with locked("single-node", "has a node in a network namespace"), workspace("single-node", _down) as folder:
        settings = Settings(folder, ADDRESS, 6443, 2379, 2380, launcher=INSIDE)
        cluster = SingleNode(settings.kubeconfig("admin"), programs / "kubectl", INSIDE, folder)
        _make_network()
        _make_cgroups()
        control_plane.start(settings, cluster)
        _start_scheduler(settings)
        _start_containerd(folder)
        _start_node(settings)
        wait_until("node", lambda: _ready(cluster), 120, hint=f"see {folder}/logs")
        cluster.patch_status("node", NAME, {key: {"nvidia.com/gpu": str(GPUS)} for key in ("capacity", "allocatable")})
        yield cluster


def _make_network() -> None:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    for command in (
        "ip link set lo up",
        "ip link add node0 type veth peer name node0-peer",
        f"ip addr add {ADDRESS}/24 dev node0",
        "ip link set node0 up",
        "ip link set node0-peer up",
        "ip route add default dev node0",
        "sysctl -qw net.ipv4.ip_forward=1",
    ):
        subprocess.run([*INSIDE, *command.split()], check=True)
    # without the module every Service of the node still answers, from all but pods on the same bridge
    subprocess.run([*INSIDE, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"], check=False, capture_output=True)


def _make_cgroups() -> None:
    root = Path("/sys/fs/cgroup")
    unified = (root / "cgroup.controllers").exists()
    for hierarchy in [root] if unified else filter(Path.is_dir, root.iterdir()):
        (hierarchy / CGROUP).mkdir(exist_ok=True)


def _start_scheduler(settings: Settings) -> None:
    config = settings.kubeconfig("system:kube-scheduler")
    settings.start("kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0")


def _start_containerd(folder: Path) -> None:
    (folder / "cni").mkdir()
    _write(folder / "cni/10-bridge.conflist", _bridge(folder))
    (folder / "containerd.toml").write_text(_containerd_config(folder))
    processes.start(folder, "containerd", *INSIDE, "containerd", "--config", folder / "containerd.toml")
    wait_until("containerd", lambda: _ctr(folder, "version", check=True), 30, hint=f"see {folder}/logs")
    pause = folder / "pause.tar"
    archive.write(pause, PAUSE, {"/busybox": _busybox()}, ["/busybox", "sleep", "2147483647"])
    _ctr(folder, "images", "import", str(pause), check=True)


def _busybox() -> Path:
    found = shutil.which("busybox")
    assert found, "busybox-static is needed"
    return Path(found)


def _bridge(folder: Path) -> dict[str, object]:
    addresses = {"ranges": [[{"subnet": POD_CIDR}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": f"{folder}/ipam"}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True}
    plugins = [
        bridge | {"ipam": addresses | {"type": "host-local"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}


def _containerd_config(folder: Path) -> str:
    unused = [f"io.containerd.snapshotter.v1.{name}" for name in ("devmapper", "zfs", "btrfs", "aufs")]
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-run"
disabled_plugins = {json.dumps(unused)}
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  # where CAP_SYS_RESOURCE is withheld, no score below containerd's own can be given
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""


def _start_node(settings: Settings) -> None:
    _write(settings.folder / "kubelet.yaml", _kubelet_config(settings.folder))
    (settings.folder / "resolv.conf").touch()
    settings.start(
        "kubelet",
        f"--config={settings.folder}/kubelet.yaml",
        f"--kubeconfig={settings.kubeconfig('system:node:node0')}",
        f"--root-dir={settings.folder}/kubelet",
        f"--hostname-override={NAME}",
        f"--node-ip={ADDRESS}",
        f"--node-labels={','.join(f'{key}={value}' for key, value in LABELS.items())}",
    )
    settings.start(
        "kube-proxy",
        f"--kubeconfig={settings.kubeconfig('system:kube-proxy')}",
        f"--cluster-cidr={POD_CIDR}",
        f"--hostname-override={NAME}",
        "--proxy-mode=iptables",
        # these are settings of the whole machine
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    )
    corefile = settings.folder / "Corefile"
    source = f"kubeconfig {settings.kubeconfig('coredns')} sloguard-tests"
    corefile.write_text(f".:53 {{\n bind {ADDRESS}\n errors\n kubernetes cluster.local {{\n  {source}\n }}\n}}\n")
    settings.start("coredns", "-conf", str(corefile))


def _kubelet_config(folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # only this namespace can ask
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "localStorageCapacityIsolation": False,
        "podLogsDir": f"{folder}/podlogs",
        "resolvConf": f"{folder}/resolv.conf",
        "volumePluginDir": f"{folder}/volumeplugins",
    }


def _ready(cluster: Cluster) -> bool:
    conditions = cluster.get("node", NAME)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _down(folder: Path) -> None:
    processes.stop(folder, "kubelet")
    if (folder / "pids/containerd").exists():
        _end_pods(folder)
    processes.stop_all(folder)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", path], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)
    netns = Path("/run/netns")  # the first `ip netns add` of a machine mounts it
    if netns.exists() and not any(netns.iterdir()):
        subprocess.run(["umount", netns], check=False, capture_output=True)
    for root in Path("/sys/fs/cgroup").glob(f"**/{CGROUP}"):
        for directory, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def _end_pods(folder: Path) -> None:
    """Kill every container, and take away the network namespaces that containerd made for the pods."""
    containers = [json.loads(_ctr(folder, "containers", "info", name)) for name in _ids(folder, "containers")]
    namespaces = [space for one in containers for space in one["Spec"]["linux"]["namespaces"]]
    paths = {space["path"] for space in namespaces if space["type"] == "network" and space.get("path")}
    for task in _ids(folder, "tasks"):
        _ctr(folder, "tasks", "delete", "--force", task)
    for path in paths:
        subprocess.run(["ip", "netns", "del", Path(path).name], check=False, capture_output=True)


def _ids(folder: Path, kind: str) -> list[str]:
    return _ctr(folder, kind, "ls", "--quiet").split()


def _ctr(folder: Path, *arguments: str, check: bool = False) -> str:
    command = ["ctr", "--address", f"{folder}/containerd.sock", "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, check=check, text=True, capture_output=True).stdout


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))
