"""One reconcile per study: gather (I/O), plan (pure), execute (idempotent); again when something may have changed."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, replace

import aiohttp
from pydantic import ValidationError

from sloguard.api.v1alpha1 import StudyPhase, StudyStatus
from sloguard.cluster import clock
from sloguard.cluster.api import STUDIES, Api, NotLeadingError, RefusedError, UnreachableNodeError
from sloguard.cluster.disruption import undisturbed
from sloguard.cluster.execute import NameTakenError, Settings, execute
from sloguard.cluster.gather import Gathered, StudyUnreadableError, gather
from sloguard.cluster.history import tidy
from sloguard.cluster.objects import Object, section
from sloguard.cluster.parsed import Parsed
from sloguard.cluster.per_pod import Key
from sloguard.cluster.recorded import with_recorded
from sloguard.cluster.records import ForeignArgumentsError
from sloguard.cluster.room_view import RoomView
from sloguard.cluster.sources import NO_SOURCES, Sources
from sloguard.cluster.unreadable import end_unreadable_trials, gather_unreadable
from sloguard.domain.text import readable
from sloguard.engine.actions import Plan
from sloguard.engine.conditions import with_condition
from sloguard.engine.known import IDLE_SECONDS
from sloguard.engine.plan import plan, stand_still
from sloguard.engine.snapshot import TargetProblem

logger = logging.getLogger("sloguard.reconcile")

SETTLE_SECONDS = 0.2
"""Watch events come in bursts; one reconcile answers them all."""

LEAST_PAUSE_SECONDS = 0.05
FIRST_BACK_OFF_SECONDS = 1.0
MOST_BACK_OFF_SECONDS = 60.0
MOST_AT_ONCE = 8

REST_SECONDS = {StudyPhase.COMPLETED: 300.0, StudyPhase.FAILED: 300.0, StudyPhase.AWAITING_APPROVAL: 60.0}
"""Between two looks at a study that nothing is owed to. A change of the study itself is answered at once."""


@dataclass(slots=True)
class Reconciler:
    """Wakes studies and reconciles them; holds nothing that a restart would miss, but for what its sources follow."""

    api: Api
    settings: Settings
    sources: Sources = NO_SOURCES
    last_success: float = field(default_factory=clock.elapsed_seconds)
    _room_view: RoomView = field(init=False)
    _parsed: Parsed = field(default_factory=Parsed)
    _resting: dict[Key, str] = field(default_factory=dict[Key, str])
    """At which resourceVersion of the study nothing was owed."""

    _own: dict[Key, str] = field(default_factory=dict[Key, str])
    """Which resourceVersion of the study is of the operator's own making."""

    _heard: dict[Key, set[str]] = field(default_factory=dict[Key, set[str]])
    """Versions that watches told of since the last look began; empty where something else woke it."""

    _left: dict[Key, set[str]] = field(default_factory=dict[Key, set[str]])
    """Trials that are over, and nothing waits for their place: the next was begun when they were stopped."""

    _wakes: dict[Key, asyncio.Event] = field(default_factory=dict[Key, asyncio.Event])
    _tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict[Key, "asyncio.Task[None]"])
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    def __post_init__(self) -> None:
        self._room_view = RoomView(self.api)

    def wake(self, key: Key, version: str = "") -> None:
        """Something about this study may have changed; not if it rests, and its own `version` is what is known."""
        if version and self._resting.get(key) == version:
            return
        self._wake(key, "")

    def hear(self, key: Key, version: str) -> None:
        """A watch tells of the study; of what the operator itself has written it need not be told."""
        if version and version in (self._resting.get(key), self._own.get(key)):
            return
        self._wake(key, version)

    def hear_of_pod(self, key: Key, trial: str) -> None:
        """A watch tells of a trial's pod."""
        if trial not in self._left.get(key, ()):
            self._wake(key, "")

    def _wake(self, key: Key, version: str) -> None:
        if key not in self._tasks:
            self._wakes[key] = asyncio.Event()
            self._heard[key] = set()
            self._tasks[key] = asyncio.create_task(self._serve(key), name=f"study {key[0]}/{key[1]}")
        self._heard[key].add(version)
        self._wakes[key].set()

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.sources.stop()

    async def _serve(self, key: Key) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        wake = self._wakes[key]
        try:
            while True:
                async with self._slots:
                    # Only now: what was told while others had their turn is seen by this look.
                    wake.clear()
                    self._heard[key].clear()
                    pause = await self._attempt(key)
                if self._heard[key] == {self._own.get(key)}:
                    # Told of before the answer to the write was here.
                    wake.clear()
                if pause is None:
                    pause, back_off = back_off, min(back_off * 2, MOST_BACK_OFF_SECONDS)
                else:
                    back_off = FIRST_BACK_OFF_SECONDS
                if pause < 0 and not wake.is_set():
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), max(pause, LEAST_PAUSE_SECONDS))
                if wake.is_set():
                    await asyncio.sleep(SETTLE_SECONDS)
        finally:
            self._tasks.pop(key, None)
            self._wakes.pop(key, None)
            for of in (self._resting, self._own, self._heard, self._left):
                of.pop(key, None)

    async def _attempt(self, key: Key) -> float | None:
        """Seconds until the next one, negative when the study is gone, None after a failure."""
        begun, before = clock.elapsed_seconds(), self.api.requests
        try:
            pause = await self.reconcile(key)
        except RefusedError as error:
            if error.conflict:
                return LEAST_PAUSE_SECONDS
            logger.warning("the API server refused: %s", error, extra=_about(key))
            return None
        except UnreachableNodeError as error:
            logger.warning("a candidate's log cannot be read yet: %s", error, extra=_about(key))
            return None
        except NotLeadingError as error:
            logger.warning("%s", error, extra=_about(key))
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.warning("the API server could not be reached: %s", error, extra=_about(key))
            return None
        except Exception:
            # A defect in one study's reconcile must not take the other studies down; it is loud and retried.
            logger.exception("reconcile failed", extra=_about(key))
            return None
        self.last_success = clock.elapsed_seconds()
        cost = {"requests": self.api.requests - before, "seconds": round(self.last_success - begun, 3)}
        logger.debug("reconciled", extra=_about(key) | cost)
        return -1.0 if pause is None else pause

    async def reconcile(self, key: Key) -> float | None:
        """Once through. Seconds until it is due again, None when the study is gone."""
        namespace, name = key
        self._resting.pop(key, None)
        # The first look, and one after a failure, takes nothing for granted.
        whole = self._own.pop(key, None) is None
        problem = None
        try:
            gathered = await gather(self.api, namespace, name, self.sources, whole=whole, parsed=self._parsed)
        except StudyUnreadableError as error:
            gathered = await gather_unreadable(self.api, error.stored)
            problem = TargetProblem("SpecInvalid", str(error))
        if gathered is None:
            return None
        problem = problem or await end_unreadable_trials(self.api, gathered)
        if problem is None and await tidy(self.api, gathered.study, gathered.snapshot, gathered.history):
            return LEAST_PAUSE_SECONDS
        planned = await self._planned(gathered, problem)
        try:
            written = await execute(self.api, self.settings, gathered, planned)
            while written.recorded:
                self._left.setdefault(key, set()).update(written.stopped)
                gathered = with_recorded(gathered, written, self._parsed)
                planned = await self._planned(gathered, None)
                written = await execute(self.api, self.settings, gathered, planned)
            self._own[key] = written.version
        except NameTakenError as error:
            return await self._stall(key, "NameTaken", str(error))
        except ForeignArgumentsError as error:
            return await self._stall(key, "ArgumentsRefused", str(error))
        except RefusedError as error:
            if error.missing:
                # Something went between the look and the deed; look again, with everything else as it is now.
                return LEAST_PAUSE_SECONDS
            if error.passing:
                raise
            return await self._stall(key, "Refused", error.message)
        if problem is not None and _nothing_done(gathered, planned):
            self._resting[key] = gathered.study["metadata"]["resourceVersion"]
            return MOST_BACK_OFF_SECONDS
        if not _nothing_owed(gathered, planned):
            return planned.wake_after_seconds
        self._resting[key] = gathered.study["metadata"]["resourceVersion"]
        return REST_SECONDS[planned.status.phase]

    async def _planned(self, gathered: Gathered, problem: TargetProblem | None) -> Plan:
        if problem is not None:
            return stand_still(gathered.snapshot, problem, clock.now())
        planned = plan(gathered.snapshot, clock.now())
        if planned.asks_for_room:
            promotes = planned.status.phase is StudyPhase.PROMOTING
            why = await undisturbed(self.api, gathered.production) if promotes else ""
            room = await self._room_view.room(gathered)
            # Nothing is waited for between the answer and `begin`: other studies ask as well.
            planned = plan(replace(gathered.snapshot, room=room, undisturbed=why), clock.now())
            self._room_view.begin(gathered, planned)
        return planned

    async def _stall(self, key: Key, reason: str, message: str) -> float:
        """Say in the study itself what keeps it from going on."""
        stored = await self.api.get(STUDIES, *key)
        if stored is not None and (stalled := _stalled(stored, reason, message)) != stored:
            await self.api.replace_status(STUDIES, stalled)
        logger.warning("stalled: %s", message, extra=_about(key) | {"reason": reason})
        return MOST_BACK_OFF_SECONDS


