"""The one open pull request of a proposal: opened, or found and its evidence brought up to date."""

import asyncio
from dataclasses import replace

from sloguard.api.v1alpha1 import ForgeKind, PullRequestWish
from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.credentials import Token
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.forges import gitea, github, gitlab
from sloguard.gitops.remote.forges.api import Api, ExistsError, session
from sloguard.gitops.remote.forges.forge import Forge, Wanted
from sloguard.gitops.remote.https import proxy_of, tls
from sloguard.gitops.remote.proposal import PullRequest, Reason, Request

BEGIN = "<!-- SLO-Guard writes from here -->"
END = "<!-- to here; what stands around it is left alone -->"
_LONGEST_BODY = 60_000  # characters; GitHub takes 65,536


def with_evidence(there: str, evidence: str) -> str:
    """A pull request's text with ours in its place; what people wrote around it stays.

    Where they took our marks away the text is theirs, and stays as it is.
    """
    before, found, rest = there.partition(BEGIN)
    _, closed, after = rest.partition(END)
    return f"{before}{marked(evidence)}{after}" if found and closed else there


def marked(evidence: str) -> str:
    short = evidence if len(evidence) <= _LONGEST_BODY else f"{evidence[:_LONGEST_BODY]}\n\n(shortened)"
    return f"{BEGIN}\n{short.strip().replace(BEGIN, '').replace(END, '')}\n{END}"


def opened(request: Request, wish: PullRequestWish, address: Address, token: Token | None, base: str) -> PullRequest:
    """The open pull request, whatever was there before.

    Raises:
        ProposalError: the forge does not do it.

    """
    if token is None:
        raise ProposalError(Reason.INVALID_REQUEST, f"a pull request on {wish.forge} needs a token's file")
    wanted = Wanted(request.branch, base, request.evidence.title, request.evidence.body)
    return asyncio.run(_opened(request, wish, address, token, wanted))


async def _opened(
    request: Request, wish: PullRequestWish, address: Address, token: Token, wanted: Wanted
) -> PullRequest:
    base, headers = _api(wish, address, token)
    async with session(tls(request.credentials.ca_file)) as connections:
        proxy = proxy_of(base.removeprefix("https://").partition("/")[0].partition(":")[0])
        forge = _forge(wish.forge, Api(connections, base, headers, proxy), address.name)
        return await _ensure(forge, wanted)


async def _ensure(forge: Forge, wanted: Wanted) -> PullRequest:
    found = await forge.find(wanted.branch, wanted.base)
    if found is None:
        await _refuse_if_declined(forge, wanted)
        try:
            return await forge.open(replace(wanted, body=marked(wanted.body)))
        except ExistsError as error:
            found = await forge.find(wanted.branch, wanted.base)
            if found is None:
                raise ProposalError(
                    Reason.PULL_REQUEST_REFUSED,
                    f"the forge says that there is a pull request of {wanted.branch} already ({error}), and shows none "
                    f"to {wanted.base}; close the other",
                ) from error
    body = with_evidence(found.body, wanted.body)
    if body != found.body:
        await forge.write(found.pull_request.number, body)
    return found.pull_request


async def _refuse_if_declined(forge: Forge, wanted: Wanted) -> None:
    """What people closed with this very evidence is not opened again."""
    for one in await forge.closed(wanted.branch, wanted.base):
        if marked(wanted.body) in one.body.replace("\r\n", "\n"):
            raise ProposalError(
                Reason.PULL_REQUEST_CLOSED,
                f"{one.pull_request.url} has the same evidence, and somebody closed it unmerged. Reopen it if it "
                "is wanted after all",
            )


def _api(wish: PullRequestWish, address: Address, token: Token) -> tuple[str, dict[str, str]]:
    match wish.forge:
        case ForgeKind.GITHUB:
            return wish.api or github.api_of(address), github.authorization(token.secret)
        case ForgeKind.GITLAB:
            return wish.api or gitlab.api_of(address), gitlab.authorization(token.secret)
        case ForgeKind.GITEA:
            return wish.api or gitea.api_of(address), gitea.authorization(token.secret)


def _forge(kind: ForgeKind, api: Api, name: str) -> Forge:
    match kind:
        case ForgeKind.GITHUB:
            return github.GitHub(api, name)
        case ForgeKind.GITLAB:
            return gitlab.GitLab(api, name)
        case ForgeKind.GITEA:
            return gitea.Gitea(api, name)
