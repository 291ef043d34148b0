"""Crashes that memory does not explain: which value, range or pair of them is the culprit.

Every such crash has one culprit, or none (bad luck). A suspect is a value of a choice, a half-line of a number
(max_num_seqs of 96 and more), or two of these together. A culprit kills nearly always, so each success that it covers
all but acquits it; a suspect that explains several crashes needs to be believed once only, which is what makes a few
culprits likelier than many, if they died alike. What each crash says of its culprit is in `clues`. The posterior is
sampled (Gibbs), with a seed of its own.

Suspects that no crash points at are not held against anything: many small doubts would wall off the best region. What
was never tried together is `untried`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sloguard.api.v1alpha1 import KnobName

from .clues import Clue, named
from .encoding import Encoding, Floats, Ints, Points

Bools = NDArray[np.bool_]

KILLS = 0.97
"""How likely a culprit kills what it covers."""

BAD_LUCK = 0.01
"""Prior odds that a crash has no culprit among the suspects."""

REFUSED_FOR_A_RANGE = 0.1
"""Odds that a number is why vLLM refused the arguments: what it wants of numbers, the argument rules know already."""

UNNAMED = 0.15
"""Odds, for each of up to two settings that a crash points at, that another one is to blame in its stead."""

OTHERWISE = 0.05
"""Odds that who killed in one way kills in another as well."""

LEAST_ODDS = 1e-6
"""A suspect with less is acquitted and not looked at: bad luck is ten thousand times likelier."""

SWEEPS = 40
DISCARDED = 10
MOST_CRASHES = 24
"""Unexplained crashes that are looked at, the latest; more would say the same."""

CUTS = 6
"""Of a number's range on each side: where half-lines may begin."""

CHOICE_PRIOR, FORMAT_PRIOR, RANGE_PRIOR = 0.04, 0.15, 0.04
PAIR_PRIOR = 0.03
"""Before any crash: that a value of a choice is a culprit, a quantization format, a number's range, a pair."""

TOO_LITTLE = 0.3
"""Odds that a number kills from some value downwards, not upwards: what is too large asks more of a server."""


@dataclass(frozen=True)
class Atoms:
    """Simple conditions on one knob: a choice's `code`, or a number's place on its scale at least or at most `cut`."""

    knobs: tuple[KnobName, ...]
    codes: tuple[int, ...]
    cuts: tuple[float, ...]
    columns: tuple[int, ...]
    priors: tuple[float, ...]

    @property
    def ranges(self) -> Bools:
        """Which are a number's half-lines."""
        return np.array([code < 0 for code in self.codes], dtype=np.bool_)

    def hold(self, points: Points) -> Bools:
        """One row for each condition, one column for each point."""
        rows = [
            points.codes[knob] == code
            if code >= 0
            else (points.unit[:, column] >= cut if code == _AT_LEAST else points.unit[:, column] <= cut)
            for knob, code, cut, column in zip(self.knobs, self.codes, self.cuts, self.columns, strict=True)
        ]
        return np.array(rows, dtype=np.bool_).reshape(len(self.knobs), len(points))


_AT_LEAST, _AT_MOST = -1, -2


@dataclass(frozen=True)
class Blame:
    """What the unexplained crashes say. `worlds` are sampled sets of culprits, each a pair of indices into `atoms`."""

    atoms: Atoms
    worlds: tuple[frozenset[tuple[int, int]], ...]

    def kills(self, points: Points) -> Floats:
        """How likely each dies of something that memory does not explain."""
        if not self.worlds:
            return np.zeros(len(points))
        holds = self.atoms.hold(points)
        total = np.zeros(len(points))
        pairs = {pair for world in self.worlds for pair in world}
        covered = {pair: holds[pair[0]] & holds[pair[1]] for pair in pairs}
        for world in self.worlds:
            hit = np.zeros(len(points), dtype=np.bool_)
            for pair in world:
                hit |= covered[pair]
            total += hit
        return KILLS * total / len(self.worlds)

    @property
    def suspects(self) -> list[tuple[float, tuple[KnobName, ...]]]:
        """Knobs of the likeliest culprits with how likely they are, the likeliest first."""
        counts: dict[tuple[int, int], int] = {}
        for world in self.worlds:
            for pair in world:
                counts[pair] = counts.get(pair, 0) + 1
        shares: dict[tuple[KnobName, ...], float] = {}
        for (one, other), count in counts.items():
            knobs = tuple(sorted({self.atoms.knobs[one], self.atoms.knobs[other]}))
            shares[knobs] = shares.get(knobs, 0.0) + count / len(self.worlds)
        return sorted(((min(share, 1.0), knobs) for knobs, share in shares.items()), reverse=True)


