"""Operators that start in no time: one process imports everything and forks an operator for each order.

Run as a program it reads orders, one JSON object a line, and answers each with one line.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


class Nursery:
    """The other end of it. Each operator is a process of its own, which can be killed as any other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, kubeconfig: Path, log: Path, *options: str) -> int:
        """Its pid. What it says is appended to `log`."""
        return self._order(kubeconfig=str(kubeconfig), log=str(log), options=options)

    def wait(self, pid: int) -> int:
        """Until it has ended: its exit code, or the negative number of the signal that ended it."""
        return self._order(wait=pid)

    def close(self) -> None:
        """Its operators end with it."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def _order(self, **order: object) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return int(stdout.readline())


def main() -> None:
    from kubernetes.aio.config import kube_config

    from sloguard.cluster.command import operator
    from tests.clusters.processes import PR_SET_PDEATHSIG, libc

    # The answers' own descriptor: an operator must not write there.
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
            continue
        pid = os.fork()
        if pid:
            print(pid, file=answers, flush=True)
            continue
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Read once, when it was imported.
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"] = order["kubeconfig"]
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        operator.main(order["options"])  # leaves with its exit code


if __name__ == "__main__":
    main()
