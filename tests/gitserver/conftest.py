"""Servers of Git, one of each kind for all tests, and repositories on them, one for each test."""

import getpass

import pytest

from tests.clusters import processes
from tests.gitserver import gitea as forge
from tests.gitserver import servers
from tests.gitserver.asked import FILES


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory):
    with servers.nobodys_settings(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture(scope="session")
def https(tmp_path_factory):
    folder, root = tmp_path_factory.mktemp("https"), tmp_path_factory.mktemp("repositories")
    try:
        yield servers.start_https(folder, root)
    finally:
        processes.stop_all(folder)


@pytest.fixture(scope="session")
def ssh(tmp_path_factory):
    folder, root = tmp_path_factory.mktemp("ssh"), tmp_path_factory.mktemp("repositories")
    try:
        yield servers.start_ssh(folder, root, getpass.getuser())
    finally:
        processes.stop_all(folder)


@pytest.fixture(scope="session")
def gitea(tmp_path_factory):
    server = forge.create(tmp_path_factory.mktemp("gitea"))
    try:
        server.start()
        yield server
    finally:
        processes.stop_all(server.folder)


@pytest.fixture
def hosted(https):
    """By HTTPS, with production in it."""
    https.let_in(servers.TOKEN)
    return servers.create(https.root, https.url, FILES)


@pytest.fixture
def login(https):
    """What lets one in there."""
    return {"token_file": https.token_file, "ca_file": https.ca_file}
