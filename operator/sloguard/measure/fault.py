"""Notices that a server which had answered no longer serves, so that the load can end at once.

A live but overwhelmed server refuses nothing and answers something; so two failed connections in a row with no answer
between them mean that it is gone. vLLM's message about a dead engine is final by itself: the process exits after it.
"""

from collections.abc import Callable  # noqa: TC003 - the annotation of an attribute, kept like all other imports
from datetime import UTC, datetime

from sloguard.api.v1alpha1 import ServerActivity, ServerFault, ServerFaultKind

from .client import Observation

REFUSALS_UNTIL_GONE = 2
DETAIL_LIMIT = 256


class FaultWatch:
    """Collects observations; calls `on_fault` once, when the server is found dead.

    `activity` is what the server last said that it was doing.
    """

    def __init__(self) -> None:
        self.fault: ServerFault | None = None
        self.own_fault: str | None = None
        self.activity: ServerActivity | None = None
        self.on_fault: Callable[[], None] = lambda: None
        self._refusals = 0
        self._first_refusal = datetime.now(UTC)

    def observe(self, seen: Observation) -> None:
        """One request has ended."""
        self.own_fault = self.own_fault or seen.own_fault
        if seen.engine_dead:
            self.conclude(ServerFaultKind.ENGINE_DEAD, seen.detail, datetime.now(UTC))
        elif seen.answered:
            self._refusals = 0
        elif seen.refused:
            self._refusals += 1
            if self._refusals == 1:
                self._first_refusal = datetime.now(UTC)
            if self._refusals >= REFUSALS_UNTIL_GONE:
                self.conclude(ServerFaultKind.SERVER_GONE, seen.detail, self._first_refusal)

    def conclude(self, kind: ServerFaultKind, detail: str, at: datetime) -> None:
        """The first fault counts; what follows from it is no other."""
        if self.fault is None:
            self.fault = server_fault(kind, detail, at).model_copy(update={"activity": self.activity})
            self.on_fault()


def server_fault(kind: ServerFaultKind, detail: str, at: datetime) -> ServerFault:
    """The detail comes from the server or the network; what is not plain text would only cost bytes."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in detail)
    return ServerFault(kind=kind, at=at, detail=plain[:DETAIL_LIMIT])
