"""What a tier needs of the machine: installed where this is Debian and root, named plainly where it is not."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

# program or library -> Debian package; one that is there is not asked where it comes from
API_SERVER = {"openssl": "openssl", "git": "git", "nginx": "nginx-light", "fcgiwrap": "fcgiwrap"}
ENGINE = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ip": "iproute2",
    "busybox": "busybox-static",
}
SINGLE_NODE = {
    "openssl": "openssl",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "conntrack": "conntrack",
    "socat": "socat",
    "busybox": "busybox-static",
}
GIT_SERVERS = {
    "git": "git",
    "nginx": "nginx-light",
    "fcgiwrap": "fcgiwrap",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
}
VLLM = {"libnuma.so.1": "libnuma1", "libgomp.so.1": "libgomp1"}


class MissingError(Exception):
    """Something that cannot be installed from here, in words for the person who can."""


def require(programs: dict[str, str]) -> None:
    missing = {program: package for program, package in programs.items() if not _found(program)}
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        _install(sorted(set(missing.values())))
        missing = {program: package for program, package in missing.items() if not _found(program)}
    if missing:
        listed = ", ".join(f"{program} (Debian: {package})" for program, package in sorted(missing.items()))
        raise MissingError(f"missing: {listed}")


def require_go() -> None:
    if not _found("go"):
        raise MissingError("missing: Go 1.24 or later, to compile Kubernetes")


def require_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise MissingError(f"root is needed {purpose}")


def require_memory(gigabytes: int, purpose: str) -> None:
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(meminfo["MemAvailable"].split()[0]) / 1e6
    if available < gigabytes:
        raise MissingError(f"{gigabytes} GB of memory are needed {purpose}, {available:.0f} GB are available")


def _found(program: str) -> bool:
    if ".so." in program:
        return _library_found(program)
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin") is not None


def _library_found(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _install(packages: list[str]) -> None:
    print(f"tests/run: installing Debian packages: {' '.join(packages)}", flush=True)
    # RUNLEVEL=1: no package starts a service of its own, the tests start what they use and end it
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        result = subprocess.run(["apt-get", *command], check=False, env=environment, text=True, capture_output=True)
        if result.returncode:
            raise MissingError(f"apt-get {' '.join(command)} failed:\n{(result.stdout + result.stderr)[-2000:]}")
