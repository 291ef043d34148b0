"""A Secret as the folder that Kubernetes makes of it: what it lets into which repositories.

Whoever may write a study says where a Job goes, and need not be the one who may see the token. So the Secret itself
names the repositories to which the rest of it may be shown, and to no others is anything said.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sloguard.gitops.remote.address import read_address
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Credentials, Reason, Request

REPOSITORIES: Final = "repositories"
TOKEN: Final = "token"  # noqa: S105 - a key's name
USERNAME: Final = "username"
SSH_KEY: Final = "ssh-privatekey"
KNOWN_HOSTS: Final = "known_hosts"
AUTHORITIES: Final = "ca.crt"
SIGNING_KEY: Final = "signing-key"
HTTPS_PROXY: Final = "https_proxy"
NO_PROXY: Final = "no_proxy"
KEYS: Final = (
    REPOSITORIES,
    TOKEN,
    USERNAME,
    SSH_KEY,
    KNOWN_HOSTS,
    AUTHORITIES,
    SIGNING_KEY,
    HTTPS_PROXY,
    NO_PROXY,
)
"""All that is taken of a Secret."""

_USUAL_PORTS: Final = {False: 443, True: 22}
_MOST_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class _Place:
    """A repository, or the beginning of the addresses of some."""

    is_ssh: bool
    user: str
    host: str
    port: int
    relative: bool
    steps: tuple[str, ...]

    def holds(self, other: "_Place") -> bool:
        """Step by step, so that team/app is not the beginning of team/app-of-others."""
        server = (self.is_ssh, self.user, self.host, self.port, self.relative)
        if server != (other.is_ssh, other.user, other.host, other.port, other.relative):
            return False
        count = len(self.steps)
        return self.steps == other.steps[:count] or (
            count == len(other.steps) and _plain(self.steps) == _plain(other.steps)
        )


def with_secret(request: Request, folder: Path) -> Request:
    """The request with the Secret's files, and the proxies of its own in this process' environment.

    Raises:
        ProposalError: the Secret is not for this repository (RepositoryNotAllowed).

    """
    _check_allowed(request, folder)
    for name in (HTTPS_PROXY, NO_PROXY):
        if (folder / name).is_file():
            os.environ[name] = _text(folder / name).strip()
    found = {key: folder / key for key in KEYS if (folder / key).is_file()}
    credentials = Credentials(
        token_file=found.get(TOKEN),
        username_file=found.get(USERNAME),
        ssh_key_file=found.get(SSH_KEY),
        known_hosts_file=found.get(KNOWN_HOSTS),
        ca_file=found.get(AUTHORITIES),
        signing_key_file=found.get(SIGNING_KEY),
    )
    return request.model_copy(update={"credentials": credentials})


def _check_allowed(request: Request, folder: Path) -> None:
    """Where the token goes: to the repository, and to the forge's API where the study names one."""
    file = folder / REPOSITORIES
    if not file.is_file():
        raise _not_allowed(
            f"the Secret is not there, or has no key {REPOSITORIES}: one address, or beginning of addresses, a line, "
            "to which the rest of it may be shown"
        )
    lines = [line.strip() for line in _text(file).splitlines()]
    allowed = [_read(line, beginning=True) for line in lines if line and not line.startswith("#")]
    asked = [request.repository]
    if request.pull_request is not None and request.pull_request.api:
        asked.append(request.pull_request.api)
    for address in asked:
        wanted = _read(address, beginning=False)
        if not any(place.holds(wanted) for place in allowed):
            raise _not_allowed(
                f"the Secret's {REPOSITORIES} holds no line that {address} begins with, so that nothing of it may be "
                "shown there; add one if that is right, written as the study writes it"
            )


def _read(text: str, *, beginning: bool) -> _Place:
    """Raises ProposalError."""
    # The beginning may be a host alone, which is no address of a repository yet.
    address = read_address(f"{text.rstrip('/')}/_" if beginning else text)
    steps = [unquote(step) for step in address.path.strip("/").split("/")]
    if any(step in {"", ".", ".."} or "/" in step or "\\" in step for step in steps):
        raise _not_allowed(f"{text} has steps in its path that might lead elsewhere; write it without them")
    return _Place(
        is_ssh=address.is_ssh,
        user=address.user if address.is_ssh else "",
        host=address.host.lower(),
        port=address.port or _USUAL_PORTS[address.is_ssh],
        relative=not address.path.startswith("/"),
        steps=tuple(steps[:-1] if beginning else steps),
    )


def _plain(steps: tuple[str, ...]) -> tuple[str, ...]:
    return (*steps[:-1], steps[-1].removesuffix(".git")) if steps else ()


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        message = f"{file.name} of the Secret cannot be read: {error.strerror}"
        raise ProposalError(Reason.CREDENTIALS_UNREADABLE, message) from error


def _not_allowed(message: str) -> ProposalError:
    return ProposalError(Reason.REPOSITORY_NOT_ALLOWED, message)
