"""Children start in a group of their own, are drained, and go with everything that they started."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from sloguard.local.errors import CommandError
from sloguard.local.process import Child, Family, members

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "engine"])
    print("up", flush=True)
time.sleep(600)
"""

LEAVES_AN_ENGINE = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
"""

OWNER = """
import asyncio, sys, time
from pathlib import Path
from sloguard.local.process import Family
async def main():
    with Family() as family:
        log = Path(sys.argv[2])
        child = await family.start([sys.executable, sys.argv[1]], log.open("wb"), {})
        print(child.process.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture
def hurry() -> asyncio.Event:
    return asyncio.Event()


async def started(family: Family, tmp_path: Path, program: str) -> tuple[Child, Path]:
    script, log = tmp_path / "program.py", tmp_path / "log"
    script.write_text(program)
    child = await family.start([sys.executable, str(script)], log.open("wb"), dict(os.environ))
    until_up(log)
    return child, log


def until_up(log: Path) -> None:
    deadline = time.monotonic() + 10
    while not (log.exists() and "up" in log.read_text()):
        assert time.monotonic() < deadline, "the program did not come up"
        time.sleep(0.02)


async def test_exit_codes_and_signals(tmp_path: Path, hurry: asyncio.Event):
    with Family() as family:
        for program, expected in (("exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)):
            child = await family.start([sys.executable, "-c", program], (tmp_path / "log").open("wb"), {})
            await child.process.wait()
            assert child.ended == expected
            await child.stop(hurry)


async def test_much_output_does_not_hold_up(tmp_path: Path, hurry: asyncio.Event):
    """Into a pipe that nobody reads, the seed's server hung for ever after 64 KiB."""
    program = "import sys; sys.stderr.write('x' * 5_000_000); sys.stdout.write('y' * 5_000_000)"
    with Family() as family:
        child = await family.start([sys.executable, "-c", program], (tmp_path / "log").open("wb"), {})
        assert await asyncio.wait_for(child.process.wait(), 20) == 0
        await child.stop(hurry)
    assert (tmp_path / "log").stat().st_size == 10_000_000


async def test_stop_takes_the_whole_group(tmp_path: Path, hurry: asyncio.Event):
    """`hurry`: both ignore SIGTERM, and nobody wants to wait for them."""
    with Family() as family:
        child, _ = await started(family, tmp_path, STUBBORN)
        group = child.process.pid
        assert len(list(members(group))) == 2
        hurry.set()
        await child.stop(hurry)
        assert list(members(group)) == []
        assert child.ended == -signal.SIGKILL


async def test_stop_takes_what_an_ended_leader_left(tmp_path: Path, hurry: asyncio.Event):
    with Family() as family:
        child, _ = await started(family, tmp_path, LEAVES_AN_ENGINE)
        await child.process.wait()
        assert len(list(members(child.process.pid))) == 1
        await child.stop(hurry)
        assert list(members(child.process.pid)) == []


async def test_a_server_may_leave_by_itself(tmp_path: Path, hurry: asyncio.Event):
    program = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('up', flush=True)\n"
    )
    with Family() as family:
        child, _ = await started(family, tmp_path, program + "time.sleep(600)")
        await child.stop(hurry)
        assert child.ended == 7


def test_sigkill_of_the_owner_takes_everything(tmp_path: Path):
    """The kernel kills the server itself; the guard kills the engine, which ignores everything else."""
    (tmp_path / "owner.py").write_text(OWNER)
    (tmp_path / "server.py").write_text(STUBBORN)
    command = [sys.executable, str(tmp_path / "owner.py"), str(tmp_path / "server.py"), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        group = int(owner.stdout.readline())
        until_up(tmp_path / "log")
        assert len(list(members(group))) == 2
        owner.kill()
    wait_until_gone([group])


def wait_until_gone(groups: Iterable[int]) -> None:
    deadline = time.monotonic() + 10
    while any(list(members(group)) for group in groups):
        assert time.monotonic() < deadline, "processes were left behind"
        time.sleep(0.02)


async def test_program_that_cannot_start(tmp_path: Path):
    (tmp_path / "no-interpreter").write_text("#!/not/there\n")
    (tmp_path / "no-interpreter").chmod(0o755)
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    (tmp_path / "no-format").write_bytes(b"\x00\x01\x02")
    (tmp_path / "no-format").chmod(0o755)
    expected = {
        "missing": "does not exist",
        "no-interpreter": "the interpreter that its first line names, does not exist",
        "not-executable": "Permission denied",
        "no-format": "Exec format error",
    }
    with Family() as family:
        for name, said in expected.items():
            with pytest.raises(CommandError, match=said):
                await family.start([str(tmp_path / name)], (tmp_path / "log").open("wb"), {})


async def test_guard_that_was_killed_is_no_reason_to_stop(tmp_path: Path, hurry: asyncio.Event):
    with Family() as family:
        family._guard.kill()
        family._guard.wait()
        child = await family.start([sys.executable, "-c", ""], (tmp_path / "log").open("wb"), {})
        await child.process.wait()
        await child.stop(hurry)
        assert child.ended == 0
