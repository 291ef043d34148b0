"""One operator at a time: whoever holds the Lease acts, and whoever does not waits for it.

A holder renews it every few seconds. One that cannot stops acting before the Lease runs out; others take it only when
they have seen it unchanged for its whole length by their own clock, so that clocks need not agree. What one operator
writes is safe from another even without this (names that follow from the study, resourceVersions); the Lease keeps the
two from doing everything twice.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import aiohttp

from sloguard.cluster import clock
from sloguard.cluster.api import LEASES, Api, RefusedError
from sloguard.cluster.objects import Object, section

logger = logging.getLogger("sloguard.lease")

NAME = "sloguard"
RETRY_SECONDS = 1.0
"""Of its holder, whose time runs out."""

WAIT_SECONDS = 2.0
"""Between looks of one that waits for it; client-go's RetryPeriod."""

RENEWALS = 3
"""In the time of one Lease."""

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Where the Lease is and who asks for it. Two processes must never have the same identity at the same time."""

    namespace: str
    name: str
    identity: str
    seconds: int = 15

    @property
    def renew_seconds(self) -> float:
        return self.seconds / RENEWALS

    @property
    def acting_seconds(self) -> float:
        """After a renewal was sent. What is left of the Lease is for what is on its way to the API server then."""
        return self.seconds * 2 / RENEWALS


def lease_name(namespaces: Sequence[str]) -> str:
    """Operators that watch different namespaces do not wait for each other."""
    if not namespaces:
        return NAME
    return f"{NAME}-{sha256(' '.join(sorted(set(namespaces))).encode()).hexdigest()[:10]}"


def own_namespace() -> str:
    """That of the pod; outside of a pod the one that every cluster has."""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "default"


def new_identity() -> str:
    """Of this process alone. A pod is better known by its name, which a restarted container keeps."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


@dataclass(slots=True)
class Lease:
    """The Lease as one process sees it."""

    api: Api
    settings: LeaseSettings
    elapsed: Callable[[], float] = clock.elapsed_seconds
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    last_answer: float = field(init=False)
    """When the API server last said who holds it."""

    _until: float = field(init=False, default=float("-inf"))
    _seen: tuple[str, float] = field(init=False, default=("", 0.0))
    """The resourceVersion that was read last, and since when it is so."""

    _own: Object | None = field(init=False, default=None)
    """As this process last wrote it: it is renewed at that version, without being read."""

    _complaint: str = field(init=False, default="")
    """The last one: it is told once, though each attempt meets it."""

    def __post_init__(self) -> None:
        self.last_answer = self.elapsed()

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return self.elapsed() < self._until

    async def lead(self, begin: Callable[[], None], end: Callable[[], Awaitable[None]]) -> None:
        """For ever: wait for the Lease, `begin`, renew it, and `end` when it is lost. Cancelled, it is given back."""
        while True:
            await self._take()
            logger.info("acting: Lease %s/%s is held by this operator", self.settings.namespace, self.settings.name)
            begin()
            try:
                await self._keep()
            finally:
                await end()
                await self._give_back()
            logger.warning("the Lease was lost; nothing is done until it is held again")

    async def _take(self) -> None:
        while not await self._tried():
            await self.sleep(WAIT_SECONDS)

    async def _keep(self) -> None:
        """Until it cannot be held any longer."""
        pause = self.settings.renew_seconds
        while (left := self._until - self.elapsed()) > 0:
            await self.sleep(min(pause, left))
            renewed = await self._tried()
            pause = self.settings.renew_seconds if renewed else RETRY_SECONDS

    async def _tried(self) -> bool:
        """Whether it is held now for a full length; no attempt takes longer than a renewal may."""
        try:
            async with asyncio.timeout(self.settings.renew_seconds):
                held = await self._attempt()
            self._complaint = ""
        except RefusedError as error:
            if not error.conflict:
                place = f"{self.settings.namespace}/{self.settings.name}"
                hint = "the operator needs get, create and update of leases there (charts/manifests/rbac.yaml)"
                self._complain(f"Lease {place}: the API server refused: {error}; {hint}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._complain(f"the API server could not be asked for the Lease: {error or type(error).__name__}")
        except Exception:
            # Without this loop nothing would ever be done again, and nothing would say so.
            logger.exception("the Lease could not be looked at")
        else:
            return held
        return False

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.warning("%s; it is tried again and again", complaint)
        self._complaint = complaint

    async def _attempt(self) -> bool:
        """Renew or take it, unless it is somebody else's."""
        asked_at = self.elapsed()
        if not (await self._renewed() or await self._taken_now()):
            return False
        self._until = asked_at + self.settings.acting_seconds
        return True

    async def _renewed(self) -> bool:
        """At its last known version; that of a renewal whose answer was lost is not known."""
        own, self._own = self._own, None
        if own is None:
            return False
        try:
            self._own = await self.api.replace(LEASES, self._held_now(own))
        except RefusedError as error:
            if error.conflict or error.missing:
                return False
            raise
        self.last_answer = self.elapsed()
        return True

    async def _taken_now(self) -> bool:
        stored = await self.api.get(LEASES, self.settings.namespace, self.settings.name)
        self.last_answer = self.elapsed()
        if stored is None:
            self._own = await self.api.create(LEASES, self.settings.namespace, self._held_now(None))
            return self._own is not None
        if self._free(stored):
            self._own = await self.api.replace(LEASES, self._held_now(stored))
            return True
        self._until = float("-inf")
        return False

    def _free(self, stored: Object) -> bool:
        """Nobody's, one's own, or not renewed for so long that its holder acts no more."""
        spec, version = section(stored, "spec"), stored["metadata"]["resourceVersion"]
        if spec.get("holderIdentity") in {None, "", self.settings.identity}:
            return True
        if version != self._seen[0]:
            self._seen = (version, self.elapsed())
            logger.info("waiting: Lease %s is held by %s", self.settings.name, spec["holderIdentity"])
        return self.elapsed() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self.settings.seconds)

    def _held_now(self, stored: Object | None) -> Object:
        """At the version that was read: of two who take it at once, one is refused."""
        now = clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        identity, before = self.settings.identity, section(stored, "spec")
        renewed = before.get("holderIdentity") == identity
        spec = {
            "holderIdentity": identity,
            "leaseDurationSeconds": self.settings.seconds,
            "acquireTime": before.get("acquireTime") if renewed else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (stored is not None and not renewed),
        }
        metadata = {"name": self.settings.name, "namespace": self.settings.namespace}
        head = stored or {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        return head | {"spec": spec}

    async def _give_back(self) -> None:
        """So that the next operator need not wait. Without an answer it has to."""
        self._until = float("-inf")
        with contextlib.suppress(RefusedError, aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(self.settings.renew_seconds):
                stored = await self.api.get(LEASES, self.settings.namespace, self.settings.name)
                if stored is not None and section(stored, "spec").get("holderIdentity") == self.settings.identity:
                    await self.api.replace(LEASES, stored | {"spec": section(stored, "spec") | {"holderIdentity": ""}})
