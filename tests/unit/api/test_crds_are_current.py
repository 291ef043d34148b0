from pathlib import Path

import pytest

from sloguard.api import crd

FOLDER = Path(__file__).parents[3] / "crds"


@pytest.mark.parametrize("name", sorted(crd.files()))
def test_a_file_says_what_the_models_say(name):
    assert (FOLDER / name).read_text() == crd.files()[name], "run: python -m sloguard.api.crd crds/"


def test_nothing_else_is_there():
    assert sorted(path.name for path in FOLDER.glob("*.yaml")) == sorted(crd.files())
