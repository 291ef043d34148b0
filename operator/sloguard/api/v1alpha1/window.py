"""When trials may start."""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from .base import Model
from .rules import Rule, TextRule, cel_matches, matches

_STEP: Final = "(?:/[1-9][0-9]{0,3})?"
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def _names(names: tuple[str, ...]) -> str:
    """A name, or a range of names that goes forward."""
    return "|".join(f"{name}(?:-(?:{'|'.join(names[index:])}))?" for index, name in enumerate(names))


def _cron_field(number: str, names: tuple[str, ...] = ()) -> str:
    """A list of values, ranges and stars, each perhaps with a step. That ranges go upwards is a rule of its own."""
    item = rf"(?:\*|(?:{number})(?:-(?:{number}))?{'|' + _names(names) if names else ''}){_STEP}"
    return f"(?i:{item}(?:,{item})*)"


class _Field(NamedTuple):
    name: str
    pattern: str
    values: str


_FIELDS: Final = (
    _Field("minute", _cron_field("0?[0-9]|[1-5][0-9]"), "0-59"),
    _Field("hour", _cron_field("0?[0-9]|1[0-9]|2[0-3]"), "0-23"),
    _Field("day of month", _cron_field("0?[1-9]|[12][0-9]|3[01]"), "1-31"),
    _Field("month", _cron_field("0?[1-9]|1[0-2]", _MONTHS), "1-12 or JAN-DEC"),
    _Field("day of week", _cron_field("[0-7]", _DAYS), "0-7 or SUN-SAT"),
)
_EXAMPLE: Final = "such as 0 1 * * * for one o'clock each night"
_NUMBER_RANGE: Final = "[0-9]+-[0-9]+(?:/[0-9]+)?"
_THIRTY_FIRST: Final = "31(?:,31)*"
_SHORT_MONTHS: Final = "(?i:(?:0?[2469]|11|FEB|APR|JUN|SEP|NOV)(?:,(?:0?[2469]|11|FEB|APR|JUN|SEP|NOV))*)"
_THIRTIETH: Final = "(?:30|31|30-31)(?:,(?:30|31|30-31))*"
_FEBRUARY: Final = "(?i:0?2|FEB)"


def _not_five_fields(window: "Window") -> tuple[object, ...] | None:
    return None if len(window.fields) == len(_FIELDS) else (window.schedule, len(window.fields))


def _field_rule(index: int, field: _Field) -> Rule:
    def broken(window: "Window") -> tuple[object, ...] | None:
        if _not_five_fields(window) or matches(window.fields[index], field.pattern):
            return None
        return window.schedule, window.fields[index]

    text = f"self.schedule.split(' ')[{index}]"
    return Rule(
        cel=f"self.schedule.split(' ').size() != 5 || {cel_matches(text, field.pattern)}",
        message=f'"%s": {field.name} %s is not of {field.values}; write values, ranges that go upwards, * or lists of '
        f"these, perhaps with a step, {_EXAMPLE}",
        values=("self.schedule", text),
        broken=broken,
        path=".schedule",
    )


def _range_downwards(window: "Window") -> tuple[object, ...] | None:
    items = [item for field in window.fields for item in field.split(",")]
    for item in items:
        if re.fullmatch(_NUMBER_RANGE, item, re.ASCII):
            first, last = map(int, item.split("/")[0].split("-"))
            if first > last:
                return window.schedule, item
    return None


_ITEMS: Final = "self.schedule.replace(',', ' ').split(' ')"
_DOWNWARDS: Final = (
    f"{cel_matches('i', _NUMBER_RANGE)} && int(i.split('/')[0].split('-')[0]) > int(i.split('/')[0].split('-')[1])"
)


def _never_comes(window: "Window") -> tuple[object, ...] | None:
    if _not_five_fields(window):
        return None
    day, month = window.fields[2:4]
    impossible = (_THIRTY_FIRST, _SHORT_MONTHS), (_THIRTIETH, _FEBRUARY)
    never = any(matches(day, days) and matches(month, months) for days, months in impossible)
    return (window.schedule, day, month) if never else None


def _on(days: str, months: str) -> str:
    day, month = (f"self.schedule.split(' ')[{index}]" for index in (2, 3))
    return f"({cel_matches(day, days)} && {cel_matches(month, months)})"


_ZONE: Final = "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}"
_ZONE_REMEDY: Final = "use a name such as Europe/Paris or Etc/UTC"


def _zone_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # an absent zone, a folder of zones, and what is no path at all
        return False
    return matches(name, _ZONE)


TimeZone = Annotated[
    str,
    Field(max_length=64),
    # An unknown zone makes the expression itself fail; the API server then names the zone before `failing`.
    # Go knows a zone named Local, which is wherever the API server runs.
    TextRule(
        cel=f"{cel_matches('self', _ZONE)} && self != 'Local' && timestamp('2025-01-01T00:00:00Z').getHours(self) >= 0",
        message="unknown time zone %s; " + _ZONE_REMEDY,
        holds=_zone_known,
        failing=_ZONE_REMEDY,
    ),
]


class OnClose(StrEnum):
    """What becomes of trials that are under way when a window closes; one that is stopped is made again in the next."""

    FINISH = "Finish"
    STOP = "Stop"


class Window(Model):
    """Trials start only within a window; without any, at all times."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.schedule.split(' ').size() == 5",
            message='"%s" has %s fields; write minute, hour, day of month, month and day of week, ' + _EXAMPLE,
            values=("self.schedule", "self.schedule.split(' ').size()"),
            broken=_not_five_fields,
            path=".schedule",
        ),
        *(_field_rule(index, field) for index, field in enumerate(_FIELDS)),
        Rule(
            cel=f"!{_ITEMS}.exists(i, {_DOWNWARDS})",
            message='"%s": range %s goes downwards; write it upwards or as two, such as 22-23,0-4 for 22-4',
            values=("self.schedule", f"{_ITEMS}.filter(i, {_DOWNWARDS})[0]"),
            broken=_range_downwards,
            path=".schedule",
        ),
        Rule(
            cel=f"self.schedule.split(' ').size() != 5 || "
            f"!({_on(_THIRTY_FIRST, _SHORT_MONTHS)} || {_on(_THIRTIETH, _FEBRUARY)})",
            message='"%s": day %s of month %s never comes; choose a day that the month has',
            values=("self.schedule", "self.schedule.split(' ')[2]", "self.schedule.split(' ')[3]"),
            broken=_never_comes,
            path=".schedule",
        ),
    )

    schedule: str = Field(max_length=128, description="Cron, five fields: when the window opens.")
    duration_minutes: int = Field(ge=1, le=10_080)
    time_zone: TimeZone = "Etc/UTC"
    on_close: OnClose = Field(
        default=OnClose.FINISH,
        description="Trials under way when it closes are finished, or stopped and made again in the next window. "
        "Of windows that overlap, the last one to close counts.",
    )

    @property
    def fields(self) -> list[str]:
        """The schedule's parts."""
        return self.schedule.split(" ")
