"""The report of a run over HTTP, while the search goes on."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Final, cast

from .. import directory as names
from ..errors import SearchError
from .collect import Json, collect
from .page import embedded, page

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8420
"""Where a report is served unless told otherwise; another free port where this one is taken."""

_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AddressError(SearchError):
    """The report cannot be served at the address that was asked for."""

    exit_code = 2


@contextmanager
def serving(directory: str | os.PathLike[str], *, host: str = LOOPBACK, port: int | None = None) -> Iterator[str]:
    """Serves the report of a run in a thread, for as long as the context lasts.

    There are two addresses, `/` (the page) and `/data.json` (what it asks for every few seconds); no file is served.
    Requests under a host name that is not this machine's are refused, so that no web page can read the report by
    pointing its own name here (DNS rebinding).

    Args:
        directory: The run directory; it need not exist yet.
        host: Address to listen on. Default: this machine only. "0.0.0.0": whoever reaches it may read the report.
        port: Default: 8420, or a free one if that is taken. 0: a free one.

    Yields:
        The address to open.

    Raises:
        AddressError: The address cannot be listened on.
    """
    server = _listen(_Source(Path(directory).expanduser().absolute()), host, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="report", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class _Source:
    """The report's value, collected anew when a file of the run has changed.

    Not more often than that it takes a tenth of the time: beside it a search wants to run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._state: Any = None
        self._rest = 0.0
        self._value: Json = {}

    def value(self) -> tuple[Json, str]:
        """Return (value, mark); the mark changes with the value."""
        with self._lock:
            state, began = self._look(), time.monotonic()
            if state != self._state and began >= self._rest:
                self._value, self._state = collect(self._directory), state
                ended = time.monotonic()
                self._rest = ended + 9 * (ended - began)
            return self._value, hashlib.sha256(repr(self._state).encode()).hexdigest()[:32]

    def _look(self) -> list[tuple[str, int, int]]:
        paths = [self._directory / names.MANIFEST, self._directory / names.RESULTS]
        with suppress(OSError):
            paths += sorted((self._directory / names.TRIALS).glob("[0-9]*.json"))
        found = []
        for path in paths:
            with suppress(OSError):
                status = path.stat()
                found.append((path.name, status.st_mtime_ns, status.st_size))
        return found


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of two paths."""

    timeout = 20  # seconds a client may keep a thread waiting

    def version_string(self) -> str:
        """Name no versions."""
        return "ksparse"

    def do_GET(self) -> None:
        """Answer with the page, the data, or an error."""
        server = cast("_Server", self.server)
        if not server.knows(self.headers.get("Host", "")):
            return self._send(403, "text/plain", "This host name is not the report's. Open it by its address.\n")
        path = self.path.partition("?")[0]
        if path not in ("/", "/data.json"):
            return self._send(404, "text/plain", "There is only / and /data.json.\n")
        try:
            value, mark = server.source.value()
        except SearchError as error:
            return self._send(503, "text/plain", f"{error}\n")
        if path == "/":
            return self._send(200, "text/html", page(value, live=True))
        tag = f'"{mark}"'
        if self.headers.get("If-None-Match") == tag:
            return self._send(304, "application/json", "", tag)
        return self._send(200, "application/json", embedded(value), tag)

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def _send(self, status: int, kind: str, text: str, tag: str | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, entry in _HEADERS.items():
            self.send_header(name, entry)
        if tag is not None:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):  # the reader has gone
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Write nothing: stderr belongs to the search."""


class _Server(ThreadingHTTPServer):
    """The server of one report."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], source: _Source, family: socket.AddressFamily) -> None:
        self.source = source
        self.address_family = family
        self._names = {"localhost", address[0].lower(), socket.gethostname().lower()}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the machine's full name, which can take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a broken connection is no news."""

    def knows(self, header: str) -> bool:
        """Whether a request's Host is this machine: a number, or one of its names.

        A page elsewhere can point a name of its own here, but not a number.
        """
        host = header.strip().lower()
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        with suppress(ValueError):
            ipaddress.ip_address(host)
            return True
        return host in self._names


def _listen(source: _Source, host: str, port: int | None) -> _Server:
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except OSError as error:
        raise AddressError(f"The host {host!r} is unknown ({error.strerror or error}). Give an address.") from error
    if port is None:
        with suppress(OSError):
            return _Server((host, PORT), source, family)
    try:
        return _Server((host, port or 0), source, family)
    except (OSError, OverflowError) as error:
        raise AddressError(f"Cannot serve the report at {host} port {port}: {error}. Choose another port.") from error
