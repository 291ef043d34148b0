"""Whole studies with operators that die at chosen writes, several at the same time, and how they ended."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clusters.handle import Cluster
from tests.crash.nursery import Nursery
from tests.crash.proxy import Kill, Moment
from tests.crash.reference import STUDY, ReferenceWorld, Run, begun

Object = dict[str, Any]


@dataclass
class Ended:
    """How one run ended. `missed` are writes that did not come again after earlier kills of the run."""

    state: Object
    doubled: dict[str, int]
    writes: list[str]
    missed: set[Kill]
    kills: int
    log: str
    told: set[tuple[str, str]]

    def differs(self, reference: "Ended") -> Object:
        """In what, or nothing."""
        parts = [part for part in reference.state if self.state[part] != reference.state[part]]
        found: Object = {part: (reference.state[part], self.state[part]) for part in parts}
        if reference.told - self.told:
            found["events that are missing"] = sorted(reference.told - self.told)
        if self.doubled:
            found["doubled"] = self.doubled
        if "Traceback" in self.log:
            found["log"] = self.log[-3000:]
        return found


@dataclass
class Studies:
    """Runs them, each thread with operators of its own."""

    cluster: Cluster
    access: Cluster
    folder: Path
    _own: threading.local = field(default_factory=threading.local)
    _nurseries: list[Nursery] = field(default_factory=list)

    @contextmanager
    def one(self, name: str, world: type[ReferenceWorld] = ReferenceWorld) -> Iterator[Run]:
        if not hasattr(self._own, "nursery"):
            self._own.nursery = Nursery()
            self._nurseries.append(self._own.nursery)
        with begun(self.cluster, self.access, self._own.nursery, self.folder / name, world) as run:
            yield run

    def ended(
        self, name: str, kills: Iterable[Kill] = (), study: Object = STUDY, world: type[ReferenceWorld] = ReferenceWorld
    ) -> Ended:
        """A study from its beginning to its end, with an operator that dies at each of these."""
        with self.one(name, world) as run:
            run.proxy.kills = set(kills)
            run.proxy.kill = run.end
            run.world.create("sloguardstudies", study)
            run.start()
            run.live(lambda: run.ended)
            return of_run(run)

    def all_ended(
        self,
        plans: Sequence[Sequence[Kill]],
        at_once: int,
        study: Object = STUDY,
        world: type[ReferenceWorld] = ReferenceWorld,
    ) -> list[tuple[str, Ended | None]]:
        """One run for each plan, by a name that tells of it; None where it did not end, which is printed."""

        def one(number: int) -> tuple[str, Ended | None]:
            kills = plans[number]
            name = f"run {number}, {len(kills)} kills, the first {kills[0][1]} {kills[0][0]}"
            try:
                return name, self.ended(f"{study['metadata']['name']}-{number}", kills, study, world)
            except AssertionError as error:
                print(f"{name}: {error}")
                return name, None

        with ThreadPoolExecutor(at_once) as several:
            return list(several.map(one, range(len(plans))))

    def close(self) -> None:
        for nursery in self._nurseries:
            nursery.close()


def of_run(run: Run) -> Ended:
    log = run.log.read_text()
    return Ended(run.state(), run.doubled, run.proxy.writes, run.proxy.kills, len(run.exits), log, run.told)


def planned(writes: Sequence[str], a_run: int, every: int = 1) -> list[list[Kill]]:
    """Before and after each write, or every so-manieth. Neighbouring kills are of different runs."""
    plans: list[list[Kill]] = []
    moments: tuple[Moment, Moment] = ("before", "after")
    for number, moment in enumerate(moments):
        some = writes[number * every // 2 :: every]
        step = -(-len(some) // a_run)
        plans += [[(write, moment) for write in some[first::step]] for first in range(step)]
    return plans


def assert_same(reference: Ended, plans: Sequence[Sequence[Kill]], ends: Sequence[tuple[str, Ended | None]]) -> None:
    """Every run ended as the reference did, and nearly all of the kills took place."""
    told = {name: "did not end" if end is None else end.differs(reference) for name, end in ends}
    failed = {name: why for name, why in told.items() if why}
    kills = sum(end.kills for _, end in ends if end)
    wanted = sum(len(plan) for plan in plans)
    missed = sorted(kill for _, end in ends if end for kill in end.missed)
    print(f"\n{len(reference.writes)} writes; {kills} kills in {len(ends)} runs; not met again: {missed}")
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())
    # Some writes are of this run only: a conflict makes one more, and an event is not told again.
    assert kills >= 0.75 * wanted, "too few of the kills took place to say anything"
