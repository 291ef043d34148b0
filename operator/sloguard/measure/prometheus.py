"""Prometheus' HTTP API: instant and range queries, and the raw samples that a window's figures are computed from.

https://prometheus.io/docs/prometheus/latest/querying/api/. A range selector in an instant query gives samples as they
were scraped; everything else that Prometheus says is evaluated at chosen moments from samples up to five minutes old.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Self, cast

import aiohttp

from sloguard.domain.increments import Point, Series, Timeline

from .scrape import NAMES

TIMEOUT_SECONDS = 20.0
ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
SAID_LIMIT = 300
NAME_LABEL = "__name__"


class PrometheusError(Exception):
    """Prometheus did not give an answer; the message names its address, what it said, and what to look at."""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where Prometheus is. The operator's settings alone: a study must not direct the operator's requests.

    `pod_label` and `namespace_label` are what its scrape configuration calls a target's pod and namespace.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    pod_label: str = "pod"
    namespace_label: str = "namespace"


class Prometheus:
    """One Prometheus, or anything that speaks its API. Use as a context manager.

    Raises:
        PrometheusError: whatever goes wrong.

    """

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self._url = settings.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def instant(self, query: str, at: datetime) -> dict[Series, float]:
        """A vector: each series' value at that moment."""
        result = await self._query("query", {"query": query, "time": _stamp(at)}, "vector")
        return {series: points[0][1] for series, points in result.items() if points}

    async def range(self, query: str, start: datetime, end: datetime, step_seconds: int) -> Timeline:
        """A matrix: each series' value at every step."""
        fields = {"query": query, "start": _stamp(start), "end": _stamp(end), "step": str(step_seconds)}
        return await self._query("query_range", fields, "matrix")

    async def samples(self, selector: str, start: datetime, end: datetime) -> Timeline:
        """The raw samples of vLLM's metrics of use, as they were scraped, both ends included."""
        query = f"{_of_use(selector)}[{range_between(start, end)}]"
        return await self._query("query", {"query": query, "time": _stamp(end)}, "matrix")

    async def steps(self, selector: str, start: datetime, end: datetime, step_seconds: int) -> Timeline:
        """The same series at every step, for windows so long that their raw samples would be too many."""
        return await self.range(_of_use(selector), start, end, step_seconds)

    async def _query(self, path: str, fields: Mapping[str, str], kind: str) -> Timeline:
        answer = await self._answer(path, fields)
        try:
            return dict(_series(one) for one in _results(answer, kind))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._error(f"answered what is no result of a query ({error}); is this Prometheus?") from error

    async def _answer(self, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """POST, since a selector can be longer than an address may be."""
        assert self._session is not None, "used outside of its context"
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.post(
                    f"{self._url}/api/v1/{path}",
                    data=dict(fields),
                    headers=self._headers(),
                    ssl=self._ssl(),
                    allow_redirects=False,
                ) as response,
            ):
                body = await self._bounded(response.content)
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # TimeoutError is an OSError, and says nothing.
            raise self._error(f"gave no answer: {str(error) or type(error).__name__}") from error
        return self._decoded(status, body)

    def _decoded(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
            told = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
        except (ValueError, RecursionError):
            told = {}
        if status == 200 and told.get("status") == "success":
            return told
        said = str(told.get("error") or body[:SAID_LIMIT].decode(errors="replace"))[:SAID_LIMIT]
        hint = {401: "; give a token that it takes", 403: "; give a token that it takes", 404: "; is this Prometheus?"}
        raise self._error(f"answered HTTP {status}: {said}{hint.get(status, '')}")

    async def _bounded(self, content: aiohttp.StreamReader) -> bytes:
        body = bytearray()
        while data := await content.readany():
            body += data
            if len(body) > ANSWER_LIMIT_BYTES:
                limit = ANSWER_LIMIT_BYTES // 1024 // 1024
                raise self._error(f"answered more than {limit} MiB; choose a shorter window or fewer pods")
        return bytes(body)

    def _headers(self) -> dict[str, str]:
        """The token is read each time: Kubernetes renews the ones that it puts into files."""
        file = self.settings.token_file
        try:
            return {} if file is None else {"Authorization": f"Bearer {file.read_text().strip()}"}
        except OSError as error:
            raise self._error(f"needs the token in {file}, which cannot be read: {error.strerror}") from error

    def _ssl(self) -> ssl.SSLContext | bool:
        file = self.settings.ca_file
        try:
            return True if file is None else ssl.create_default_context(cafile=str(file))
        except OSError as error:
            raise self._error(f"needs the certificates in {file}, which cannot be used: {error}") from error

    def _error(self, what: str) -> PrometheusError:
        return PrometheusError(f"Prometheus at {self._url} {what}")


def quoted(text: str) -> str:
    """A string of PromQL; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def range_between(start: datetime, end: datetime) -> str:
    """A PromQL range that, evaluated at the end, holds both ends: since version 3 its beginning is left out."""
    return f"{ceil((end - start).total_seconds() * 1000) + 1}ms"


def _of_use(selector: str) -> str:
    return f"{{{NAME_LABEL}=~{quoted('|'.join(sorted(NAMES)))}{selector and ', '}{selector}}}"


def _results(answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The types are what the API promises; the caller expects it to be broken."""
    data = answer["data"]
    if data["resultType"] != kind:
        raise ValueError(f"a {data['resultType']} where a {kind} was asked for")
    return data["result"]


def _stamp(at: datetime) -> str:
    return f"{at.timestamp():.3f}"


def _series(one: dict[str, Any]) -> tuple[Series, list[Point]]:
    labels = {str(name): str(value) for name, value in one["metric"].items()}
    name = labels.pop(NAME_LABEL, "")
    values = one["values"] if "values" in one else [one["value"]]
    points = [(float(at), float(value)) for at, value in values]
    return Series(name, tuple(sorted(labels.items()))), [point for point in points if isfinite(point[1])]