NOBODY = Blame(Atoms((), (), (), (), ()), ())


@dataclass(frozen=True)
class Shown:
    """What some configurations show; `weights` is how much each says of this study: 1 for its own trials."""

    points: Points
    weights: Floats
    clues: tuple[Clue, ...]


def accuse(encoding: Encoding, served: Shown, crashed: Shown, seed: int) -> Blame:
    """From the configurations that served and those that died of something else than memory, the latest last.

    A crash of less weight is likelier to have had a cause of its own, that is none here.
    """
    lived, died = served.points, crashed.points
    if not len(died):
        return NOBODY
    atoms = _atoms(encoding, lived, died)
    lived_holds, died_holds = atoms.hold(lived), atoms.hold(died)
    # Only conditions that some crash meets can be guilty.
    pairs = _pairs(atoms, np.asarray(died_holds.any(axis=1)))
    one, other = pairs[:, 0], pairs[:, 1]
    guilty = (died_holds[one] & died_holds[other])[:, -MOST_CRASHES:]
    met = lived_holds.astype(np.float64)
    spared = ((met * served.weights) @ met.T)[one, other]
    weight = _prior(atoms, pairs) * (1 - KILLS) ** np.minimum(spared, 12.0)
    kept = guilty.any(axis=1) & (weight > LEAST_ODDS)
    luck = BAD_LUCK ** crashed.weights[-MOST_CRASHES:]
    survivors, clues = pairs[kept], crashed.clues[-MOST_CRASHES:]
    doubts = _doubts(encoding, atoms, survivors, died_holds[:, -MOST_CRASHES:], clues)
    kinds = list(dict.fromkeys(clue.way for clue in clues))
    ways = [kinds.index(clue.way) for clue in clues]
    worlds = _sampled(guilty[kept], weight[kept], luck, doubts, ways, np.random.default_rng(seed))
    named = tuple(frozenset((int(survivors[i, 0]), int(survivors[i, 1])) for i in world) for world in worlds)
    return Blame(atoms, named)


def _doubts(encoding: Encoding, atoms: Atoms, pairs: Ints, holds: Bools, clues: Sequence[Clue]) -> Floats:
    """How much less likely each pair is for each crash, after what that crash points at; 1 where that is nothing."""
    ranged = np.asarray(atoms.ranges[pairs].any(axis=1), dtype=np.bool_)
    doubts = np.ones((len(pairs), len(clues)))
    for i, clue in enumerate(clues):
        wanted = named(clue, encoding.columns)
        conditions = zip(atoms.knobs, atoms.codes, strict=True)
        pointed = np.array(
            [knob in wanted and (not wanted[knob] or code in wanted[knob]) for knob, code in conditions], dtype=np.bool_
        )
        met = pointed & holds[:, i]
        most = min(2, len({name for name, is_met in zip(atoms.knobs, met.tolist(), strict=True) if is_met}))
        if most:
            one, other = met[pairs[:, 0]], met[pairs[:, 1]] & (pairs[:, 0] != pairs[:, 1])
            doubts[:, i] = UNNAMED ** np.maximum(most - one.astype(np.int64) - other, 0)
        elif clue.refused:
            doubts[ranged, i] = REFUSED_FOR_A_RANGE
    return doubts


