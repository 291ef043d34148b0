"""SLO-Guard's own image, `sloguard:test`, also where neither an image nor a package can be pulled during a build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tests.clusters import debian, engine
from tests.clusters.cache import CACHE, digest, locked, say

ROOT = Path(__file__).resolve().parents[2]
NAME = "sloguard:test"
PUBLISHED_BASE = "python:3.12-slim-bookworm"
LOCAL_BASE = "sloguard-base:bookworm"
BASE_PACKAGES = ["ca-certificates", "python3", "python3-venv"]
SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "operator")
BASE_PYTHON = "3.11"  # of LOCAL_BASE, whatever Python runs here


def ensure() -> str:
    """The image's name, built now if any of its sources changed. Its second tag names their content."""
    tag = f"sloguard:{digest(*(ROOT / name for name in SOURCES))}"
    with locked("image", "builds the image"):
        if not engine.has_image(tag):
            _build(tag)
        engine.docker("tag", tag, NAME)
        _remove_older(tag)
    return NAME


def _build(tag: str) -> None:
    say(f"building {NAME}; about a minute when pyproject.toml changed, else a few seconds")
    begun = time.monotonic()
    base = _base()
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        _copy_sources(context)
        network: tuple[str, ...] = ()
        if base == LOCAL_BASE:
            shutil.copytree(wheels(), context / "build/wheels", copy_function=_link)
            network = ("--network", "none")
        engine.docker("build", "--quiet", *network, "--build-arg", f"BASE={base}", "--tag", tag, context)
    say(f"image built in {time.monotonic() - begun:.0f} s")


def _remove_older(tag: str) -> None:
    """Images of earlier sources: a cache that only grows fills the disk."""
    tags = engine.docker("images", "sloguard", "--format", "{{.Repository}}:{{.Tag}}").split()
    for old in set(tags) - {tag, NAME}:
        if re.fullmatch(r"sloguard:[0-9a-f]{12}", old):
            engine.docker("rmi", old)
    if engine.ours():
        engine.docker("image", "prune", "--force", "--filter", "until=168h")


def _base() -> str:
    """The published base where the daemon is the machine's own, which can pull it; else one made from packages."""
    if engine.has_image(LOCAL_BASE):
        return LOCAL_BASE
    if not engine.ours() and _pull(PUBLISHED_BASE):
        return PUBLISHED_BASE
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        debian.bootstrap(Path(folder, "base"), BASE_PACKAGES, 40)
        debian.import_image(Path(folder, "base"), LOCAL_BASE)
    return LOCAL_BASE


def _pull(name: str) -> bool:
    return subprocess.run(["docker", "pull", "--quiet", name], check=False).returncode == 0


def _copy_sources(context: Path) -> None:
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, context / name)


def _link(source: str, target: str) -> None:
    """A wheel is read only: another name for it is as good as a copy, and costs nothing."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy(source, target)


def wheels() -> Path:
    """A folder of every package that the image needs, downloaded once for each pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    folder = CACHE / f"wheels-{digest(*wanted, BASE_PYTHON)}"
    with locked("wheels", "downloads Python packages"):
        if not folder.exists():
            _download(wanted, folder)
    return folder


def _download(wanted: list[str], folder: Path) -> None:
    say(f"downloading Python packages into {folder}; about 20 s")
    # two generations of the name for "any Linux": packages use the one or the other
    platforms = [f"--platform=manylinux{version}_x86_64" for version in ("_2_28", "_2_27", "_2_17", "2014")]
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        target = ["--only-binary=:all:", f"--python-version={BASE_PYTHON}", *platforms, f"--dest={partial}/wheels"]
        subprocess.run([*command, *target, *wanted], check=True)
        Path(partial, "wheels").rename(folder)
