"""One schedule: a cluster, its people and one or two operators, all of it drawn from a seed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from sloguard.cluster import api, clock
from tests.simulation.api_server import ApiServer, Change
from tests.simulation.fates import Fate
from tests.simulation.invariants import LEFT_SECONDS, Tracebacks, ViolationError, Watchman
from tests.simulation.machinery import Held, Machinery
from tests.simulation.operators import CALM, JSON, Process, Weather, watched
from tests.simulation.people import PERSON, People
from tests.simulation.repository import Repository
from tests.simulation.studies import begin, is_open, node, production, study
from tests.simulation.virtual_time import BEGIN, VirtualLoop

CALM_HOURS = 3
LOOK_SECONDS = 20.0
STILL_SECONDS = 32.0
"""Without a write, and it has come to rest."""

QUIET_SECONDS = 35.0
"""Longer than a resync and than the longest pause between reconciles."""


@dataclass
class World:
    """`storm` is over when everybody stops meddling and the network works."""

    seed: int
    loop: VirtualLoop
    random: Random
    weather: Weather
    storm: bool = True
    doubled: bool = False
    late_since: float = float("-inf")
    """When something last took effect that was not the newest any more."""

    lease_seconds: int = 15
    lines: list[tuple[float, str, tuple[Any, ...]]] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)
    tracebacks: Tracebacks = field(default_factory=Tracebacks)
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self):
        self.server = ApiServer(self.now, page=self.random.choice([1, 3, 250]))
        self.gpus = self.random.choice([2, 4, 8])
        self.machinery = Machinery(self, gpus=self.gpus)
        # Drawn by itself: what else befalls the other schedules stays as it was.
        self.scarce = self.gpus > 2 and Random(f"{self.seed} scarce").random() < 0.3
        self.people = People(self)
        self.repository = Repository(self)
        self.watchman = Watchman(self)
        self.server.orphaned = self.machinery.orphaned
        self.server.told = [self._keep, self.watchman.hear, self.machinery.hear, self._tell_operators]
        self._tasks: set[asyncio.Task[None]] = set()
        self._lately: dict[str, list[tuple[float, Any]]] = {
            "arguments": [],
            "parallelism": [],
            "minutes": [],
            "windows": [],
        }
        self._owners: dict[str, str] = {}
        self._acting_since = 0.0
        self.prompt = not (self.weather.slow or self.weather.answer_late)
        self._undisturbed = not (self.doubled or self.weather.refused or self.weather.killed)

    # what the others stand on

    def now(self):
        return self.loop.now()

    def note(self, text: str, *values: Any) -> None:
        self.lines.append((self.loop.time(), text, values))

    def later(self, seconds: float, do: Callable[..., None], *values: Any) -> None:
        self.loop.call_later(seconds, self._guarded, do, values)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _guarded(self, do: Callable[..., None], values: tuple[Any, ...]) -> None:
        """A defect of the simulation itself must not get lost in a callback."""
        try:
            do(*values)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told of
            self.watchman.check(False, f"the simulation itself: {type(error).__name__}: {error}")

    def serve(
        self, process: Process, method: str, path: str, query: Any, body: Any, kind: str, age_seconds: float = 0.0
    ) -> Any:
        self.watchman.asked(process, method, path)
        return self.server.request(method, path, query, body, kind, process.name, age_seconds)

    # history

    def _keep(self, change: Change) -> None:
        if change.plural in {"events", "leases"}:
            return
        name = change.object["metadata"]["name"]
        version = (change.after or {}).get("status", {})
        told = version.get("phase") or version.get("outcome") or "" if isinstance(version, dict) else ""
        what = "removed" if change.after is None else "made" if change.before is None else "changed"
        self.note("%s: %s %s %s %s", change.by, change.plural, name, what, told)
        after, time = change.after, self.loop.time()
        if after is None:
            return
        if change.plural == "deployments" and "sloguard.dev/trial" not in after["metadata"].get("labels", {}):
            self._lately["arguments"].append((time, after["spec"]["template"]["spec"]["containers"][0]["args"]))
        if change.plural == "sloguardstudies":
            self._lately["parallelism"].append((time, after["spec"].get("trial", {}).get("parallelism", 1)))
            self._lately["minutes"].append((time, after["spec"]["budget"]["gpuMinutes"]))
            self._lately["windows"].append((time, after["spec"].get("windows", [])))
        if change.plural == "sloguardtrials":
            self._owners[name] = after["metadata"]["ownerReferences"][0]["uid"]
            if after.get("status", {}).get("outcome"):
                self._recorded(name)
                if not (change.before or {}).get("status", {}).get("outcome"):
                    self.people.trial_ended()

    def arrives_late(self) -> None:
        """What its sender has given up, and may have done again and undone since."""
        self.late_since = self.loop.time()

    def record_removed(self) -> None:
        """A list of some seconds ago has it still, and where it was made anew, the end of the old one: then another
        attempt is begun beside it. API servers whose lists are of now tell of no such thing.
        """
        if self.weather.stale:
            self.late_since = self.loop.time()

    def _recent(self, what: str, seconds: float) -> list[Any]:
        """Values that were in force within so many seconds."""
        history, since = self._lately[what], self.loop.time() - seconds
        return [
            value for (_, value), (end, _) in zip(history, [*history[1:], (1e18, None)], strict=True) if end >= since
        ]

    def arguments_lately(self) -> list[list[str]]:
        return self._recent("arguments", 60)

    def parallelism_lately(self) -> int:
        return max(self._recent("parallelism", 1e9), default=1)

    def minutes_lately(self) -> int:
        return max(self._recent("minutes", 1e9), default=1)

    def is_of(self, trial: str, study: Any) -> bool:
        """Without a study, whosever it was."""
        return study is None or self.study_of(trial) == study["metadata"]["uid"]

    def study_of(self, trial: str) -> str:
        """The UID of the study that the last trial of this name was recorded for."""
        return self._owners.get(trial, "")

    def open_lately(self, seconds: float) -> bool:
        """Whether any of the windows of so many seconds was open within them, by any second's count."""
        now = self.now()
        moments = [now - timedelta(seconds=back) for back in range(int(seconds) + 1)]
        return any(is_open(windows, moment) for windows in self._recent("windows", seconds) for moment in moments)

    def stops_lately(self, seconds: float) -> bool:
        """Whether all of them end what runs when they close."""
        recent = self._recent("windows", seconds)
        return all(windows and all(w["onClose"] == "Stop" for w in windows) for windows in recent)

    def gpu_seconds(self, uid: str) -> tuple[float, float]:
        """That servers of this study's trials really held, and those of the trials that came last, side by side."""
        now = self.loop.time()
        spans = sorted(
            (held.since, (self._end(held, now) - held.since) * held.gpus)
            for held in self.machinery.held.values()
            if held.study == uid and not self._replaced_unseen(held)
        )
        return sum(s for _, s in spans), sum(s for _, s in spans[-self.parallelism_lately() :])

    def _replaced_unseen(self, held: Held) -> bool:
        """Its Deployment had another pod in its place before anybody looked: nothing is left that tells of it."""
        others = (h for h in self.machinery.held.values() if (h.trial, h.study) == (held.trial, held.study))
        gone = held.until is not None and (held.recorded is None or held.until < held.recorded)
        return gone and any(other.since > held.since for other in others)

    def _recorded(self, trial: str) -> None:
        for held in self.machinery.held.values():
            if held.trial == trial and held.study == self.study_of(trial) and held.recorded is None:
                held.recorded = self.loop.time()

    def _end(self, held: Held, now: float) -> float:
        """Of a server that an operator left behind when it died, the next one counts all until it removes it, but for
        the last seconds; until then only what was written before can be known."""
        end = held.until or now
        if self.undisturbed or held.recorded is None:
            return end
        known = held.recorded if held.until is None else held.until - LEFT_SECONDS
        return max(min(end, max(known, held.recorded)), held.since)

    def somebody_works(self) -> bool:
        return not self.storm and any(process.alive for process in self.processes)

    def has_worked_for(self, seconds: float) -> bool:
        """In the calm."""
        return self.somebody_works() and self.loop.time() - self._acting_since > seconds

    @property
    def undisturbed(self) -> bool:
        """Neither network nor operator failed since the beginning."""
        return self._undisturbed

    # the watches

    def _tell_operators(self, change: Change) -> None:
        if not watched(change):
            return
        for process in self.processes:
            luck = self.random.random()
            if self.random.random() < self.weather.watch_broken:
                process.lose_watch(self.random.uniform(1, 60))
            if luck < self.weather.event_lost:
                continue
            late = self.random.uniform(1, 60) if luck > 1 - self.weather.event_late else 0.03
            self.later(late, process.hear, change)
            if luck > 0.97:
                self.later(late * 2, process.hear, change)

    # the course of things

    def create_study(self) -> None:
        self.server.create("sloguardstudies", study(Random(self.seed)), PERSON)

    async def run(self) -> None:
        """A storm of some minutes, then calm until all is settled, then quiet."""
        self.server.create("nodes", node(self.gpus), PERSON)
        served = production()
        served["spec"]["replicas"] = 2 if self.scarce else 1
        self.server.create("deployments", served, PERSON)
        self.create_study()
        self.processes.append(Process(self, "operator"))
        if self.doubled:
            self.processes.append(Process(self, "operator 2"))
        for process in self.processes:
            await process.start()
        end = self.loop.time() + self.random.choice([20, 60, 120, 300])
        pace = self.random.choice([3, 10, 40])
        while self.loop.time() < end:
            await self._pass(self.random.expovariate(1 / pace))
            self.people.meddle()
        self.storm, self.weather = False, CALM
        self.note("calm")
        self.people.made_good()
        await self._settle()
        before = self.watchman.writes_ever
        await self._pass(QUIET_SECONDS)
        self.watchman.at_rest()
        goes_on = self.watchman.waits_within_windows() or self.watchman.asks_again_and_again()
        written = self.watchman.writes_ever != before
        self.watchman.check(goes_on or not written, "a study at rest was written")
        self._raise()

    async def _settle(self) -> None:
        self._acting_since = self.loop.time()
        end = self._acting_since + CALM_HOURS * 3600
        while True:
            await self._pass(LOOK_SECONDS)
            if not any(p.acts for p in self.processes):
                self._acting_since = self.loop.time()
            busy_until = max(self.people.busy_until, self.machinery.busy_until)
            last = max(self.watchman.last_write, self._acting_since, busy_until)
            still = self.loop.time() - last > STILL_SECONDS
            if still and not self.watchman.explained() and any(p.acts for p in self.processes):
                return
            if self.loop.time() > end:
                self.watchman.check(
                    False, f"not settled: {self.watchman.explained() or 'it is written again and again'}"
                )
                self._raise()

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.watchman.look()
        self._raise()

    def _raise(self) -> None:
        if self.watchman.violations:
            raise ViolationError(self.watchman.violations[0])

    def story(self) -> str:
        """What happened, as lines."""
        return "\n".join(f"{time:9.2f} {text % values}" for time, text, values in self.lines)


