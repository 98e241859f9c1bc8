"""Find out within seconds whether downloads can work."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

TIMEOUT = 4.0
"""Seconds to wait for all hosts together."""

_DEFAULT_URL = "https://storage.googleapis.com"


def unreachable(urls: Iterable[str], timeout: float = TIMEOUT) -> str | None:
    """Try to connect to the hosts of some addresses, or to the proxies in front of them.

    Args:
        urls: the addresses that are going to be downloaded; if none, Google's storage is tried.
        timeout: seconds in total, name resolution included.

    Returns:
        The first host that does not answer, or None if all do.
    """
    hosts = sorted({_endpoint(url) for url in urls if urlsplit(url).hostname} or {_endpoint(_DEFAULT_URL)})
    answered = dict.fromkeys(hosts, False)

    def probe(endpoint: tuple[str, int]) -> None:
        try:
            with socket.create_connection(endpoint, timeout=timeout):
                answered[endpoint] = True
        except OSError:
            pass

    # Daemon threads, as name resolution takes no timeout and must not hold up the process.
    threads = [threading.Thread(target=probe, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return next((host for (host, _), ok in sorted(answered.items()) if not ok), None)


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(host):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host = parts.hostname or ""
    default = {"http": 80, "ftp": 21}.get(parts.scheme, 443)
    return host, parts.port or default
