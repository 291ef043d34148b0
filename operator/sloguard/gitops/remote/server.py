"""The repository's server: what its branches hold, and a branch moved to a new commit unless somebody else moved it."""

import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dulwich.client import FetchPackResult, GitClient, HttpGitClient
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import pack_objects_to_data
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.credentials import Token
from sloguard.gitops.remote.draft import Tips
from sloguard.gitops.remote.failure import ProposalError, words_of_server
from sloguard.gitops.remote.https import connections
from sloguard.gitops.remote.proposal import Credentials, Reason
from sloguard.gitops.remote.refusals import explained, push_refused
from sloguard.gitops.remote.ssh import ClosingClient, StrictVendor

_HEADS = b"refs/heads/"


class MovedError(Exception):
    """Somebody else moved the branch since it was looked at."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the repository holds now, and what its base is called."""

    tips: Tips
    base: str


class Server:
    """Of one repository. Each call is a connection of its own, and leaves nothing behind."""

    def __init__(self, address: Address, credentials: Credentials, token: Token | None) -> None:
        self._address = address
        self._credentials = credentials
        self._token = token

    @contextmanager
    def seen(self, base: str, branch: str) -> Generator[Seen]:
        """The last commits of base ("" for the default branch) and branch, in a temporary folder.

        Raises:
            ProposalError: the server, the repository or the base cannot be had.

        """
        folder = _temporary_folder()
        try:
            with self._empty(folder) as repository:
                found = self._fetched(repository, base, branch)
                name = base or self._default(found)
                tip = found.refs.get(HEADREF if not base else _head(base))
                if tip is None:
                    raise self._without_base(base)
                there = tip if name == branch else found.refs.get(_head(branch))
                yield Seen(Tips(repository.object_store, tip, there), name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move(self, branch: str, old: ObjectID | None, new: ObjectID, objects: Sequence[ShaFile]) -> None:
        """Let the branch be `new` if it still is `old` (None: if there is none).

        Raises:
            MovedError: it is something else meanwhile.
            ProposalError: the server does not take it. Lost connections leave open whether it did.

        """
        ref, said = _head(branch), list[bytes]()

        def update(there: Mapping[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            if there.get(ref) != old:
                raise MovedError
            return {ref: new}

        def pack(*_: object, **__: object) -> object:
            return pack_objects_to_data([(one, None) for one in objects])

        with self._client() as client, self._explained(said):
            result = client.send_pack(self._path(), update, pack, progress=said.append)  # type: ignore[arg-type] - dulwich calls it so
        refusal = (result.ref_status or {}).get(ref)
        if refusal is not None:
            error = push_refused(branch, refusal, words_of_server(b"".join(said)))
            if error is None:
                raise MovedError
            raise error

    def _empty(self, folder: str) -> Repo:
        with self._explained([]):
            return Repo.init_bare(folder)

    def _fetched(self, repository: Repo, base: str, branch: str) -> FetchPackResult:
        wanted = [_head(base) if base else HEADREF, _head(branch)]

        def wants(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            del depth
            return list({refs[ref] for ref in wanted if ref in refs})

        with self._client() as client, self._explained([]):
            return client.fetch(self._path(), repository, wants, depth=1, ref_prefix=wanted)

    def _default(self, found: FetchPackResult) -> str:
        ref = found.symrefs.get(HEADREF, b"")
        if not ref.startswith(_HEADS):
            raise ProposalError(
                Reason.BASE_NOT_FOUND, f"{self._address.url} does not say what its default branch is; give the base"
            )
        return ref.removeprefix(_HEADS).decode()

    def _without_base(self, base: str) -> ProposalError:
        what = f"has no branch {base}" if base else "has no commit yet"
        return ProposalError(Reason.BASE_NOT_FOUND, f"{self._address.url} {what}; give the branch of production")

    @contextmanager
    def _client(self) -> Generator[GitClient]:
        address = self._address
        if address.is_ssh:
            key, hosts = self._credentials.ssh_key_file, self._credentials.known_hosts_file
            assert key is not None, "the request was checked"
            assert hosts is not None, "the request was checked"
            client = ClosingClient(address.host, address.port, address.user, StrictVendor(key, hosts))
            try:
                yield client
            finally:
                client.close()
            return
        manager = connections(address.host, self._credentials.ca_file)
        user, secret = (self._token.user, self._token.secret) if self._token else (None, None)
        try:
            yield HttpGitClient(f"https://{address.authority}", pool_manager=manager, username=user, password=secret)
        finally:
            manager.clear()

    def _path(self) -> bytes:
        return self._address.path.encode()

    @contextmanager
    def _explained(self, said: list[bytes]) -> Generator[None]:
        try:
            yield
        except MovedError:
            raise
        except Exception as error:  # whatever a server makes dulwich stumble over is told in a sentence
            raise explained(error, self._address, self._credentials, words_of_server(b"".join(said))) from error


def _temporary_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="sloguard-git-")
    except OSError as error:
        message = f"no folder for temporary files can be made ({error.strerror}); give TMPDIR a volume that has room"
        raise ProposalError(Reason.NO_SPACE, message) from error


def _head(branch: str) -> Ref:
    return Ref(_HEADS + branch.encode())
