"""A Docker daemon: the one that is there, or one of our own whose images stay in the cache. Root, for the latter."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters import processes
from tests.clusters.cache import CACHE, locked, say, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = CACHE / "engine"
SOCKET = ROOT / "docker.sock"
RUNTIME = Path(__file__).parent / "runc-within-bounds"
MODULES = Path("/lib/modules")  # kind mounts it into every node, and not every machine has it


def docker(*arguments: str | Path, stdin: str | None = None, seconds: float = 600) -> str:
    """Run docker, and return what it printed; its complaint is in the error that it ends with."""
    command = ["docker", *map(str, arguments)]
    # the classic builder: a daemon of 2022 and a client without plugins have no other
    environment = os.environ | ({"DOCKER_BUILDKIT": "0"} if ours() else {})
    result = subprocess.run(
        command, input=stdin, text=True, capture_output=True, timeout=seconds, check=False, env=environment
    )
    if result.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {(result.stderr or result.stdout)[-3000:]}")
    return result.stdout


def answers() -> bool:
    """Whether a daemon is there, ours or another."""
    with contextlib.suppress(FileNotFoundError, RuntimeError):
        docker("info")
        return True
    return False


def ours() -> bool:
    return os.environ.get("DOCKER_HOST") == f"unix://{SOCKET}"


def has_image(name: str) -> bool:
    return bool(docker("images", "--quiet", name).strip())


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Until the end of the block docker, kind and whatever else heeds DOCKER_HOST have a daemon to talk to."""
    if answers():
        yield
        return
    before = os.environ.get("DOCKER_HOST")
    with locked("engine", "uses the Docker daemon of the tests"):
        os.environ["DOCKER_HOST"] = f"unix://{SOCKET}"
        try:
            _up()
            yield
        finally:
            _down()
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before


def _up() -> None:
    ROOT.mkdir(parents=True, exist_ok=True)
    processes.stop(ROOT, "dockerd")  # that of a run that was killed: the lock says that its owner is gone
    if not MODULES.exists():
        MODULES.mkdir()
        (ROOT / "made-lib-modules").touch()
    for tables in ("iptables", "ip6tables"):
        (ROOT / f"forward-{tables}").write_text(_forward_policy(tables))
    (ROOT / "logs").mkdir(exist_ok=True)
    (ROOT / "logs" / "dockerd.log").write_text("")
    daemon = processes.start(ROOT, "dockerd", *_daemon())
    wait_until("Docker daemon", lambda: answers() or not processes.running(daemon), 60)
    if not answers():
        raise RuntimeError(f"dockerd ended:\n{processes.log_tail(ROOT, 'dockerd')}")
    _remove_containers()
    say(f"started a Docker daemon; its images are kept in {ROOT}")


def _daemon() -> list[str]:
    return [
        "dockerd",
        f"--data-root={ROOT}/data",
        f"--exec-root={ROOT}/exec",
        f"--pidfile={ROOT}/dockerd.pid",
        f"--host=unix://{SOCKET}",
        # where the machine withholds a capability even from root, no --privileged container would start without this
        f"--add-runtime=within-bounds={RUNTIME}",
        "--default-runtime=within-bounds",
    ]


def _down() -> None:
    if answers():
        _remove_containers()
    processes.stop(ROOT, "dockerd", patience_seconds=30)
    if not _other_daemon():
        _remove_bridge()
    for group in Path("/sys/fs/cgroup").glob("*/docker"):
        with contextlib.suppress(OSError):
            group.rmdir()
    if (ROOT / "made-lib-modules").exists():
        MODULES.rmdir()
        (ROOT / "made-lib-modules").unlink()
    # dockerd bind-mounts its own data folder
    subprocess.run(["umount", ROOT / "data"], check=False, capture_output=True)


def _remove_containers() -> None:
    containers = docker("ps", "--all", "--quiet").split()
    if containers:
        docker("rm", "--force", "--volumes", *containers)
    docker("network", "prune", "--force")


def _other_daemon() -> bool:
    """Whether somebody else's dockerd runs, whose rules must stay."""
    names = (path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm") if path.exists())
    return "dockerd" in names


def _remove_bridge() -> None:
    """What dockerd leaves behind even when it ends in good order."""
    subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)
    for tables in ("iptables", "ip6tables"):
        for table in ("filter", "nat"):
            _remove_rules(tables, table)
        policy = ROOT / f"forward-{tables}"
        if policy.exists() and policy.read_text():
            _iptables(tables, "-P", "FORWARD", policy.read_text())


def _remove_rules(tables: str, table: str) -> None:
    rules = [shlex.split(line) for line in _iptables(tables, "-t", table, "-S").splitlines()]
    for action, *rest in rules:
        if action == "-A" and any("DOCKER" in word or word == "docker0" for word in rest):
            _iptables(tables, "-t", table, "-D", *rest)
    for action, *rest in rules:
        if action == "-N" and rest[0].startswith("DOCKER"):
            _iptables(tables, "-t", table, "-X", *rest)


def _forward_policy(tables: str) -> str:
    first = _iptables(tables, "-S", "FORWARD").splitlines()[:1]
    return first[0].split()[-1] if first else ""


def _iptables(tables: str, *arguments: str) -> str:
    """Its output; nothing where this kernel lacks the table."""
    return subprocess.run([tables, "-w", *arguments], check=False, text=True, capture_output=True).stdout
