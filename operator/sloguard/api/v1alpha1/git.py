"""Where production's arguments stand in a Git repository, and how a change of them is handed in."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule, TextRule, matching

_HOST = r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])"
_PORT = r"(:[0-9]{1,5})?"
_USER = r"([A-Za-z0-9._+-]+@)?"
_PATH = r"(/[A-Za-z0-9._~%+-]+)+/?"
_ADDRESS = rf"(https|ssh)://{_USER}{_HOST}{_PORT}{_PATH}|{_USER}{_HOST}:[A-Za-z0-9._~%+-]+({_PATH})?"
_BRANCH = r"[A-Za-z0-9_][A-Za-z0-9._/+@-]*"

RepositoryAddress = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    matching(
        _ADDRESS,
        '"%s" is no address of a repository; use one such as https://git.example.com/team/app.git or '
        "git@git.example.com:team/app.git, and keep passwords in the Secret",
    ),
]
Branch = Annotated[
    str,
    Field(max_length=200),
    matching(f"({_BRANCH})?", '"%s" cannot be the name of a branch; use one such as main or sloguard/llama'),
]
ApiAddress = Annotated[
    str,
    Field(max_length=1024),
    matching(
        rf"(https://{_HOST}{_PORT}({_PATH})?/?)?",
        '"%s" is no address of a forge\'s API; use one such as https://git.example.com/api/v1, with https, so that '
        "nobody reads the token",
    ),
]


def _is_path(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


FilePath = Annotated[
    str,
    Field(max_length=1024),
    TextRule(
        "self != '' && !self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')",
        '"%s" is no path in a repository; give it from the repository\'s top, such as apps/llm/llama.yaml',
        _is_path,
    ),
]
SecretName = Annotated[
    str,
    Field(max_length=253),
    matching(
        r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
        '"%s" cannot be the name of a Secret; use lower-case letters, digits, - and .',
    ),
]
AuthorText = Annotated[
    str,
    Field(max_length=200),
    matching(r"[^<>\x00-\x1f\x7f]+", '"%s" cannot stand in a commit; leave out <, > and line ends'),
]


class Shape(StrEnum):
    """In which way a file holds vLLM's arguments."""

    MANIFEST = "Manifest"
    KUSTOMIZE = "Kustomize"
    HELM_VALUES = "HelmValues"


class ForgeKind(StrEnum):
    """Whose API opens the pull request; Gitea stands for Forgejo too."""

    GITHUB = "GitHub"
    GITLAB = "GitLab"
    GITEA = "Gitea"


def _path_without_values(change: "FileChange") -> tuple[object, ...] | None:
    both = bool(change.values_path) == (change.shape is Shape.HELM_VALUES)
    return None if both else (change.shape.value,)


class FileChange(Model):
    """A file of the repository and the place in it.

    Manifest: whatever has the container; `kind`, `name` and `container` tell several apart. Kustomize: a patch, or the
    folder of the kustomization that holds it. HelmValues: a chart's values, or an Argo CD Application or Flux
    HelmRelease that has them, with `valuesPath` such as engine.extraArgs or models[0].args.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.shape == 'HelmValues') == (self.valuesPath != '')",
            message="shape %s: valuesPath says where in Helm's values the arguments are; give it with shape "
            "HelmValues, and with no other",
            values=("self.shape",),
            broken=_path_without_values,
            path=".valuesPath",
        ),
    )

    path: FilePath
    shape: Shape = Shape.MANIFEST
    values_path: str = Field(default="", max_length=1024)
    kind: str = Field(default="", max_length=63)
    name: str = Field(default="", max_length=253)
    container: str = Field(default="", max_length=253)


class Author(Model):
    """Who commits."""

    name: AuthorText = "SLO-Guard"
    email: AuthorText = "sloguard@localhost"


class PullRequestWish(Model):
    """`api` is the address of the forge's API, where it does not follow from the repository's."""

    forge: ForgeKind
    api: ApiAddress = ""


class SecretReference(Model):
    """A Secret of the study's namespace."""

    name: SecretName


def _without_branch(git: "GitPromotion") -> tuple[object, ...] | None:
    return () if git.pull_request is None and not git.branch and not git.base else None


def _request_of_the_base(git: "GitPromotion") -> tuple[object, ...] | None:
    same = git.pull_request is not None and git.branch and git.branch == git.base
    return (git.branch,) if same else None


class GitPromotion(Model):
    """Mode Git: the winner's arguments go into the repository that production is made from.

    With `pullRequest`: on a branch of their own (`branch`, by default sloguard/NAMESPACE/STUDY), and a pull request to
    `base` (by default the repository's). With `branch` alone: on that branch, and nothing more. With `base` alone: a
    direct commit to it.

    A Job in the study's namespace does it, with what the Secret holds; the operator never reads that. Its keys:
    `repositories` (needed: one address or beginning of one a line, to which the rest may be shown), `token` and
    `username`, `ssh-privatekey` and `known_hosts`, `ca.crt`, `signing-key`, `https_proxy` and `no_proxy`.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.pullRequest) || self.branch != '' || self.base != ''",
            message="without pullRequest the arguments are committed directly, and nothing says to which branch; set "
            "base to production's branch, such as main, or add pullRequest",
            broken=_without_branch,
            path=".base",
        ),
        Rule(
            cel="!has(self.pullRequest) || self.branch == '' || self.branch != self.base",
            message="branch %s is the base itself, so there is nothing to request; remove branch, or "
            "remove pullRequest for a direct commit",
            values=("self.branch",),
            broken=_request_of_the_base,
            path=".branch",
        ),
    )

    repository: RepositoryAddress
    base: Branch = Field(default="", description="The branch that production is made from.")
    branch: Branch = ""
    file: FileChange
    pull_request: PullRequestWish | None = None
    secret_ref: SecretReference
    author: Author = Author()
