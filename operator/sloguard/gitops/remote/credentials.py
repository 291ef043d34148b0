"""Credentials out of files. What is secret is known here, so that no message ever shows it."""

from base64 import b64encode
from pathlib import Path

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Credentials, Reason

_LARGEST_TOKEN_BYTES = 16384
_ANY_USER = "x-access-token"  # what GitHub wants beside an app's token; others take any name


class Token:
    """A token and its user; `str` and `repr` show neither."""

    def __init__(self, user: str, secret: str) -> None:
        self.user = user
        self.secret = secret

    def forms(self) -> tuple[str, ...]:
        """In which it may appear in somebody's words."""
        return self.secret, b64encode(f"{self.user}:{self.secret}".encode()).decode()


def read_token(credentials: Credentials, address: Address) -> Token | None:
    """The token, read anew each time, since a Secret's volume is renewed in place.

    Raises:
        ProposalError: its file is missing, empty or no token (CredentialsUnreadable).

    """
    if credentials.token_file is None:
        return None
    secret = _line(credentials.token_file, "a token")
    user = _line(credentials.username_file, "a user's name") if credentials.username_file else ""
    return Token(user or (address.user if not address.is_ssh else "") or _ANY_USER, secret)


def checked_file(file: Path, what: str) -> Path:
    """The file, which can be read now.

    Raises:
        ProposalError: it cannot (CredentialsUnreadable).

    """
    try:
        file.open("rb").close()
    except OSError as error:
        raise unreadable(file, what, error.strerror or "it cannot be read") from error
    return file


def unreadable(file: Path, what: str, why: str) -> ProposalError:
    return ProposalError(Reason.CREDENTIALS_UNREADABLE, f"{file}, which should hold {what}: {why}")


def _line(file: Path, what: str) -> str:
    """Its only line; what ends it does not count."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_TOKEN_BYTES + 1)
        text = content.decode("ascii").strip()
    except OSError as error:
        raise unreadable(file, what, error.strerror or "it cannot be read") from error
    except UnicodeDecodeError:
        raise unreadable(file, what, "it is not plain ASCII") from None
    if not text or not text.isprintable() or " " in text or len(content) > _LARGEST_TOKEN_BYTES:
        raise unreadable(file, what, "it should be one line without blanks")
    return text
