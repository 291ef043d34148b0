"""One ask of margin-bo."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

import numpy as np

from sloguard.api.v1alpha1 import KnobName, Outcome
from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.domain.result import Result, Value, Values
from sloguard.optimizer.base import Suggestion, cut, derived_seed, lessons, seen_keys
from sloguard.optimizer.changes import changes
from sloguard.optimizer.space import Key, Space

from .acquisition import Cost, improvement, promise, unlike_all
from .avoided import avoided
from .card import card_gib
from .demand import plausible
from .earlier import Earlier, earlier_of
from .encoding import Encoding, Floats, Ints, Points
from .outlook import Outlook, foresee, live_of
from .pool import Pool
from .readings import GIB
from .survival import Survival, expect

KNOWN_POINTS = 4
"""Until so many trials are known, production and defaults among them, the next one is unlike all of them."""

EVERYWHERE, AROUND_BEST, AROUND_PROMISING = 1000, 300, 200
CENTRES = 3

WARNED = 0.3
"""Where earlier studies lower the chance to live by this much, they are why something else is tried."""


@dataclass(frozen=True, slots=True)
class MarginBO:
    """Expected improvement within the SLOs, times the chance to live, for each minute of a GPU.

    Whether a configuration lives is read off margins: the KV cache that starts found, memory that serving left. What
    memory does not explain is blamed on values, ranges and pairs of them.
    """

    space: Space
    seed: int
    ledger: Ledger = EMPTY

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        seen = seen_keys(self.space, taught, pending)
        if self.space.size is not None and self.space.size <= len(seen) and not _unseen(self.space, seen):
            return None
        ask_seed = derived_seed(self.seed, *sorted(seen))
        return _Ask(self.space, taught, list(pending), seen, ask_seed, self.ledger).suggestion()

    def believed(self, history: Sequence[Result]) -> dict[int, float]:
        """See `Believer`: the posterior mean within the SLOs, times the chance that they hold."""
        taught = lessons(history)
        asked = _Ask(self.space, taught, [], frozenset(), self.seed, self.ledger)
        if asked.outlook is None:
            return {}
        worths = asked.outlook.worth(asked.points).tolist()
        live = ((result, worth) for result, worth in zip(taught, worths, strict=True))
        return {result.number: worth for result, worth in live if result.outcome is not Outcome.CRASHED}


def _unseen(space: Space, seen: Collection[Key]) -> bool:
    return any(space.key(values) not in seen for values in space.listed or ())


class _Ask:
    """The models of one ask, and its candidates."""

    def __init__(
        self,
        space: Space,
        taught: list[Result],
        pending: list[Values],
        seen: frozenset[Key],
        seed: int,
        ledger: Ledger,
    ) -> None:
        self.space, self.taught, self.pending, self.seen, self.seed = space, taught, pending, seen, seed
        told = ledger.setup.gpu_memory_bytes
        card = card_gib(space.context if told is None else replace(space.context, vram_bytes=told), taught)
        known = space.context if card is None else replace(space.context, vram_bytes=int(card * GIB))
        self.encoding = Encoding(space, known)
        self.earlier = earlier_of(ledger, self.encoding)
        self.pool = Pool(self.encoding, np.random.default_rng(seed))

    def suggestion(self) -> Suggestion | None:
        rows, worth = self._ranked()
        for index in np.argsort(-worth, kind="stable").tolist():
            values = self.encoding.values(rows[index])
            if self.space.broken(values) is None and self.space.key(values) not in self.seen:
                return self._explained(values, self._avoided(rows, index))
        left = self.space.nearest_unseen(self.encoding.values(rows[int(worth.argmax())]), self.seen)
        return None if left is None else self._explained(left, "")

    @cached_property
    def points(self) -> Points:
        """The taught configurations, and then those under way."""
        return self.encoding.configurations([*(result.parameters for result in self.taught), *self.pending])

    @cached_property
    def survival(self) -> Survival:
        return self._expected(self.earlier)

    def _expected(self, earlier: Earlier) -> Survival:
        return expect(self.encoding, self.taught, self.points.take(range(len(self.taught))), earlier, self.seed)

    @cached_property
    def outlook(self) -> Outlook | None:
        live = live_of(self.taught, self.points, len(self.pending))
        return None if live is None else foresee(live, self.survival.memory)

    def worth(self, points: Points) -> Floats:
        return self._worth(points, self.survival.alive(points))

    def _worth(self, points: Points, alive: Floats) -> Floats:
        if self._exploring or self.outlook is None:
            return self._useful(points) * unlike_all(points, self.points.unit, alive)
        worth = promise(points, self.outlook, alive, self._cost)
        return worth * self._useful(points) if self.outlook.best_log is None else worth

    def _useful(self, points: Points) -> Floats:
        """As far as the load alone tells, which counts until something met the SLOs."""
        return plausible(self.space.context, self.survival.memory, points)

    def _avoided(self, rows: Ints, chosen: int) -> str:
        """What would have been tried without earlier studies, where that is something else; "" where it is not."""
        if not self.earlier.crashed.any():
            return ""
        points = self.encoding.rows(rows)
        alive, unwarned = self.survival.alive(points), self._expected(earlier_of(EMPTY, self.encoding)).alive(points)
        # Of those that are not doubted, the chosen one is the best.
        rivals = [*np.flatnonzero(unwarned - alive >= WARNED).tolist(), chosen]
        best = rivals[int(self._worth(points.take(rivals), unwarned[rivals]).argmax())]
        passed_over = self.encoding.values(rows[best])
        if best == chosen or self.space.key(passed_over) in self.seen:
            return ""
        return avoided(self.space, self.encoding.values(rows[chosen]), passed_over, points.take([best]), self.earlier)

    @cached_property
    def _exploring(self) -> bool:
        return len(self.seen) < KNOWN_POINTS

    def _ranked(self) -> tuple[Ints, Floats]:
        """Candidates and what they are worth: from everywhere and around the best, then around the promising."""
        rows = self.pool.everywhere(EVERYWHERE)
        if self._best and self.space.listed is None:
            centres = self.pool.rows([result.parameters for result in self._best[:CENTRES]])
            rows = np.vstack([rows, self.pool.around(centres, AROUND_BEST)])
        worth = self.worth(self.encoding.rows(rows))
        if self.space.listed is not None:
            return rows, _rounded(worth)
        promising = rows[np.argsort(-worth, kind="stable")[:CENTRES]]
        nearby = self.pool.around(promising, AROUND_PROMISING)
        return np.vstack([rows, nearby]), _rounded(np.append(worth, self.worth(self.encoding.rows(nearby))))

    @cached_property
    def _cost(self) -> Cost:
        crashed = [r.gpu_seconds / 60 for r in self.taught if r.outcome is Outcome.CRASHED and r.gpu_seconds > 0]
        served = [r.gpu_seconds / 60 for r in self.taught if r.outcome is not Outcome.CRASHED and r.gpu_seconds > 0]
        default = Cost()
        served_minutes = fmean(served) if served else default.served_minutes
        share = default.crashed_minutes / default.served_minutes
        return Cost(served_minutes, fmean(crashed) if crashed else served_minutes * share)

    def _explained(self, values: dict[KnobName, Value], note: str) -> Suggestion:
        """`note` is what is to be said of earlier studies, "" for nothing."""
        points = self.encoding.configurations([values])
        alive = float(self.survival.alive(points)[0])
        after = f"; {note}." if note else "."
        room, room_sd = (float(figure[0]) for figure in self.survival.memory.kv_gib(points))
        predicted = {
            "crash_probability": round(1 - alive, 4),
            "kv_cache_gib": round(room, 2),
            "expected_minutes": round(float(self._cost.expected(np.array([alive]))[0]), 3),
        }
        fate = (
            f"it survives with probability {alive:.2f} (KV cache {room:.1f} ± {room_sd:.1f} GiB{self._doubt(points)})"
        )
        if self._exploring or self.outlook is None:
            aim = f"To learn from, unlike the {len(self.seen)} configurations known"
            return Suggestion(values, cut(f"{aim}: {fate}{after}"), predicted)
        view = self.outlook.view(points)
        mean, sd = (float(figure[0]) for figure in self.outlook.promised(points, view))
        met = float(self.outlook.slos_met(view)[0])
        predicted |= {"objective": round(float(np.exp(mean)), 3), "feasible_probability": round(met * alive, 4)}
        differs = changes(self.space, self._best[0].parameters, values)
        if self.outlook.best_log is None:
            aim = f"None of {len(self.taught)} trials met the SLOs yet; this configuration does with probability"
            return Suggestion(
                values, cut(f"{aim} {met:.2f}; {fate}; against the nearest so far: {differs}{after}"), predicted
            )
        best = math.exp(self.outlook.best_log)
        predicted |= {"objective_stddev": round(math.exp(mean) * sd, 6), "best_objective": round(best, 6)}
        predicted["expected_improvement"] = round(
            best * float(improvement(np.array([mean]), np.array([sd]), self.outlook.best_log)[0]), 6
        )
        factor = float(np.exp(mean)) / best
        gain = f"{100 * (factor - 1):+.0f} ± {100 * factor * sd:.0f} % on the best so far"
        why = f"Expected {gain}, SLOs met with probability {met:.2f}; {fate}; against the best so far: {differs}{after}"
        return Suggestion(values, cut(why), predicted)

    @cached_property
    def _best(self) -> list[Result]:
        """The trials that served, the best first."""
        live = (result for result in self.taught if result.outcome is not Outcome.CRASHED)
        return sorted(live, key=lambda r: (r.outcome is not Outcome.FEASIBLE, -_served(r), r.number))

    def _doubt(self, points: Points) -> str:
        blame = self.survival.blame
        if float(blame.kills(points)[0]) < 0.1:
            return ""
        return f"; {' with '.join(name.value for name in blame.suspects[0][1])} is suspected of crashes"


def _served(result: Result) -> float:
    value = result.objective
    return value if value is not None and math.isfinite(value) else 0.0


def _rounded(worth: Floats) -> Floats:
    """To nine digits, so that the last bits of one platform's arithmetic decide nothing."""
    safe = np.where(np.isfinite(worth), worth, -1e300)
    size = np.maximum(np.abs(safe), 1e-300)
    return np.copysign(np.exp(np.round(np.log(size), 9)), safe)
