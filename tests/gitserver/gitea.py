"""Gitea, compiled from its Go module: a real forge, with HTTPS, accounts, tokens and pull requests."""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import processes
from tests.clusters.cache import CACHE, digest, locked, say, wait_until
from tests.gitserver import servers

MODULE = Path(__file__).parent / "go" / "gitea"
PACKAGE = "code.gitea.io/gitea"
TAGS = "sqlite,sqlite_unlock_notify"
STATIC = ("templates", "options", "public")
_SETTINGS = """\
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
PROTOCOL = https
CERT_FILE = {folder}/server.crt
KEY_FILE = {folder}/server.key
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
DOMAIN = 127.0.0.1
ROOT_URL = https://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
[security]
INSTALL_LOCK = true
[service]
DISABLE_REGISTRATION = true
[log]
LEVEL = warn
MODE = console
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
"""


def folder():
    """Where the program and what it shows are, of exactly this version."""
    return CACHE / f"gitea-{digest(MODULE)}"


def ensure():
    """The same, compiled now where it is missing."""
    if not folder().exists():
        with locked("gitea", "compiles Gitea"):
            if not folder().exists():
                _build(folder())
    return folder()


def _build(target):
    if shutil.which("go") is None:
        raise SystemExit("tests/gitserver: Go is needed to compile Gitea; none is on PATH")
    say(f"compiling Gitea into {target}; about 7 min on two cores with an empty Go cache, once")
    begun = time.monotonic()
    flags = {"CGO_ENABLED": "1", "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath"}
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        made = Path(work, "made")
        build = ["go", "build", "-tags", TAGS, "-ldflags", "-s -w", "-o", made / "gitea", PACKAGE]
        subprocess.run(build, cwd=MODULE, env=os.environ | flags, check=True)
        source = Path(servers.run("go", "list", "-m", "-f", "{{.Dir}}", PACKAGE, cwd=MODULE).strip())
        for name in STATIC:
            shutil.copytree(source / name, made / name, copy_function=shutil.copyfile)
        for path in made.rglob("*"):  # Go's own copies may not be written to
            path.chmod(0o755)
        # renamed when complete, so that nobody ever sees half of it
        made.rename(target)
    say(f"built Gitea in {time.monotonic() - begun:.0f} s")


@dataclass
class Gitea:
    folder: Path
    port: int
    token: str = ""

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self):
        return self.folder / "ca.crt"

    @property
    def token_file(self):
        return self.folder / "token"

    def call(self, method, path, body=None):
        """Its API, as the administrator."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        context = ssl.create_default_context(cafile=self.ca_file)
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def repository(self, files):
        """One with these files on main."""
        name = f"app-{secrets.token_hex(4)}"
        self.call("POST", "/user/repos", {"name": name, "default_branch": "main", "private": True})
        path = self.folder / "repositories" / "team" / f"{name}.git"
        changes = [
            {"operation": "create", "path": path, "content": servers.base64_of(text)} for path, text in files.items()
        ]
        self.call("POST", f"/repos/team/{name}/contents", {"branch": "main", "message": "production", "files": changes})
        return Repository(path, f"{self.url}/team/{name}.git", self, f"/repos/team/{name}")

    def new_token(self, file, *scopes):
        named = ["--username", "team", "--token-name", secrets.token_hex(4), "--scopes", ",".join(scopes)]
        token = self._admin("generate-access-token", "--raw", *named)
        file.write_text(token)
        return token

    def _admin(self, *words):
        said = servers.run(*_command(self.folder), "admin", "user", *words, cwd=self.folder)
        return said.strip().splitlines()[-1]

    def start(self):
        servers.run(*_command(self.folder), "migrate", cwd=self.folder)
        person = ["--username", "team", "--password", secrets.token_hex(12), "--email", "team@example.com", "--admin"]
        self._admin("create", *person, "--must-change-password=false")
        self.token = self.new_token(self.token_file, "all")
        processes.start(self.folder, "gitea", *_command(self.folder), "web")
        wait_until("Gitea answers", lambda: self.call("GET", "/version"), 60, hint=f"{self.folder}/logs/gitea.log")


@dataclass
class Repository(servers.Hosted):
    gitea: Gitea
    api: str

    def pull_requests(self, state="open"):
        return self.gitea.call("GET", f"{self.api}/pulls?state={state}&limit=50")

    def put(self, path, text, branch="main"):
        """As a person changes a file in Gitea's pages."""
        there = self.gitea.call("GET", f"{self.api}/contents/{path}?ref={branch}")
        body = {"branch": branch, "message": "somebody's", "content": servers.base64_of(text), "sha": there["sha"]}
        self.gitea.call("PUT", f"{self.api}/contents/{path}", body)


def create(folder):
    servers.authority(folder)
    port = servers.free_port()
    user = servers.run("id", "-un").strip()
    settings = _SETTINGS.format(folder=folder, port=port, static=ensure(), user=user)
    (folder / "app.ini").write_text(settings)
    return Gitea(folder, port)


def _command(folder):
    return ensure() / "gitea", "--config", folder / "app.ini"
