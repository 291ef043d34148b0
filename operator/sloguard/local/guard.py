"""Ends the servers of a run whose `sloguard tune` was killed. A program of its own that needs nothing but Python.

It reads process groups from its standard input, `+123` for one that now runs and `-123` for one that is gone. The end
of the input means that `sloguard tune` is gone, however it went: then what still runs is killed. The kernel kills the
direct children by itself (PR_SET_PDEATHSIG), but not theirs, and it is those that hold the GPU.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line.startswith("+") else groups.discard
        # Without its end of line it was cut short, and so is the number.
        if line.endswith("\n"):
            change(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
