"""The image of kind's nodes: the published one where it can be pulled, else made from Debian and our binaries."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.clusters import archive, binaries, debian, engine
from tests.clusters.cache import CACHE, digest, say

SOURCES = Path(__file__).parent / "node_image"
PUBLISHED = f"kindest/node:v{binaries.kubernetes_version()}"
AGENT = "localhost/pod-network:1"
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "containerd", "runc", "containernetworking-plugins", "iptables", "iproute2"),
    *("conntrack", "socat", "kmod", "procps", "util-linux", "mount", "ca-certificates", "busybox-static"),
]
IPTABLES = [f"{program}{suffix}" for program in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")]


def ensure() -> str:
    """The name of an image that the running daemon has."""
    name = f"sloguard-node:v{binaries.kubernetes_version()}-{_key()}"
    for candidate in (PUBLISHED, name):
        if engine.has_image(candidate):
            return candidate
    if not engine.ours() and _pull(PUBLISHED):
        return PUBLISHED
    _build(name)
    return name


def _key() -> str:
    """Of all that the image is made from, but not of the code here: a new comment must not cost a new image."""
    return digest(SOURCES, binaries.folder().name, *PACKAGES)


def _pull(name: str) -> bool:
    say(f"pulling {name}")
    return subprocess.run(["docker", "pull", "--quiet", name], check=False).returncode == 0


def _build(name: str) -> None:
    programs = binaries.ensure(binaries.NODE_IMAGE)
    say(f"building the node image {name}; about 90 s, once")
    begun = time.monotonic()
    # not in /tmp, which may be too small, or forbid the devices that debootstrap makes
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        base, context = Path(folder, "base"), Path(folder, "context")
        debian.bootstrap(base, PACKAGES, 60)
        debian.import_image(base, "sloguard-node-base:local")
        pause = _fill(context, programs, base)
        arguments = ("--build-arg", "BASE=sloguard-node-base:local", "--build-arg", f"PAUSE={pause}")
        engine.docker("build", "--quiet", "--network", "none", *arguments, "--tag", name, context)
    engine.docker("image", "prune", "--force", "--filter", "label=kind-node=preload")
    say(f"node image built in {time.monotonic() - begun:.0f} s")


def _fill(context: Path, programs: Path, base: Path) -> str:
    """Write the build context; return the name of the pause image."""
    shutil.copytree(SOURCES, context)
    (context / "bin").mkdir()
    (context / "images").mkdir()
    for program in ("kubelet", "kubeadm", "kubectl"):
        shutil.copy(programs / program, context / "bin")
    (context / "images" / "version").write_text(f"v{binaries.kubernetes_version()}")
    names = _expected_images(programs)
    for name in [*names, AGENT]:
        files, entrypoint = _content(name, programs, base)
        archive.write(context / "images" / f"{_short(name)}.tar", name, files, entrypoint)
    return next(name for name in names if _short(name) == "pause")


def _expected_images(programs: Path) -> list[str]:
    """The names under which kubeadm looks for the control plane, whatever versions are inside."""
    version = f"--kubernetes-version=v{binaries.kubernetes_version()}"
    command = [programs / "kubeadm", "config", "images", "list", version]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.split()


def _short(name: str) -> str:
    return name.rsplit("/", 1)[1].split(":", maxsplit=1)[0]


def _content(name: str, programs: Path, base: Path) -> tuple[archive.Files, list[str]]:
    short = _short(name)
    busybox: archive.Files = {"/busybox": base / "usr/bin/busybox"}
    if short == "pause":
        return busybox, ["/busybox", "sleep", "2147483647"]
    if name == AGENT:
        return busybox, ["/busybox", "sh"]
    if short == "coredns":
        return {"/coredns": programs / short}, ["/coredns"]
    files: archive.Files = {f"/usr/local/bin/{short}": programs / short}
    if short == "kube-proxy":
        files |= _iptables(base)
    return files, [short]


def _iptables(base: Path) -> archive.Files:
    """The nft flavour of iptables: program, extensions, and every library that they are linked with."""
    program = "/usr/sbin/xtables-nft-multi"
    extensions = sorted("/" + str(path.relative_to(base)) for path in base.glob("usr/lib/*/xtables/*.so"))
    files: archive.Files = {f"/{folder}": f"usr/{folder}" for folder in ("bin", "sbin", "lib", "lib64")}
    for path in [program, *extensions, *_libraries(base, [program, *extensions])]:
        usr = path if path.startswith("/usr/") else "/usr" + path
        files[usr] = _resolved(base, usr)
    return files | {f"/usr/sbin/{name}": "xtables-nft-multi" for name in IPTABLES}


def _libraries(base: Path, programs: list[str]) -> list[str]:
    linked = subprocess.run(["chroot", base, "ldd", *programs], check=False, text=True, capture_output=True).stdout
    return sorted({word for word in linked.split() if word.startswith("/") and not word.endswith(":")})


def _resolved(base: Path, path: str) -> Path:
    """The file that a path means to a process whose root is ``base``, through any symbolic links."""
    command = ["chroot", base, "readlink", "-f", path]
    return base / subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip().lstrip("/")
