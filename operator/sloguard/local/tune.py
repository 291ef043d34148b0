"""`sloguard tune`: one study on this machine, from first trial to recommendation."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from sloguard.api.v1alpha1 import ConditionStatus, PromotionMode, Study, StudyPhase, StudyStatus
from sloguard.domain.ledger import Ledger
from sloguard.engine.actions import Plan
from sloguard.engine.plan import plan
from sloguard.local.command_line import child_environment
from sloguard.local.directory import RunDirectory
from sloguard.local.interrupted import begun, cancelled
from sloguard.local.knowledge import Legacy, begin_with
from sloguard.local.process import Family
from sloguard.local.records import Run
from sloguard.local.setup import setup_of
from sloguard.local.substrate import LocalSubstrate

POLL_SECONDS = 0.2
MOST_ASLEEP_SECONDS = 60.0
"""While nothing runs and a window is waited for: the machine itself may have slept meanwhile."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Watcher = Callable[[Run, Plan], None]


@dataclass(slots=True)
class Interruption:
    """The user's wish to stop: once for an orderly end, twice for an end at once."""

    wished: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    number: signal.Signals | None = None
    told: Callable[[], None] = lambda: None

    def receive(self, number: signal.Signals) -> None:
        if self.wished.is_set():
            self.hurry.set()
            return
        self.number = number
        self.wished.set()
        self.told()

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """What is ignored stays ignored: nohup, and a shell's background jobs."""
        loop = asyncio.get_running_loop()
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in heeded:
            loop.add_signal_handler(number, self.receive, number)
        try:
            yield
        finally:
            for number in heeded:
                loop.remove_signal_handler(number)
                if self.wished.is_set():
                    # Everything is ended already; one more wish must not cut off what is still to be said.
                    signal.signal(number, signal.SIG_IGN)


@dataclass(frozen=True, slots=True)
class Ending:
    """What there is when `tune` returns; `interrupted` is the signal that ended it early."""

    run: Run
    interrupted: signal.Signals | None = None


def tune(
    study: Study,
    directory: Path,
    watch: Watcher,
    on_interrupt: Callable[[], None] = lambda: None,
    ledger_file: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Ending:
    """Run the study to its end, or until it can go no further; `watch` is told of every plan that was executed.

    It begins with what earlier studies left in `ledger_file` and leaves there what its trials teach; `note` is told of
    that. After SIGINT, SIGTERM or SIGHUP everything is ended, and the same call resumes.

    Raises:
        LocalError: the directory or the machine does not allow it; the same call resumes once that is mended.

    """
    with RunDirectory(directory, _promoting_nothing(study)) as opened:
        command = study.spec.target.command or []
        ledger = begin_with(directory, opened.run, ledger_file, lambda: setup_of(command, child_environment()), note)
        if ledger_file is not None:
            watch = _leaving(Legacy.of(ledger_file, opened.run, ledger.setup, opened.log, note), watch)
        interrupted = asyncio.run(_tune(opened, ledger, watch, on_interrupt))
        return Ending(opened.run, interrupted)


def _leaving(legacy: Legacy, watch: Watcher) -> Watcher:
    def leave(run: Run, planned: Plan) -> None:
        watch(run, planned)
        legacy.leave(run)

    return leave


async def _tune(
    directory: RunDirectory, ledger: Ledger, watch: Watcher, on_interrupt: Callable[[], None]
) -> signal.Signals | None:
    interruption = Interruption(told=on_interrupt)
    with interruption.listening(), Family() as family:
        _end_interrupted(directory)
        async with aiohttp.ClientSession() as session:
            substrate = LocalSubstrate(directory, session, family, interruption.hurry, ledger)
            try:
                await _until_done(substrate, watch, interruption.wished)
            finally:
                await substrate.stop()
        if interruption.wished.is_set():
            _end_running(directory)
    return interruption.number


async def _until_done(substrate: LocalSubstrate, watch: Watcher, stop: asyncio.Event) -> None:
    while not stop.is_set():
        planned = plan(substrate.gather(), datetime.now(UTC))
        await substrate.execute(planned)
        watch(substrate.directory.run, planned)
        if is_over(planned.status):
            return
        with contextlib.suppress(TimeoutError):
            most = POLL_SECONDS if substrate.running else MOST_ASLEEP_SECONDS
            await asyncio.wait_for(stop.wait(), min(planned.wake_after_seconds, most))


def _end_interrupted(directory: RunDirectory) -> None:
    """What a killed `sloguard tune` left unfinished; its server died with it, and last wrote to its log before."""
    for trial in [t for t in directory.run.trials.values() if begun(t)]:
        now = datetime.now(UTC)
        seen = trial.status.load_started_at or trial.status.started_at or now
        with contextlib.suppress(OSError):
            seen = max(seen, datetime.fromtimestamp(directory.log(trial.name).stat().st_mtime, UTC))
        # A clock that was set back must not put the end into the future.
        directory.write_trial(cancelled(trial, min(seen, now), "sloguard was killed meanwhile"))


def _end_running(directory: RunDirectory) -> None:
    for trial in [t for t in directory.run.trials.values() if begun(t)]:
        directory.write_trial(cancelled(trial, datetime.now(UTC), "interrupted"))


def _promoting_nothing(study: Study) -> Study:
    """On one machine nobody else's production is at stake: the recommendation is the result."""
    promotion = study.spec.promotion.model_copy(update={"mode": PromotionMode.OFF, "approved_trial": ""})
    return study.model_copy(update={"spec": study.spec.model_copy(update={"promotion": promotion})})


def is_over(status: StudyStatus) -> bool:
    """Nothing more happens without a person."""
    stalled = any(c.type == "Stalled" and c.status is ConditionStatus.TRUE for c in status.conditions)
    return stalled or status.phase in {StudyPhase.COMPLETED, StudyPhase.FAILED, StudyPhase.SUSPENDED}
