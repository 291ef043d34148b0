"""A repository's address: HTTPS, or SSH as ssh://user@host/path and as user@host:path."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Reason

_SCP = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>\w[\w.-]*|\[[0-9a-fA-F:]+\]):(?P<path>(?!//|:).+)")
_RIGHT = "give one such as https://git.example.com/team/app.git or git@git.example.com:team/app.git"


@dataclass(frozen=True, slots=True)
class Address:
    """`path` is as the server wants it; `name` is owner and repository, as a forge has them."""

    is_ssh: bool
    host: str
    port: int | None
    user: str
    path: str

    @property
    def name(self) -> str:
        return self.path.strip("/").removeprefix("~/").removesuffix(".git")

    @property
    def authority(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    @property
    def web(self) -> str:
        """Where the forge's pages are, as far as the address tells; SSH's port says nothing about them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.is_ssh else f"https://{self.authority}"

    @property
    def url(self) -> str:
        """For people and for Git; it holds no user of HTTPS."""
        if not self.is_ssh:
            return f"https://{self.authority}{self.path}"
        return f"ssh://{self.user}@{self.authority}{self.path if self.path.startswith('/') else '/~/' + self.path}"


def read_address(text: str) -> Address:
    """Read one.

    Raises:
        ProposalError: it cannot be used (InvalidRequest).

    """
    if "://" not in text:
        matched = _SCP.fullmatch(text)
        if matched is None:
            raise _invalid(text, "is no address of a repository")
        return Address(True, matched["host"].strip("[]"), None, matched["user"] or "git", matched["path"])
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _invalid("the repository's address", "cannot be read") from None
    if parts.password is not None:
        raise _invalid("the repository's address", "holds a password, which logs would show; put it into a file")
    if parts.scheme not in {"https", "ssh"}:
        raise _invalid(f"{parts.scheme}://", "is neither HTTPS nor SSH, so that credentials and commits could be read")
    if not parts.hostname or not parts.path.strip("/") or parts.query or parts.fragment:
        raise _invalid(f"{parts.scheme}://{parts.hostname or ''}{parts.path}", "is no address of a repository")
    user = parts.username or ("git" if parts.scheme == "ssh" else "")
    return Address(parts.scheme == "ssh", parts.hostname, port, user, parts.path)


def _invalid(what: str, why: str) -> ProposalError:
    return ProposalError(Reason.INVALID_REQUEST, f"{what} {why}; {_RIGHT}")
