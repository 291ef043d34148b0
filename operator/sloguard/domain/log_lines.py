"""A server's log as lines of text, freed from whatever writers and carriers put in front of them.

Carriers: `kubectl logs --timestamps`, the CRI's files, compose. Writers: vLLM's process name and level, uvicorn's
level, torch's `[rank0]:` and glog heads. Line numbers are those of the file: only a line feed ends a line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

_CARRIER: Final = re.compile(
    r"(?:[\w.-]{1,63}\s*\|\s)?"  # docker compose
    r"(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s(?:- )?)?"
    r"(?:std(?:out|err) [FP] )?"  # the CRI's log files
)

_WRITER: Final = re.compile(
    r"(?:\((?P<process>[^()]{1,80}?\bpid=\d+)\)\s?|\[rank\d+\]:\s?)*"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)(?:"
    r"\s-\s|:\s+(?:\[[^\]]{1,80}\]\s)?"  # uvicorn, and logging's default
    r"|\s(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?: \[[^\]]{1,120}\]| [\w./-]{1,120}:\d+\])? ?)"
    r"|\[(?P<glog>[IWEF])\d{4} [\d:.]+ [^\]]{0,160}\]\s?)?"
)

_GLOG_LEVELS: Final = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}

_LONGEST: Final = 4096
"""Characters of a line that are looked at; messages are shorter, dumps and prompts are not."""

_ROUTINE: Final = frozenset({"DEBUG", "INFO", "WARNING"})
_PROGRESS_BARS: Final = ("Capturing CUDA graph", "Loading ")

_FRAME: Final = re.compile(r'\s*(?:[|+]\s*)*File "(?P<path>[^"]+)", line \d+, in (?P<function>\S+)')

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


def lines(log: str) -> Iterator[LogLine]:
    """Every line of a log that `plain` has been through."""
    for number, raw in enumerate(log.split("\n"), 1):
        yield _read(number, raw)


def _read(number: int, raw: str) -> LogLine:
    if "\r" in raw:
        raw = raw.rstrip("\r").rpartition("\r")[2]  # a progress bar was drawn over
    carrier = _CARRIER.match(raw)
    start = carrier.end() if carrier else 0
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
    return Frame(match["path"], match["function"]) if match else None
