"""GitHub, and GitHub Enterprise Server: docs.github.com, REST API endpoints for pull requests."""

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.forges.api import Api, Json, inner, text_of
from sloguard.gitops.remote.forges.forge import Found, Wanted
from sloguard.gitops.remote.proposal import PullRequest

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


def api_of(address: Address) -> str:
    return "https://api.github.com" if address.host in {"github.com", "ssh.github.com"} else f"{address.web}/api/v3"


def authorization(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", **HEADERS}


class GitHub:
    """A repository by owner and name."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._owner = name.partition("/")[0]
        self._pulls = f"/repos/{name}/pulls"

    async def find(self, branch: str, base: str) -> Found | None:
        return next(iter(await self._listed("open", branch, base)), None)

    async def closed(self, branch: str, base: str) -> list[Found]:
        return await self._listed("closed", branch, base)

    async def open(self, wanted: Wanted) -> PullRequest:
        body = {"title": wanted.title, "head": wanted.branch, "base": wanted.base, "body": wanted.body}
        return self._read(await self._api.send("POST", self._pulls, body))

    async def write(self, number: int, body: str) -> None:
        await self._api.send("PATCH", f"{self._pulls}/{number}", {"body": body})

    async def _listed(self, state: str, branch: str, base: str) -> list[Found]:
        asked = {"state": state, "head": f"{self._owner}:{branch}", "base": base}
        listed = await self._api.list(self._pulls, asked)
        ours = [one for one in listed if inner(one, "head").get("ref") == branch and not one.get("merged_at")]
        return [Found(self._read(one), text_of(one, "body")) for one in ours]

    def _read(self, given: Json) -> PullRequest:
        return self._api.pull_request(given, "number", "html_url")
