"""One pass over a server's log: when it was ready, and the messages that the tables know.

Memory is bounded whatever the log: of each row of the tables one message is kept, of other errors the latest.
A log may hold several starts, one after the other: the last that says anything of its end counts.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, CrashPhase

from .activity import Reports
from .crash_pattern import Pattern, Rank
from .crash_patterns import CONFIGURATION_PATTERNS, VALIDATION
from .crash_patterns_machine import MACHINE_PATTERNS
from .evidence import Activity
from .log_lines import LogLine, frame, lines, pieces
from .margins import MARKS, note
from .proof import Context, Proven, together

PATTERNS: Final = CONFIGURATION_PATTERNS + MACHINE_PATTERNS + VALIDATION
"""In order of precedence within a line."""

_READY: Final = "Application startup complete"
_SERVES: Final = re.compile(r"Avg prompt throughput: |\"POST /(?:v\d|score|rerank|pooling)\S* HTTP/[\d.]+\" 200\b")
"""Of a server whose first lines are missing."""
_STARTS: Final = re.compile(r"vLLM API server version |non-default args: |█.{0,40} version \d")
_STOPS: Final = ("[shutdown] API server: shutdown triggered", "Shutting down", "Received shutdown signal")
_QUOTES_OF_REQUESTS: Final = ("Received request", "prompt: ", "prompt_token_ids")
"""Of lines that hold what clients sent, which may go on for lines."""
_ANSWERS: Final = re.compile(r"Avg generation throughput: (?!0\.0 )[\d.]+ tokens/s")
_ENOUGH_ANSWERS: Final = 2
"""Reports of tokens behind an error that show that the server lives: the first may count tokens from before it."""

_PHASE_OF_FUNCTION: Final = (
    (CrashPhase.SAMPLER, frozenset({"_dummy_sampler_run", "_dummy_pooler_run"})),
    (
        CrashPhase.GRAPH_CAPTURE,
        frozenset(
            {
                "capture_model",
                "_capture_cudagraphs",
                "profile_cudagraph_memory",
                "capture_graphs",
                "capture_begin",
                "capture_end",
            }
        ),
    ),
    (
        CrashPhase.PROFILE,
        frozenset({"profile_run", "determine_available_memory", "determine_num_available_blocks"}),
    ),
    (CrashPhase.LOAD, frozenset({"load_model", "init_device", "load_weights", "initialize_model"})),
    (CrashPhase.GRAPH_CAPTURE, frozenset({"compile_or_warm_up_model"})),
    (CrashPhase.PROFILE, frozenset({"initialize_kv_cache", "initialize_kv_cache_tensors"})),
    (CrashPhase.SERVING, frozenset({"run_busy_loop", "execute_model", "_process_engine_step"})),
)
"""A traceback's functions tell the phase; the first row that has one of them counts."""

_PHASE_MARKS: Final = (
    ("Starting to load model", CrashPhase.LOAD),
    ("Loading safetensors checkpoint shards", CrashPhase.LOAD),
    ("Model loading took", CrashPhase.PROFILE),
    ("KV cache size:", CrashPhase.GRAPH_CAPTURE),
    ("Capturing CUDA graph", CrashPhase.GRAPH_CAPTURE),
    ("Graph capturing finished", CrashPhase.SAMPLER),
)

_SOURCE_OF_ARGUMENT_ERRORS: Final = re.compile(
    r"vllm/(?:config(?:/\w+)?|engine/arg_utils|envs|platforms/\w+|utils/argparse_utils|entrypoints/\w+/cli_args"
    r"|entrypoints/cli/\w+|v1/attention/selector|v1/attention/backends/registry|model_executor/model_loader/__init__"
    r"|distributed/utils)\.py$"
)
_SOURCE_OF_QUANTIZATION_ERRORS: Final = re.compile(r"vllm/model_executor/layers/quantization/")
_OWN_SOURCE: Final = re.compile(r"(?:^|/)vllm/")
_ARGUMENT_ERROR: Final = re.compile(r"^(?:ValueError|NotImplementedError|AssertionError|TypeError|KeyError)\b")

_CLASSES_WITH_A_PHASE: Final = frozenset(
    {CrashClass.CUDA_OUT_OF_MEMORY, CrashClass.GPU_FAULT, CrashClass.COLLECTIVE_FAILURE, CrashClass.HANG}
)

