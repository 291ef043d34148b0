"""``python -m tests.driver REPORT TIER...``: what tests/run starts beside its other tiers."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from tests.driver import environment, tiers

POLITE = 19


def main(report: str, names: list[str]) -> int:
    os.nice(POLITE)
    signal.signal(signal.SIGTERM, tiers.interrupt)
    programs = environment.ensure()
    try:
        results = [tiers.run(name, programs, [], optional=True) for name in names]
    except KeyboardInterrupt:
        return 130
    Path(report).write_text(json.dumps([asdict(result) for result in results]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
