"""One pass over a server's log: when it was ready, and the messages that the tables know."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, CrashPhase

from .crash_pattern import Context, Pattern, Rank
from .crash_patterns import CONFIGURATION_PATTERNS, VALIDATION
from .crash_patterns_machine import MACHINE_PATTERNS
from .log_lines import LogLine, frame, lines, plain
from .margins import MARKS

PATTERNS: Final = CONFIGURATION_PATTERNS + MACHINE_PATTERNS + VALIDATION
"""In order of precedence within a line."""

_READY: Final = "Application startup complete"
_ASKED_TO_STOP: Final = "[shutdown] API server: shutdown triggered"
_STOPS: Final = "Shutting down"
_AVAILABLE_KV: Final = re.compile(r"Available KV cache memory: (-?[\d.]+) GiB")

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
    r"vllm/(?:config(?:/\w+)?|engine/arg_utils|platforms/\w+|utils/argparse_utils|entrypoints/openai/cli_args)\.py$"
)
_SOURCE_OF_QUANTIZATION_ERRORS: Final = re.compile(r"vllm/model_executor/layers/quantization/")
_ARGUMENT_ERROR: Final = re.compile(r"^(?:ValueError|NotImplementedError|AssertionError|TypeError|KeyError)\b")

_CLASSES_WITH_A_PHASE: Final = frozenset(
    {CrashClass.CUDA_OUT_OF_MEMORY, CrashClass.GPU_FAULT, CrashClass.COLLECTIVE_FAILURE, CrashClass.HANG}
)

_FROM_CONFIGURATION: Final = Pattern(
    crash_class=CrashClass.INVALID_ARGUMENTS,
    needles=("vllm/",),
    regex=_ARGUMENT_ERROR,
    confidence=80,
    rank=Rank.SYMPTOM,
    seen="any version: the innermost frame is in the code that checks arguments",
)
_FROM_QUANTIZATION: Final = Pattern(
    crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
    needles=("vllm/",),
    regex=_ARGUMENT_ERROR,
    confidence=75,
    rank=Rank.SYMPTOM,
    seen="any version: the innermost frame is in the quantization layers",
)

_EXCEPTION: Final = re.compile(
    r"^(?:[|+-]\s*)*(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Expired|OutOfResources)(?::|$)"
    r"|^(?:Fatal Python error|terminate called after throwing|!!!!!!! Segfault encountered)"
)
_SECONDARY: Final = re.compile(
    r"EngineDead(?:Error)?\b|EngineGenerateError|EngineCore encountered an issue|Engine core initialization failed"
    r"|Engine process failed to start|Got fatal signal from worker processes|WorkerProc initialization failed"
    r"|Frontend process failed during engine core"
    r"|died unexpectedly|died with exit code|Engine loop (?:is not running|has died)|BackgroundLoop"
    r"|RuntimeError: cancelled|CancelledError|KeyboardInterrupt|SystemExit|BrokenPipeError|EOFError"
    r"|ConnectionResetError"
)
_DEATH: Final = re.compile(
    r"EngineDeadError|EngineCore encountered an issue|died unexpectedly|EngineCore encountered a fatal error"
    r"|EngineCore hit an exception|WorkerProc hit an exception|died with exit code"
)
_ANNOUNCEMENT: Final = re.compile(
    r"^(?:EngineCore (?:failed to start|encountered a fatal error|hit an exception)|AsyncLLM output_handler failed"
    r"|WorkerProc (?:failed to start|hit an exception)|Error in \w[\w ]* generator|Exception in ASGI application"
    r"|Dumping |Traceback \(most recent|The above exception was|During handling of the above|For further information)"
)

_TELLING: Final = tuple(
    dict.fromkeys(
        (
            *("Traceback (most recent call last)", 'File "', "rror", "xception", "ERROR", "CRITICAL", "FATAL", "atal"),
            *(_READY, _ASKED_TO_STOP, _STOPS, "died", "terminate called", "Segfault", "[E", "[F"),
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
    limit: str | None


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

    @property
    def cause(self) -> Finding | None:
        """The first message of the best rank, with all that messages of its class prove."""
        if not self.findings:
            return None
        first = min(self.findings, key=lambda found: (found.pattern.rank, found.number))
        limits = [found.limit for found in self.findings if found.pattern.crash_class is first.pattern.crash_class]
        proven = dict.fromkeys(limit for limit in [first.limit, *limits] if limit)
        return replace(first, limit="; ".join(proven) or None)

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


class _Scanner:
    """The state of one pass. Processes write in turns, so tracebacks are followed for each of them."""

    def __init__(self, log: str) -> None:
        self.scan = Scan()
        self._patterns = [row for row in PATTERNS if any(needle in log for needle in row.needles)]
        self._seen: set[Pattern] = set()
        self._tracebacks: dict[str, _Traceback] = {}
        self._mark: CrashPhase | None = None
        self._available_kv_gib: float | None = None
        self._previous = ""
        self._stopping = False

    def read(self, line: LogLine) -> None:
        if not line.text:
            return
        if line.routine:
            self._read_routine(line)
        elif (entry := frame(line.text)) is not None:
            self._traceback(line).path = entry.path
            self._traceback(line).functions.add(entry.function)
        elif line.text.startswith("Traceback (most recent call last)"):
            self._tracebacks[line.process] = _Traceback()
        elif not line.quotes_source:
            self._read_message(line)
        self._previous = line.text

    def _traceback(self, line: LogLine) -> _Traceback:
        return self._tracebacks.setdefault(line.process, _Traceback())

    def _read_routine(self, line: LogLine) -> None:
        text = line.text
        if not self.scan.ready and text.startswith(_READY):
            self._become_ready()
        elif text.startswith((_ASKED_TO_STOP, _STOPS)):
            self._stop(text)
        elif (found := _AVAILABLE_KV.search(text)) is not None:
            self._available_kv_gib = float(found[1])
        else:
            self._mark = next((phase for mark, phase in _PHASE_MARKS if mark in text), self._mark)

    def _become_ready(self) -> None:
        """What it survived did not kill it."""
        self.scan = Scan(ready=True)
        self._seen.clear()

    def _stop(self, text: str) -> None:
        """What follows a stop is its consequence: clean shutdowns report a dead engine too."""
        if self.scan.ready and not self.scan.sounds_dead:
            self._stopping = True
            self.scan.asked_to_stop = self.scan.asked_to_stop or text.startswith(_ASKED_TO_STOP)

    def _read_message(self, line: LogLine) -> None:
        if self._stopping or line.text.startswith("Dumping "):
            return
        if (found := self._first_match(line)) is not None:
            self.scan.findings.append(found)
        if self.scan.death is None and _DEATH.search(line.text):
            self.scan.death = Quote(line.number, line.text)
        self._note(line)

    def _first_match(self, line: LogLine) -> Finding | None:
        for pattern in chain(self._patterns, self._by_origin(line)):
            if pattern in self._seen or (self.scan.ready and not pattern.serving):
                continue
            match = pattern.match(line.text)
            if match is None:
                continue
            self._seen.add(pattern)
            context = Context(self._previous, self._available_kv_gib)
            limit = pattern.limit(match, context) if pattern.limit else None
            return Finding(pattern, line.number, line.text, self._phase(line, pattern), limit)
        return None

    def _by_origin(self, line: LogLine) -> Iterator[Pattern]:
        """Rows that tell an unknown message by the code that raised it."""
        traceback = self._tracebacks.get(line.process)
        if traceback is None or not traceback.path:
            return
        if _SOURCE_OF_ARGUMENT_ERRORS.search(traceback.path):
            yield _FROM_CONFIGURATION
        elif _SOURCE_OF_QUANTIZATION_ERRORS.search(traceback.path):
            yield _FROM_QUANTIZATION

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
        if _SECONDARY.search(line.text):
            self.scan.consequences.setdefault(line.text, line.number)
        elif _EXCEPTION.match(line.text):
            self.scan.errors.setdefault(line.text, line.number)
            if self.scan.death is not None and self.scan.fatal is None:
                self.scan.fatal = Quote(line.number, line.text)
        elif line.level and not line.indented and not _ANNOUNCEMENT.match(line.text):
            self.scan.complaints.setdefault(line.text, line.number)


def telling(line: str) -> bool:
    """Whether a bounded copy of a log has to keep this line, so that its verdict is that of the whole log."""
    if any(mark in line for mark in _TELLING):
        return True
    return len(line) <= _LONGEST_FIELD_LINE and _FIELD.fullmatch(next(lines(plain(line))).text) is not None


def scan(log: str) -> Scan:
    """What a whole log says. Linear in its length."""
    text = plain(log)
    scanner = _Scanner(text)
    for line in lines(text):
        scanner.read(line)
    return scanner.scan