_BY_NEEDLE: Final = tuple((needle, index) for index, row in enumerate(PATTERNS) for needle in row.needles)
_INDEX: Final = {row: index for index, row in enumerate(PATTERNS)}
_BEHIND_HEADINGS: Final = frozenset(index for index, row in enumerate(PATTERNS) if row.heading)
_HEADINGS: Final = frozenset(row.heading for row in PATTERNS if row.heading)
_FRONT_END: Final = re.compile(r"API|Api|api")

_MOST_WRAPPED: Final = 6
_MOST_FUNCTIONS: Final = 512
_MOST_PROCESSES: Final = 512
_MOST_REMEMBERED: Final = 1024

_FROM_CONFIGURATION: Final = Pattern(
    crash_class=CrashClass.INVALID_ARGUMENTS,
    regex=_ARGUMENT_ERROR,
    confidence=80,
    rank=Rank.SYMPTOM,
    seen="any version: the innermost frame is in the code that checks arguments",
)
_FROM_QUANTIZATION: Final = Pattern(
    crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
    regex=_ARGUMENT_ERROR,
    confidence=75,
    rank=Rank.SYMPTOM,
    seen="any version: the innermost frame is in the quantization layers",
)

_REFUSED: Final = Pattern(
    crash_class=CrashClass.INVALID_ARGUMENTS,
    regex=re.compile(
        r"^(?:ValueError|NotImplementedError): .{0,300}?(?:\bnot (?:yet |currently )?supported\b"
        r"|\b(?:do|does) not (?:yet |currently )?support\b|\b(?:currently|only) supports?\b|\bsupports? only\b"
        r"|\bincompatible\b|\bnot compatible\b|\bcannot be (?:used|combined|enabled)\b|\bmust divide\b"
        r"|\bmust (?:not )?be (?:a|an|at|greater|less|divisible|positive|non-negative|set|one of|the same|[<>]=?)\b"
        r"|\brequires\b|\b(?:is|are) required\b|\bUnknown [\w -]{1,40}: |\b(?:larger|greater) than max_\w"
        r"|\b[Pp]lease (?:set|unset|pass|use|enable|disable|increase|decrease|reduce|lower|specify)\b"
        r"|\b(?:[Ss]et|[Pp]ass) (?:VLLM_|`?--?\w))"
    ),
    confidence=65,
    rank=Rank.SYMPTOM,
    seen="0.20.0, 0.30.0 and any version: code of vLLM's own refuses what was asked for, or asks for another setting",
)

_EXCEPTION: Final = re.compile(
    r"^(?:[|+-]\s*)*(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Expired|OutOfResources)(?::|$)"
    r"|^(?:Fatal Python error|terminate called after throwing|!!!!!!! Segfault encountered)"
)
_SECONDARY: Final = (
    *("EngineDead", "EngineGenerateError", "EngineCore encountered an issue", "Engine core initialization failed"),
    *("Engine process failed to start", "Got fatal signal from worker processes", "WorkerProc initialization failed"),
    *("Frontend process failed during engine core", "died unexpectedly", "died with exit code", "Executor failed."),
    *(
        "is already dead, terminating",
        "Engine process (pid",
        "Engine loop is not running",
        "Engine loop has died",
        "BackgroundLoop",
        "Worker failed with error",
    ),
    *("One or more workers failed", "Input socket thread died", "RuntimeError: cancelled", "CancelledError"),
    *("KeyboardInterrupt", "SystemExit", "BrokenPipeError", "EOFError", "ConnectionResetError"),
)
_DEATH: Final = (
    *(
        "EngineDeadError",
        "EngineCore encountered an issue",
        "died unexpectedly",
        "EngineCore encountered a fatal error",
    ),
    *("EngineCore hit an exception", "WorkerProc hit an exception", "died with exit code", "is already dead"),
)
_ANNOUNCEMENT: Final = re.compile(
    r"^(?:EngineCore (?:failed to start|encountered a fatal error|hit an exception)|AsyncLLM output_handler failed"
    r"|WorkerProc (?:failed to start|hit an exception)|Error in \w[\w ]* generator|Exception in ASGI application"
    r"|Dumping |Traceback \(most recent|The above exception was|During handling of the above|For further information)"
)

_TELLING: Final = tuple(
    dict.fromkeys(
        (
            *(
                "Traceback (most recent call last)",
                'File "',
                'File \\"',
                "rror",
                "xception",
                "ERROR",
                "CRITICAL",
                "FATAL",
                "atal",
            ),
            *(
                _READY,
                *_STOPS,
                "hutting down",
                "non-default args: ",
                "died",
                "terminate called",
                "Segfault",
                "[E",
                "[F",
            ),
            *(mark for mark, _ in _PHASE_MARKS),
            *MARKS,
            *(needle for row in PATTERNS for needle in row.needles),
        )
    )
)

