"""`sloguard promote --repository`: its options as a request, and what is said of the outcome."""

import contextlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from dulwich.config import StackedConfig
from dulwich.repo import get_user_identity
from pydantic import ValidationError

from sloguard.api.v1alpha1 import Author, FileChange, ForgeKind, PullRequestWish, Recommendation, Shape, Study, Trial
from sloguard.api.wording import problems
from sloguard.gitops.evidence import commit_message
from sloguard.gitops.markdown_evidence import pull_request_body
from sloguard.gitops.recommended import production_settings, tuned_names
from sloguard.gitops.remote.address import read_address
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import EXIT_NOT_PROPOSED, Credentials, Evidence, Outcome, Reason, Request, Settings

_FORGES = {kind.value.lower(): kind for kind in ForgeKind}
_OF_THE_OPTIONS = frozenset({Reason.INVALID_REQUEST, Reason.CREDENTIALS_UNREADABLE, Reason.EDIT_REFUSED})


@contextlib.contextmanager
def usage_of_options() -> Generator[None]:
    """What the request's models refuse is an option's fault."""
    try:
        yield
    except ValidationError as error:
        raise click.UsageError("; ".join(problem.message for e in error.errors() for problem in problems(e))) from error


def shape_of(manifest: Path | None, kustomize: Path | None) -> Shape:
    if manifest is not None:
        return Shape.MANIFEST
    return Shape.KUSTOMIZE if kustomize is not None else Shape.HELM_VALUES


@dataclass(frozen=True, slots=True)
class Remote:
    """The options that are about the remote repository."""

    repository: str
    base: str
    branch: str
    forge: str
    api: str
    keys: Credentials

    def check_options(self, *, write: bool) -> None:
        """Those that do not go together end the command."""
        if not self.repository:
            self._check_local()
            return
        if not self.branch or write:
            raise click.UsageError("--repository needs --git BRANCH, and neither --write nor --patch")
        try:
            address = read_address(self.repository)
        except ProposalError as error:
            raise click.UsageError(f"--repository: {error}") from error
        keys = self.keys
        if address.is_ssh and not (keys.ssh_key_file and keys.known_hosts_file):
            raise click.UsageError(f"--repository {address.url} is SSH's: it needs --ssh-key and --known-hosts")
        if not address.is_ssh and (keys.ssh_key_file or keys.known_hosts_file):
            raise click.UsageError(f"--repository {address.url}: --ssh-key and --known-hosts are of SSH alone")
        if self.forge and keys.token_file is None:
            raise click.UsageError(f"--pull-request {self.forge} needs --token-file")
        if self.api and not (self.forge and self.api.startswith("https://")):
            raise click.UsageError(f"--api {self.api}: it goes with --pull-request, and begins with https://")

    def _check_local(self) -> None:
        given = {
            "--base": self.base,
            "--pull-request": self.forge,
            "--api": self.api,
            "--token-file": self.keys.token_file,
            "--ssh-key": self.keys.ssh_key_file,
            "--known-hosts": self.keys.known_hosts_file,
            "--ca-file": self.keys.ca_file,
            "--signing-key": self.keys.signing_key_file,
        }
        for option, value in given.items():
            if value:
                raise click.UsageError(f"{option} {value} is of a remote repository; give its address as --repository")

    def propose(
        self, change: FileChange, study: Study, recommendation: Recommendation, trials: Sequence[Trial]
    ) -> None:
        """Do it, and tell: a sentence for people on standard error, the outcome as JSON on standard output."""
        from sloguard.gitops.remote.propose import propose  # noqa: PLC0415 - only this way needs SSH and HTTPS

        with usage_of_options():
            request = self._request(change, study, recommendation, trials)
        outcome = propose(request)
        for note in outcome.notes:
            click.echo(f"Note: {note}.", err=True)
        click.echo(json.dumps(outcome.dump(), indent=2))
        if outcome.reason.succeeded:
            click.echo(f"{outcome.message}.", err=True)
            return
        click.echo(f"Error: {outcome.reason.value}: {_without_end(outcome)}.", err=True)
        raise click.exceptions.Exit(2 if outcome.reason in _OF_THE_OPTIONS else EXIT_NOT_PROPOSED)

    def _request(
        self, change: FileChange, study: Study, recommendation: Recommendation, trials: Sequence[Trial]
    ) -> Request:
        title, production = Path(change.path).name, production_settings(study)
        message = commit_message(study, recommendation, title)
        return Request(
            repository=self.repository,
            base=self.base,
            branch=self.branch,
            changes=(change,),
            settings=Settings(
                names=frozenset(tuned_names(recommendation, production)),
                parameters=recommendation.parameters,
                measured=production,
                may_narrow=study.spec.search_space.allow_quality_change,
            ),
            evidence=Evidence(
                message=message,
                title=f"Tune vLLM in {title}",
                body=pull_request_body(study, recommendation, trials, production) if self.forge else "",
            ),
            author=_author(),
            proposer=study.name,
            credentials=self.keys,
            pull_request=PullRequestWish(forge=_FORGES[self.forge], api=self.api) if self.forge else None,
        )


def _without_end(outcome: Outcome) -> str:
    return outcome.message.rstrip(".")


def _author() -> Author:
    """As Git's own commits on this machine have it."""
    name, _, email = get_user_identity(StackedConfig.default()).decode(errors="replace").partition(" <")
    return Author(name=name, email=email.removesuffix(">"))