def _about(key: Key) -> dict[str, object]:
    return {"study": f"{key[0]}/{key[1]}"}


def _nothing_owed(gathered: Gathered, planned: Plan) -> bool:
    """Nothing was done, and nothing will be before a person changes the study, or production while approval is due."""
    study = gathered.snapshot.study
    if planned.status.phase not in REST_SECONDS or study.metadata.deletion_timestamp is not None:
        return False
    return _nothing_done(gathered, planned)


def _nothing_done(gathered: Gathered, planned: Plan) -> bool:
    done = planned.actions or planned.events or planned.owes_production or gathered.derived
    same = planned.status == gathered.snapshot.study.status
    return not done and same and planned.wake_after_seconds == IDLE_SECONDS


def _stalled(stored: Object, reason: str, message: str) -> Object:
    try:
        # Of the status alone: the specification may be what cannot be read.
        conditions = StudyStatus.model_validate(section(stored, "status")).conditions
    except ValidationError:
        conditions = []
    generation = stored["metadata"].get("generation")
    now = clock.now()
    for kind, holds in (("Ready", False), ("Reconciling", False), ("Stalled", True)):
        conditions = with_condition(conditions, kind, holds, reason, readable(message), generation, now)
    return stored | {"status": section(stored, "status") | {"conditions": [c.dump() for c in conditions]}}
