"""`sloguard promote`: what a study on this machine recommends, as a change of the files that make production."""

import contextlib
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import click

from sloguard.api.v1alpha1 import FileChange, Recommendation, Study
from sloguard.gitops.edit import Finder, diff, with_settings
from sloguard.gitops.errors import EditError
from sloguard.gitops.evidence import commit_message
from sloguard.gitops.find import Wanted, in_kustomize, in_manifest, in_values
from sloguard.gitops.narrowing import check_not_narrower, differences
from sloguard.gitops.patch import API_VERSIONS, strategic_merge_patch
from sloguard.gitops.recommended import production_settings, tuned_names
from sloguard.gitops.remote.from_command_line import Remote, shape_of, usage_of_options
from sloguard.gitops.remote.proposal import Credentials
from sloguard.local.errors import RunDirectoryError
from sloguard.local.records import Run, read_run
from sloguard.local.report_command import Refused

EXIT_NO_RECOMMENDATION = 3

FILE = click.Path(path_type=Path, dir_okay=False)


class NothingToPromote(click.ClickException):
    """Exit code 3, as of `sloguard tune`."""

    exit_code = EXIT_NO_RECOMMENDATION


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="RESULTS")
@click.option("--manifest", type=FILE, help="A file with the Deployment, or anything else that has the container.")
@click.option(
    "--kustomize",
    type=click.Path(path_type=Path),
    help="A patch (strategic merge or JSON 6902), or a kustomization that holds it.",
)
@click.option(
    "--helm-values",
    type=FILE,
    help="A chart's values, or an Argo CD Application or Flux HelmRelease that has them; needs --path.",
)
@click.option(
    "--path",
    default="",
    help="Where in the values the arguments are, such as engine.extraArgs, models[0].args or models[name=llama].args.",
)
@click.option("--patch", is_flag=True, help="Print a strategic merge patch; needs --name and --container.")
@click.option("--kind", default="", help="Of the object, where a file has several.")
@click.option("--name", default="", help="Of the object, where a file has several.")
@click.option("--container", default="", help="Where the object has several.")
@click.option(
    "--git",
    "branch",
    default="",
    metavar="BRANCH",
    help="Commit the change on this branch of the file's repository, without touching its working tree.",
)
@click.option("--write", is_flag=True, help="Change the file. Without it, the change is printed.")
@click.option(
    "--repository",
    default="",
    metavar="URL",
    help="A remote repository (HTTPS or SSH): --git BRANCH is pushed to it, and files are paths in it.",
)
@click.option("--base", default="", metavar="BRANCH", help="What production is made from. [default: the repository's]")
@click.option(
    "--pull-request",
    type=click.Choice(["github", "gitlab", "gitea"]),
    help="Open one from that branch, or bring the open one up to date; gitea is Forgejo's too.",
)
@click.option("--api", default="", metavar="URL", help="The forge's API, where the repository's address does not tell.")
@click.option("--token-file", type=FILE, help="A file with the token for HTTPS and pull requests.")
@click.option("--ssh-key", type=FILE, help="A file with the private key for SSH; needs --known-hosts.")
@click.option("--known-hosts", type=FILE, help="A file with the keys of SSH servers, as ssh-keyscan prints them.")
@click.option("--ca-file", type=FILE, help="Certificates of further authorities for HTTPS, as PEM.")
@click.option("--signing-key", type=FILE, help="Sign the commit with this SSH key.")
def promote(
    directory: Path,
    manifest: Path | None,
    kustomize: Path | None,
    helm_values: Path | None,
    path: str,
    patch: bool,
    kind: str,
    name: str,
    container: str,
    branch: str,
    write: bool,
    repository: str,
    base: str,
    pull_request: str | None,
    api: str,
    token_file: Path | None,
    ssh_key: Path | None,
    known_hosts: Path | None,
    ca_file: Path | None,
    signing_key: Path | None,
) -> None:
    """Write what `sloguard tune` recommends into the file that production is made from.

    Only the settings that were tuned change, in the lines that hold them. The change is printed as a diff for
    `git apply`, written with --write, or committed with --git: in a clone on this machine, or in a remote --repository.
    A file that cannot be changed so is refused with the reason.

    \b
    Exit codes:
      0    the change was printed or written, or the file has these settings already
      2    the options, the results or the file are not as needed; nothing was written
      3    the study recommends nothing else than production's settings
      4    the remote repository did not take it, for the reason that is told; doing it again goes on from there
    """  # noqa: D301 - \b is click's mark for lines that are not to be wrapped
    ways = [one for one in (manifest, kustomize, helm_values, patch or None) if one is not None]
    if len(ways) != 1:
        raise click.UsageError("give one of --manifest, --kustomize, --helm-values and --patch")
    if bool(path) != (helm_values is not None):
        raise click.UsageError("--helm-values and --path go together")
    if write and branch:
        raise click.UsageError("give one of --write and --git")
    keys = Credentials(
        token_file=token_file,
        ssh_key_file=ssh_key,
        known_hosts_file=known_hosts,
        ca_file=ca_file,
        signing_key_file=signing_key,
    )
    remote = Remote(repository, base, branch, pull_request or "", api, keys)
    remote.check_options(write=write or patch)
    run, study, recommendation = _recommended(directory)
    if repository:
        shape = shape_of(manifest, kustomize)
        file = manifest or kustomize or helm_values
        assert file is not None, "one of them is given"
        with usage_of_options():
            place = FileChange(path=str(file), shape=shape, values_path=path, kind=kind, name=name, container=container)
        remote.propose(place, study, recommendation, list(run.trials.values()))
        return
    if patch:
        if write or branch:
            raise click.UsageError("--patch prints a patch; redirect it into a file instead of --write or --git")
        click.echo(_patch(recommendation, kind or "Deployment", name, container), nl=False)
        return
    wanted = Wanted(kind, name, container)
    file, find = _place(manifest, kustomize, helm_values, path, wanted)
    change = Change(file, find, study, recommendation)
    with _told(file):
        if branch:
            _commit(change, branch)
        else:
            _show_or_write(change, write=write)


