"""What a crash says of its culprit beyond the configuration: how it died, when, and what its message names.

Who dies in different ways seldom dies of the same thing. A message that names a setting or a value hardly means
another one, and what dies in the capture of CUDA graphs would not have died without them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, KnobName
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Result

from .encoding import Column

REFUSALS = frozenset({CrashClass.INVALID_ARGUMENTS, CrashClass.UNSUPPORTED_QUANTIZATION})

MOST_NAMED = 3
"""A message that names more settings lists them all and accuses none."""

_AT_WORK = {CrashPhase.GRAPH_CAPTURE: frozenset({KnobName.ENFORCE_EAGER})}
"""Settings without which a server would not have come to that phase."""

_SAY_NOTHING = frozenset({"auto", "none", "true", "false"})
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Clue:
    """Of one trial. `way` is how it died, "" where it did not; `said` is its message, words with a space around each.

    `refused` is that vLLM would not even start.
    """

    way: str = ""
    said: str = ""
    refused: bool = False
    at_work: frozenset[KnobName] = frozenset()


def clue_of(result: Result) -> Clue:
    """What its verdict tells; nothing where there is none."""
    crash = result.crash
    if crash is None:
        return Clue()
    settings = [] if crash.proof is None else [bound.setting for bound in crash.proof.bounds]
    return Clue(
        way=f"{crash.class_.value} {crash.phase.value if crash.phase else ''}",
        said=_words(" ".join([crash.cause, *settings])),
        refused=crash.class_ in REFUSALS,
        at_work=_AT_WORK.get(crash.phase, frozenset()) if crash.phase else frozenset(),
    )


def named(clue: Clue, columns: Mapping[KnobName, Column]) -> dict[KnobName, frozenset[int]]:
    """The knobs that it points at, each with the codes of the values that it names; none where it names the knob.

    Empty where it points at none, or at so many that it tells nothing.
    """
    found: dict[KnobName, frozenset[int]] = {}
    for name, column in columns.items():
        if name in clue.at_work or _words(name.value.removeprefix("enable_")) in clue.said:
            found[name] = frozenset()
            continue
        if column.domain.scale is None:
            texts = [value_text(value) for value in column.domain.values]
            codes = frozenset(i for i, t in enumerate(texts) if t not in _SAY_NOTHING and _words(t) in clue.said)
            if codes:
                found[name] = codes
    return found if len(found) <= MOST_NAMED else {}


@lru_cache(maxsize=256)
def _words(text: str) -> str:
    return f" {_BETWEEN_WORDS.sub(' ', text.lower()).strip()} "