_FIELD: Final = re.compile(r"[A-Za-z_][\w.]*")
"""Pydantic names the field that it refuses on a line of its own."""
_LONGEST_FIELD_LINE: Final = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the tables, where it was found and what it proves there."""

    pattern: Pattern
    number: int
    text: str
    phase: CrashPhase | None
    proven: Proven | None


@dataclass(frozen=True, slots=True)
class Quote:
    """A line that says something went wrong, without a row of the tables that knows it."""

    number: int
    text: str


@dataclass(slots=True)
class Scan:
    """What a log says."""

    ready: bool = False
    asked_to_stop: bool = False
    """It was told to end before anything had gone wrong."""
    findings: list[Finding] = field(default_factory=list[Finding])
    death: Quote | None = None
    """The first sign that a server which was ready lost its engine."""
    fatal: Quote | None = None
    """The exception that took it, where no row knows it."""
    errors: dict[str, int] = field(default_factory=dict[str, int])
    """Distinct exceptions that are not mere consequences, with the line of their first appearance."""
    complaints: dict[str, int] = field(default_factory=dict[str, int])
    """The same for lines logged as errors."""
    consequences: dict[str, int] = field(default_factory=dict[str, int])
    activity: Activity | None = None
    """What the server last said of its work."""

    @property
    def cause(self) -> Finding | None:
        """The first message of the best rank, with all that messages of its class prove."""
        if not self.findings:
            return None
        first = min(self.findings, key=lambda found: (found.pattern.rank, found.number))
        alike = [found.proven for found in self.findings if found.pattern.crash_class is first.pattern.crash_class]
        proven = [one for one in (first.proven, *alike) if one is not None]
        return replace(first, proven=together(*proven) if proven else None)

    @property
    def interrupted(self) -> bool:
        """A signal ended the start, and nothing else went wrong."""
        return not self.errors and any(said.startswith("KeyboardInterrupt") for said in self.consequences)

    @property
    def sounds_dead(self) -> bool:
        """A known cause, a dead engine, or an error that the server never got past."""
        return bool(self.findings) or self.death is not None or (not self.ready and self.last_error is not None)

    @property
    def last_error(self) -> Quote | None:
        """The last distinct error line: exceptions before complaints before consequences."""
        for said in (self.errors, self.complaints, self.consequences):
            if said:
                text, number = next(reversed(said.items()))
                return Quote(number, text)
        return None


@dataclass(slots=True)
class _Traceback:
    path: str = ""
    functions: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class _Wrapped:
    """A message that the next lines may continue, since some carrier broke it; with the row that has matched."""

    line: LogLine
    texts: list[str]
    finding: Finding | None


class _Scanner:
    """The state of one pass. Processes write in turns, so tracebacks are followed for each of them."""

    def __init__(self) -> None:
        self.scan = Scan()
        self._before: Scan | None = None
        self._begin()

    def _begin(self) -> None:
        self._seen: set[Pattern] = set()
        self._headings: set[str] = set()
        self._tracebacks: dict[str, _Traceback] = {}
        self._mark: CrashPhase | None = None
        self._memory_bytes: dict[str, int] = {}
        self._reports = Reports()
        self._previous = ""
        self._broken: LogLine | None = None
        """A traceback's entry that a carrier broke before the path."""
        self._stopping = False
        self._quoting = False
        self._answers = 0
        self._wrapped: _Wrapped | None = None

    def result(self) -> Scan:
        """Of the last start, or of the one before where the last has come to nothing yet."""
        self.scan.activity = self._reports.activity()
        said = self.scan.ready or self.scan.sounds_dead or self.scan.asked_to_stop
        return self.scan if said or self._before is None else self._before

    def read(self, line: LogLine) -> None:
        if not line.text:
            return
        if self._broken is not None and line.text.startswith('"'):
            line = replace(self._broken, text=f"{self._broken.text} {line.text}")
        self._broken = line if line.text == "File" else None
        if line.routine:
            self._wrapped = None
            self._quoting = self.scan.ready and _has(line.text, _QUOTES_OF_REQUESTS)
            self._read_routine(line)
        elif self._quoting and not line.level and not line.process:
            pass
        elif (entry := frame(line.text)) is not None:
            self._wrapped = None
            traceback = self._traceback(line)
            traceback.path = entry.path
            if len(traceback.functions) < _MOST_FUNCTIONS:
                traceback.functions.add(entry.function)
        elif line.text.startswith("Traceback (most recent call last)"):
            self._wrapped = None
            self._tracebacks.pop(line.process, None)
            self._traceback(line)
        elif not line.quotes_source:
            self._read_message(line)
        elif self._wrapped is not None:
            self._continues(line)  # a message may go on with a quotation mark
        if line.level or line.process:
            self._quoting = line.routine and self._quoting
        self._previous = line.text

    def _traceback(self, line: LogLine) -> _Traceback:
        if len(self._tracebacks) >= _MOST_PROCESSES and line.process not in self._tracebacks:
            self._tracebacks.clear()
        return self._tracebacks.setdefault(line.process, _Traceback())

    def _read_routine(self, line: LogLine) -> None:
        text = line.text
        if "Running: " in text:
            self._reports.read(text)
        if _STARTS.search(text):
            self._start_again()
        elif not self.scan.ready and (text.startswith(_READY) or _SERVES.search(text)):
            self._become_ready()
        elif text.startswith(_STOPS):
            self._stop()
        elif self.scan.findings and self.scan.ready and self.scan.death is None and _ANSWERS.search(text):
            self._answer()
        else:
            if "GiB" in text:
                note(text, self._memory_bytes)
            self._mark = next((phase for mark, phase in _PHASE_MARKS if mark in text), self._mark)

    def _start_again(self) -> None:
        """Somebody starts the server again, in the same log, once it has ended."""
        if self.scan.sounds_dead or self.scan.ready:
            if self.scan.sounds_dead:
                self.scan.activity = self._reports.activity()
                self._before = self.scan
            self.scan = Scan()
            self._begin()

    def _become_ready(self) -> None:
        """What it survived did not kill it."""
        self.scan = Scan(ready=True)
        self._seen.clear()
        self._answers = 0

    def _answer(self) -> None:
        """What comes and goes while tokens keep flowing, be it an error or the words of a request, killed nothing."""
        self._answers += 1
        if self._answers >= _ENOUGH_ANSWERS:
            self._become_ready()

    def _stop(self) -> None:
        """What follows a stop is its consequence: clean shutdowns report a dead engine too."""
        if self.scan.ready and not self.scan.sounds_dead:
            self._stopping = self.scan.asked_to_stop = True

    def _read_message(self, line: LogLine) -> None:
        if line.text.startswith("Dumping "):
            self._reports.read(line.text)
            return
        if self._stopping:
            return
        if len(self._headings) < len(_HEADINGS):
            self._headings.update(heading for heading in _HEADINGS if heading in line.text)
        found = self._first_match(line, line.text)
        if found is not None:
            self.scan.findings.append(found)
            self._answers = 0
        if found is not None or not self._continues(line):
            self._wrapped = _Wrapped(line, [line.text], found) if found or _may_be_wrapped(line) else None
        if self.scan.death is None and _says(line.text, _DEATH):
            self.scan.death = Quote(line.number, line.text)
        self._note(line)

    def _continues(self, line: LogLine) -> bool:
        """Whether the line goes on with the message of the one before; what both say together then counts."""
        wrapped = self._wrapped
        if wrapped is None or line.level or line.process or _EXCEPTION.match(line.text):
            return False
        if len(wrapped.texts) >= _MOST_WRAPPED:
            return False
        wrapped.texts.append(line.text)
        for glue in (" ", ""):
            self._match_whole(wrapped, glue.join(wrapped.texts))
        return True

    def _match_whole(self, wrapped: _Wrapped, whole: str) -> None:
        """A row that only the whole fits counts for it if it is more specific than the one that a part has fitted."""
        known = wrapped.finding
        found = self._first_match(wrapped.line, whole)
        if found is not None and (known is None or _row(found) < _row(known)):
            if known in self.scan.findings:
                self.scan.findings.remove(known)
            self.scan.findings.append(found)
            wrapped.finding = found
        elif known is not None:
            self._add_to_limit(wrapped, known, whole)

    def _add_to_limit(self, wrapped: _Wrapped, known: Finding, whole: str) -> None:
        """A message may name its figures behind the break."""
        match = known.pattern.match(whole) if known.pattern.limit else None
        proven = known.pattern.limit(match, self._context()) if match and known.pattern.limit else None
        less = known.proven.said if known.proven else ""
        if proven and len(proven.said) > len(less) and known in self.scan.findings:
            wrapped.finding = replace(known, proven=proven)
            self.scan.findings[self.scan.findings.index(known)] = wrapped.finding

    def _context(self) -> Context:
        return Context(self._previous, self._memory_bytes)

    def _first_match(self, line: LogLine, text: str) -> Finding | None:
        told = {index for needle, index in _BY_NEEDLE if needle in text}
        if self._headings:
            told |= _BEHIND_HEADINGS
        for pattern in chain((PATTERNS[index] for index in sorted(told)), self._by_origin(line)):
            if pattern in self._seen or not self._may_be(pattern, line):
                continue
            match = pattern.match(text)
            if match is None:
                continue
            self._seen.add(pattern)
            proven = pattern.limit(match, self._context()) if pattern.limit else None
            return Finding(pattern, line.number, line.text, self._phase(line, pattern), proven)
        return None

    def _may_be(self, pattern: Pattern, line: LogLine) -> bool:
        """A server that is up dies of few things, and of its GPU only in the processes that have one.

        The front end's errors quote requests, so that its word counts for its own sockets, memory and files alone, and
        only where its line begins with the error.
        """
        if pattern.heading and pattern.heading not in self._headings:
            return False
        if not self.scan.ready:
            return True
        own = pattern.front_end and (line.text.startswith("[Errno ") or _EXCEPTION.match(line.text) is not None)
        return pattern.serving and (own or not _FRONT_END.match(line.process))

    def _by_origin(self, line: LogLine) -> Iterator[Pattern]:
        """Rows that tell an unknown message by the code that raised it."""
        traceback = self._tracebacks.get(line.process)
        if traceback is None or not traceback.path:
            return
        if _SOURCE_OF_ARGUMENT_ERRORS.search(traceback.path):
            yield _FROM_CONFIGURATION
        elif _SOURCE_OF_QUANTIZATION_ERRORS.search(traceback.path):
            yield _FROM_QUANTIZATION
        elif _OWN_SOURCE.search(traceback.path):
            yield _REFUSED

    def _phase(self, line: LogLine, pattern: Pattern) -> CrashPhase | None:
        if self.scan.ready:
            return None if pattern.crash_class is CrashClass.PORT_IN_USE else CrashPhase.SERVING
        if pattern.phase is not None or pattern.crash_class not in _CLASSES_WITH_A_PHASE:
            return pattern.phase
        traceback = self._tracebacks.get(line.process)
        functions: set[str] = traceback.functions if traceback else set()
        told = (phase for phase, names in _PHASE_OF_FUNCTION if names & functions)
        return next(told, self._mark)

    def _note(self, line: LogLine) -> None:
        if _has(line.text, _SECONDARY):
            _remember(self.scan.consequences, line)
        elif _EXCEPTION.match(line.text):
            _remember(self.scan.errors, line)
            if self.scan.death is not None and self.scan.fatal is None:
                self.scan.fatal = Quote(line.number, line.text)
        elif line.level and not line.indented and not _ANNOUNCEMENT.match(line.text):
            _remember(self.scan.complaints, line)