def _recommended(directory: Path) -> tuple[Run, Study, Recommendation]:
    try:
        run = read_run(directory)
    except RunDirectoryError as error:
        raise Refused(f"{error}.") from error
    recommendation = run.study.status.recommendation
    if recommendation is None:
        raise NothingToPromote(
            f"{directory}: the study recommends nothing (sloguard report {directory} says why); nothing was changed."
        )
    return run, run.study, recommendation


def _patch(recommendation: Recommendation, kind: str, name: str, container: str) -> str:
    if kind not in API_VERSIONS:
        raise click.UsageError(f"--kind {kind}: a patch can be made for {', '.join(API_VERSIONS)}")
    if not name or not container:
        raise click.UsageError("--patch needs the object's --name and its --container")
    click.echo(
        "The patch sets the whole of args: compare with what production has, such as its model and port.", err=True
    )
    return strategic_merge_patch(kind, name, container, recommendation.arguments)


def _place(
    manifest: Path | None, kustomize: Path | None, helm_values: Path | None, path: str, wanted: Wanted
) -> tuple[Path, Finder]:
    if manifest is not None:
        return manifest, lambda text: in_manifest(text, wanted)
    if kustomize is not None:
        return _kustomization(kustomize), lambda text: in_kustomize(text, wanted)
    assert helm_values is not None, "one of them is given"
    return helm_values, lambda text: in_values(text, path, wanted)


def _kustomization(path: Path) -> Path:
    """The file itself; of a directory, its kustomization."""
    if not path.is_dir():
        return path
    for name in ("kustomization.yaml", "kustomization.yml", "Kustomization"):
        if (path / name).is_file():
            return path / name
    raise Refused(f"{path}: there is no kustomization.yaml in it; give the file that holds the patch.")


@dataclass(frozen=True, slots=True)
class Change:
    """A file, the place in it, and what goes there."""

    file: Path
    find: Finder
    study: Study
    recommendation: Recommendation

    def of(self, before: str) -> str:
        """The text with the settings; what people should know is told.

        Raises:
            EditError: it cannot be changed safely, or clients could send less.

        """
        there, new = self.find(before).place.settings(), self.recommendation.parameters
        for note in differences(there, production_settings(self.study)):
            click.echo(f"Note: {self.file}: {note}.", err=True)
        check_not_narrower(there, new, may_narrow=self.study.spec.search_space.allow_quality_change)
        return with_settings(before, self.find, tuned_names(self.recommendation, production_settings(self.study)), new)

    def title(self, text: str) -> str:
        return self.find(text).title


@contextlib.contextmanager
def _told(file: Path) -> Generator[None]:
    """What is wrong with a file ends the command with a sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise Refused(f"{file}: it is no text in UTF-8; nothing was changed.") from error
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}.") from error
    except EditError as error:
        raise Refused(f"{file}: {error}. Nothing was changed.") from error


def _show_or_write(change: Change, *, write: bool) -> None:
    file = change.file
    before = file.read_bytes().decode()
    after = change.of(before)
    if before == after:
        click.echo(f"{file} ({change.title(before)}) has these settings already.", err=True)
    elif write:
        _write(file, after)
        click.echo(f"{file} ({change.title(before)}) was changed.", err=True)
    else:
        sys.stdout.write(diff(before, after, file.as_posix().lstrip("/")))


def _commit(change: Change, branch: str) -> None:
    from sloguard.gitops.commit import commit_file  # noqa: PLC0415 - only this way needs Git

    message = commit_message(change.study, change.recommendation, change.file.name)
    made = commit_file(change.file, branch, change.of, message)
    if made is None:
        click.echo(f"{change.file} has these settings already, where the branch {branch} stands or begins.", err=True)
    else:
        click.echo(f"{made.sha} on {branch}. To hand it in: git push origin {branch}")


def _write(file: Path, text: str) -> None:
    """In one piece or not at all; through a link to the file that it names, with its permissions."""
    target = file.resolve()
    draft = target.with_name(f".{target.name}.sloguard")
    try:
        draft.write_bytes(text.encode())
        draft.chmod(target.stat().st_mode & 0o777)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Refused(f"{file} cannot be written: {error.strerror}; nothing was changed.") from error
