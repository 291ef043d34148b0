"""The operator's log: one line for each thing that it does, as text or as JSON, with the study and the trial in it."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from sloguard.domain.text import readable

TEXT: Final = "text"
JSON: Final = "json"
FIELDS: Final = ("study", "trial", "action", "reason", "requests", "seconds")
"""What a line may carry besides its message, through `extra`."""

_MOST_CHARACTERS: Final = 4096
_MOST_TRACEBACK: Final = 16_384


def configure(form: str, level: str) -> None:
    """Everything to standard error; of kopf and other libraries only what somebody has to look at."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sloguard").setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """Time, level, what it is about, what happened."""

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(str(record.__dict__[key]) for key in ("study", "trial") if key in record.__dict__)
        more = "".join(f" {k}={record.__dict__[k]}" for k in FIELDS[2:] if k in record.__dict__)
        head = f"{_time(record)} {record.levelname:<7} {about + ': ' if about else ''}"
        line = readable(f"{head}{record.getMessage()}{more}", _MOST_CHARACTERS)
        return f"{line}\n{_traceback(self, record)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": readable(record.getMessage(), _MOST_CHARACTERS),
        }
        said |= {key: record.__dict__[key] for key in FIELDS if key in record.__dict__}
        if record.exc_info:
            said["exception"] = _traceback(self, record)
        return json.dumps(said, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The end of it, where the error stands."""
    assert record.exc_info, "asked for with an exception only"
    return formatter.formatException(record.exc_info)[-_MOST_TRACEBACK:]
