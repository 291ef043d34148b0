"""Stand-ins for GitHub and GitLab: an HTTPS server that takes what their API documents say and refuses all else.

Written from "REST API endpoints for pull requests" (docs.github.com, version 2022-11-28) and "Merge requests API"
(docs.gitlab.com). What a request lacks or has too much is a refusal, and is also kept in `broken`, so that no test
passes by it. Branches are those of the real repository.
"""

import asyncio
import ssl
import threading
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from tests.gitserver.servers import TOKEN, free_port

GITHUB_LIST = {"state", "head", "base", "sort", "direction", "per_page", "page"}
GITHUB_NEW = {"title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"}
GITHUB_EDIT = {"title", "body", "state", "base", "maintainer_can_modify"}
GITLAB_LIST = {"state", "source_branch", "target_branch", "scope", "per_page", "page"}
GITLAB_NEW = {"source_branch", "target_branch", "title", "description", "remove_source_branch", "squash", "labels"}
GITLAB_EDIT = {"title", "description", "target_branch", "state_event", "remove_source_branch", "labels"}


@dataclass
class Fake:
    """One repository of a forge. `after` is called after each request that changed something."""

    hosted: object
    name: str
    requests: list = field(default_factory=list)
    broken: list = field(default_factory=list)
    calls: int = 0
    refuse: object = None
    port: int = 0

    def open_ones(self):
        return [one for one in self.requests if one["open"]]

    def closed_ones(self, *, merged):
        """GitHub's list of closed ones has the merged too, GitLab's has not."""
        return [one for one in self.requests if not one["open"] and (merged or not one.get("merged"))]

    def add(self, branch, base, title, body, **other):
        number = len(self.requests) + 1
        one = {"number": number, "branch": branch, "base": base, "title": title, "body": body, "open": True} | other
        self.requests.append(one)
        return one

    def same(self, branch, base):
        return [
            one for one in self.open_ones() if (one["branch"], one["base"]) == (branch, base) and not one.get("fork")
        ]

    def check(self, told, what):
        if told:
            self.broken.append(f"{what}: {told}")
            raise web.HTTPUnprocessableEntity(text=f'{{"message": "{what}"}}', content_type="application/json")

    async def handle(self, request):
        self.calls += 1
        if self.refuse is not None:
            status, text = self.refuse
            return web.Response(status=status, text=text, content_type="application/json")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": self.unauthorized}, status=401)
        return await self.answer(request)


class FakeGitHub(Fake):
    unauthorized = "Bad credentials"

    async def answer(self, request):
        self.check(request.headers.get("X-GitHub-Api-Version") != "2022-11-28", "version")
        self.check(request.headers.get("Accept") != "application/vnd.github+json", "accept")
        self.check("User-Agent" not in request.headers, "user agent")
        root = f"/api/v3/repos/{self.name}/pulls"
        if request.path != root and not request.path.startswith(f"{root}/"):
            return web.json_response({"message": "Not Found", "documentation_url": "https://docs"}, status=404)
        if request.method == "GET":
            return self.list(request.query)
        body = await request.json()
        if request.method == "POST" and request.path == root:
            return self.open(body)
        self.check(request.method != "PATCH" or set(body) - GITHUB_EDIT, "edit")
        one = self.requests[int(request.path.rsplit("/", 1)[1]) - 1]
        one["body"] = body.get("body", one["body"])
        return web.json_response(self.shape(one))

    def list(self, query):
        self.check(set(query) - GITHUB_LIST, "unknown parameters")
        owner, _, branch = query["head"].partition(":")
        self.check(owner != self.name.split("/")[0], "head is user:ref-name")
        self.check(query["state"] not in {"open", "closed"}, "state")
        there = self.open_ones() if query["state"] == "open" else self.closed_ones(merged=True)
        fitting = [one for one in there if (one["branch"], one["base"]) == (branch, query["base"])]
        return web.json_response([self.shape(one) for one in fitting if not one.get("fork")])

    def open(self, body):
        self.check(set(body) - GITHUB_NEW, "unknown fields")
        self.check({"title", "head", "base"} - set(body), "required fields")
        self.check([one for one in ("head", "base") if not self.hosted.tip(body[one])], "branches exist")
        if self.same(body["head"], body["base"]):
            told = f"A pull request already exists for {self.name.split('/')[0]}:{body['head']}."
            error = {"resource": "PullRequest", "code": "custom", "message": told}
            return web.json_response({"message": "Validation Failed", "errors": [error]}, status=422)
        one = self.add(body["head"], body["base"], body["title"], body.get("body"))
        return web.json_response(self.shape(one), status=201)

    def shape(self, one):
        url = f"https://github.example.com/{self.name}/pull/{one['number']}"
        ends = {"head": {"ref": one["branch"]}, "base": {"ref": one["base"]}}
        return {
            "number": one["number"],
            "html_url": url,
            "title": one["title"],
            "body": one["body"],
            "merged_at": one.get("merged"),
        } | ends


class FakeGitLab(Fake):
    unauthorized = "401 Unauthorized"

    async def answer(self, request):
        root = f"/api/v4/projects/{self.name.replace('/', '%2F')}/merge_requests"
        raw = request.raw_path.partition("?")[0]
        if raw != root and not raw.startswith(f"{root}/"):
            self.check(unquote(raw).startswith(unquote(root)), "the project's path is URL-encoded")
            return web.json_response({"message": "404 Project Not Found"}, status=404)
        if request.method == "GET":
            return self.list(request.query)
        body = await request.json()
        if request.method == "POST" and raw == root:
            return self.open(body)
        self.check(request.method != "PUT" or set(body) - GITLAB_EDIT, "edit")
        one = self.requests[int(raw.rsplit("/", 1)[1]) - 1]
        one["body"] = body.get("description", one["body"])
        return web.json_response(self.shape(one))

    def list(self, query):
        self.check(set(query) - GITLAB_LIST, "unknown parameters")
        self.check(query.get("state") not in {"opened", "closed"}, "state")
        there = self.open_ones() if query["state"] == "opened" else self.closed_ones(merged=False)
        ends = (query["source_branch"], query["target_branch"])
        return web.json_response([self.shape(one) for one in there if (one["branch"], one["base"]) == ends])

    def open(self, body):
        self.check(set(body) - GITLAB_NEW, "unknown fields")
        self.check({"title", "source_branch", "target_branch"} - set(body), "required fields")
        same = self.same(body["source_branch"], body["target_branch"])
        if same:
            told = f"Another open merge request already exists for this source branch: !{same[0]['number']}"
            return web.json_response({"message": [told]}, status=409)
        one = self.add(body["source_branch"], body["target_branch"], body["title"], body.get("description"))
        return web.json_response(self.shape(one), status=201)

    def shape(self, one):
        return {
            "id": 1000 + one["number"],
            "iid": one["number"],
            "project_id": 3,
            "source_project_id": 7 if one.get("fork") else 3,
            "target_project_id": 3,
            "source_branch": one["branch"],
            "target_branch": one["base"],
            "title": one["title"],
            "description": one["body"],
            "state": "opened",
            "web_url": f"https://gitlab.example.com/{self.name}/-/merge_requests/{one['number']}",
        }


class Serving:
    """In a thread of its own, until `close`."""

    def __init__(self, fake, https):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(https.folder / "server.crt", https.folder / "server.key")
        fake.port = free_port()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", fake.handle)
        self._runner = web.AppRunner(application)
        self._wait(self._runner.setup())
        self._wait(web.TCPSite(self._runner, "127.0.0.1", fake.port, ssl_context=context).start())

    def _wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def close(self):
        self._wait(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
