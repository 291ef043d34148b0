"""The corpus: shapes in which vLLM is deployed. Each file's first line says how it is edited and what it sets."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sloguard.gitops.find import Wanted, in_kustomize, in_manifest, in_values

FOLDER = Path(__file__).parent / "corpus"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))


@dataclass(frozen=True)
class Shape:
    text: str
    find: partial
    sets: dict


def shape(name):
    text = (FOLDER / name).read_bytes().decode()
    how, path, sets = re.match(r"# (\w+) ?(.*); sets ?(.*)", text).groups()
    find = {
        "manifest": partial(in_manifest, wanted=Wanted()),
        "kustomize": partial(in_kustomize, wanted=Wanted()),
        "values": partial(in_values, path=path, wanted=Wanted()),
    }[how]
    return Shape(text, find, dict(pair.split("=") for pair in sets.split()))
