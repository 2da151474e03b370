"""What the doubles of servers share: a server on loopback for the time of a ``with``, and faults on order."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Double:
    """A server whose handlers see it as ``double``; ``with`` starts and stops it."""

    def __init__(self, handler):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (handler,), {"double": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@dataclass
class Fault:
    """What goes wrong, where and how often."""

    pattern: str
    """Searched in ``METHOD path``."""
    times: int = 1
    after: int = 0
    """Matching requests that go well before."""
    status: int = 500
    body: str = '{"error": {"message": "out of order"}}'


class FaultyDouble(Double):
    """A double with faults on order: each has ``pattern``, ``times`` and ``after``."""

    Fault: type = Fault

    def __init__(self, handler):
        super().__init__(handler)
        self.faults = []

    def fault(self, pattern, **what):
        """Order a fault; the first that matches and has times left is used."""
        self.faults.append(self.Fault(pattern, **what))

    def fault_of(self, line):
        """Return what happens to a request, ``METHOD path``, and count it; null where all goes well."""
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.pattern, line):
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class ForDouble:
    """What a request handler of a double does beside its own; it goes before the base class."""

    protocol_version = "HTTP/1.1"
    double = None
    wbufsize = 1 << 16  # one packet an answer: with two, each waits for the client's delayed acknowledgement

    def log_message(self, *args):
        pass

    def cut(self):
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.shutdown(2)

    def send(self, status, payload, content_type, headers=()):
        """Send a whole answer."""
        self.begin(status, payload, content_type, headers)
        self.wfile.write(payload)

    def begin(self, status, payload, content_type, headers=()):
        """Send the head of an answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if status != 204:
            self.send_header("Content-Length", str(len(payload)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()


class AnswersAll(ForDouble, BaseHTTPRequestHandler):
    """A handler whose ``answer`` is called whatever the method of a request is."""

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def body(self):
        """Return what came with the request."""
        return self.rfile.read(int(self.headers.get("content-length") or 0))
