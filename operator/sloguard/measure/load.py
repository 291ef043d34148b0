"""The load: warm-up, then each rate of the sweep in ascending order on one running server."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import aiohttp

from sloguard.api.v1alpha1 import (
    LatencySketch,
    LoadResult,
    PromptFormat,
    RateMeasurement,
    ServerFault,
    ServerFaultKind,
    TimeBlocks,
    Workload,
)
from sloguard.domain.confidence import sum_blocks, with_intervals
from sloguard.domain.cross_check import compare
from sloguard.domain.goodput import (
    RequestRecord,
    is_overwhelmed,
    pool_gaps,
    sketch,
)
from sloguard.domain.increments import Samples, between
from sloguard.domain.measured_rate import measured_rate
from sloguard.domain.outlook import Outlook
from sloguard.domain.queue_time import with_queue_time
from sloguard.domain.server_view import ServerWindow, under_way, window_of

from .client import CompletionClient, Observation, open_session
from .closed_loop import ClosedLoop, elapsed_milliseconds, users_at
from .fault import FaultWatch, server_fault
from .pulse import Pulse
from .request import LoadInputError, LoadRequest
from .requests import RequestFactory
from .scrape import counters, scrape
from .trace import RecordedRequest
from .trace_file import trace_of
from .turns import TooLateError, Turns
from .window import Patience, Window
from .words import words_of
from .worst_case import worst_case

WARM_UP = "warmup"
POLL_SECONDS = 0.25
PROBE_TIMEOUT_SECONDS = 5.0
MODELS_LIMIT_BYTES = 1024 * 1024

OnRate = Callable[[RateMeasurement, Sequence[RequestRecord]], None]


def _ignore(_measurement: RateMeasurement, _records: Sequence[RequestRecord]) -> None:
    return None


async def run_load(
    request: LoadRequest, *, ready_timeout_seconds: float = 30.0, on_rate: OnRate = _ignore
) -> LoadResult:
    """Measures one server. `on_rate` is told of each rate as it ends, with every request of it.

    A server that dies, or never answers, is a result with a fault. LoadInputError: the request itself cannot be run.
    """
    started_at = datetime.now(UTC)
    trace, words = trace_of(request.workload), words_of(request.workload)
    async with open_session() as session:
        fault = await _wait_until_ready(session, request.url, ready_timeout_seconds)
        if fault is not None:
            return LoadResult(
                started_at=started_at, finished_at=datetime.now(UTC), generator=request.generator, fault=fault
            )
        model, length = request.model, None
        if model is None or request.soak is not None:
            served, length = await _first_model(session, request.url)
            model = model or served
        worst = None if request.soak is None else worst_case(request.workload, request.soak, trace, length)
        if worst is not None:
            request = request.model_copy(update={"workload": worst.workload})
        sweep = _Sweep(request, session, model, on_rate, trace, words, started_at)
        await sweep.run()
    return LoadResult(
        started_at=started_at,
        finished_at=datetime.now(UTC),
        generator=request.generator,
        rates=sweep.rates,
        sketches=sweep.sketches,
        blocks=sweep.blocks,
        fault=sweep.watch.fault,
        saved_seconds=sweep.saved_seconds,
        warmup_requests=sweep.warmup_requests,
        worst_case=None if worst is None else worst.in_words,
        invalid=sweep.watch.own_fault or sweep.lagged,
    )


class _Sweep:
    """The rates of one start.

    It ends early after a rate that overwhelmed the server (domain.goodput.is_overwhelmed): nothing is recorded for the
    higher rates, since they could only be worse. One of several generators sees its own share only and cannot tell the
    others, so all of them run all rates. It alone would read counters that all have moved: only the first one does.
    """

    def __init__(
        self,
        request: LoadRequest,
        session: aiohttp.ClientSession,
        model: str,
        on_rate: OnRate,
        trace: Sequence[RecordedRequest] | None,
        words: Sequence[str] | None,
        started_at: datetime,
    ) -> None:
        self.rates: list[RateMeasurement] = []
        self.sketches: list[LatencySketch] = []
        self.blocks: list[TimeBlocks] = []
        self.watch = FaultWatch()
        self.lagged: str | None = None
        self.saved_seconds = 0
        self.warmup_requests = 0
        self._started_at = started_at
        self._request = request
        self._turns = Turns(request)
        self._session = session
        self._factory = RequestFactory(
            request.workload, model=model, first_token_id=request.first_token_id, trace=trace, words=words
        )
        self._client = CompletionClient(session, request.url, _path_of(request.workload))
        self._pulse = Pulse(session, request.url, self._client, self.watch, request.standstill_seconds)
        self._on_rate = on_rate

    async def run(self) -> None:
        try:
            await self._run()
        except TooLateError as error:
            self.lagged = self.lagged or str(error)

    async def _run(self) -> None:
        percents = sorted(self._request.workload.sweep_percent)
        await self._pulse.begin()
        await self._warm_up(percents[0])
        for percent in percents:
            if self.watch.fault is not None:
                return
            records = await self._measure(percent)
            if is_overwhelmed(records, self._request.slos) and not self._turns.shared:
                higher = sum(later > percent for later in percents)
                self.saved_seconds += higher * self._request.workload.duration_seconds
                return

    async def _warm_up(self, percent: int) -> None:
        seconds = self._request.workload.warmup_seconds
        if seconds:
            await self._turns.begin()
            self.warmup_requests = len(await self._run_window(WARM_UP, percent, seconds))

    async def _measure(self, percent: int) -> list[RequestRecord]:
        seconds = self._request.workload.duration_seconds
        before = await self._scrape()
        await self._turns.begin()
        began = self._clock()
        records = await self._run_window(str(percent), percent, seconds)
        ended = self._clock()
        if self.watch.fault is None:
            await self._turns.end()
        after = await self._scrape()
        grown = between(before, after) if before is not None and after is not None else None
        gaps = pool_gaps(records)
        users = users_at(self._request.workload.arrival, percent)
        milliseconds = seconds * 1000 if users is None else elapsed_milliseconds(records, seconds)
        offered = self._factory.offered_per_minute(percent, seconds) if users is None else None
        measurement = measured_rate(
            records,
            self._request.slos,
            rate_percent=percent,
            requests_per_minute=round(len(records) * 60_000 / milliseconds) if offered is None else offered,
            duration_milliseconds=milliseconds,
            gaps=gaps,
        )
        self._check_lag(percent, measurement.dispatch_lag_p99_microseconds)
        seen = {
            "users": users,
            "server": counters(grown),
            "began_milliseconds": began,
            "ended_milliseconds": ended,
        }
        measurement = measurement.model_copy(update=seen)
        blocks = sum_blocks(records, self._request.slos, seconds, percent)
        measurement = with_intervals(measurement, blocks)
        served = window_of(grown, under_way(before)) if grown is not None and before is not None else None
        if self._turns.shared:  # the server's figures are of all generators, these of one
            self.blocks.append(blocks)
            served = None
        measurement = self._by_server(measurement, served)
        self.rates.append(measurement)
        self.sketches += sketch(records, percent, gaps)
        self._on_rate(measurement, records)
        return records

    def _by_server(self, measurement: RateMeasurement, served: ServerWindow | None) -> RateMeasurement:
        """With what only the server knows, and what it says of the rest."""
        slos, sent = self._request.slos, measurement.sent - measurement.violations.spared
        results = with_queue_time(measurement.slos, slos, served, sent=sent, completed=measurement.completed)
        seen = compare(measurement, served, slos) if served is not None else None
        return measurement.model_copy(update={"slos": results, "server_view": seen})

    async def _scrape(self) -> Samples | None:
        return await scrape(self._session, self._request.url) if not self._request.generator else None

    async def _run_window(self, name: str, percent: int, seconds: int) -> list[RequestRecord]:
        workload = self._request.workload
        patience = Patience(
            workload.request_timeout_seconds, workload.stream_stall_seconds, float(workload.drain_seconds)
        )
        stream = self._turns.share(self._factory.stream(name, percent=percent, duration_seconds=seconds))
        outlook: Outlook | None = None
        # How many requests a closed loop will send is not known before.
        if self._request.stop_when_hopeless and name != WARM_UP and workload.arrival.closed_loop is None:
            planned = list(stream)
            stream, outlook = iter(planned), Outlook(len(planned), self._request.slos)
        window = self._window(patience, outlook, percent, seconds)
        records = await window.run(stream)
        if window.hopeless_after_seconds is not None:
            self.saved_seconds += max(0, round(seconds - window.hopeless_after_seconds))
        if self.watch.fault is None and not all(record.completed for record in records):
            # The server may have died after the last request was sent; then nothing was left to be refused.
            for _ in range(2):
                self.watch.observe(await _probe(self._session, self._request.url))
        return records

    def _window(self, patience: Patience, outlook: Outlook | None, percent: int, seconds: int) -> Window:
        arrival = self._request.workload.arrival
        users = users_at(arrival, percent)
        if users is None or arrival.closed_loop is None:
            return Window(self._client, self.watch, self._pulse, patience, outlook)
        return ClosedLoop(
            self._client,
            self.watch,
            self._pulse,
            patience,
            users=users,
            think_seconds=arrival.closed_loop.think_milliseconds / 1000,
            duration_seconds=seconds,
        )

    def _clock(self) -> int:
        """Milliseconds since the load's start."""
        return round((datetime.now(UTC) - self._started_at).total_seconds() * 1000)

    def _check_lag(self, percent: int, lag_microseconds: int) -> None:
        limit = self._request.dispatch_lag_limit_microseconds
        if lag_microseconds > limit and self.lagged is None:
            self.lagged = (
                f"at {percent} % the load generator sent its requests {lag_microseconds / 1000:.1f} ms late (p99), "
                f"more than {limit / 1000:.1f} ms; give it more CPU, offer a lower rate, or allow more with "
                "workload.dispatchLagFloorMilliseconds"
            )