def make_world(seed: int, loop: VirtualLoop, *, doubled: bool = False) -> World:
    random = Random(seed)
    rough = random.choice([0.0, 0.3, 1.0])
    weather = Weather(
        refused=0.02 * rough,
        cut_before=0.01 * rough,
        cut_after=0.02 * rough,
        slow=0.005 * rough,
        killed=random.choice([0.0, 0.002, 0.01]),
        event_lost=0.2 * rough,
        event_late=0.1 * rough,
        answer_late=0.01 * rough,
        stale=0.05 * rough,
        touched=0.03 * rough,
        expired=0.2 * rough,
        watch_broken=0.03 * rough,
    )
    doubled = random.random() < 0.15 or doubled
    if doubled:
        # Writes that are on their way for longer than the Lease lasts.
        weather = replace(weather, slow=weather.slow + 0.02)
    return World(seed, loop, random, weather, doubled=doubled)


def run(seed: int, *, doubled: bool = False) -> World:
    """The schedule of this seed, from its beginning to its end, with two operators in any case where it is `doubled`.

    Raises ViolationError, which has the world.
    """
    windows = study(Random(seed))["spec"]["windows"]
    loop = VirtualLoop(BEGIN + begin(windows, Random(f"{seed} begins")))
    asyncio.set_event_loop(loop)
    world = make_world(seed, loop, doubled=doubled)
    logger = logging.getLogger("sloguard")
    with simulated(world, logger):
        try:
            loop.run_until_complete(world.run())
        except ViolationError as error:
            error.world = world
            raise
        finally:
            end(loop)
    return world


@contextlib.contextmanager
def simulated(world: World, logger: logging.Logger):
    """The operator's clock and log are the world's."""
    before = clock.now, clock.elapsed_seconds, api.json, logger.level, logger.propagate
    clock.now, clock.elapsed_seconds, api.json = world.loop.now, world.loop.time, JSON
    logger.addHandler(world.tracebacks)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        clock.now, clock.elapsed_seconds, api.json, logger.level, logger.propagate = before
        logger.removeHandler(world.tracebacks)


def end(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    asyncio.set_event_loop(None)
    loop.close()
