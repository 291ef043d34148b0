"""What a server was doing before its end: by its own log, and by its metrics over time. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from sloguard.api.v1alpha1 import ServerActivity

from .evidence import Activity
from .increments import Timeline
from .standstill import GENERATED, KV_USAGE, last_sign

RUNNING: Final = "vllm:num_requests_running"
WAITING: Final = "vllm:num_requests_waiting"
PREEMPTIONS: Final = "vllm:num_preemptions_total"
ACTIVITY: Final = (RUNNING, WAITING, KV_USAGE)
"""What one look at a server's /metrics tells."""

_MOST: Final = 1e9

_REPORT: Final = re.compile(
    r"(?:Engine (?P<engine>\d{1,4}): |\d{1,4} Engines Aggregated: )?Avg prompt throughput: .{0,120}?"
    r"Running: (?P<running>\d{1,9}) reqs, (?:Swapped: \d{1,9} reqs, )?(?:Waiting|Pending): (?P<waiting>\d{1,9}) reqs"
    r"(?:, Deferred: \d{1,9} reqs)?(?:, Preemptions: (?P<preemptions>\d{1,9}))?"
    r"(?:, \w{1,20} KV cache usage: (?P<usage>\d{1,3}(?:\.\d{1,3})?)%)?"
)
"""What vLLM 0.8.5 to 0.33.0 says every ten seconds while it has work, and once when that is done."""

_LAST_STATE: Final = re.compile(
    r"Dumping scheduler stats: SchedulerStats\(num_running_reqs=(?P<running>\d{1,9}), "
    r"num_waiting_reqs=(?P<waiting>\d{1,9})\b(?:.{0,300}?\bkv_cache_usage=(?P<usage>[01](?:\.\d{1,20})?)\b)?"
)
"""What the engine says of itself when a step has failed (0.11.0 to 0.33.0)."""


class Reports:
    """The latest of each engine, as a log goes by."""

    def __init__(self) -> None:
        self._by_engine: dict[str, Activity] = {}
        self._last: Activity | None = None

    def read(self, text: str) -> None:
        """A line, without what stands in front of its message."""
        if (found := _LAST_STATE.match(text)) is not None:
            usage = None if found["usage"] is None else float(found["usage"]) * 100
            self._last = Activity(
                requests_running=int(found["running"]),
                requests_waiting=int(found["waiting"]),
                kv_cache_usage_percent=usage,
            )
        elif (found := _REPORT.match(text)) is not None and self._last is None:
            self._by_engine[found["engine"] or ""] = Activity(
                requests_running=int(found["running"]),
                requests_waiting=int(found["waiting"]),
                kv_cache_usage_percent=None if found["usage"] is None else float(found["usage"]),
                preemptions=int(found["preemptions"] or 0),
            )

    def activity(self) -> Activity | None:
        """Of all engines: sums, and of KV caches the fullest. What an engine said as it died counts alone."""
        if self._last is not None or not self._by_engine:
            return self._last
        told = list(self._by_engine.values())
        usages = [one.kv_cache_usage_percent for one in told if one.kv_cache_usage_percent is not None]
        return Activity(
            requests_running=sum(one.requests_running for one in told),
            requests_waiting=sum(one.requests_waiting for one in told),
            kv_cache_usage_percent=max(usages, default=None),
            preemptions=sum(one.preemptions or 0 for one in told),
        )


def activity_of(timeline: Timeline, ended_at_seconds: float) -> Activity | None:
    """By samples of its /metrics up to its end (seconds since 1970); None where they do not say what it had to do."""
    before = {series: [p for p in points if p[0] <= ended_at_seconds] for series, points in timeline.items()}
    seen = {series: points for series, points in before.items() if points}
    running = [points[-1][1] for series, points in seen.items() if series.name == RUNNING]
    if not running:
        return None
    usages = [points[-1][1] * 100 for series, points in seen.items() if series.name == KV_USAGE]
    last = max(points[-1][0] for points in seen.values())
    since = last_sign(seen) if _looks(seen) > 1 else None
    return Activity(
        requests_running=_counted(running),
        requests_waiting=_counted(points[-1][1] for series, points in seen.items() if series.name == WAITING),
        kv_cache_usage_percent=max(usages, default=None),
        preemptions=_grown(seen, PREEMPTIONS),
        generation_tokens=_grown(seen, GENERATED),
        still_seconds=None if since is None else last - since,
        age_seconds=ended_at_seconds - last,
    )


def recorded(activity: Activity) -> ServerActivity:
    """As it stands in a trial's status."""
    fullness = activity.kv_cache_usage_percent
    return ServerActivity(
        requests_running=activity.requests_running,
        requests_waiting=activity.requests_waiting,
        kv_cache_usage_percent=None if fullness is None else min(max(round(fullness), 0), 100),
        preemptions=activity.preemptions,
    )


def _looks(seen: Timeline) -> int:
    return max(len(points) for points in seen.values())


def _grown(seen: Timeline, name: str) -> int | None:
    grown = [points[-1][1] - points[0][1] for series, points in seen.items() if series.name == name and len(points) > 1]
    return _counted(grown) if grown else None


def _counted(values: Iterable[float]) -> int:
    return round(min(max(0.0, sum(values)), _MOST))
