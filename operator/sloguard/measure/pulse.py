"""Notices that generation stands still: requests are open, /health may well say 200, and no token comes.

A token that reaches us is proof enough of life, so the server is asked only once nothing has come for a while. Then
vLLM's own signs decide: counters that grow with the engine's steps, and the fill of its KV cache, which grows even
while a long prompt is computed piece by piece. num_requests_running is not among them: an engine that hangs no longer
updates it. That there is work is known from our own open requests.
"""

from datetime import UTC, datetime, timedelta
from time import perf_counter_ns, time

import aiohttp

from sloguard.api.v1alpha1 import ServerFaultKind
from sloguard.domain.activity import ACTIVITY, activity_of, recorded
from sloguard.domain.standstill import SIGNS, STANDSTILL_SECONDS

from .client import CompletionClient
from .fault import FaultWatch
from .scrape import page, parse

SILENCE_SECONDS = 5.0
"""Without a token for so long, the server is asked, and again as often; sooner where a hang is to be known sooner."""

QUESTIONS = 3
"""At least so many in one silence: were it we who slept, the first look would find a long one."""

LOOK_SECONDS = 1.0

ACTIVITY_SECONDS = 5.0
"""Between two looks at what a server that lives is doing."""

Signs = tuple[str, ...]


class Pulse:
    """Of one server. `begin` finds out whether it gives any signs; one that never did is never found standing still."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        client: CompletionClient,
        watch: FaultWatch,
        standstill_seconds: float | None = None,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._client = client
        self._watch = watch
        self._standstill_seconds = standstill_seconds or STANDSTILL_SECONDS
        self._silence_seconds = min(SILENCE_SECONDS, self._standstill_seconds / 5)
        self._gives_signs = False
        self._signs: Signs = ()
        self._questions = 0
        self._alive_ns = perf_counter_ns()
        self._asked_ns = 0
        self._noted_ns = perf_counter_ns()

    async def begin(self) -> None:
        """To be called once, before the load."""
        self._gives_signs = bool(await self._ask())

    @property
    def silent(self) -> bool:
        """No sign of life for so long that it has to be looked into."""
        return self._gives_signs and _seconds_since(self._last_ns()) >= self._silence_seconds

    async def look(self, *, working: bool) -> None:
        """To be called about once a second. Concludes a fault when there was work and no sign of life for too long."""
        if not working:
            self._lives(perf_counter_ns())
        if working and not self.silent:
            await self._note()
        if not self.silent or _seconds_since(self._asked_ns) < self._silence_seconds:
            return
        self._lives(self._last_ns())
        self._asked_ns = perf_counter_ns()
        self._questions += 1
        signs = await self._ask()
        if signs and self._signs and signs != self._signs:
            self._lives(perf_counter_ns())
        self._signs = signs or self._signs
        # A server that no longer answers this question either is no less silent.
        seconds = _seconds_since(self._last_ns())
        if seconds >= self._standstill_seconds and self._questions >= QUESTIONS:
            at = datetime.now(UTC) - timedelta(seconds=seconds)
            detail = f"requests are open and no token has been generated for {seconds:.0f} s"
            self._watch.conclude(ServerFaultKind.GENERATION_STALLED, detail, at)

    def _last_ns(self) -> int:
        return max(self._alive_ns, self._client.last_token_ns)

    def _lives(self, at_ns: int) -> None:
        """Signs from before a sign of life say nothing about the silence after it."""
        if at_ns > self._alive_ns:
            self._alive_ns = at_ns
            self._signs = ()
            self._questions = 0

    async def _note(self) -> None:
        """What the server is doing now and then, since it tells nothing any more once it is dead."""
        if self._gives_signs and _seconds_since(self._noted_ns) >= ACTIVITY_SECONDS:
            self._noted_ns = perf_counter_ns()
            await self._ask()

    async def _ask(self) -> Signs:
        lines = (await page(self._session, self._base_url) or "").split("\n")
        now = time()
        samples = parse("\n".join(line for line in lines if line.startswith(ACTIVITY)))
        activity = activity_of({series: [(now, value)] for series, value in samples.items()}, now)
        # One that has nothing to do says nothing of what came to it since.
        if activity is not None and not activity.idle:
            self._watch.activity = recorded(activity)
        return tuple(line for line in lines if line.startswith(SIGNS))


def _seconds_since(at_ns: int) -> float:
    return (perf_counter_ns() - at_ns) / 1e9
