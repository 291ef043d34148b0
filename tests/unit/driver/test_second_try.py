"""In CI a test with real programs has a second try, which the result tells of."""

import sys
from pathlib import Path

import pytest

from tests.driver import tiers
from tests.driver.tiers import MOST_UNSTEADY_FILES, Result, Tier

UNSTEADY = """
from pathlib import Path
def test_steady(): pass
def test_unsteady():
    tries = Path(__file__).with_suffix(".tries")
    before = tries.read_text() if tries.exists() else ""
    tries.write_text(before + "x")
    assert before
"""
BROKEN = "def test_broken(): assert False\n"


@pytest.fixture
def ran(tmp_path, monkeypatch):
    def run(*files, ci="true", second_try=True):
        monkeypatch.setenv("CI", ci)
        for number, text in enumerate(files):
            (tmp_path / f"test_{number}.py").write_text(text)
        result = Result("t")
        tiers._pytest(Tier((str(tmp_path),), second_try=second_try), Path(sys.executable).parent, [], result)
        return result.passed, result.failed, result.unsteady, result.problem

    return run


def test_what_passes_then_counts_as_passed_and_as_unsteady(ran):
    assert ran(UNSTEADY) == (2, 0, 1, "")


def test_what_fails_twice_has_failed(ran):
    assert ran(UNSTEADY, BROKEN) == (2, 1, 1, "")


@pytest.mark.parametrize("how", [{"ci": ""}, {"second_try": False}])
def test_without_ci_and_in_other_tiers_there_is_none(ran, how):
    assert ran(UNSTEADY, **how) == (1, 1, 0, "")


def test_where_much_fails_it_is_not_chance(ran):
    assert ran(*[UNSTEADY] * (MOST_UNSTEADY_FILES + 1)) == (4, 4, 0, "")
