"""Gitea and Forgejo: their own /api/swagger, repository and pull requests."""

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.forges.api import Api, Json, inner, text_of
from sloguard.gitops.remote.forges.forge import Found, Wanted
from sloguard.gitops.remote.proposal import PullRequest

_PAGE = 50
_MOST_PAGES = 200
_MOST_CLOSED_PAGES = 2


def api_of(address: Address) -> str:
    return f"{address.web}/api/v1"


def authorization(secret: str) -> dict[str, str]:
    return {"Authorization": f"token {secret}"}


class Gitea:
    """A repository by owner and name."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._pulls = f"/repos/{name}/pulls"

    async def find(self, branch: str, base: str) -> Found | None:
        return next(iter(await self._listed("open", branch, base, _MOST_PAGES)), None)

    async def closed(self, branch: str, base: str) -> list[Found]:
        return await self._listed("closed", branch, base, _MOST_CLOSED_PAGES)

    async def _listed(self, state: str, branch: str, base: str, pages: int) -> list[Found]:
        """The API cannot be asked for one branch's alone."""
        ours: list[Found] = []
        for page in range(1, pages + 1):
            listed = await self._api.list(self._pulls, {"state": state, "page": str(page), "limit": str(_PAGE)})
            from_it = [one for one in listed if _is_from(one, branch, base) and not one.get("merged")]
            ours += [Found(self._read(one), text_of(one, "body")) for one in from_it]
            if not listed or (ours and state == "open"):
                break
        return ours

    async def open(self, wanted: Wanted) -> PullRequest:
        body = {"title": wanted.title, "head": wanted.branch, "base": wanted.base, "body": wanted.body}
        return self._read(await self._api.send("POST", self._pulls, body))

    async def write(self, number: int, body: str) -> None:
        await self._api.send("PATCH", f"{self._pulls}/{number}", {"body": body})

    def _read(self, given: Json) -> PullRequest:
        return self._api.pull_request(given, "number", "html_url")


def _is_from(one: Json, branch: str, base: str) -> bool:
    head, into = inner(one, "head"), inner(one, "base")
    return (head.get("ref"), into.get("ref")) == (branch, base) and head.get("repo_id") == into.get("repo_id")
