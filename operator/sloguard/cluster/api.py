"""The Kubernetes API as plain JSON objects: what it says is kept whole, and written back as it came."""

import json
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from kubernetes.aio import client, config

from sloguard.api.v1alpha1 import GROUP, VERSION
from sloguard.cluster.objects import Object, listing

FIELD_MANAGER: Final = "sloguard"
REQUEST_SECONDS: Final = 30
CONFLICT: Final = 409
NOT_FOUND: Final = 404
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind by its place in the API."""

    prefix: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        place = ["namespaces", namespace] if namespace else []
        parts = [self.prefix, *place, self.plural, name, subresource]
        return "/" + "/".join(part for part in parts if part)


STUDIES: Final = Resource(f"apis/{GROUP}/{VERSION}", "sloguardstudies")
TRIALS: Final = Resource(f"apis/{GROUP}/{VERSION}", "sloguardtrials")
DEPLOYMENTS: Final = Resource("apis/apps/v1", "deployments")
JOBS: Final = Resource("apis/batch/v1", "jobs")
PODS: Final = Resource("api/v1", "pods")
SERVICES: Final = Resource("api/v1", "services")
EVENTS: Final = Resource("api/v1", "events")


class RefusedError(Exception):
    """The API server said no. `status` is HTTP's; `message` is the server's own sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    @property
    def conflict(self) -> bool:
        return self.status == CONFLICT

    @property
    def missing(self) -> bool:
        return self.status in {NOT_FOUND, GONE}


class Api:
    """One connection pool to one API server; use as an async context manager."""

    def __init__(self) -> None:
        # The generated client is barely typed; what goes in and out of it is typed here.
        self._client: Any = None

    async def __aenter__(self) -> Self:
        await cast("Any", config).load_config()
        self._client = client.ApiClient()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """None where there is no such object."""
        try:
            return await self._json("GET", resource.path(namespace, name))
        except RefusedError as error:
            if error.missing:
                return None
            raise

    async def items(self, resource: Resource, namespace: str, *, labels: str = "", fields: str = "") -> list[Object]:
        query = [("labelSelector", labels), ("fieldSelector", fields)]
        answer = await self._json("GET", resource.path(namespace), query=[(k, v) for k, v in query if v])
        return listing(answer, "items")

    async def create(self, resource: Resource, namespace: str, body: Object) -> bool:
        """False where it is there already: 409 means done."""
        try:
            await self._json("POST", resource.path(namespace), body=body, query=[("fieldManager", FIELD_MANAGER)])
        except RefusedError as error:
            if error.conflict:
                return False
            raise
        return True

    async def replace_status(self, resource: Resource, body: Object) -> Object:
        """With the resourceVersion that `body` was read at: a lost race is refused as a conflict."""
        metadata = body["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        return await self._json("PUT", path, body=body, query=[("fieldManager", FIELD_MANAGER)])

    async def merge(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """The object as it is after the merge."""
        return await self._patch(resource.path(namespace, name), body, "application/merge-patch+json")

    async def apply(self, resource: Resource, namespace: str, name: str, body: Object) -> None:
        """Server-side apply of the given fields, which are taken over from whoever had them."""
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        await self._patch(resource.path(namespace, name), body, "application/apply-patch+yaml", query)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """With everything that it owns; gone already is as good."""
        try:
            await self._json("DELETE", resource.path(namespace, name), body={"propagationPolicy": "Background"})
        except RefusedError as error:
            if not error.missing:
                raise

    async def log(self, namespace: str, pod: str, container: str, *, previous: bool, most_bytes: int) -> str:
        """The container's output from its beginning; empty where it is gone already."""
        query = [("container", container), ("previous", str(previous).lower()), ("limitBytes", str(most_bytes))]
        try:
            return (await self._call("GET", PODS.path(namespace, pod, "log"), query=query)).decode(errors="replace")
        except RefusedError:
            return ""

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
    ) -> bytes:
        assert self._client is not None, "used outside of its context"
        headers = {"Accept": "application/json, */*", "Content-Type": content_type}
        serialized = await self._client.param_serialize(
            method, path, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        _, url, headers, encoded, _ = serialized
        answer = await self._client.call_api(method, url, headers, encoded, _request_timeout=REQUEST_SECONDS)
        content: bytes = await answer.read()
        if answer.status >= 400:
            raise RefusedError(answer.status, _message(content) or str(answer.reason))
        return content


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except ValueError:
        return ""
