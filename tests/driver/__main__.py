"""``python -m tests.driver REPORT TIER... [--gives-way]``: what tests/run starts beside its other tiers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from tests.clusters import vllm_cpu
from tests.driver import environment, tiers
from tests.driver.beside import GIVES_WAY
from tests.gitserver import gitea

POLITE = 10
"""The others have a processor when they want one, and tests that look at the time are not starved."""


def main(report: str, names: list[str], *, gives_way: bool) -> int:
    if gives_way:
        _give_way()
    signal.signal(signal.SIGTERM, tiers.interrupt)
    programs = environment.ensure()
    try:
        results = [tiers.run(name, programs, [], optional=True) for name in names]
        Path(report).write_text(json.dumps([asdict(result) for result in results]))
        if gives_way:
            _build_ahead()
    except KeyboardInterrupt:
        return 130
    return 0


def _build_ahead() -> None:
    """What takes longest to make of what is needed last. Where it cannot be, the tier that needs it says so."""
    for ensure in (gitea.ensure, vllm_cpu.ensure):
        with contextlib.suppress(Exception, SystemExit):
            ensure()


def _give_way() -> None:
    """To all other sessions as well, which Linux weighs against each other first (sched(7), autogroup)."""
    os.nice(POLITE)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(POLITE))


if __name__ == "__main__":
    tier_names = [argument for argument in sys.argv[2:] if argument != GIVES_WAY]
    sys.exit(main(sys.argv[1], tier_names, gives_way=GIVES_WAY in sys.argv))
