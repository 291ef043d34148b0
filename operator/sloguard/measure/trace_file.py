"""Reads recorded requests from a file: JSON lines, or CSV with a header.

| columns | whose | times |
|---|---|---|
| atMilliseconds, promptTokens, outputTokens, prefixGroup, prefixTokens | ours | after the trace's start |
| TIMESTAMP, ContextTokens, GeneratedTokens | the Azure LLM inference traces | a date; the first request is the start |
| timestamp, input_length, output_length, hash_ids | Mooncake | milliseconds after the trace's start |

Of ours the last two may be missing, of Mooncake's hash_ids. Other columns are passed over. Neither case nor underscores
matter. Requests stand in order of time, so that no more of a long trace is read than is needed.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from sloguard.api.v1alpha1 import Workload

from .request import LoadInputError
from .trace import Prefix, RecordedRequest, group_prefix, needed_seconds

MAX_TOKENS = 1_000_000
MAX_REQUESTS = 1_000_000
MAX_LINE_CHARACTERS = 1024 * 1024
HASHED_BLOCK_TOKENS = 512
"""Of Mooncake's traces: each of `hash_ids` stands for so many tokens and for all that come before them."""


class TraceFileError(LoadInputError):
    """The message names file, line, column and value, and what would be right."""


class _Format(NamedTuple):
    time: str
    prompt: str
    output: str

    @property
    def columns(self) -> str:
        return ", ".join(self)


