"""Plays recorded loads to the simulator in simulated time: the scheduler, the clocks and the memory that serve over
HTTP, without HTTP. A minute of load takes about half a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.scheduler import Request
from sloguard.simulator.serving import Serving
from sloguard.simulator.startup import Exit, Line, Ready, Wait, script
from tests.bench.percentiles import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sloguard.simulator.frontend import Chunk
    from sloguard.simulator.scheduler import Step

PREFIX_TOKENS = 512
DRAIN_SECONDS = 10.0  # then what is open is cancelled, as the recording's generator did
PAUSE_SECONDS = 1.0  # between loads
# What killed a start, as the recordings call it, by vLLM's own words; the first that is found.
CAUSES = (
    ("Free memory on device", "gpu_memory_below_request"),
    ("No available memory for the cache blocks", "no_kv_room"),
    ("To serve at least one request", "kv_below_one_request"),
    ("warming up sampler", "oom_sampler_warmup"),
    ("CUDA out of memory", "oom_at_startup"),
    ("validation error", "invalid_arguments"),
)


@dataclass(frozen=True)
class Start:
    """How one start went: `ready` unless it failed, and then the `cause`."""

    seconds: float
    ready: Ready | None
    cause: str | None


@dataclass(frozen=True)
class Load:
    """What one load sends: due times in seconds, prompt lengths in tokens, and who has the shared prefix."""

    name: str
    seconds: float
    output_tokens: int
    due: Sequence[float]
    prompt_tokens: Sequence[int]
    prefixed: Sequence[bool]

    @classmethod
    def of(cls, line: dict[str, Any]) -> Load:
        """From a line of the table."""
        return cls(
            line["name"], line["seconds"], line["n_out"], line["t"], line["n_in"], [p == "1" for p in line["prefix"]]
        )


def flags(config: dict[str, Any]) -> list[str]:
    """A recorded configuration as vLLM's command line has it."""
    result: list[str] = []
    for knob, value in config.items():
        flag = knob.replace("_", "-")
        if isinstance(value, bool):
            if knob == "enforce_eager":
                result += [f"--{flag}"] * value
            else:
                result.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            result += [f"--{flag}", str(value)]
    return result


def start(profile: str, config: dict[str, Any], *, compile_cached: bool) -> Start:
    """One start, with random weights as recorded."""
    arguments = parse_arguments(["m", "--profile", profile, "--load-format", "dummy", *flags(config)])
    seconds, said = 0.0, ""
    for event in script(arguments, compile_cached=compile_cached):
        match event:
            case Wait():
                seconds += event.seconds
            case Line():
                said += event.text + "\n"
            case Ready():
                return Start(seconds, event, None)
            case Exit():
                break
            case _:
                pass
    return Start(seconds, None, next((cause for words, cause in CAUSES if words in said), "unknown"))


@dataclass
class Answer:
    """When a request was due, and when its chunks came: seconds of one clock."""

    sent: float
    chunks: list[float] = field(default_factory=list)
    tokens: int = 0
    done: bool = False


class Client:
    """Sends loads one after the other and times what comes back, as an open-loop client does."""

    def __init__(self, ready: Ready, seed: int = 0) -> None:
        self.died_in: str | None = None
        self.steps = 0
        self._serving = Serving(ready, self, seed=seed)
        self._now = 0.0
        self._load = ""
        self._numbers = 0
        self._open: dict[Request, Answer] = {}

    def play(self, load: Load) -> list[dict[str, float | str]]:
        """Each request's figures in milliseconds, as the recordings have them."""
        self._load = load.name
        begun = self._now
        answers: dict[Request, Answer] = {}
        for due, length, prefixed in zip(load.due, load.prompt_tokens, load.prefixed, strict=True):
            self._serving.advance(begun + due)
            request = self._request(length, load.output_tokens, prefixed)
            answers[request] = self._open[request] = Answer(begun + due)
            self._serving.submit(request, 1, begun + due)
        self._finish(begun + load.seconds, begun + load.seconds + DRAIN_SECONDS)
        for request in self._open:
            self._serving.abort(request)
        self._open.clear()
        return [figures_of(answer) for answer in answers.values()]

    def _request(self, length: int, output_tokens: int, prefixed: bool) -> Request:
        self._numbers += 1
        shared = min(PREFIX_TOKENS, length) if prefixed else 0
        # No two prompts share anything else.
        prompt = (*range(shared), *range(self._numbers << 20, (self._numbers << 20) + length - shared))
        return Request(str(self._numbers), prompt, output_tokens, 0.0)

    def _finish(self, no_sooner: float, no_later: float) -> None:
        while self._open and not self._serving.dead:
            due = self._serving.due_seconds
            if due is None or due > no_later:
                break
            self._serving.advance(due)
            self._now = due
        end = no_later if self._open else max(self._now, no_sooner)
        self._serving.advance(end)
        self._now = end + PAUSE_SECONDS

    def admitted(self, request: Request) -> None:
        """Of no interest to a client."""

    def stepped(self, step: Step, produced: Sequence[Request], now_seconds: float) -> None:
        del step, produced, now_seconds
        self.steps += 1

    def processed(self, requests: Sequence[Request], now_seconds: float) -> None:
        """Of no interest to a client."""

    def chunk(self, chunk: Chunk) -> None:
        answer = self._open.get(chunk.request)
        if answer is None:
            return
        answer.chunks.append(chunk.seconds)
        answer.tokens += chunk.tokens
        if chunk.last:
            answer.done = True
            del self._open[chunk.request]

    def died(self, error: str | None) -> None:
        del error
        self.died_in = self._load


def figures_of(answer: Answer) -> dict[str, float | str]:
    """In milliseconds, with the recordings' names."""
    if not answer.chunks:
        return {"err": "unfinished"}
    figures: dict[str, float | str] = {"ttft": 1e3 * (answer.chunks[0] - answer.sent)}
    if not answer.done:
        return {**figures, "err": "unfinished"}
    gaps = [1e3 * (later - earlier) for earlier, later in zip(answer.chunks, answer.chunks[1:], strict=False)]
    figures["e2e"] = 1e3 * (answer.chunks[-1] - answer.sent)
    if gaps:
        figures["itl50"], figures["itl99"] = percentile(gaps, 0.5), percentile(gaps, 0.99)
        figures["tpot"] = 1e3 * (answer.chunks[-1] - answer.chunks[0]) / (answer.tokens - 1)
    return figures
