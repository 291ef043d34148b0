"""A small Debian as a folder or a Docker image, where no image can be pulled. Root; needs debootstrap."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from tests.clusters.cache import say

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "bookworm"
# an image has no use for them, and they are a third of it
REMOVED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale")


def bootstrap(folder: Path, packages: list[str], seconds: int) -> None:
    """Install Debian into a new folder. SLOGUARD_DEBIAN_MIRROR names a mirror other than debootstrap's own."""
    say(f"making a Debian {RELEASE} from its packages; about {seconds} s, once")
    begun = time.monotonic()
    mirror = os.environ.get("SLOGUARD_DEBIAN_MIRROR")
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", RELEASE, str(folder)]
    result = subprocess.run([*command, *([mirror] if mirror else [])], check=False, text=True, capture_output=True)
    if result.returncode:
        raise RuntimeError(f"debootstrap failed:\n{(result.stdout + result.stderr)[-3000:]}")
    for name in REMOVED:
        _empty(folder / name)
    say(f"Debian made in {time.monotonic() - begun:.0f} s")


def import_image(folder: Path, name: str) -> None:
    """The folder as a Docker image of one layer."""
    with subprocess.Popen(["tar", "-C", folder, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["docker", "import", "-", name], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL)
    if tar.returncode:
        raise RuntimeError(f"tar of {folder} failed")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
