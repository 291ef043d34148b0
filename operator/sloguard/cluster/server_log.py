"""The log by which a candidate's start is judged: from the API while it has it, else what was kept of its stream.

It is the first start's, as long as anybody has that: what a container says that was started again follows from it.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from sloguard.cluster import clock
from sloguard.cluster.api import MOST_LOG_LINES, Api, UnreachableNodeError
from sloguard.cluster.evidence import Container, moment
from sloguard.cluster.log_ring import ServerLog
from sloguard.cluster.log_streams import LogStreams, first_end
from sloguard.cluster.objects import Object
from sloguard.domain.text import harmless

MOST_LOG_BYTES: Final = 8 * 1024 * 1024

KUBELET_PATIENCE: Final = timedelta(seconds=60)
"""A kubelet that restarts just when a server dies is waited for: without the log the verdict would be a guess."""


async def server_log(
    api: Api, namespace: str, pod: Object, serving: Container, container: str, streams: LogStreams | None = None
) -> ServerLog:
    """What the API has, or else what was kept of the stream; empty where that is nothing.

    Raises:
        UnreachableNodeError: it may be there in a moment.

    """
    kept = streams.kept(pod["metadata"]["uid"], first_end(serving)) if streams is not None else None
    restarted = "terminated" not in serving.state and serving.last_terminated is not None
    if kept is not None and serving.restarts > restarted:
        return kept
    name = pod["metadata"]["name"]
    try:
        text = await api.log(namespace, name, container, previous=restarted, most_bytes=MOST_LOG_BYTES)
    except UnreachableNodeError as error:
        if kept is None and _just_ended(serving):
            raise
        return replace(kept or ServerLog(), unreachable=str(error))
    whole = text.count("\n") < MOST_LOG_LINES
    return ServerLog(harmless(text)) if text.strip() and (whole or kept is None) else kept or ServerLog()


def _just_ended(serving: Container) -> bool:
    ended = moment((serving.terminated or {}).get("finishedAt"))
    return ended is not None and clock.now() - ended < KUBELET_PATIENCE
