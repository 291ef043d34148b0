"""One forge's API over HTTPS: JSON both ways, a token that goes nowhere else, and refusals as reasons."""

import json
import ssl
from collections.abc import Mapping
from typing import Any, cast

import aiohttp

from sloguard.gitops.remote.failure import ProposalError, words_of_server
from sloguard.gitops.remote.https import CONNECT_SECONDS, READ_SECONDS
from sloguard.gitops.remote.proposal import PullRequest, Reason

_LARGEST_ANSWER_BYTES = 8 * 1024 * 1024

Json = dict[str, Any]


class ExistsError(Exception):
    """There is such a pull request already."""


class Api:
    """Calls below `base`. What is not as expected raises ProposalError."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, headers: Mapping[str, str], proxy: str | None
    ) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "sloguard", **headers}
        self._proxy = proxy

    async def list(self, path: str, parameters: Mapping[str, str]) -> list[Json]:
        found = await self._call("GET", path, parameters=parameters)
        if not isinstance(found, list):
            raise self._odd("a list was expected")
        return [cast("Json", one) for one in cast("list[object]", found) if isinstance(one, dict)]

    async def send(self, method: str, path: str, body: Json) -> Json:
        """Make or change something.

        Raises:
            ExistsError: it is there already (HTTP 409; HTTP 422 where the answer says so).

        """
        found = await self._call(method, path, body=body)
        if not isinstance(found, dict):
            raise self._odd("an object was expected")
        return cast("Json", found)

    def pull_request(self, given: Json, number: str, url: str) -> PullRequest:
        """Number and page, as the answer has them under these names."""
        found = given.get(number), given.get(url)
        if not isinstance(found[0], int) or not isinstance(found[1], str) or not found[1].startswith("http"):
            raise self._odd(f"{number} and {url} were expected")
        return PullRequest(number=found[0], url=found[1])

    async def _call(
        self, method: str, path: str, *, parameters: Mapping[str, str] | None = None, body: Json | None = None
    ) -> object:
        try:
            async with self._session.request(
                method,
                f"{self._base}{path}",
                params=parameters,
                json=body,
                headers=self._headers,
                proxy=self._proxy,
                allow_redirects=False,  # a token follows nobody's redirect
            ) as answer:
                text = (await _content(answer)).decode("utf-8", "replace")
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        if status in {200, 201}:
            return self._parsed(text)
        raise self._refusal(status, method, text)

    def _parsed(self, text: str) -> object:
        try:
            return json.loads(text)
        except ValueError:
            raise self._odd("JSON was expected") from None

    def _refusal(self, status: int, method: str, text: str) -> Exception:
        said = _words(text)
        if method == "POST" and (status == 409 or (status == 422 and "already exists" in said)):
            return ExistsError(said)
        told = f"{self._base} said: HTTP {status}{', ' + said if said else ''}"
        match status:
            case 401:
                return ProposalError(
                    Reason.AUTHENTICATION_FAILED,
                    f"{told}. The token is not accepted: it may have expired; make a new one",
                )
            case 403 | 429 if "rate limit" in said.lower() or status == 429:
                return ProposalError(Reason.SERVER_FAILED, f"{told}. Its limit of requests is used up; try again later")
            case 403:
                return ProposalError(
                    Reason.PERMISSION_DENIED, f"{told}. Give the token the right to read and write pull requests"
                )
            case 404:
                return ProposalError(
                    Reason.REPOSITORY_NOT_FOUND,
                    f"{told}. There is no such repository, or the token may not see it; or the API is elsewhere",
                )
            case 301 | 302 | 303 | 307 | 308:
                return ProposalError(
                    Reason.REPOSITORY_NOT_FOUND, f"{told}. The repository was moved or renamed; give its new address"
                )
            case _ if status >= 500:
                return ProposalError(Reason.SERVER_FAILED, f"{told}. Try again later")
            case _:
                return ProposalError(Reason.PULL_REQUEST_REFUSED, f"{told}. Change what it names")

    def _unreachable(self, error: Exception) -> ProposalError:
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
            return ProposalError(
                Reason.CERTIFICATE_UNTRUSTED,
                f"{self._base}: its certificate is not trusted; where a private authority made it, give that "
                "authority's certificate as the CA file",
            )
        said = "it does not answer in time" if isinstance(error, TimeoutError) else words_of_server(str(error))
        return ProposalError(Reason.NOT_REACHABLE, f"{self._base} cannot be reached: {said or type(error).__name__}")

    def _odd(self, expected: str) -> ProposalError:
        return ProposalError(
            Reason.SERVER_FAILED,
            f"{self._base}: {expected}, and something else came; see that this is the API's address",
        )


def session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """It keeps no cookies and reads neither .netrc nor the environment."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=2),
        timeout=aiohttp.ClientTimeout(total=READ_SECONDS, connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """As much of it as one would read of any answer."""
    content = bytearray()
    async for piece in answer.content.iter_chunked(65536):
        content += piece
        if len(content) > _LARGEST_ANSWER_BYTES:
            break
    return bytes(content)


def inner(given: Json, key: str) -> Json:
    """An object within an object; empty where there is none."""
    found = given.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}


def text_of(given: Json, key: str) -> str:
    """A text; empty where there is none."""
    found = given.get(key)
    return found if isinstance(found, str) else ""


def _words(text: str) -> str:
    """The message of an error, where it is JSON as forges send it; the beginning of anything else."""
    try:
        given = json.loads(text)
    except ValueError:
        return words_of_server(text[:200])
    parts: list[str] = []
    if isinstance(given, dict):
        answer = cast("Json", given)
        parts = [_flat(answer[key]) for key in ("message", "error", "error_description", "errors") if answer.get(key)]
    return words_of_server("; ".join(parts))


def _flat(value: object) -> str:
    match value:
        case str():
            return value
        case list():
            return "; ".join(_flat(one) for one in cast("list[object]", value))
        case dict():
            fields = cast("Json", value)
            return _flat(fields["message"]) if "message" in fields else " ".join(_flat(v) for v in fields.values())
        case _:
            return str(value)
