"""What time it is, asked in one place, so that a simulated cluster can have a time of its own.

Pods' times are told by the cluster's clocks, and the operator's own may be wrong or be set while it runs: then a
candidate would be blamed for a start that took no time at all, and a budget be over at once. So the time is the API
server's, from the `Date` of its answers; between them the time that passes is counted, which no setting of a clock
changes.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

WHOLE_SECOND = timedelta(seconds=1)
"""A `Date` is rounded down to one."""


@dataclass(slots=True)
class _Heard:
    """The time that it was when `elapsed_seconds()` said so much; None before an API server answered."""

    then: datetime | None = None
    at_seconds: float = 0.0


_heard = _Heard()


def now() -> datetime:
    """The API server's time; before its first answer, this machine's."""
    if _heard.then is None:
        return datetime.now(UTC)
    return _heard.then + timedelta(seconds=elapsed_seconds() - _heard.at_seconds)


def elapsed_seconds() -> float:
    """From some moment on; for spans, whatever is done to the wall clock meanwhile."""
    return time.monotonic()


def hear(date: str, asked_seconds: float) -> None:
    """Of an answer's `Date` header, to what was asked at `asked_seconds` of `elapsed_seconds()`.

    Only what cannot be true is corrected: the header leaves a second open, and the answer's way another part.
    """
    try:
        told = parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return
    at = elapsed_seconds()
    latest = told + WHOLE_SECOND + timedelta(seconds=at - asked_seconds)
    _heard.then, _heard.at_seconds = min(max(now(), told), latest), at
