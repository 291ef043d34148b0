"""`sloguard propose`: what an operator's Job does; as `sloguard promote --repository`, with everything in files.

The outcome is left as JSON where Kubernetes looks for a container's last words.
"""

import hashlib
from pathlib import Path

import click
from pydantic import ValidationError

from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import EXIT_NOT_PROPOSED, Outcome, Reason, Request
from sloguard.gitops.remote.propose import propose as proposed
from sloguard.gitops.remote.secret import with_secret

LIMIT_BYTES = 4096
"""Of a termination message."""


@click.command()
@click.argument("request_file", type=click.Path(path_type=Path), metavar="REQUEST")
@click.option("--sha256", required=True, metavar="HEX", help="Of the request, as it has to be.")
@click.option("--secret", type=click.Path(path_type=Path), required=True, help="The folder of a Secret.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where the outcome is left as JSON.")
def propose(request_file: Path, sha256: str, secret: Path, output: Path | None) -> None:
    """Bring a change to a repository, as an operator asks for it.

    \b
    Exit codes:
      0    the repository has it, or had it already
      4    it has not, for the reason that is told; doing it again goes on from there
    """  # noqa: D301 - \b is click's mark for lines that are not to be wrapped
    outcome = _outcome(request_file, sha256, secret)
    for note in outcome.notes:
        click.echo(f"Note: {note}.", err=True)
    click.echo(f"{outcome.reason.value}: {outcome.message.rstrip('.')}.", err=True)
    text = fitting(outcome)
    click.echo(text)
    if output is not None:
        output.write_text(text)
    raise click.exceptions.Exit(0 if outcome.reason.succeeded else EXIT_NOT_PROPOSED)


def _outcome(request_file: Path, sha256: str, secret: Path) -> Outcome:
    try:
        return proposed(with_secret(_read(request_file, sha256), secret))
    except ProposalError as error:
        return Outcome(reason=error.reason, message=str(error))


def _read(file: Path, sha256: str) -> Request:
    """Only what the operator wrote: others may be able to write ConfigMaps, and not to use this Secret."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ProposalError(Reason.INVALID_REQUEST, f"{file} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ProposalError(Reason.INVALID_REQUEST, f"{file} is not the request that this was started for")
    try:
        return Request.model_validate_json(content)
    except ValidationError as error:
        said = f"{file} is no request of this version: {error.error_count()} fields are not as they should be"
        raise ProposalError(Reason.INVALID_REQUEST, said) from error


def fitting(outcome: Outcome) -> str:
    """The outcome in as many bytes as are kept: notes go first, then the end of its message."""
    text = _as_json(outcome)
    if len(text.encode()) > LIMIT_BYTES:
        outcome = outcome.model_copy(update={"notes": ()})
        text = _as_json(outcome)
    while len(text.encode()) > LIMIT_BYTES and outcome.message:
        outcome = outcome.model_copy(update={"message": outcome.message[: len(outcome.message) * 3 // 4]})
        text = _as_json(outcome)
    return text


def _as_json(outcome: Outcome) -> str:
    return outcome.model_dump_json(by_alias=True, exclude_none=True)
