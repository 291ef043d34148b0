"""A package of this release of Debian, unpacked into the cache. Nothing is installed and no service runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.clusters.cache import CACHE, locked, say


class NoPackageError(RuntimeError):
    """It is neither here nor to be had."""


def unpacked(package: str) -> Path:
    """The folder with the package's files, downloaded once for each version."""
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        raise NoPackageError(f"missing: {package} (Debian: {package})")
    with locked(package, f"unpacks {package}"):
        folder = CACHE / f"{package}-{_version(package)}"
        if not folder.exists():
            say(f"downloading Debian's {package} into {folder}, once")
            _unpack(package, folder)
    return folder


def _version(package: str) -> str:
    told = _version_known(package)
    if not told and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        told = _version_known(package)
    if not told:
        raise NoPackageError(f"missing: {package} (Debian: {package}); this machine's apt-get does not know it")
    return told.replace(":", "_").replace("/", "_")


def _version_known(package: str) -> str:
    command = ["apt-cache", "show", "--no-all-versions", package]
    told = subprocess.run(command, check=False, text=True, capture_output=True).stdout
    return next((line.split(" ", 1)[1] for line in told.splitlines() if line.startswith("Version: ")), "")


def _unpack(package: str, folder: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        # apt's own user cannot write here, so root's apt-get would warn about it
        got = subprocess.run(
            ["apt-get", "download", "-q", package], cwd=work, check=False, text=True, capture_output=True
        )
        archive = next(Path(work).glob("*.deb"), None)
        if archive is None:
            raise NoPackageError(f"apt-get download {package} failed:\n{(got.stdout + got.stderr)[-1000:]}")
        subprocess.run(["dpkg-deb", "-x", archive, f"{work}/whole"], check=True)
        # renamed when complete, so that nobody ever sees half of it
        Path(work, "whole").rename(folder)
