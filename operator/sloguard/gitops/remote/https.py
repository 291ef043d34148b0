"""How HTTPS is spoken, for Git and for a forge's API: private authorities, and proxies from the environment."""

import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from sloguard.gitops.remote.credentials import checked_file, unreadable

CONNECT_SECONDS = 15
READ_SECONDS = 120
_AUTHORITIES = "certificates of authorities (PEM)"


def tls(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and those of the file.

    Raises:
        ProposalError: the file holds none (CredentialsUnreadable).

    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(checked_file(ca_file, _AUTHORITIES))
        except ssl.SSLError:
            raise unreadable(ca_file, _AUTHORITIES, "it holds none") from None
    return context


def proxy_of(host: str) -> str | None:
    """The proxy's address for HTTPS to a host, by https_proxy, all_proxy and no_proxy in either case."""
    proxies = getproxies()
    proxy = proxies.get("https") or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def connections(host: str, ca_file: Path | None) -> urllib3.PoolManager:
    """For Git. A failure is told at once; whoever asked decides whether to ask again."""
    retries = urllib3.Retry(total=3, connect=0, read=0, status=0, other=0, redirect=3)
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    proxy = proxy_of(host)
    headers = {"User-Agent": "git/sloguard"}  # GitHub serves Git's own clients only
    if proxy is None:
        return urllib3.PoolManager(ssl_context=tls(ca_file), retries=retries, timeout=timeout, headers=headers)
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return urllib3.ProxyManager(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
        ssl_context=tls(ca_file),
        retries=retries,
        timeout=timeout,
        headers=headers,
    )
