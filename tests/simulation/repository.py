"""The repository that production is made from: what a Job brings there, people who merge, and what syncs it."""

import json
from dataclasses import dataclass, field
from typing import Any

from sloguard.domain.arguments import with_parameters
from sloguard.gitops.remote.proposal import Outcome, PullRequest, Reason, Request
from tests.simulation.api_server import Object, Refusal

SYNC = "gitops"
REQUEST = "request.json"


@dataclass
class Repository:
    """Of one file with production's arguments. `open` are requests by their branches: what they ask for."""

    world: Any
    base: list[str] | None = None
    open: dict[str, Request] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    """Evidence that people decided against."""

    commits: int = 0

    def asked(self, pod: Object) -> Outcome | None:
        """What the Job's pod comes to; None where it dies without a word."""
        trouble = self.world.random.choice(TROUBLES) if self.world.storm else None
        if trouble == "dies":
            return None
        if trouble is not None:
            return Outcome(reason=trouble, message="as a server says it")
        return self._taken(self._request(pod))

    def _request(self, pod: Object) -> Request:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        config = self.world.server.get("configmaps", volumes["request"]["configMap"]["name"])
        return Request.model_validate_json(config["data"][REQUEST])

    def _taken(self, request: Request) -> Outcome:
        base = self._base()
        if self._with(request, base) == base:
            return Outcome(reason=Reason.NOTHING_TO_DO, message="it has them", branch="main", commit="f00d")
        if request.pull_request is None:
            self._commit(request)
            return Outcome(reason=Reason.COMMITTED, message="it is on main", branch="main", commit=f"c{self.commits}")
        url = f"https://git.example.com/pulls/{request.branch}"
        told = {"message": url, "branch": request.branch, "commit": "c0ffee"}
        if self._evidence(request) in self.closed:
            return Outcome(reason=Reason.PULL_REQUEST_CLOSED, **told)
        reason = Reason.UNCHANGED if request.branch in self.open else Reason.PROPOSED
        if reason is Reason.PROPOSED:
            self._later(self.world.random.choice([0.5, 20, 200]), self.decide, request.branch)
        self.open[request.branch] = request
        return Outcome(reason=reason, pull_request=PullRequest(url=url, number=1), **told)

    def decide(self, branch: str) -> None:
        """People look at it: they merge nearly all."""
        request = self.open.pop(branch, None)
        if request is None:
            return
        if self.world.random.random() < (0.2 if self.world.storm else 0.0):
            self.world.note("person: closes %s", branch)
            self.closed.add(self._evidence(request))
            return
        self.world.note("person: merges %s", branch)
        self._commit(request)

    def _commit(self, request: Request) -> None:
        self.commits += 1
        self.base = self._with(request, self._base())
        self._later(self.world.random.choice([0.2, 3, 40]), self.sync)

    def sync(self) -> None:
        """What manages production brings what the repository says."""
        wanted = self.base

        def change(body: Object) -> None:
            body["spec"]["template"]["spec"]["containers"][0]["args"] = wanted

        try:
            if wanted != self._running():
                self.world.note("gitops: syncs %s", wanted)
                self.world.server.change("deployments", "llama", change, SYNC)
        except Refusal:
            self.world.later(5.0, self.sync)

    def _later(self, seconds: float, do: Any, *values: Any) -> None:
        """Nothing is settled before it is done."""
        people = self.world.people
        people.busy_until = max(people.busy_until, self.world.loop.time() + seconds)
        self.world.later(seconds, do, *values)

    def _base(self) -> list[str]:
        """Until somebody commits, what production has."""
        return self.base if self.base is not None else self._running() or []

    def _running(self) -> list[str] | None:
        found = self.world.server.get("deployments", "llama")
        return found and found["spec"]["template"]["spec"]["containers"][0]["args"]

    def _with(self, request: Request, arguments: list[str]) -> list[str]:
        return with_parameters(arguments, request.settings.names, request.settings.parameters)

    def _evidence(self, request: Request) -> str:
        return json.dumps([request.branch, sorted(request.settings.parameters.items())])


TROUBLES = (None, None, None, "dies", Reason.NOT_REACHABLE, Reason.PERMISSION_DENIED)
