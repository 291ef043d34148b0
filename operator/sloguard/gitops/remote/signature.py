"""A commit's signature by an SSH key, as OpenSSH's PROTOCOL.sshsig describes it."""

import hashlib
import textwrap
from base64 import b64encode
from pathlib import Path

from paramiko import Message

from sloguard.gitops.remote.ssh import read_key

_MAGIC = b"SSHSIG"
_NAMESPACE = b"git"
_HASH = b"sha512"


def ssh_signature(data: bytes, key_file: Path) -> bytes:
    """In the armour that Git stores.

    Raises:
        ProposalError: the file holds no usable key (CredentialsUnreadable).

    """
    key = read_key(key_file)
    to_sign = _MAGIC + _strings(_NAMESPACE, b"", _HASH, hashlib.sha512(data).digest())
    algorithm = "rsa-sha2-512" if key.get_name() == "ssh-rsa" else None
    made = key.sign_ssh_data(to_sign, algorithm).asbytes()
    version = (1).to_bytes(4, "big")
    whole = _MAGIC + version + _strings(key.asbytes(), _NAMESPACE, b"", _HASH, made)
    lines = textwrap.wrap(b64encode(whole).decode(), 70)
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----"]).encode()


def _strings(*parts: bytes) -> bytes:
    message = Message()
    for part in parts:
        message.add_string(part)
    return message.asbytes()
