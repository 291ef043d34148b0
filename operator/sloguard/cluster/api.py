"""The Kubernetes API as plain JSON objects: what it says is kept whole, and written back as it came."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Self, cast
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from sloguard.api.v1alpha1 import GROUP, VERSION
from sloguard.cluster import clock
from sloguard.cluster.objects import Object, listing, section

logger = logging.getLogger("sloguard.api")

FIELD_MANAGER: Final = "sloguard"
PACE_MANAGER: Final = "sloguard-pace"
"""Of the pace of production's updates, which is the operator's for as long as a promotion needs it."""

REQUEST_SECONDS: Final = 30
LOG_SECONDS: Final = 10
"""For a log: a node that does not answer must not hold up all that is known of the study otherwise."""

QUIET_SECONDS: Final = 120
"""A followed log that says nothing for so long is asked for anew: its connection may be dead without a word."""

MOST_LINE_BYTES: Final = 64 * 1024
MOST_LOG_LINES: Final = 20_000
A_PAGE: Final = 250
_JSON: Final = "application/json, */*"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TRAVERSALS: Final = {".", ".."}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind by its place in the API."""

    prefix: str
    plural: str

    @lru_cache(maxsize=1024)  # noqa: B019 - the resources live as long as the program
    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Names come from people: one that is no single segment of a path must not lead to another object."""
        if {namespace, name} & _TRAVERSALS:
            raise ValueError(f"{namespace}/{name} cannot be the name of an object")
        place = ["namespaces", quote(namespace, safe="")] if namespace else []
        parts = [self.prefix, *place, self.plural, quote(name, safe=""), subresource]
        return "/" + "/".join(part for part in parts if part)


STUDIES: Final = Resource(f"apis/{GROUP}/{VERSION}", "sloguardstudies")
TRIALS: Final = Resource(f"apis/{GROUP}/{VERSION}", "sloguardtrials")
DEPLOYMENTS: Final = Resource("apis/apps/v1", "deployments")
JOBS: Final = Resource("apis/batch/v1", "jobs")
PODS: Final = Resource("api/v1", "pods")
SERVICES: Final = Resource("api/v1", "services")
EVENTS: Final = Resource("api/v1", "events")
RESOURCE_QUOTAS: Final = Resource("api/v1", "resourcequotas")
NODES: Final = Resource("api/v1", "nodes")
LEASES: Final = Resource("apis/coordination.k8s.io/v1", "leases")
CONFIG_MAPS: Final = Resource("api/v1", "configmaps")
DISRUPTION_BUDGETS: Final = Resource("apis/policy/v1", "poddisruptionbudgets")


class RefusedError(Exception):
    """The API server said no. `status` is HTTP's; `reason` and `message` are the server's own words."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.reason = reason

    @property
    def exists(self) -> bool:
        """An object of that name is there. Other conflicts have the same status (a quota that was just changed)."""
        return self.status == HTTPStatus.CONFLICT and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        return self.status == HTTPStatus.CONFLICT

    @property
    def passing(self) -> bool:
        """A conflict, or a fault of the server's: worth another try, unlike a right that is missing."""
        busy = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GONE}
        return self.conflict or self.status in busy or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def missing(self) -> bool:
        return self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class UnreachableNodeError(Exception):
    """The API server answers, but could not ask a node's kubelet: the node, its network or its kubelet is down."""


class NotLeadingError(Exception):
    """Another operator may be acting; nothing was sent."""


