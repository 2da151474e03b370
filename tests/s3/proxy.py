"""A proxy in front of an S3 server: it writes down every request and injects faults.

Requests are passed on byte for byte, the Host header included, so that signatures hold. Faults are asked in order for
each request; the first that is about it and has times left happens.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    key: str
    """Path without the bucket; empty for requests to the bucket itself."""
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def writes(self):
        return self.method not in {"GET", "HEAD"}

    def __str__(self):
        words = "&".join(name for name in self.query if name in {"uploads", "uploadId", "partNumber"})
        return f"{self.method} {self.key}{f'?{words}' if words else ''}"


@dataclass
class Fault:
    """What happens to requests, how often."""

    do: str
    """One of the methods of Handler that begin with ``fault_``, without that beginning."""
    to: Any = lambda request: True
    """Request → whether it is one of those."""
    times: float = float("inf")
    after: int = 0
    """How many of those pass before."""
    value: Any = None
    met: int = 0


@dataclass
class Proxy:
    """A running proxy."""

    endpoint: str
    log: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def fault_for(self, request):
        """Write a request down and return what happens to it, if anything."""
        with self.lock:
            self.log.append(request)
            for fault in self.faults:
                if fault.to(request) and fault.times > 0:
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    fault.met += 1
                    return fault
        return None

    def reset(self):
        """Forget all requests and faults."""
        with self.lock:
            self.log.clear()
            self.faults.clear()


@contextmanager
def running_proxy(upstream):
    """Start a proxy in front of a server's endpoint, and end it."""
    address = urlsplit(upstream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.upstream = (address.hostname, address.port)
    server.proxy = Proxy(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    upstream = None
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together

    def log_message(self, *_):
        """Say nothing: the log is the proxy's own."""

    def handle(self):
        """Serve until the client goes away, which is no error here."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            if self.upstream is not None:
                self.upstream.close()

    def handle_expect_100(self):
        """Ask for the body at once."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def pass_on(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if len(self.body) < length:  # the client was killed in the middle
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.request_seen = Request(
            method=self.command,
            key=unquote(parts.path).lstrip("/").partition("/")[2],
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        fault = self.server.proxy.fault_for(self.request_seen)
        if fault is None:
            self.answer(*self.forward())
        else:
            getattr(self, f"fault_{fault.do}")(fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815 - the names that the base class calls

    def forward(self):
        """Return the server's status, headers and body."""
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        connection = self.upstream
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"expect", "connection"}:
                connection.putheader(name, value)
        connection.endheaders()
        if self.body:
            connection.send(self.body)
        found = connection.getresponse()
        length = found.getheader("Content-Length", "0")
        body = found.read()
        headers = [(name, value) for name, value in found.getheaders() if name.lower() not in HOP]
        return found.status, [*headers, ("Content-Length", length if self.command == "HEAD" else str(len(body)))], body

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def refuse(self, status, code):
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        body = b"" if self.command == "HEAD" else body
        self.answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)

    def fault_refuse(self, fault):
        """Answer with a status and a code of S3, without asking the server."""
        self.refuse(*fault.value)

    def fault_forget(self, fault):
        """Let the server do it, and answer as if it had failed."""
        self.forward()
        self.refuse(*fault.value)

    def fault_slow(self, fault):
        """Answer after so many seconds."""
        time.sleep(fault.value)
        self.answer(*self.forward())

    def fault_cut_before(self, fault):
        """Cut the connection; the server never hears of the request."""
        self.cut()

    def fault_cut_after(self, fault):
        """Let the server do it, and cut the connection: the answer is lost."""
        self.forward()
        self.cut()

    def fault_cut_inside(self, fault):
        """Pass on so many bytes of the answer's body, and cut the connection."""
        status, headers, body = self.forward()
        self.answer(status, headers, body[: fault.value])
        self.cut()

    def fault_header(self, fault):
        """Pass the answer on with one header changed."""
        status, headers, body = self.forward()
        name, value = fault.value
        headers = [(each, value if each.lower() == name else old) for each, old in headers]
        self.answer(status, headers, body)

    def fault_body(self, fault):
        """Pass the answer on with another body."""
        status, headers, _ = self.forward()
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        self.answer(status, [*headers, ("Content-Length", str(len(fault.value)))], fault.value)

    def fault_say_done(self, fault):
        """Answer a condition that did not hold as if it had: a store that knows the header and does not keep it."""
        time.sleep(fault.value or 0)
        status, headers, body = self.forward()
        if status != 412:
            self.answer(status, headers, body)
            return
        self.answer(200, [("ETag", '"0"'), ("Content-Length", "0")], b"")

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
