"""What time it is, asked in one place, so that a simulated cluster can have a time of its own."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, which other machines share."""
    return datetime.now(UTC)


def elapsed_seconds() -> float:
    """From some moment on; for spans, whatever is done to the wall clock meanwhile."""
    return time.monotonic()