_OURS = _Format("atMilliseconds", "promptTokens", "outputTokens")
_AZURE = _Format("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOONCAKE = _Format("timestamp", "input_length", "output_length")
_FORMATS = (_OURS, _AZURE, _MOONCAKE)


def trace_of(workload: Workload) -> list[RecordedRequest] | None:
    """What the workload's file holds of the requests that are needed, or None where it names none."""
    path = workload.arrival.trace_file
    return None if path is None else read_trace(Path(path), needed_seconds(workload))


def read_trace(path: Path, until_seconds: float) -> list[RecordedRequest]:
    """The requests up to that second after the trace's start. Raises TraceFileError."""
    found: list[RecordedRequest] = []
    for line, request in _requests(path):
        if request.at_seconds >= until_seconds:
            break
        if len(found) == MAX_REQUESTS:
            raise TraceFileError(f"{path}: line {line}: there are more than {MAX_REQUESTS} requests; replay less of it")
        found.append(request)
    if not found:
        raise TraceFileError(f"{path}: no request comes within the first {until_seconds:g} s; measure longer")
    return found


def _requests(path: Path) -> Iterator[tuple[int, RecordedRequest]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read(path, file)
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError:
        raise TraceFileError(f"{path} is not UTF-8 text; save the file as UTF-8") from None


def _read(path: Path, file: TextIO) -> Iterator[tuple[int, RecordedRequest]]:
    lines = _Lines(path, file)
    rows = _json_rows(lines) if lines.first.lstrip().startswith("{") else _csv_rows(lines)
    reader: _RowReader | None = None
    for fields in rows:
        reader = reader or _RowReader(lines, fields)
        yield lines.number, reader.read(fields)


class _Lines(Iterator[str]):
    """The lines of a file, none of unbounded length, with the number of the last."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.number = 0
        self._file = file
        self.first = self._next()
        self._again = True

    def __next__(self) -> str:
        self.number += 1
        if self._again:
            self._again = False
            return self.first
        line = self._next()
        if not line:
            raise StopIteration
        return line

    def _next(self) -> str:
        line = self._file.readline(MAX_LINE_CHARACTERS + 1)
        if len(line) > MAX_LINE_CHARACTERS:
            raise self.error(f"is longer than {MAX_LINE_CHARACTERS} characters; one request has a few hundred")
        return line

    def error(self, message: str) -> TraceFileError:
        return TraceFileError(f"{self.path}: line {max(self.number, 1)}: {message}")


def _json_rows(lines: _Lines) -> Iterator[Mapping[str, object]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise lines.error(f"is not JSON ({error}); write one object a line") from None
        if not isinstance(row, dict):
            raise lines.error(f"{_shown(row)} is not an object; write one a line, such as {_EXAMPLE}")
        yield cast("dict[str, object]", row)


_EXAMPLE = '{"atMilliseconds": 0, "promptTokens": 512, "outputTokens": 64}'


def _csv_rows(lines: _Lines) -> Iterator[Mapping[str, object]]:
    rows = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(rows, list[str]())]
        if not any(header):
            raise lines.error(f"the file is empty; begin with a line of column names: {_OURS.columns}")
        for row in rows:
            if len(row) > len(header) or (row and len(row) < len(header)):
                raise lines.error(f"has {len(row)} values for {len(header)} columns")
            if row:
                # What is left empty is as if the column were not there.
                yield {name: value.strip() for name, value in zip(header, row, strict=True) if value.strip()}
    except csv.Error as error:
        raise lines.error(f"is not CSV: {error}") from None


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


class _RowReader:
    """Rows of one format, which the first row tells."""

    def __init__(self, lines: _Lines, first: Mapping[str, object]) -> None:
        self._lines = lines
        self._names = {_folded(name): name for name in first}
        found = [each for each in _FORMATS if {_folded(name) for name in each} <= self._names.keys()]
        if not found:
            accepted = "; ".join(each.columns for each in _FORMATS)
            raise lines.error(f"the columns {', '.join(first) or '(none)'} are no known trace; name them {accepted}")
        self._format = found[0]
        self._start: datetime | None = None
        self._last_seconds = 0.0

    def read(self, fields: Mapping[str, object]) -> RecordedRequest:
        row = {_folded(name): value for name, value in fields.items()}
        seconds = self._seconds(row)
        if seconds < self._last_seconds:
            before = "before the trace's start" if seconds < 0 else "earlier than the line before"
            raise self._error(self._format.time, row, f"is {before}; sort the file by time")
        self._last_seconds = seconds
        prompt = self._count(self._format.prompt, row, least=1)
        # Zero is what was recorded of requests that failed; no server can be asked for less than one.
        output = max(1, self._count(self._format.output, row, least=0))
        return RecordedRequest(seconds, prompt, output, self._prefix(row, prompt))

    def _seconds(self, row: Mapping[str, object]) -> float:
        if self._format is _AZURE:
            return self._seconds_of_date(row)
        value = self._value(self._format.time, row)
        try:
            milliseconds = float(cast("Any", value))
        except (TypeError, ValueError):
            milliseconds = float("nan")
        if isinstance(value, bool) or not -1e15 < milliseconds < 1e15:
            raise self._error(self._format.time, row, "is not a number of milliseconds")
        return milliseconds / 1000

    def _seconds_of_date(self, row: Mapping[str, object]) -> float:
        try:
            at = datetime.fromisoformat(str(self._value(self._format.time, row)))
        except ValueError:
            raise self._error(self._format.time, row, "is not a date; write it as 2023-11-16 18:15:46.680590") from None
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        self._start = self._start or at
        return (at - self._start).total_seconds()

    def _prefix(self, row: Mapping[str, object], prompt: int) -> Prefix:
        if self._format is _MOONCAKE:
            return self._hashed(row, prompt)
        group = row.get("prefixgroup") if self._format is _OURS else None
        if group is None:
            return ()
        if type(group) not in {int, str}:
            raise self._error("prefixGroup", row, "is neither a name nor a number")
        shared = prompt if row.get("prefixtokens") is None else self._count("prefixTokens", row, least=1)
        return group_prefix(str(group), shared)

    def _hashed(self, row: Mapping[str, object], prompt: int) -> Prefix:
        value = row.get("hashids")
        if isinstance(value, str):  # in CSV
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = row["hashids"]
        if value is None:
            return ()
        ids = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(type(each) is int for each in ids):
            raise self._error("hash_ids", row, "is not a list of whole numbers, such as [46, 47]")
        blocks = -(-prompt // HASHED_BLOCK_TOKENS)
        return tuple((f"block-{each}", HASHED_BLOCK_TOKENS) for each in islice(ids, blocks))

    def _count(self, column: str, row: Mapping[str, object], *, least: int) -> int:
        value = self._value(column, row)
        written = isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdecimal()
        number = int(cast("str", value)) if written else value
        if type(number) is not int or not least <= number <= MAX_TOKENS:
            raise self._error(column, row, f"is not a whole number from {least} to {MAX_TOKENS}")
        return number

    def _value(self, column: str, row: Mapping[str, object]) -> object:
        value = row.get(_folded(column))
        if value is None:
            raise self._lines.error(f"{self._names.get(_folded(column), column)} is missing; add it")
        return value

    def _error(self, column: str, row: Mapping[str, object], message: str) -> TraceFileError:
        name = self._names.get(_folded(column), column)
        return self._lines.error(f"{name}: {_shown(row.get(_folded(column)))} {message}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"
