"""What keeps a proposal from its end: a reason for programs and a sentence for people, without any secret."""

import re
from collections.abc import Iterable

from sloguard.gitops.remote.proposal import Reason

_LONGEST = 600  # characters of a server's words
_PROGRESS = re.compile(r"\d+% \(|^(Enumerating|Counting|Compressing|Writing|Resolving|Total) ")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class ProposalError(Exception):
    """The message says what is wrong, where, and what would be right."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def words_of_server(said: str | bytes) -> str:
    """What a server said, on one line and printable; its progress is left out, and the middle of a long text."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    lines = [line.strip().removeprefix("remote:").strip() for line in re.split(r"[\r\n]+", text)]
    told = " ".join(line for line in lines if line and not _PROGRESS.search(line))
    told = "".join(one if one.isprintable() else "?" for one in re.sub(r"\s+", " ", told))
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST // 2]} ... {told[-_LONGEST // 2 :]}"


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Without secrets, whoever said them, and without what stands before an @ in an address."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _CREDENTIALS.sub("***@", text)
