"""Two nodes with fake GPUs, made by the command that the README gives to people: examples/kind/up."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters import binaries, engine, image, node_image
from tests.clusters.cache import say, workspace
from tests.clusters.handle import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/kind"
UP = EXAMPLE / "up"
DOWN = EXAMPLE / "down"


@dataclass(frozen=True)
class KindCluster(Cluster):
    """A cluster whose nodes are containers, so that a test can take an image away from one, or stop one."""

    name: str = ""
    node_image: str = ""
    config: Path = EXAMPLE / "cluster.yaml"
    programs: dict[str, str] = field(default_factory=dict)

    @property
    def control_plane(self) -> str:
        """Name of the node with the control plane and one GPU."""
        return f"{self.name}-control-plane"

    @property
    def worker(self) -> str:
        """Name of the node with two GPUs."""
        return f"{self.name}-worker"

    def up(self, only: str = "") -> None:
        """examples/kind/up, whole or as far as --only says; what is there already stays."""
        arguments = ["--cluster", self.name, "--image", image.NAME, "--node-image", self.node_image]
        arguments += ["--config", str(self.config), *(["--only", only] if only else [])]
        command = [str(UP), *arguments]
        result = subprocess.run(
            command, env=self.environment() | self.programs, check=False, text=True, capture_output=True, timeout=600
        )
        print(result.stdout)
        if result.returncode:
            raise RuntimeError(f"examples/kind/up failed:\n{result.stdout}\n{result.stderr}")

    def load(self, name: str, *nodes: str) -> None:
        """Bring an image that Docker has to these nodes, or to all."""
        for node in nodes or (self.control_plane, self.worker):
            command = ["docker", "exec", "-i", node, "ctr", "-n", "k8s.io", "images", "import", "-"]
            with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saved:
                subprocess.run(command, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)

    def remove_image(self, node: str, name: str) -> None:
        """As if the node had never had it."""
        engine.docker("exec", node, "ctr", "-n", "k8s.io", "images", "rm", "--sync", f"docker.io/library/{name}")


def prepare() -> None:
    """Make what takes minutes the first time, and tell of it: pytest keeps to itself what fixtures print."""
    with engine.running():
        _programs()
        image.ensure()
        node_image.ensure()


@contextlib.contextmanager
def running(*mounts: Path) -> Iterator[KindCluster]:
    """Nodes Ready with GPUs and the image of SLO-Guard; nothing else installed yet.

    ``mounts`` are folders of this machine that every node has at the same path, read-only, for hostPath volumes.
    """
    with engine.running(), workspace("kind", _delete) as folder:
        programs = _programs()
        image.ensure()
        cluster = KindCluster(
            folder / "kubeconfig",
            Path(programs["KUBECTL"]),
            name=f"sloguard-{secrets.token_hex(3)}",
            node_image=node_image.ensure(),
            config=_with_mounts(folder / "cluster.yaml", mounts),
            programs=programs,
        )
        (folder / "name").write_text(cluster.name)
        cluster.up(only="cluster")
        yield cluster


def _with_mounts(path: Path, mounts: tuple[Path, ...]) -> Path:
    """The example's configuration with the same mounts added to each node."""
    lines = "".join(f"\n  - {{hostPath: {one}, containerPath: {one}, readOnly: true}}" for one in mounts)
    added = f"\n  extraMounts:{lines}" if mounts else ""
    example = (EXAMPLE / "cluster.yaml").read_text()
    path.write_text(re.sub(r"^- role: .+", rf"\g<0>{added}", example, flags=re.MULTILINE))
    return path


def _delete(folder: Path) -> None:
    """The cluster of a run that ends, or of one that was killed, by the command that people have for it."""
    name = folder / "name"
    if not name.exists():
        return
    environment = os.environ | _programs() | {"KUBECONFIG": str(folder / "kubeconfig")}
    ended = subprocess.run(
        [DOWN, "--cluster", name.read_text()], env=environment, check=False, text=True, capture_output=True
    )
    if ended.returncode:
        say(f"examples/kind/down: {ended.stderr.strip()}")


def _programs() -> dict[str, str]:
    """kind and kubectl of this machine, or compiled."""
    names = ("kind", "kubectl")
    if all(shutil.which(name) for name in names) and engine.answers():
        return {name.upper(): name for name in names}
    folder = binaries.ensure(binaries.KIND)
    return {name.upper(): str(folder / name) for name in names}
