"""A server's log as lines of text, freed from whatever writers and carriers put in front of them.

Carriers: `kubectl logs` with --timestamps and --prefix, the CRI's files, compose, syslog, JSON lines. Writers: vLLM's
process name and level, uvicorn's level, torch's `[rank0]:` and glog heads. Line numbers are those of the file: only a
line feed ends a line.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
    r"|(?:ESC|\^\[|\u241b)?\[(?:0|[01];\d{1,2})(?:;\d{1,2}){0,2}m"  # what is left where the escape was lost
)

_CARRIER: Final = re.compile(
    r"(?:"
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\s?(?:Z|UTC|[+-]\d\d:?\d\d)?\]?[\s:](?:- )?"
    r"|std(?:out|err) [FP] "  # the CRI's log files
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,6})? [\w.-]{1,63} [\w.@/-]{1,63}(?:\[\d+\])?: "  # syslog
    r"|\[pod/[\w./-]{1,200}\] "  # kubectl --prefix
    r"|[\w.-]{1,63}\s*\|\s"  # docker compose
    r"){0,4}"
)

_WRITER: Final = re.compile(
    r"(?:\((?P<process>[^()]{1,80}?\bpid=\d+)[^()]{0,60}\)\s?|\[rank\d+\]:\s?)*"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)(?:"
    r"\s-\s|:\s+(?:\[[^\]]{1,80}\]\s)?"  # uvicorn, and logging's default
    r"|\s(?:\d{4}-)?\d\d-\d\d \d\d:\d\d(?::\d\d)?(?:[.,]\d{1,6})?(?: \[[^\]]{1,120}\]| [\w./-]{1,120}:\d+\])? ?)"
    r"|\[(?P<glog>[IWEF])(?:\d{4} [\d:.]+ [^\]]{0,160}| \w+\.(?:cpp|cc|cu):\d+)\]\s?)?"
)

_OWN_HEAD: Final = re.compile(
    r"\((?:APIServer|ApiServer|EngineCore|Worker|VllmWorker|RayWorker|DPCoordinator)[^()]{0,60}\bpid=\d+[^()]{0,60}\) "
    r"|\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d{4}-)?\d\d-\d\d \d\d:\d\d(?::\d\d)? \[[\w./-]{1,80}:\d+\] "
)
"""What vLLM begins its lines with, to be found behind a carrier that nobody has heard of."""
_LONGEST_CARRIER: Final = 200

_MESSAGES: Final = ("message", "log", "msg", "textPayload", "text", "line", "MESSAGE", "_msg", "body", "event")
_LEVELS: Final = ("levelname", "level", "severity", "lvl")
_TRACEBACKS: Final = ("exc_info", "exc_text", "exception", "stack_trace", "stacktrace", "traceback")
"""The fields in which shippers and JSON formatters carry a line."""

_GLOG_LEVELS: Final = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}

_LONGEST: Final = 4096
"""Characters of a line that are looked at; messages are shorter, dumps and prompts are not."""
_LONGEST_RECORD: Final = 1 << 16

_LEVEL_NAMES: Final = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"})

_ROUTINE: Final = frozenset({"DEBUG", "INFO", "WARNING"})
_PROGRESS_BARS: Final = ("Capturing CUDA graph", "Loading ")

_FRAME: Final = re.compile(
    r'\s*(?:[|+]\s*)*File "(?P<path>[^"]+)(?:"(?:, line \d+, in (?P<function>\S+)|[, \w]{0,24}$)|$)'
)
"""Some carriers break long lines: then the path, or its beginning, has to do."""

_SOURCE: Final = re.compile(r"(?:raise |return |await |assert |self\.|[frb]{0,2}[\"']|#|\^+$|~*\^+~*$)")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: where it stands, who wrote it, how grave the writer thought it, and what it says."""

    number: int
    process: str
    level: str
    text: str
    indented: bool = False

    @property
    def routine(self) -> bool:
        """Nothing that a server survives or merely repeats, such as a prompt, can be the cause of its death."""
        return self.level in _ROUTINE or self.text.startswith(_PROGRESS_BARS) or " NCCL INFO " in self.text

    @property
    def quotes_source(self) -> bool:
        """A traceback's quotation of code: the message in it is not yet said."""
        return _SOURCE.match(self.text) is not None


@dataclass(frozen=True, slots=True)
class Frame:
    """A traceback's entry."""

    path: str
    function: str


def plain(log: str) -> str:
    """Without colours and carriage returns at line ends; line numbers stay."""
    if "\x1b" in log:
        log = _ANSI.sub("", log)
    return log.replace("\r\n", "\n") if "\r\n" in log else log


def pieces(log: str) -> Iterator[str]:
    """The lines of a text one by one, without a second copy of the whole."""
    start = 0
    while (end := log.find("\n", start)) >= 0:
        yield log[start:end]
        start = end + 1
    yield log[start:]


def lines(raw: Iterable[str]) -> Iterator[LogLine]:
    """Every line of a log. A line of JSON, as shippers write it, may hold several."""
    for number, text in enumerate(raw, 1):
        said = _ANSI.sub("", text) if "\x1b" in text or "[0" in text else text
        record = _record(said) if said.startswith("{") else None
        if record is None:
            yield _read(number, said)
        else:
            yield from _of_record(number, record)


def _record(text: str) -> dict[str, Any] | None:
    """The JSON object that a line is, if it is one with a message in it."""
    if len(text) > _LONGEST_RECORD or not text.rstrip().endswith("}"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if any(isinstance(record.get(key), str) for key in _MESSAGES) else None


def _of_record(number: int, record: dict[str, Any]) -> Iterator[LogLine]:
    record = {key: _ANSI.sub("", value) if isinstance(value, str) else value for key, value in record.items()}
    message = next(said for key in _MESSAGES if isinstance(said := record.get(key), str))
    told = next((said.upper() for key in _LEVELS if isinstance(said := record.get(key), str)), "")
    level = {"WARN": "WARNING"}.get(told, told if told in _LEVEL_NAMES else "")
    tracebacks = (said for key in _TRACEBACKS if isinstance(said := record.get(key), str))
    for text in (message, *tracebacks):
        for part in text.rstrip("\n").split("\n"):
            line = _read(number, part)
            yield replace(line, level=line.level or level)


def _read(number: int, raw: str) -> LogLine:
    if "\r" in raw:
        raw = raw.rstrip("\r").rpartition("\r")[2]  # a progress bar was drawn over
    carrier = _CARRIER.match(raw)
    start = carrier.end() if carrier else 0
    writer = _WRITER.match(raw, start)
    if writer is not None and writer.end() == start and (own := _OWN_HEAD.search(raw, start, start + _LONGEST_CARRIER)):
        start = own.start()
        writer = _WRITER.match(raw, start)
    process = level = ""
    if writer is not None:
        start = writer.end()
        process = writer["process"] or ""
        level = writer["level"] or _GLOG_LEVELS.get(writer["glog"] or "", "")
    said = raw[start : start + _LONGEST]
    return LogLine(number, process, level, said.strip(), said.startswith((" ", "\t")))


def frame(text: str) -> Frame | None:
    """The traceback entry that a line is, if it is one."""
    if 'File "' not in text:
        return None
    match = _FRAME.match(text)
    return Frame(match["path"], match["function"] or "") if match else None
