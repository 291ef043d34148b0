"""GitLab: docs.gitlab.com, merge requests API."""

from urllib.parse import quote

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.forges.api import Api, Json, text_of
from sloguard.gitops.remote.forges.forge import Found, Wanted
from sloguard.gitops.remote.proposal import PullRequest


def api_of(address: Address) -> str:
    return f"{address.web}/api/v4"


def authorization(secret: str) -> dict[str, str]:
    """As for OAuth, which personal, group and project access tokens are accepted as too."""
    return {"Authorization": f"Bearer {secret}"}


class GitLab:
    """A project by its whole path, groups included."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._requests = f"/projects/{quote(name, safe='')}/merge_requests"

    async def find(self, branch: str, base: str) -> Found | None:
        return next(iter(await self._listed("opened", branch, base)), None)

    async def closed(self, branch: str, base: str) -> list[Found]:
        """GitLab calls merged ones merged, not closed."""
        return await self._listed("closed", branch, base)

    async def open(self, wanted: Wanted) -> PullRequest:
        body = {
            "title": wanted.title,
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "description": wanted.body,
            "remove_source_branch": True,
        }
        return self._read(await self._api.send("POST", self._requests, body))

    async def write(self, number: int, body: str) -> None:
        await self._api.send("PUT", f"{self._requests}/{number}", {"description": body})

    async def _listed(self, state: str, branch: str, base: str) -> list[Found]:
        asked = {"state": state, "source_branch": branch, "target_branch": base}
        listed = await self._api.list(self._requests, asked)
        own = [one for one in listed if one.get("source_project_id") == one.get("target_project_id")]
        return [Found(self._read(one), text_of(one, "description")) for one in own]

    def _read(self, given: Json) -> PullRequest:
        return self._api.pull_request(given, "iid", "web_url")
