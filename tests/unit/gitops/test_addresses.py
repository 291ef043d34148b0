"""Addresses of repositories as people write them, and what follows from them."""

import pytest

from sloguard.gitops.remote.address import read_address
from sloguard.gitops.remote.failure import ProposalError, scrubbed, words_of_server
from sloguard.gitops.remote.forges import gitea, github, gitlab


@pytest.mark.parametrize(
    ("text", "url", "name"),
    [
        ("https://github.com/o/r.git", "https://github.com/o/r.git", "o/r"),
        ("https://me@git.example.com:8443/o/r", "https://git.example.com:8443/o/r", "o/r"),
        ("https://gitlab.com/group/sub/r.git", "https://gitlab.com/group/sub/r.git", "group/sub/r"),
        ("https://[::1]:8443/o/r.git", "https://[::1]:8443/o/r.git", "o/r"),
        ("git@github.com:o/r.git", "ssh://git@github.com/~/o/r.git", "o/r"),
        ("github.com:o/r.git", "ssh://git@github.com/~/o/r.git", "o/r"),
        ("ssh://git@ssh.github.com:443/o/r.git", "ssh://git@ssh.github.com:443/o/r.git", "o/r"),
        ("ssh://git.example.com/srv/git/r.git", "ssh://git@git.example.com/srv/git/r.git", "srv/git/r"),
    ],
)
def test_what_is_understood(text, url, name):
    address = read_address(text)
    assert (address.url, address.name) == (url, name)


@pytest.mark.parametrize(
    "text",
    ["", "a", "/srv/git/r.git", "file:///srv/git/r.git", "git://h/r", "http://h/r", "https://h", "https://h/r?x=1",
     "https://h:port/r", "-oProxyCommand:r", "ext::sh -c x"],
)  # fmt: skip
def test_what_is_not(text):
    with pytest.raises(ProposalError, match=r"git@git\.example\.com:team/app\.git"):
        read_address(text)


@pytest.mark.parametrize(
    "text", ["https://me:s3cret@h/r.git", "https://me:s3cret@h:port/r.git", "http://me:s3cret@h/r"]
)
def test_a_password_is_never_repeated(text):
    with pytest.raises(ProposalError) as raised:
        read_address(text)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("forge", "text", "api"),
    [
        (github, "https://github.com/o/r.git", "https://api.github.com"),
        (github, "git@github.com:o/r.git", "https://api.github.com"),
        (github, "https://github.example.com/o/r.git", "https://github.example.com/api/v3"),
        (gitlab, "git@gitlab.com:o/r.git", "https://gitlab.com/api/v4"),
        (gitea, "ssh://git@git.example.com:2222/o/r.git", "https://git.example.com/api/v1"),
        (gitea, "https://git.example.com:3000/o/r.git", "https://git.example.com:3000/api/v1"),
    ],
)
def test_where_the_api_is(forge, text, api):
    assert forge.api_of(read_address(text)) == api


def test_words_of_a_server_are_one_printable_line():
    said = words_of_server(b"remote: no\r\n\x1b[31mWriting objects: 50% (1/2)\nremote:   way\x07\xe2\x80\xae\n\n")
    assert said == "no way??"
    assert said.isprintable()
    assert len(words_of_server("x" * 10_000)) < 700


def test_secrets_are_taken_out_of_any_text():
    assert scrubbed("a s3cret-long s3cret https://me:pw@h/r", ["s3cret", "s3cret-long"]) == "a *** *** https://***@h/r"
