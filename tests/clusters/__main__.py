"""Clusters by hand: ``python -m tests.clusters --help``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.clusters import binaries, control_plane, kind, single_node

if TYPE_CHECKING:
    from tests.clusters.handle import Cluster

CLUSTERS = {
    "control-plane": "no nodes, three seconds",
    "single-node": "one node without Docker, nine seconds",
    "kind": "two nodes with fake GPUs, half a minute",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clusters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="compile Kubernetes now, so that no test waits for it")
    build.add_argument("program", nargs="*", default=[*binaries.NODE_IMAGE, "kind"])
    for name, help_text in CLUSTERS.items():
        cluster = commands.add_parser(name, help=f"{help_text}: run a command (a shell) with KUBECONFIG set")
        cluster.add_argument("run", nargs="*", default=[os.environ.get("SHELL", "sh")])
    arguments = parser.parse_args()
    if arguments.command == "build":
        print(binaries.ensure(arguments.program))
        return 0
    with {"control-plane": control_plane, "single-node": single_node, "kind": kind}[
        arguments.command
    ].running() as cluster:
        return _run(cluster, arguments.run)


def _run(cluster: Cluster, command: list[str]) -> int:
    path = f"{cluster.kubectl_program.parent}:{os.environ['PATH']}"
    return subprocess.run(
        [*cluster.prefix, *command], env=cluster.environment() | {"PATH": path}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