def _sampled(
    guilty: Bools, weight: Floats, luck: Floats, doubts: Floats, ways: Sequence[int], rng: np.random.Generator
) -> list[set[int]]:
    """Gibbs: give each crash in turn a culprit, given those of the others.

    `luck` is each crash's odds of having none, `doubts` scales each suspect's odds for each crash, `ways` numbers how
    each died.
    """
    crashes = guilty.shape[1]
    nobody = len(weight)
    factors = np.vstack([doubts, np.ones((1, crashes))])
    options = [np.append(np.flatnonzero(guilty[:, i]), nobody) for i in range(crashes)]
    priors = [np.append(weight[mine[:-1]], luck[i]) for i, mine in enumerate(options)]
    again = [np.maximum(prior, OTHERWISE) for prior in priors]
    scales = [factors[mine, i] for i, mine in enumerate(options)]
    culprit = np.full(crashes, nobody)
    # How many crashes each is guilty of, by the way of dying, and in all.
    used = np.zeros((max(ways) + 1, nobody + 1), dtype=np.int64)
    in_all = np.zeros(nobody + 1, dtype=np.int64)
    in_all[nobody] = crashes
    np.add.at(used[:, nobody], ways, 1)
    worlds: list[set[int]] = []
    draws = rng.random((SWEEPS, crashes))
    for sweep in range(SWEEPS):
        for i, way in enumerate(ways):
            alike = used[way]
            alike[culprit[i]] -= 1
            in_all[culprit[i]] -= 1
            mine = options[i]
            # Who is guilty of such a crash already costs nothing more to believe; bad luck is new each time.
            chances = np.where(in_all[mine] > 0, again[i], priors[i])
            chances[alike[mine] > 0] = 1.0
            chances[-1] = luck[i]
            chances = (chances * scales[i]).cumsum()
            culprit[i] = mine[np.searchsorted(chances, draws[sweep, i] * chances[-1])]
            alike[culprit[i]] += 1
            in_all[culprit[i]] += 1
        if sweep >= DISCARDED:
            worlds.append({int(c) for c in culprit if c != nobody})
    return worlds


def _atoms(encoding: Encoding, lived: Points, died: Points) -> Atoms:
    rows: list[tuple[KnobName, int, float, int, float]] = []
    column = 0
    for name, table in encoding.columns.items():
        if table.domain.scale is None:
            prior = FORMAT_PRIOR if name is KnobName.QUANTIZATION else CHOICE_PRIOR
            count = len(table.domain.values)
            # Of the only value everything would be guilty.
            rows += [(name, code, 0.0, column, prior) for code in range(count) if count > 1]
            column += count
            continue
        for side in (_AT_LEAST, _AT_MOST):
            cuts = _cuts(lived.unit[:, column], died.unit[:, column], side)
            prior = RANGE_PRIOR * (1.0 if side == _AT_LEAST else TOO_LITTLE) / max(len(cuts), 1)
            rows += [(name, side, cut, column, prior) for cut in cuts]
        column += 1
    knobs, codes, cuts, columns, priors = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Atoms(knobs, codes, cuts, columns, priors)


def _cuts(lived: Floats, died: Floats, side: int) -> list[float]:
    """Half-way between a place where something died and the next place on the safe side where something lived."""
    cuts: set[float] = set()
    for place in np.unique(died).tolist():
        if side == _AT_LEAST:
            safe = float(lived[lived < place].max(initial=-0.05))
        else:
            safe = float(lived[lived > place].min(initial=1.05))
        cuts.add(round((place + safe) / 2, 6))
    ordered = sorted(cuts)
    if len(ordered) <= CUTS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (CUTS - 1))] for i in range(CUTS)]


def _pairs(atoms: Atoms, meets: Bools) -> Ints:
    """Each condition with itself (alone), and with each one on another knob."""
    indices = np.flatnonzero(meets)
    one, other = np.meshgrid(indices, indices, indexing="ij")
    names = {name: i for i, name in enumerate(dict.fromkeys(atoms.knobs))}
    knob = np.array([names[name] for name in atoms.knobs], dtype=np.int64)
    wanted = (one == other) | ((one < other) & (knob[one] != knob[other]))
    return np.column_stack([one[wanted], other[wanted]])


def _prior(atoms: Atoms, pairs: Ints) -> Floats:
    """A pair of plain values has PAIR_PRIOR; each range among them shares it out among its cuts."""
    own = np.array(atoms.priors)
    share = np.where(atoms.ranges, own / RANGE_PRIOR, 1.0)
    one, other = pairs[:, 0], pairs[:, 1]
    return np.where(one == other, own[one], PAIR_PRIOR * share[one] * share[other])
