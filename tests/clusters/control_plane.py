"""etcd, kube-apiserver and kube-controller-manager on loopback: all of Kubernetes that needs no node."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.clusters import binaries, pki, processes
from tests.clusters.cache import wait_until, workspace
from tests.clusters.handle import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE_CIDR = "198.19.0.0/24"  # of the range for benchmarks, never routed
API_SERVICE_IP = "198.19.0.1"


@dataclass(frozen=True)
class Settings:
    """Where one control plane listens and keeps its state."""

    folder: Path
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    launcher: tuple[str, ...] = ()  # a command that starts the programs elsewhere, in a network namespace say

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def kubeconfig(self, user: str) -> Path:
        return pki.kubeconfig(self.pki, user)

    def start(self, name: str, *arguments: str) -> None:
        processes.start(self.folder, name, *self.launcher, binaries.folder() / name, *arguments)

    def log(self, name: str) -> str:
        return f"its log ends\n{processes.log_tail(self.folder, name)}"


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A control plane of one's own on free ports of 127.0.0.1. Any number may run side by side."""
    programs = binaries.ensure(binaries.CONTROL_PLANE)
    with workspace("control-plane", processes.stop_all) as folder:
        api, etcd, peer = free_ports(3)
        settings = Settings(folder, "127.0.0.1", api, etcd, peer)
        cluster = Cluster(settings.kubeconfig("admin"), programs / "kubectl")
        start(settings, cluster)
        yield cluster


def start(settings: Settings, cluster: Cluster) -> None:
    """Start the three programs, and return when the API server is ready and service accounts are made."""
    pki.create(settings.pki, settings.server, ["127.0.0.1", API_SERVICE_IP, settings.address])
    _start_etcd(settings)
    _start_api_server(settings)
    try:
        cluster.wait_ready()
    except TimeoutError as error:
        raise RuntimeError(settings.log("kube-apiserver")) from error
    _start_controller_manager(settings)
    wait_until("default service account", lambda: cluster.exists("serviceaccount", "default", "default"), 30)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now. They are held together, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _start_etcd(settings: Settings) -> None:
    client, peer = (f"http://127.0.0.1:{port}" for port in (settings.etcd_port, settings.etcd_peer_port))
    settings.start(
        "etcd",
        f"--data-dir={settings.folder}/etcd",
        "--unsafe-no-fsync",  # nothing here has to survive a power cut
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    )


def _start_api_server(settings: Settings) -> None:
    keys = settings.pki
    settings.start(
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{settings.etcd_port}",
        f"--bind-address={settings.address}",
        f"--advertise-address={settings.address}",
        f"--secure-port={settings.api_port}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--tls-cert-file={keys}/api.crt",
        f"--tls-private-key-file={keys}/api.key",
        f"--token-auth-file={keys}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/service-accounts.key",
        f"--service-account-signing-key-file={keys}/service-accounts.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        # an API server on loopback has no address that pods could use, and would say so every few seconds
        f"--endpoint-reconciler-type={'none' if settings.address == '127.0.0.1' else 'lease'}",
        "--profiling=false",
    )


def _start_controller_manager(settings: Settings) -> None:
    config = settings.kubeconfig("system:kube-controller-manager")
    settings.start(
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--root-ca-file={settings.pki}/ca.crt",
        f"--service-account-private-key-file={settings.pki}/service-accounts.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",  # nobody asks it anything
        "--node-monitor-grace-period=20s",
    )