class Api:
    """One connection pool to one API server; use as an async context manager.

    `may_write` is asked before anything but a read is sent.
    """

    def __init__(self, may_write: Callable[[], bool] = lambda: True) -> None:
        # The generated client is barely typed; what goes in and out of it is typed here.
        self._client: Any = None
        self._may_write = may_write
        self.requests = 0

    async def __aenter__(self) -> Self:
        await _load_config()
        self._client = client.ApiClient()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """None where there is no such object."""
        assert name, "without a name this would be the list"
        try:
            return await self._json("GET", resource.path(namespace, name))
        except RefusedError as error:
            if error.missing:
                return None
            raise

    async def serves(self, resource: Resource) -> bool:
        """Whether this kind is known here, in this version; one that a CustomResourceDefinition brings may not be."""
        try:
            kinds = await self._json("GET", f"/{resource.prefix}")
        except RefusedError as error:
            if error.missing:
                return False
            raise
        return any(kind["name"] == resource.plural for kind in listing(kinds, "resources"))

    async def items(
        self, resource: Resource, namespace: str, *, labels: str = "", fields: str = "", most: int | None = None
    ) -> list[Object]:
        """`most` keeps what others may have made in numbers from being read whole; which are left out is not said."""
        query = [("labelSelector", labels), ("fieldSelector", fields), ("limit", str(most or ""))]
        answer = await self._json("GET", resource.path(namespace), query=[(k, v) for k, v in query if v])
        return listing(answer, "items")

    async def versions(self, resource: Resource, namespace: str) -> dict[tuple[str, str], str]:
        """The resourceVersion of each object by namespace and name: of many objects page by page, and no contents."""
        found: dict[tuple[str, str], str] = {}
        query = [("limit", str(A_PAGE))]
        while True:
            page = json.loads(await self._call("GET", resource.path(namespace), query=query, accept=_METADATA_ONLY))
            for metadata in (one["metadata"] for one in listing(page, "items")):
                found[metadata["namespace"], metadata["name"]] = metadata["resourceVersion"]
            more = section(page, "metadata").get("continue")
            if not more:
                return found
            query = [("limit", str(A_PAGE)), ("continue", more)]

    async def pages(self, resource: Resource, *, fields: str = "") -> AsyncIterator[list[Object]]:
        """Of all namespaces, so many at a time that they need no more memory in a large cluster than in a small one."""
        following = ""
        while True:
            query = [("fieldSelector", fields), ("limit", str(A_PAGE)), ("continue", following)]
            answer = await self._json("GET", resource.path(""), query=[(k, v) for k, v in query if v])
            yield listing(answer, "items")
            following = str(section(answer, "metadata").get("continue") or "")
            if not following:
                return

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object | None:
        """As it is stored; None where there is one of that name already."""
        query = [("fieldManager", FIELD_MANAGER)]
        try:
            return await self._json("POST", resource.path(namespace), body=body, query=query)
        except RefusedError as error:
            if error.exists:
                return None
            raise

    async def replace(self, resource: Resource, body: Object) -> Object:
        """With the resourceVersion that `body` was read at: a lost race is refused as a conflict."""
        return await self._put(resource, body)

    async def replace_status(self, resource: Resource, body: Object) -> Object:
        """Likewise, and of nothing but its status."""
        return await self._put(resource, body, "status")

    async def _put(self, resource: Resource, body: Object, *subresource: str) -> Object:
        metadata = body["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], *subresource)
        return await self._json("PUT", path, body=body, query=[("fieldManager", FIELD_MANAGER)])

    async def merge(
        self, resource: Resource, namespace: str, name: str, body: Object, *, manager: str = FIELD_MANAGER
    ) -> Object:
        """The object as it is after the merge. What changes is the manager's from then on."""
        query = [("fieldManager", manager)]
        return await self._patch(resource.path(namespace, name), body, "application/merge-patch+json", query)

    async def apply(
        self, resource: Resource, namespace: str, name: str, body: Object, *, manager: str = FIELD_MANAGER
    ) -> None:
        """Server-side apply of the given fields, which are taken over from whoever had them."""
        query = [("fieldManager", manager), ("force", "true")]
        await self._patch(resource.path(namespace, name), body, "application/apply-patch+yaml", query)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> None:
        """With everything that it owns; gone already is as good. With `uid` no other that took its name: a conflict."""
        body: Object = {"propagationPolicy": "Background"} | ({"preconditions": {"uid": uid}} if uid else {})
        try:
            await self._json("DELETE", resource.path(namespace, name), body=body)
        except RefusedError as error:
            if not error.missing:
                raise

    async def log(self, namespace: str, pod: str, container: str, *, previous: bool, most_bytes: int) -> str:
        """The container's last lines, which are all of a start that failed; empty where the output is gone already.

        Raises:
            UnreachableNodeError: the API server could not get it from the node's kubelet.

        """
        query = [
            ("container", container),
            ("previous", str(previous).lower()),
            ("tailLines", str(MOST_LOG_LINES)),
            ("limitBytes", str(most_bytes)),
        ]
        path = PODS.path(namespace, pod, "log")
        try:
            return (await self._call("GET", path, query=query, seconds=LOG_SECONDS)).decode(errors="replace")
        except RefusedError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UnreachableNodeError(str(error)) from error
            return ""
        except TimeoutError as error:
            raise UnreachableNodeError(f"no log within {LOG_SECONDS} s") from error

    async def log_lines(self, namespace: str, pod: str, container: str, since: str = "") -> AsyncGenerator[str]:
        """The container's log as it grows, line by line with their times, from `since` (RFC 3339) or its beginning on.

        It ends when the container does, and may break at any time (aiohttp.ClientError, TimeoutError, OSError). A line
        that was cut off by that is left out; one longer than MOST_LINE_BYTES comes without its end.

        Raises:
            RefusedError: there is no such log.

        """
        query = [("container", container), ("follow", "true"), ("timestamps", "true")]
        query += [("sinceTime", since)] if since else []
        limit = aiohttp.ClientTimeout(total=None, sock_connect=LOG_SECONDS, sock_read=QUIET_SECONDS)
        answer = await self._send("GET", PODS.path(namespace, pod, "log"), query=query, limit=limit)
        try:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _refusal(answer.status, str(answer.reason), await answer.read())
            async for line in _lines(answer.response.content):
                yield line.decode(errors="replace")
        finally:
            answer.response.close()

    async def _patch(
        self, path: str, body: Object, content_type: str, query: list[tuple[str, str]] | None = None
    ) -> Object:
        return await self._json("PATCH", path, body=body, query=query, content_type=content_type)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._call(method, path, body=body, query=query, content_type=content_type)
        return json.loads(answer) if answer else {}

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = "application/json",
        accept: str = _JSON,
        seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        asked = clock.elapsed_seconds()
        kinds = {"content_type": content_type, "accept": accept}
        answer = await self._send(method, path, body=body, query=query, limit=seconds, **kinds)
        clock.hear(answer.headers.get("Date", ""), asked)
        content: bytes = await answer.read()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer.status, str(answer.reason), content)
        return content

    async def _send(
        self,
        method: str,
        path: str,
        *,
        limit: float | aiohttp.ClientTimeout,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = "application/json",
        accept: str = _JSON,
    ) -> Any:  # noqa: ANN401 - the generated client's answer is not typed
        assert self._client is not None, "used outside of its context"
        if method != "GET" and not self._may_write():
            raise NotLeadingError(f"{method} {path} is not sent: the Lease was not renewed in time")
        self.requests += 1
        logger.debug("%s %s", method, path)
        headers = {"Accept": accept, "Content-Type": content_type}
        serialized = await self._client.param_serialize(
            method, path, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        _, url, headers, encoded, _ = serialized
        return await self._client.call_api(method, url, headers, encoded, _request_timeout=limit)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """Lines without their ends, of bounded length; the last one may have had none."""
    begun = bytearray()
    async for data in content.iter_any():
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield bytes(begun + end)[:MOST_LINE_BYTES]
            begun.clear()
        if len(begun) < MOST_LINE_BYTES:
            begun += rest
    if begun:
        yield bytes(begun)[:MOST_LINE_BYTES]


async def _load_config() -> None:
    """In a pod by its service account, as kopf does it; elsewhere by the kubeconfig."""
    loader = cast("Any", config)
    try:
        loader.load_incluster_config()
    except config.ConfigException:
        await loader.load_kube_config()


def _refusal(status: int, http_reason: str, content: bytes) -> RefusedError:
    reason, message = _said(content)
    return RefusedError(status, message or http_reason, reason)


def _said(body: bytes) -> tuple[str, str]:
    """Reason and message of a refusal; proxies before an API server refuse in words of their own."""
    try:
        status = section(json.loads(body))
    except ValueError:
        return "", ""
    return str(status.get("reason") or ""), str(status.get("message") or "")
