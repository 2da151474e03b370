"""Serve exactly one file over HTTP on the loopback address, so that the real node can fetch an archive.

The address holds a random token; any other path is a 404 and nothing is listed. What was served is proven by the
sha256 in the register request, which the node compares.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 1 << 20
IDLE_SECONDS = 60


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Closing waits for nobody: a client that stalls must not hold up the release.
    block_on_close = False

    def __init__(self, file: Path, path: str) -> None:
        self.file = file
        self.path = path
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: a client that hangs up is the client's affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = IDLE_SECONDS
    server_version = "release-tool"
    sys_version = ""

    def do_GET(self) -> None:
        """Send the file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what a GET would begin with."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not secrets.compare_digest(self.path.encode(), self.server.path.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with self.server.file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if body:
                shutil.copyfileobj(stream, self.wfile, CHUNK_BYTES)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the console belongs to the steps."""


@contextmanager
def serve_file(file: Path) -> Iterator[str]:
    """Serve ``file`` while the block runs; yields its address.

    Raises:
        OSError: no such file, or no free port.
    """
    file.stat()
    server = _Server(file, f"/{secrets.token_urlsafe(16)}/archive.zip")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{server.path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
