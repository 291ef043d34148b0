"""The cluster package asks clock.py for the time: what asked anybody else would live in another time when simulated."""

import re
from pathlib import Path

import pytest

from sloguard.cluster import clock

PACKAGE = Path(clock.__file__).parent
MODULES = sorted(set(PACKAGE.rglob("*.py")) - {Path(clock.__file__)})


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_other_module_reads_a_clock(module):
    asked = re.findall(r"\b(?:datetime\.(?:utc)?now|time\.(?:time|monotonic|perf_counter))\b", module.read_text())
    assert not asked, f"use sloguard.cluster.clock instead of {asked}"
