"""The operator: kopf watches and wakes, the reconciler does the work."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
import kopf

from sloguard.api.v1alpha1 import GROUP, VERSION
from sloguard.cluster import clock
from sloguard.cluster.api import STUDIES, Api, RefusedError
from sloguard.cluster.execute import Settings
from sloguard.cluster.labels import STUDY, TRIAL
from sloguard.cluster.lease import Lease, LeaseSettings
from sloguard.cluster.log_streams import LogStreams
from sloguard.cluster.orderly_end import ending_in_order
from sloguard.cluster.per_pod import Key
from sloguard.cluster.pod_news import is_worth_a_look
from sloguard.cluster.reconcile import Reconciler
from sloguard.cluster.server_signs import ServerSigns
from sloguard.cluster.sources import Sources
from sloguard.measure.prometheus import Prometheus

logger = logging.getLogger("sloguard.operator")

RESYNC_SECONDS = 30.0
STALE_SECONDS = 180.0
WATCH_SECONDS = 240
INACTIVE_SECONDS = 70
EXIT_SECONDS = 20


class StaleError(Exception):
    """No reconcile succeeded for too long; the probe fails, and Kubernetes starts the operator anew."""


def serve(namespaces: Sequence[str], settings: Settings, lease: LeaseSettings, probe_address: str) -> None:
    """Run until told to stop. No namespaces means all of them."""
    registry = kopf.OperatorRegistry()
    operator = Operator(settings, namespaces, lease)
    operator.register(registry)
    work = kopf.operator(
        registry=registry,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        standalone=True,
        liveness_endpoint=f"http://{probe_address}/healthz",
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(ending_in_order(work))


class Operator:
    """Composition root: one reconciler, which acts while the Lease is held, and kopf's handlers that wake it."""

    def __init__(self, settings: Settings, namespaces: Sequence[str], lease: LeaseSettings) -> None:
        self._settings = settings
        self._namespaces = namespaces
        # A connection pool of its own, so that a renewal never waits for other requests.
        self._lease = Lease(Api(), lease)
        self._api = Api(may_write=lambda: self._lease.held)
        self._prometheus = Prometheus(settings.prometheus) if settings.prometheus is not None else None
        # Live traffic is measured with a Prometheus only.
        self._signs = ServerSigns(self._stands_still) if self._prometheus is not None else None
        self._reconciler: Reconciler | None = None
        self._leading: asyncio.Task[None] | None = None
        self._resync: asyncio.Task[None] | None = None

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Watches only wake; a restart reads everything again."""
        kopf.on.login(registry=registry)(self._login)
        kopf.on.startup(registry=registry)(self._start)
        kopf.on.cleanup(registry=registry)(self._stop)
        kopf.on.probe(id="reconciling", registry=registry)(self._probe)
        kopf.on.event(GROUP, VERSION, STUDIES.plural, registry=registry)(self._study_changed)
        # Whatever befalls a candidate or its load shows in a pod. Trials, Deployments and Jobs are the operator's own
        # writing: watching them would wake it for what it did itself, and kopf keeps each watched object in mind.
        kopf.on.event("", "v1", "pods", labels={STUDY: kopf.PRESENT}, registry=registry)(self._pod_changed)

    async def _login(self, **parameters: Any) -> kopf.ConnectionInfo | None:
        """In a pod by its service account, elsewhere by the kubeconfig."""
        in_pod = kopf.login_with_service_account(**parameters)
        return in_pod or kopf.login_with_kubeconfig(**parameters)

    async def _start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        # Which kinds there are is known; looking for new ones would want more permissions.
        settings.scanning.disabled = True
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.client_timeout = WATCH_SECONDS + 30
        settings.watching.inactivity_timeout = INACTIVE_SECONDS
        settings.process.ultimate_exiting_timeout = EXIT_SECONDS
        await self._api.__aenter__()
        await self._lease.api.__aenter__()
        for source in filter(None, (self._prometheus, self._signs)):
            await source.__aenter__()
        sources = Sources(self._prometheus, LogStreams(self._api), self._signs)
        self._reconciler = Reconciler(self._api, self._settings, sources)
        self._leading = asyncio.create_task(self._lease.lead(self._begin, self._end))

    async def _stop(self, **_: Any) -> None:
        await _cancelled(self._leading)
        for source in filter(None, (self._signs, self._prometheus)):
            await source.__aexit__()
        await self._lease.api.__aexit__()
        await self._api.__aexit__()

    def _begin(self) -> None:
        """Everything is looked at anew: wakes that came before were not heard."""
        assert self._reconciler is not None, "it is made before the Lease is asked for"
        self._resync = asyncio.create_task(self._resync_for_ever(self._reconciler))

    async def _end(self) -> None:
        resync, self._resync = self._resync, None
        await _cancelled(resync)
        if self._reconciler is not None:
            await self._reconciler.stop()

    async def _probe(self, **_: Any) -> float:
        """Of one that waits for the Lease, that it knows who has it."""
        assert self._reconciler is not None, "probes are asked after the start"
        last = self._reconciler.last_success if self._resync is not None else self._lease.last_answer
        age = clock.elapsed_seconds() - last
        if age > STALE_SECONDS:
            raise StaleError(f"no successful reconcile for {age:.0f} s")
        return round(age, 1)

    async def _study_changed(self, namespace: str | None, name: str | None, meta: kopf.Meta, **_: Any) -> None:
        if self._reconciler is not None and self._resync is not None and namespace and name:
            self._reconciler.hear((namespace, name), str(meta.get("resourceVersion") or ""))

    async def _pod_changed(self, namespace: str | None, labels: kopf.Labels, event: kopf.RawEvent, **_: Any) -> None:
        name = labels.get(STUDY)
        if event["type"] != "DELETED" and not is_worth_a_look(dict(event["object"])):
            return
        if self._reconciler is not None and self._resync is not None and namespace and name:
            self._reconciler.hear_of_pod((namespace, name), labels.get(TRIAL, ""))

    def _stands_still(self, study: Key) -> None:
        if self._reconciler is not None:
            self._reconciler.wake(study)

    async def _resync_for_ever(self, reconciler: Reconciler) -> None:
        """A watch event can be lost; a list cannot."""
        while True:
            try:
                for place in self._namespaces or [""]:
                    for key, version in (await self._api.versions(STUDIES, place)).items():
                        reconciler.wake(key, version)
                reconciler.last_success = clock.elapsed_seconds()
            except (RefusedError, aiohttp.ClientError, TimeoutError, OSError) as error:
                told = error or type(error).__name__
                logger.warning("studies could not be listed: %s; trying again in %.0f s", told, RESYNC_SECONDS)
            except Exception:
                # A defect must not end the resync for good; it is loud.
                logger.exception("resync failed; trying again in %.0f s", RESYNC_SECONDS)
            await asyncio.sleep(RESYNC_SECONDS)


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
