"""`sloguard tune`: one study on this machine, from first trial to recommendation."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from sloguard.api.v1alpha1 import ConditionStatus, PromotionMode, Study, StudyPhase, StudyStatus
from sloguard.engine.actions import Plan
from sloguard.engine.plan import plan
from sloguard.local.records import RunDirectory
from sloguard.local.substrate import LocalSubstrate

POLL_SECONDS = 0.2

Watcher = Callable[[RunDirectory, Plan], None]


def tune(study: Study, directory: Path, watch: Watcher) -> RunDirectory:
    """Run the study to its end, or until it can go no further; `watch` is told of every plan that was executed.

    Raises:
        RunDirectoryError: the directory holds another study's results.
        KeyboardInterrupt: stopped by the user; everything was ended, and the same call resumes.

    """
    run = RunDirectory.create(directory, _promoting_nothing(study))
    interrupted = asyncio.run(_tune(run, watch))
    if interrupted:
        raise KeyboardInterrupt
    return run


async def _tune(run: RunDirectory, watch: Watcher) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession() as session:
        substrate = LocalSubstrate(run, session)
        try:
            while not stop.is_set():
                planned = plan(await substrate.gather(), datetime.now(UTC))
                await substrate.execute(planned)
                watch(run, planned)
                if _ended(planned.status):
                    return False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), min(planned.wake_after_seconds, POLL_SECONDS))
        finally:
            await substrate.stop()
    return True


def _promoting_nothing(study: Study) -> Study:
    """On one machine nobody else's production is at stake: the recommendation is the result."""
    promotion = study.spec.promotion.model_copy(update={"mode": PromotionMode.OFF})
    return study.model_copy(update={"spec": study.spec.model_copy(update={"promotion": promotion})})


def _ended(status: StudyStatus) -> bool:
    stalled = any(c.type == "Stalled" and c.status is ConditionStatus.TRUE for c in status.conditions)
    return stalled or status.phase in {StudyPhase.COMPLETED, StudyPhase.FAILED, StudyPhase.SUSPENDED}
