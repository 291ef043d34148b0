"""What a message proves beyond the crash: in figures, and in the words that people read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import Match
from typing import Final

from sloguard.api.v1alpha1 import KnobName, Proof, SettingBound
from sloguard.api.v1alpha1.knobs import SHARES

GIB: Final = 1 << 30
_UNITS: Final = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB, "TiB": 1 << 40}
_MOST_BYTES: Final = 1 << 50
_MOST: Final = 1_000_000_000
_MOST_BOUNDS: Final = 8
_SETTING: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)

NOTHING: Final = Proof()


@dataclass(frozen=True, slots=True)
class Context:
    """What the log had said before a message, for limits that the message alone does not prove."""

    previous: str = ""
    memory_bytes: Mapping[str, int] | None = None
    """By what for: `domain.margins.note` names them."""

    def memory(self, what: str) -> int | None:
        return (self.memory_bytes or {}).get(what)


@dataclass(frozen=True, slots=True)
class Proven:
    """A sentence, and as much of it as can be told in figures."""

    said: str
    proof: Proof = NOTHING


Limit = Callable[[Match[str], Context], Proven | None]
"""None where the message does not say enough."""


def says(template: str) -> Limit:
    """A sentence made of the groups of a match; none where a group that it needs did not take part."""
    return _told(template, lambda _: NOTHING)


def at_most(setting: str, group: str, template: str = "", *, less: int = 0) -> Limit:
    """That a setting may be no more than that group, less so much."""
    said = template or f"{setting} at most {{{group}}}"
    return _told(said, lambda match: bounded(setting, at_most=int(match[group]) - less))


def at_least(setting: str, group: str, template: str = "") -> Limit:
    said = template or f"{setting} at least {{{group}}}"
    return _told(said, lambda match: bounded(setting, at_least=int(match[group])))


def counts(template: str, **fields: str) -> Limit:
    """Fields of the proof that are counts, by the groups that hold them."""
    return _told(template, lambda match: proof(**{field: int(match[group]) for field, group in fields.items()}))


def sized(template: str, *, unit: str, **fields: str) -> Limit:
    """Fields of the proof that are bytes, by the groups that hold them in that unit."""

    def found(match: Match[str]) -> Proof:
        return proof(**{field: in_bytes(f"{match[group]} {unit}") for field, group in fields.items() if match[group]})

    return _told(template, found)


def _told(template: str, found: Callable[[Match[str]], Proof]) -> Limit:
    def limit(match: Match[str], _: Context) -> Proven | None:
        groups = match.groupdict()
        if any(f"{{{name}}}" in template and value is None for name, value in groups.items()):
            return None
        return Proven(template.format_map(groups), found(match))

    return limit


def in_bytes(said: str) -> int | None:
    """Of a figure with its unit, such as "1.41 GiB"; None of what is none."""
    number, _, unit = said.strip().partition(" ")
    if re.fullmatch(r"-?\d{1,15}(?:\.\d{1,15})?", number, re.ASCII) is None or unit not in _UNITS:
        return None
    return round(float(number) * _UNITS[unit])


def proof(**figures: int | None) -> Proof:
    """Without figures that cannot be: a log may say anything."""
    possible = {name: value for name, value in figures.items() if value is not None and _possible(name, value)}
    return NOTHING.model_copy(update=possible)


def bounded(setting: str, *, at_most: int | None = None, at_least: int | None = None) -> Proof:
    """Of a whole number."""
    limits = {"at_most": at_most, "at_least": at_least}
    possible = {name: value for name, value in limits.items() if value is not None and 0 <= value <= _MOST}
    return Proof(bounds=[SettingBound(setting=setting, **possible)]) if possible and _named(setting) else NOTHING


def share_bounded(setting: str, *, at_most: float) -> Proof:
    """Of a share: rounded down to thousandths, so that it surely holds."""
    permille = int(at_most * 1000)
    if not 0 <= permille <= 1000:
        return NOTHING
    return Proof(bounds=[SettingBound(setting=setting, at_most_permille=permille)])


def is_share(setting: str) -> bool:
    return setting in {KnobName(knob).value for knob in SHARES}


def together(*proven: Proven) -> Proven:
    """Each sentence once. Of figures the first counts, as of causes; of bounds the tightest."""
    figures: dict[str, int] = {}
    bounds: dict[str, SettingBound] = {}
    for one in proven:
        figures = one.proof.model_dump(exclude={"bounds"}, exclude_none=True) | figures
        for bound in one.proof.bounds:
            bounds[bound.setting] = _tighter(bounds.get(bound.setting, bound), bound)
    said = "; ".join(dict.fromkeys(one.said for one in proven))
    return Proven(said, Proof(bounds=list(bounds.values())[:_MOST_BOUNDS], **figures))


def _tighter(one: SettingBound, other: SettingBound) -> SettingBound:
    return SettingBound(
        setting=one.setting,
        at_least=_of_known(max, one.at_least, other.at_least),
        at_most=_of_known(min, one.at_most, other.at_most),
        at_most_permille=_of_known(min, one.at_most_permille, other.at_most_permille),
    )


def _of_known(choose: Callable[[list[int]], int], *values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def _possible(name: str, value: int) -> bool:
    least = -_MOST_BYTES if name == "available_kv_cache_bytes" else 0
    return least <= value <= (_MOST_BYTES if name.endswith("_bytes") else _MOST)


def _named(setting: str) -> bool:
    return _SETTING.fullmatch(setting) is not None