def _row(found: Finding) -> int:
    """Where its row stands: the specific ones stand first."""
    return _INDEX.get(found.pattern, len(PATTERNS))


def _has(text: str, marks: Iterable[str]) -> bool:
    return any(mark in text for mark in marks)


def _says(text: str, marks: Iterable[str]) -> bool:
    """Whether it says one of them itself, rather than quoting somebody."""
    found = next((text.find(mark) for mark in marks if mark in text), None)
    return found is not None and "'" not in text[:found] and '"' not in text[:found]


def _may_be_wrapped(line: LogLine) -> bool:
    return bool(line.level) or _EXCEPTION.match(line.text) is not None


def _remember(said: dict[str, int], line: LogLine) -> None:
    """The first time of each text, of the latest so many."""
    if line.text not in said and len(said) >= _MOST_REMEMBERED:
        del said[next(iter(said))]
    said.setdefault(line.text, line.number)


def telling(line: str) -> bool:
    """Whether a bounded copy of a log has to keep this line, so that its verdict is that of the whole log."""
    if any(mark in line for mark in _TELLING):
        return True
    return len(line) <= _LONGEST_FIELD_LINE and _FIELD.fullmatch(next(lines([line])).text) is not None


def scan(log: str) -> Scan:
    """What a whole log says. Linear in its length."""
    return scan_lines(pieces(log))


def scan_lines(log: Iterable[str]) -> Scan:
    """The same of a log that comes line by line."""
    scanner = _Scanner()
    for line in lines(log):
        scanner.read(line)
    return scanner.result()
