"""What all forges have in common: find the open pull request of a branch, open one, change its text."""

from dataclasses import dataclass
from typing import Protocol

from sloguard.gitops.remote.proposal import PullRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pull request from a branch to another of the same repository."""

    branch: str
    base: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Found:
    """One that is there, and its text."""

    pull_request: PullRequest
    body: str


class Forge(Protocol):
    """One repository of it."""

    async def find(self, branch: str, base: str) -> Found | None:
        """The open one; None where there is none."""
        ...

    async def closed(self, branch: str, base: str) -> list[Found]:
        """The latest that people closed and did not merge."""
        ...

    async def open(self, wanted: Wanted) -> PullRequest:
        """Open one.

        Raises:
            ExistsError: somebody was faster.

        """
        ...

    async def write(self, number: int, body: str) -> None:
        """Replace its text."""
        ...
