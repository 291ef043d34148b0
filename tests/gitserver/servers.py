"""Real servers of Git on loopback: git http-backend behind nginx, with a private authority, and OpenSSH's."""

import base64
import os
import secrets
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tests.clusters import processes
from tests.clusters.cache import wait_until

TOKEN = "glpat-4Kq9vXw2TestToken"
_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_NGINX = """\
user root;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  log_format told '$request_method $request_uri $status $http_authorization';
  access_log {folder}/access.log told;
  client_body_temp_path {folder}/body;
  fastcgi_temp_path {folder}/fastcgi;
  proxy_temp_path {folder}/proxy;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  ssl_certificate {folder}/server.crt;
  ssl_certificate_key {folder}/server.key;
  server {{
    listen 127.0.0.1:{port} ssl;
    location = /page/info/refs {{ default_type text/html; return 200 "<html>Please log in</html>"; }}
    location = /broken/info/refs {{ return 502; }}
    location /elsewhere/ {{ rewrite ^/elsewhere/(.*)$ https://localhost:{other}/$1 redirect; }}
    location / {{
      auth_basic Git;
      auth_basic_user_file {folder}/users;
      client_max_body_size 0;
      fastcgi_pass unix:{folder}/fastcgi.socket;
      fastcgi_param SCRIPT_FILENAME {backend};
      fastcgi_param GIT_PROJECT_ROOT {root};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_param REMOTE_USER $remote_user;
    }}
  }}
  server {{
    listen 127.0.0.1:{other} ssl;
    access_log {folder}/elsewhere.log told;
    location / {{ return 404; }}
  }}
}}
"""
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
"""


def program(name):
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")
    assert path, f"needs {name}"
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return True


def run(*words, cwd=None, **variables):
    return subprocess.run(
        list(map(str, words)), cwd=cwd, check=True, capture_output=True, text=True, env=os.environ | variables
    ).stdout


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


@dataclass
class HttpsServer:
    folder: Path
    root: Path
    port: int

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self):
        return self.folder / "ca.crt"

    @property
    def token_file(self):
        return self.folder / "token"

    def let_in(self, token):
        """From now on this token alone."""
        (self.folder / "users").write_text(f"x-access-token:{{PLAIN}}{token}\n")

    def log(self, name="access"):
        return (self.folder / f"{name}.log").read_text()


@contextmanager
def nobodys_settings(home):
    """Git as it is without anybody's configuration, and no proxy."""
    (home / ".gitconfig").write_text("[user]\nname = A Person\nemail = a@example.com\n[safe]\ndirectory = *\n")
    with mock.patch.dict(os.environ, HOME=str(home), GIT_CONFIG_NOSYSTEM="1"):
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            os.environ.pop(name, None)
            os.environ.pop(name.upper(), None)
        yield


def start_https(folder, root):
    port, other = free_port(), free_port()
    authority(folder)
    (folder / "token").write_text(f"{TOKEN}\n")
    backend = Path(run("git", "--exec-path").strip(), "git-http-backend")
    config = _NGINX.format(folder=folder, root=root, port=port, other=other, backend=backend)
    (folder / "nginx.conf").write_text(config)
    server = HttpsServer(folder, root, port)
    server.let_in(TOKEN)
    processes.start(folder, "fcgiwrap", program("fcgiwrap"), "-s", f"unix:{folder}/fastcgi.socket", "-c", "4")
    wait_until("fcgiwrap listens", (folder / "fastcgi.socket").exists, 20)
    processes.start(folder, "nginx", program("nginx"), "-c", folder / "nginx.conf", "-e", folder / "error.log")
    wait_until("nginx listens", lambda: answers(port), 20, hint=str(folder / "error.log"))
    return server


def authority(folder):
    """A private one, and a server's certificate by it."""
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for command in (
        f"req -x509 {_KEY} -keyout ca.key -out ca.crt -subj /CN=private-authority -days 30",
        f"req {_KEY} -keyout server.key -out server.csr -subj /CN=git",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -extfile extensions",
    ):
        run("openssl", *command.split(), cwd=folder)


@dataclass
class SshServer:
    folder: Path
    root: Path
    port: int
    user: str

    @property
    def url(self):
        return f"ssh://{self.user}@127.0.0.1:{self.port}{self.root}"

    @property
    def key(self):
        return self.folder / "client"

    @property
    def known_hosts(self):
        return self.folder / "known_hosts"

    @property
    def host_line(self):
        return f"[127.0.0.1]:{self.port} {(self.folder / 'host.pub').read_text()}"


def start_ssh(folder, root, user):
    port = free_port()
    for name in ("host", "client", "stranger"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "sshd.conf").write_text(_SSHD.format(folder=folder, port=port))
    Path("/run/sshd").mkdir(exist_ok=True)  # where the daemon wants to go when it gives up its rights
    server = SshServer(folder, root, port, user)
    server.known_hosts.write_text(server.host_line)
    processes.start(folder, "sshd", program("sshd"), "-D", "-e", "-f", folder / "sshd.conf")
    wait_until("sshd listens", lambda: answers(port), 20, hint=str(folder / "logs/sshd.log"))
    return server


@dataclass
class Hosted:
    """A bare repository on a server. `git` works on it directly."""

    path: Path
    url: str

    def git(self, *words, **variables):
        return run("git", "-C", self.path, *words, **variables)

    def tip(self, branch):
        """Empty where there is no such branch."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip()

    def branches(self):
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def ahead(self, branch, base="main"):
        """Commits of the branch that the base has not."""
        return int(self.git("rev-list", "--count", f"{base}..{branch}"))

    def behind(self, branch, base="main"):
        return self.ahead(base, branch)

    def text(self, path, branch="main"):
        return self.git("show", f"{branch}:{path}")

    def commit(self, files, branch="main", subject="somebody's", start=""):
        """As somebody else does it, from a clone; a content of None removes the file."""
        clone = self.path.parent / f"clone-{secrets.token_hex(4)}"
        run("git", "clone", "-q", self.path, clone, "-b", start or branch)
        run("git", "checkout", "-q", "-B", branch, cwd=clone)
        for name, text in files.items():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).unlink(missing_ok=True)
            if text is not None:
                (clone / name).write_text(text)
        run("git", "add", "-A", ".", cwd=clone)
        run("git", "commit", "-q", "--allow-empty", "-m", subject, cwd=clone)
        run("git", "push", "-q", "origin", branch, cwd=clone)
        shutil.rmtree(clone)
        return self.tip(branch)

    def hook(self, name, script):
        file = self.path / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}")
        file.chmod(0o755)


def create(root, url, files):
    """A repository whose branch main has the files; without files it has no commit."""
    name = f"team/app-{secrets.token_hex(4)}.git"
    run("git", "init", "-q", "--bare", "-b", "main", root / name)
    hosted = Hosted(root / name, f"{url}/{name}")
    if files:
        seed = root / f"seed-{secrets.token_hex(4)}"
        run("git", "init", "-q", "-b", "main", seed)
        run("git", "remote", "add", "origin", hosted.path, cwd=seed)
        for path, text in files.items():
            (seed / path).parent.mkdir(parents=True, exist_ok=True)
            (seed / path).write_text(text)
        run("git", "add", ".", cwd=seed)
        run("git", "commit", "-qm", "production", cwd=seed)
        run("git", "push", "-q", "origin", "main", cwd=seed)
        shutil.rmtree(seed)
    return hosted
