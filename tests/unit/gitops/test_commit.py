"""`sloguard promote --git`, seen with the real Git."""

import subprocess

import pytest
from click.testing import CliRunner

from sloguard.cli import main
from sloguard.gitops.commit import commit_file
from sloguard.gitops.errors import EditError
from tests.programs import needs
from tests.unit.gitops.test_promote import MANIFEST, WANTED, results

pytestmark = needs("git")


@pytest.fixture
def git(tmp_path, monkeypatch):
    for name, value in {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "A Person",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A Person",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "repository"
    (folder / "apps" / "llm").mkdir(parents=True)

    def run(*words):
        return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    run("init", "-q", "-b", "main")
    (folder / "apps" / "llm" / "llama.yaml").write_text(MANIFEST)
    (folder / "apps" / "other.yaml").write_text("a: 1\n")
    run("add", ".")
    run("commit", "-qm", "first")
    monkeypatch.chdir(folder / "apps" / "llm")
    results(tmp_path)
    return run


def promote(tmp_path, branch, file="llama.yaml"):
    return CliRunner().invoke(main, ["promote", str(tmp_path / "results"), "--manifest", file, "--git", branch])


def changed_lines(diff):
    return [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]


def test_the_commit_holds_the_printed_change_and_nothing_else(git, tmp_path):
    done = promote(tmp_path, "sloguard/llama")
    assert done.exit_code == 0, done.output
    sha = git("rev-parse", "sloguard/llama").strip()
    assert done.stdout == f"{sha} on sloguard/llama. To hand it in: git push origin sloguard/llama\n"
    assert git("diff", "--name-only", "main", "sloguard/llama") == "apps/llm/llama.yaml\n"
    assert changed_lines(git("diff", "main", "sloguard/llama")) == changed_lines(WANTED)
    git("fsck", "--strict")
    assert git("log", "-1", "--format=%an <%ae>|%cn|%P", "sloguard/llama").strip() == (
        f"A Person <a@example.com>|A Person|{git('rev-parse', 'main').strip()}"
    )


def test_neither_working_tree_nor_index_is_touched(git, tmp_path):
    (tmp_path / "repository" / "apps" / "other.yaml").write_text("a: 2\n")
    git("add", ".")
    before = git("status", "--porcelain", "--branch")
    assert promote(tmp_path, "tuned").exit_code == 0
    assert git("status", "--porcelain", "--branch") == before
    assert git("diff", "--cached", "--name-only") == "apps/other.yaml\n"


def test_doing_it_twice_does_it_once(git, tmp_path):
    promote(tmp_path, "tuned")
    once = git("rev-parse", "tuned")
    again = promote(tmp_path, "tuned")
    assert again.exit_code == 0
    assert "has these settings already" in again.stderr
    assert git("rev-parse", "tuned") == once


def test_a_branch_that_is_there_is_gone_on_with(git, tmp_path):
    git("switch", "-qc", "tuned")
    git("commit", "-q", "--allow-empty", "-m", "somebody's")
    theirs = git("rev-parse", "tuned").strip()
    git("switch", "-q", "main")
    assert promote(tmp_path, "tuned").exit_code == 0
    assert git("rev-parse", "tuned^").strip() == theirs


def test_the_message_says_what_and_why_and_how_to_revert(git, tmp_path):
    promote(tmp_path, "tuned")
    message = git("log", "-1", "--format=%B", "tuned")
    assert message.startswith("Tune vLLM in llama.yaml\n\nSettings:\n    gpu_memory_utilization: 0.93\n")
    assert "study s, trial s-3-1" in message
    assert "To revert: git revert" in message
    git("switch", "-q", "tuned")
    git("revert", "--no-edit", "HEAD")
    assert git("diff", "main") == ""


def test_line_endings_and_modes_stay(git, tmp_path):
    file = tmp_path / "repository" / "apps" / "llm" / "llama.yaml"
    file.write_bytes(MANIFEST.replace("\n", "\r\n").encode())
    file.chmod(0o755)
    git("commit", "-qam", "as on Windows")
    promote(tmp_path, "tuned")
    assert git("ls-tree", "tuned", "apps/llm/llama.yaml").startswith("100755 ")
    assert len(git("diff", "--numstat", "main", "tuned").split()) == 3
    assert git("diff", "--numstat", "main", "tuned").split()[:2] == ["3", "2"]


@pytest.mark.parametrize(
    ("branch", "file", "says"),
    [
        ("main", "llama.yaml", "is checked out"),
        ("a..b", "llama.yaml", "is no name for a branch"),
        ("tuned", "new.yaml", "not committed where the branch"),
        ("tuned", "link.yaml", "symbolic link"),
        ("tuned", "../../../outside.yaml", "in no Git repository"),
    ],
)
def test_what_cannot_be_committed_is_told(git, tmp_path, branch, file, says):
    folder = tmp_path / "repository" / "apps" / "llm"
    (folder / "new.yaml").write_text(MANIFEST)
    (tmp_path / "outside.yaml").write_text(MANIFEST)
    done = promote(tmp_path, branch, file) if file != "link.yaml" else linked(git, tmp_path, folder)
    assert done.exit_code == 2
    assert says in done.output
    assert "tuned" not in git("branch", "--list")


def linked(git, tmp_path, folder):
    """A link that the repository knows, and a file in its place."""
    (folder / "link.yaml").symlink_to("llama.yaml")
    git("add", "apps/llm/link.yaml")
    git("commit", "-qm", "a link")
    (folder / "link.yaml").unlink()
    (folder / "link.yaml").write_text(MANIFEST)
    return promote(tmp_path, "tuned", "link.yaml")


def test_a_branch_checked_out_in_another_working_tree_is_left_alone(git, tmp_path):
    git("worktree", "add", "-q", str(tmp_path / "second"), "-b", "tuned")
    done = promote(tmp_path, "tuned")
    assert done.exit_code == 2
    assert "is checked out" in done.output
    git("worktree", "remove", str(tmp_path / "second"))
    assert promote(tmp_path, "tuned").exit_code == 0


def test_from_within_another_working_tree(git, tmp_path, monkeypatch):
    git("worktree", "add", "-q", str(tmp_path / "second"), "-b", "second")
    monkeypatch.chdir(tmp_path / "second" / "apps" / "llm")
    assert promote(tmp_path, "tuned").exit_code == 0
    assert git("diff", "--name-only", "second", "tuned") == "apps/llm/llama.yaml\n"


@pytest.mark.parametrize("existing", [True, False])
def test_a_commit_of_somebody_else_meanwhile_is_never_lost(git, tmp_path, existing):
    if existing:
        git("branch", "tuned")

    def slowly(text):
        git("switch", "-q" if existing else "-qc", "tuned")
        git("commit", "-q", "--allow-empty", "-m", "theirs")
        git("switch", "-q", "main")
        return text + "# more\n"

    file = tmp_path / "repository" / "apps" / "llm" / "llama.yaml"
    with pytest.raises(EditError, match="moved the branch tuned meanwhile"):
        commit_file(file, "tuned", slowly, "ours")
    assert git("log", "-1", "--format=%s", "tuned") == "theirs\n"
