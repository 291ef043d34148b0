"""Git's commands over SSH by paramiko: no program and no shell is needed, and any user id will do.

OpenSSH's client refuses to run as a user that has no name, as containers' users are.
"""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import paramiko
from dulwich.client import SSHGitClient, SSHVendor
from dulwich.protocol import Protocol
from paramiko.pkey import UnknownKeyType

from sloguard.gitops.remote.credentials import checked_file, unreadable
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Reason

CONNECT_SECONDS = 15
READ_SECONDS = 120
_KEY = "a private key for SSH"
_HOSTS = "known hosts of SSH"

# paramiko logs what it also raises; without a handler of one's own that would go to standard error
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def read_key(file: Path) -> paramiko.PKey:
    """A private key, of a file that is readable and not encrypted.

    Raises:
        ProposalError: it is not (CredentialsUnreadable).

    """
    checked_file(file, _KEY)
    try:
        return paramiko.PKey.from_path(file)
    except (paramiko.SSHException, UnknownKeyType, ValueError, TypeError) as error:
        if "password" in str(error):
            raise unreadable(file, _KEY, "it is encrypted; give one without a passphrase") from None
        raise unreadable(file, _KEY, "it is not one; give one such as ssh-keygen makes") from None


class ClosingClient(SSHGitClient):
    """Closes each connection in the end, also those that dulwich gives up halfway."""

    def __init__(self, host: str, port: int | None, user: str, vendor: SSHVendor) -> None:
        super().__init__(host, port, user, vendor=vendor)
        self._opened: list[Protocol] = []

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        connected = super()._connect(cmd, path, protocol_version)
        self._opened.append(connected[0])
        return connected

    def close(self) -> None:
        for protocol in self._opened:
            protocol.close()
        super().close()


class Command:
    """A command that runs on the server: what dulwich's protocol reads and writes."""

    def __init__(self, client: paramiko.SSHClient, channel: paramiko.Channel) -> None:
        self._client = client
        self._channel = channel
        self.stderr = cast("IO[bytes]", channel.makefile_stderr("rb"))

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (piece := self._channel.recv(size - len(found))):
            found += piece
        return found

    def write(self, data: bytes) -> int:
        self._channel.sendall(data)
        return len(data)

    def can_read(self) -> bool:
        return self._channel.recv_ready()

    def close(self) -> None:
        self._client.close()


class StrictVendor(SSHVendor):
    """Runs commands on hosts whose keys are known, and on no others."""

    def __init__(self, key_file: Path, known_hosts_file: Path) -> None:
        self._key_file = key_file
        self._known_hosts_file = known_hosts_file

    def run_command(  # type: ignore[override] - dulwich takes anything that reads, writes and closes
        self,
        host: str,
        command: bytes,
        username: str | None = None,
        port: int | None = None,
        password: str | None = None,
        key_filename: str | None = None,
        ssh_command: str | None = None,
        protocol_version: int | None = None,
    ) -> Command:
        """Connect and start it.

        Raises:
            ProposalError: the host's key is not as known, or it does not let us in.

        """
        del password, key_filename, ssh_command, protocol_version
        client = self._connected(host, port or 22, username or "git")
        transport = client.get_transport()
        assert transport is not None, "connected"
        transport.set_keepalive(15)
        channel = transport.open_session(timeout=CONNECT_SECONDS)
        channel.settimeout(READ_SECONDS)
        channel.exec_command(command)
        return Command(client, channel)

    def _connected(self, host: str, port: int, user: str) -> paramiko.SSHClient:
        key = read_key(self._key_file)
        client = paramiko.SSHClient()
        self._load_known_hosts(client)
        client.set_missing_host_key_policy(_RefuseUnknown(self._known_hosts_file))
        where = host if port == 22 else f"[{host}]:{port}"
        try:
            client.connect(
                host,
                port,
                user,
                pkey=key,
                allow_agent=False,
                look_for_keys=False,
                timeout=CONNECT_SECONDS,
                banner_timeout=CONNECT_SECONDS,
                auth_timeout=CONNECT_SECONDS,
            )
        except paramiko.BadHostKeyException as error:
            raise ProposalError(
                Reason.HOST_KEY_MISMATCH,
                f"{where} has the host key {error.key.get_name()} {error.key.fingerprint}, and {self._known_hosts_file}"
                f" says {error.expected_key.fingerprint}: somebody may be in between. If the server's key was really"
                " changed, replace its lines there (ssh-keyscan, compared with what the server's owner says)",
            ) from None
        except paramiko.AuthenticationException:
            raise ProposalError(
                Reason.AUTHENTICATION_FAILED,
                f"{user}@{where} does not accept the key of {self._key_file} ({key.get_name()} {key.fingerprint}); "
                "register its public half there, as a deploy key that may write",
            ) from None
        except (paramiko.SSHException, OSError) as error:
            raise unreachable(where, error) from error
        return client

    def _load_known_hosts(self, client: paramiko.SSHClient) -> None:
        file = checked_file(self._known_hosts_file, _HOSTS)
        lines = file.read_text(errors="replace").splitlines()
        if any(line.lstrip().startswith("@") for line in lines):
            raise unreadable(file, _HOSTS, "@revoked and @cert-authority are not understood; give the host's own key")
        try:
            client.load_host_keys(str(file))
        except (paramiko.SSHException, ValueError, IndexError):
            raise unreadable(file, _HOSTS, "a line of it cannot be read; make it with ssh-keyscan") from None


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, file: Path) -> None:
        self._file = file

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        del client
        raise ProposalError(
            Reason.HOST_KEY_UNKNOWN,
            f"{self._file} has no {key.get_name()} key of {hostname}, which shows {key.fingerprint}: compare that with "
            "what the server's owner says, and add the line that ssh-keyscan prints",
        )


def unreachable(where: str, error: Exception) -> ProposalError:
    """What keeps us from a server, in a sentence."""
    said = "it does not answer in time" if isinstance(error, (TimeoutError, socket.timeout)) else str(error)
    return ProposalError(Reason.NOT_REACHABLE, f"{where} cannot be reached: {said}")
