"""Kubernetes' programs, compiled from the modules that ``go/*/go.mod`` and ``go.sum`` pin."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters.cache import CACHE, digest, locked, say

if TYPE_CHECKING:
    from collections.abc import Iterable

MODULES = Path(__file__).parent / "go"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
SINGLE_NODE = (*CONTROL_PLANE, "kube-scheduler", "kubelet", "kube-proxy", "coredns")
NODE_IMAGE = (*SINGLE_NODE, "kubeadm")
KIND = ("kind", "kubectl")

# Seconds on two cores with nothing compiled yet; a program's neighbours make it cheaper. Only for telling people.
USUAL_SECONDS = {
    "kube-apiserver": 262,
    "kube-controller-manager": 102,
    "kubectl": 44,
    "kubelet": 37,
    "etcd": 47,
    "kube-proxy": 20,
    "kube-scheduler": 9,
    "kubeadm": 23,
    "coredns": 230,
    "kind": 17,
}


@functools.cache
def folder() -> Path:
    """Where the programs of exactly these versions are."""
    files = [path for name in ("go.mod", "go.sum") for path in sorted(MODULES.glob(f"*/{name}"))]
    return CACHE / f"bin-{kubernetes_version()}-{digest(*files)}"


@functools.cache
def kubernetes_version() -> str:
    found = re.search(r"^require k8s\.io/kubernetes v(\S+)", (MODULES / "kubernetes/go.mod").read_text(), re.MULTILINE)
    assert found
    return found[1]


def ensure(names: Iterable[str]) -> Path:
    """The folder that holds these programs, compiled now if they are not there yet."""
    if all((folder() / name).exists() for name in names):
        return folder()
    with locked("build", "compiles Kubernetes"):
        missing = [name for name in names if not (folder() / name).exists()]
        if missing:
            _build(missing)
    return folder()


def _build(names: list[str]) -> None:
    _require_go()
    minutes = sum(USUAL_SECONDS[name] for name in names) / 60
    say(f"compiling {', '.join(names)} into {folder()}; about {minutes:.0f} min with an empty Go cache, once")
    folder().mkdir(parents=True, exist_ok=True)
    for module in sorted(MODULES.iterdir()):
        packages = {name: path for name, path in _tools(module).items() if name in names}
        if packages:
            _compile(module, packages)


def _compile(module: Path, packages: dict[str, str]) -> None:
    """One by one, so that a person who waits sees what is done; Go shares what they have in common."""
    for name, package in packages.items():
        compile_program(module, package, folder() / name, _version_flags())


def compile_program(module: Path, package: str, target: Path, linker_flags: str = "-s -w") -> None:
    """A program of a Go module, as its go.mod and go.sum pin it."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=target.parent) as output:
        subprocess.run(
            ["go", "build", "-ldflags", linker_flags, "-o", f"{output}/{target.name}", package],
            cwd=module,
            env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath"},
            check=True,
        )
        # renamed when complete, so that nobody ever sees half of one
        Path(output, target.name).rename(target)
    say(f"built {target.name} in {time.monotonic() - begun:.0f} s")


def _version_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.split(".")
    variable = "-X k8s.io/component-base/version.git"
    return f"-s -w {variable}Version=v{version} {variable}Major={major} {variable}Minor={minor}"


def _tools(module: Path) -> dict[str, str]:
    """What a go.mod lists as tools, by the name of the program."""
    edit = subprocess.run(["go", "mod", "edit", "-json"], cwd=module, check=True, text=True, capture_output=True)
    paths = [tool["Path"] for tool in json.loads(edit.stdout)["Tool"]]
    return {_program(path): path for path in paths}


def _program(package: str) -> str:
    return {"go.etcd.io/etcd/server/v3": "etcd"}.get(package, package.rsplit("/", 1)[1])


def _require_go() -> None:
    if shutil.which("go") is None:
        raise SystemExit("tests/clusters: Go 1.24 or later is needed to compile Kubernetes; none is on PATH")