def _path_of(workload: Workload) -> str:
    return "/v1/chat/completions" if workload.prompts.format is PromptFormat.CHAT else "/v1/completions"


async def _wait_until_ready(session: aiohttp.ClientSession, url: str, seconds: float) -> ServerFault | None:
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        seen = await _probe(session, url)
        if seen.answered and not seen.detail:
            return None
        if asyncio.get_running_loop().time() >= deadline:
            detail = f"not ready within {seconds:g} s: {seen.detail}"
            return server_fault(ServerFaultKind.SERVER_GONE, detail, datetime.now(UTC))
        await asyncio.sleep(POLL_SECONDS)


async def _probe(session: aiohttp.ClientSession, url: str) -> Observation:
    """/health: `detail` is empty where it is well. A server without that path answers 404 and is well too."""
    try:
        async with (
            asyncio.timeout(PROBE_TIMEOUT_SECONDS),
            session.get(f"{url}/health", allow_redirects=False) as response,
        ):
            # vLLM answers 503 when its engine is dead; so do proxies for other reasons, so that alone proves nothing.
            return Observation(answered=True, detail=f"HTTP {response.status}" if response.status >= 500 else "")
    except aiohttp.ClientConnectorError as error:
        return Observation(refused=True, detail=str(error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Observation(detail=f"{type(error).__name__}: {error}")


async def _first_model(session: aiohttp.ClientSession, url: str) -> tuple[str, int | None]:
    """Its name, and the most tokens that prompt and answer may have, where the server says so."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS), session.get(f"{url}/v1/models") as response:
            body = bytearray()
            while (data := await response.content.readany()) and len(body) <= MODELS_LIMIT_BYTES:
                body += data
        first = _first_entry(json.loads(body))
    except (aiohttp.ClientError, OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise LoadInputError(f"{url}/v1/models does not name a model ({error}); name it with --model") from error
    return first


def _first_entry(answer: dict[str, list[dict[str, object]]]) -> tuple[str, int | None]:
    """The type is what the API promises; the caller expects it to be broken. The length is vLLM's own addition."""
    entry = answer["data"][0]
    name, length = entry["id"], entry.get("max_model_len")
    if not isinstance(name, str) or not name:
        raise TypeError("its first entry has no id")
    return name, length if type(length) is int and length > 0 else None
