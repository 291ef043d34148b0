"""A certificate authority, a serving certificate, and a token for each user, of one cluster that soon is gone."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    "system:node:node0": "system:nodes",
    "coredns": "system:masters",
}


def create(folder: Path, server: str, addresses: list[str]) -> None:
    """Write keys, certificates, ``tokens.csv`` and a kubeconfig for each of USERS."""
    folder.mkdir()
    names = ["DNS:localhost", "DNS:kubernetes.default.svc", *(f"IP:{address}" for address in addresses)]
    (folder / "extensions").write_text(f"subjectAltName={','.join(names)}\n")
    for command in _COMMANDS:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    rows = []
    for user, group in USERS.items():
        token = secrets.token_hex(16)
        rows.append(f'{token},{user},{user},"{group}"\n')
        write_kubeconfig(kubeconfig(folder, user), server, token, folder / "ca.crt")
    (folder / "tokens.csv").write_text("".join(rows))


# Elliptic keys: made in milliseconds, where RSA takes up to a second each.
_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_COMMANDS = (
    f"req -x509 {_KEY} -keyout ca.key -out ca.crt -subj /CN=sloguard-tests -days 30",
    f"req {_KEY} -keyout api.key -out api.csr -subj /CN=kube-apiserver",
    "x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out api.crt -days 30 -extfile extensions",
    "ecparam -genkey -name prime256v1 -noout -out service-accounts.key",
)


def kubeconfig(folder: Path, user: str) -> Path:
    return folder / f"{user.replace(':', '-')}.kubeconfig"


def write_kubeconfig(path: Path, server: str, token: str, authority: Path) -> None:
    data = base64.b64encode(authority.read_bytes()).decode()
    name = "sloguard-tests"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": data}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.write_text(json.dumps(document))
    path.chmod(0o600)
