"""Requests to an API server without a client between: what it answers is what it said."""

import json
import ssl
from base64 import b64decode
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Object = dict[str, Any]


class RefusedError(AssertionError):
    """The API server's own words, without kubectl's around them."""

    def __init__(self, status: Object) -> None:
        super().__init__(status["message"])
        self.code: int = status["code"]


class Rest:
    """One connection, kept open: a request costs milliseconds, where kubectl costs half a second."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        server = urlsplit(cluster["server"])
        context = ssl.create_default_context(cadata=authority)
        self._connection = HTTPSConnection(server.hostname or "", server.port, context=context, timeout=30)
        self._token = config["users"][0]["user"]["token"]

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Object | None = None, **query: str) -> Object:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return self._send(method, path, body, kind, query)

    def apply(self, path: str, body: Object, manager: str) -> Object:
        """Server-side, without force."""
        return self._send("PATCH", path, body, "application/apply-patch+yaml", {"fieldManager": manager})

    def _send(self, method: str, path: str, body: Object | None, kind: str, query: dict[str, str]) -> Object:
        self._connection.request(
            method,
            f"{path}?{urlencode(query)}",
            body=json.dumps(body) if body is not None else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind},
        )
        with self._connection.getresponse() as response:
            answer = json.loads(response.read())
        if response.status >= 400:
            raise RefusedError(answer)
        return answer


class Objects:
    """The objects of one resource in one namespace."""

    def __init__(self, rest: Rest, namespace: str, plural: str) -> None:
        self._rest = rest
        self._path = f"/apis/sloguard.dev/v1alpha1/namespaces/{namespace}/{plural}"

    def check(self, obj: Object) -> Object:
        """What would be stored, by kubectl's own strictness; nothing is, so it may be asked twice."""
        try:
            return self._check(obj)
        except (ConnectionError, ssl.SSLError):
            # The API server has closed a connection on which nothing was asked for a while.
            self._rest.close()
            return self._check(obj)

    def _check(self, obj: Object) -> Object:
        return self._rest.request("POST", self._path, obj, dryRun="All", fieldValidation="Strict")

    def create(self, obj: Object, validation: str = "Strict") -> Object:
        return self._rest.request("POST", self._path, obj, fieldValidation=validation)

    def get(self, name: str) -> Object:
        return self._rest.request("GET", f"{self._path}/{name}")

    def patch(self, name: str, patch: Object) -> Object:
        return self._rest.request("PATCH", f"{self._path}/{name}", patch, fieldValidation="Strict")

    def patch_status(self, name: str, status: Object) -> Object:
        return self._rest.request("PATCH", f"{self._path}/{name}/status", {"status": status}, fieldValidation="Strict")
