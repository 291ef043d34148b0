"""What a search kept away from thanks to earlier studies, in a few words."""

from collections.abc import Sequence

import numpy as np

from sloguard.domain.knobs import value_text
from sloguard.domain.result import Values
from sloguard.optimizer.space import Space

from .earlier import Earlier
from .encoding import Points

NEAR = 0.5
"""How far from a configuration others count as like it; a number's whole range is 1."""

APART = 0.05
"""Numbers that are nearer on their scale are no difference that anything could be put down to."""

CONDITIONS_NAMED = 2
STUDIES_NAMED = 2


def avoided(space: Space, chosen: Values, passed_over: Values, place: Points, earlier: Earlier) -> str:
    """Why `passed_over`, which lies at `place`, was left alone in favour of `chosen`; "" where no crash is near it."""
    near = _near(place, earlier)
    if not near:
        return ""
    theirs = [earlier.results[i].parameters for i in near]
    conditions = _conditions(space, chosen, passed_over, theirs)
    what = " with ".join(conditions[:CONDITIONS_NAMED]) or _difference(space, chosen, passed_over)
    studies = list(dict.fromkeys(earlier.records[i].study for i in near))
    named = " and ".join(studies[:STUDIES_NAMED]) + (" and others" if len(studies) > STUDIES_NAMED else "")
    card = "the same" if all(earlier.same_card[i] for i in near) else "another"
    trials = "1 trial" if len(near) == 1 else f"{len(near)} trials"
    return f"avoided {what}: {trials} of study {named} on {card} GPU died there ({_classes(near, earlier)})"


def _near(place: Points, earlier: Earlier) -> list[int]:
    """The earlier crashes that are like it, or else the one that is most like it."""
    rows = np.flatnonzero(earlier.crashed)
    if not len(rows):
        return []
    apart = np.sqrt(((earlier.points.unit[rows] - place.unit[0]) ** 2).sum(axis=1))
    alike = rows[apart <= NEAR]
    return alike.tolist() if len(alike) else [int(rows[int(apart.argmin())])]


def _conditions(space: Space, chosen: Values, passed_over: Values, theirs: Sequence[Values]) -> list[str]:
    """What `passed_over` shares with all those that died and not with `chosen`, the greatest difference first."""
    found: list[tuple[float, str]] = []
    for name, domain in space.domains.items():
        here, there = chosen.get(name), passed_over.get(name)
        died = [values.get(name) for values in theirs]
        if here is None or there is None or any(value is None for value in died):
            continue
        if domain.scale is None:
            if here != there and all(value == there for value in died):
                found.append((0.5, f"{name.value} {value_text(there)}"))
            continue
        places = [domain.place(value) for value in died if value is not None]
        own, other = domain.place(here), domain.place(there)
        known = [place for place in places if place is not None]
        if own is None or other is None or len(known) < len(places) or abs(other - own) < APART:
            continue
        upwards = other > own
        edge = min([*known, other]) if upwards else max([*known, other])
        if (edge - own if upwards else own - edge) >= APART:
            found.append(
                (abs(other - own), f"{name.value} {value_text(domain.at(edge))} and {'more' if upwards else 'less'}")
            )
    return [text for _, text in sorted(found, key=lambda each: -each[0])]


def _difference(space: Space, chosen: Values, passed_over: Values) -> str:
    """Settings of `passed_over` that `chosen` has otherwise."""
    names = [name for name in space.names if name in passed_over and chosen.get(name) != passed_over[name]]
    return " with ".join(f"{name.value} {value_text(passed_over[name])}" for name in names[:CONDITIONS_NAMED])


def _classes(near: Sequence[int], earlier: Earlier) -> str:
    crashes = [earlier.results[i].crash for i in near]
    names = [crash.class_.value for crash in crashes if crash is not None]
    return ", ".join(dict.fromkeys(names)) or "unknown"
