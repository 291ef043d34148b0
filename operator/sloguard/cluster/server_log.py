"""The log by which a candidate's start is judged: from the API while it has it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sloguard.cluster import clock
from sloguard.cluster.api import Api, UnreachableNodeError
from sloguard.cluster.evidence import Container
from sloguard.cluster.objects import Object
from sloguard.cluster.text import harmless
from sloguard.domain.evidence import LogGap

MOST_LOG_BYTES: Final = 8 * 1024 * 1024

KUBELET_PATIENCE: Final = timedelta(seconds=60)
"""A kubelet that restarts just when a server dies is waited for: without the log the verdict would be a guess."""


@dataclass(frozen=True, slots=True)
class ServerLog:
    """Lines of one start, without what a terminal would obey. `unreachable` says why the node could not be asked."""

    text: str = ""
    gaps: tuple[LogGap, ...] = ()
    unreachable: str = ""


async def server_log(api: Api, namespace: str, pod: Object, serving: Container, container: str) -> ServerLog:
    """Empty where the output is gone already.

    Raises:
        UnreachableNodeError: it may be there in a moment.

    """
    restarted = "terminated" not in serving.state and serving.last_terminated is not None
    name = pod["metadata"]["name"]
    try:
        text = await api.log(namespace, name, container, previous=restarted, most_bytes=MOST_LOG_BYTES)
    except UnreachableNodeError as error:
        if _just_ended(serving):
            raise
        return ServerLog(unreachable=str(error))
    return ServerLog(harmless(text))


def _just_ended(serving: Container) -> bool:
    ended = (serving.terminated or {}).get("finishedAt")
    return ended is not None and clock.now() - datetime.fromisoformat(ended) < KUBELET_PATIENCE
