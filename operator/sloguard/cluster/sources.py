"""What tells of a candidate's server besides the API server. Each of them may be missing."""

from collections.abc import Iterable
from dataclasses import dataclass

from sloguard.cluster.log_streams import LogStreams
from sloguard.cluster.per_pod import Key
from sloguard.cluster.server_signs import ServerSigns
from sloguard.measure.prometheus import Prometheus


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked, and what follows pods by itself."""

    prometheus: Prometheus | None = None
    logs: LogStreams | None = None
    signs: ServerSigns | None = None

    def keep(self, study: Key, uids: Iterable[str] = ()) -> None:
        """Of this study's pods only these are followed on."""
        wanted = list(uids)
        for following in filter(None, (self.logs, self.signs)):
            following.keep(study, wanted)

    async def stop(self) -> None:
        for following in filter(None, (self.logs, self.signs)):
            await following.stop()


NO_SOURCES = Sources()
