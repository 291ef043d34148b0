"""What a first kopf operator for this would be: a daemon for each study, woken by watches, which reads what is its."""

import asyncio
import logging
from collections import defaultdict
from typing import Any

import kopf

from sloguard.cluster import logs
from sloguard.cluster.api import DEPLOYMENTS, JOBS, PODS, STUDIES, TRIALS, Api

LABEL = "sloguard.dev/study"
IDLE_SECONDS = 15.0

logger = logging.getLogger("sloguard.daemon")
api = Api()
wakes: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.scanning.disabled = True
    await api.__aenter__()


@kopf.on.login()
def login(**parameters: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**parameters)


@kopf.on.event("sloguard.dev", "v1alpha1", "sloguardtrials")
@kopf.on.event("apps", "v1", "deployments", labels={LABEL: kopf.PRESENT})
@kopf.on.event("batch", "v1", "jobs", labels={LABEL: kopf.PRESENT})
@kopf.on.event("", "v1", "pods", labels={LABEL: kopf.PRESENT})
async def changed(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
    wakes[namespace or "", labels.get(LABEL, "")].set()


@kopf.daemon("sloguard.dev", "v1alpha1", "sloguardstudies")
async def serve(
    stopped: kopf.DaemonStopped, namespace: str | None, name: str | None, spec: kopf.Spec, **_: Any
) -> None:
    place, own = namespace or "", f"{LABEL}={name}"
    wake = wakes[place, name or ""]
    while not stopped:
        wake.clear()
        await api.get(STUDIES, place, name or "")
        await api.get(DEPLOYMENTS, place, spec["target"]["name"])
        for kind in (TRIALS, DEPLOYMENTS, JOBS, PODS):
            await api.items(kind, place, labels=own)
        logger.debug("reconciled", extra={"study": f"{place}/{name}"})
        try:
            await asyncio.wait_for(wake.wait(), IDLE_SECONDS)
        except TimeoutError:
            continue


if __name__ == "__main__":
    logs.configure(logs.JSON, "debug")
    kopf.run(clusterwide=True, standalone=True)
