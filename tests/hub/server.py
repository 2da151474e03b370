"""A model hub over HTTP as huggingface_hub speaks it: API, files, a store on another host name, and faults on order.

The API answers on 127.0.0.1, large files come by redirect from the store on ``localhost``: another origin, so that a
client that would send its token there, or follow blindly, is found out. Nothing here is taken from the code under
test.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from hub.repositories import Repository

MODEL = r"(?P<model>[\w.-]+/[\w.-]+)"
API = re.compile(
    rf"/api/models/{MODEL}(?:/(?P<verb>revision|tree|refs|paths-info)(?:/(?P<rev>[^/]+)(?:/(?P<sub>.+))?)?)?"
)
FILE = re.compile(rf"/{MODEL}/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
STORE = re.compile(r"/store/(?P<oid>[0-9a-f]{64})")


@dataclass
class Fault:
    """What goes wrong, where and how often."""

    pattern: str
    """Searched in ``METHOD path?query``."""
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    truncate: int | None = None
    """Close the connection after so many bytes of the body."""
    flip: int | None = None
    """Change one bit of the byte at this place of the body."""
    stall: float | None = None
    """Seconds of silence before the answer."""
    slow: float | None = None
    """Seconds of pause after every 64 KiB of the body."""


@dataclass(frozen=True)
class Request:
    """One line of the access log."""

    method: str
    host: str
    path: str
    """With its query, as sent."""
    token: str | None
    range: str | None
    status: int


class Refused(Exception):
    def __init__(self, status, message, *, code=None, headers=None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {**({"X-Error-Code": code} if code else {}), "X-Error-Message": message, **(headers or {})}


class Hub:
    """A running hub; ``with Hub() as hub`` starts and stops it."""

    def __init__(self):
        self.repositories = {}
        self.tokens = set()
        self.faults = []
        self.requests = []
        self.page_size = 1000
        self.secret = secrets.token_bytes(16)
        self.stopping = threading.Event()
        self.silent = threading.Event()
        """A request met a stall, and is not answered (nor in the access log) yet."""
        self.going = threading.Event()
        """Set it to end every stall."""
        self.lock = threading.Lock()
        self.ranges = True
        """Whether the store honours Range; some mirrors do not."""
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.going.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def add(self, name, files, *, private=False, gated=False, readers=()):
        """Make a repository with one commit on main."""
        repository = Repository(name=name, private=private, gated=gated, readers=set(readers))
        repository.commit(files)
        self.tokens |= repository.readers
        self.repositories[name] = repository
        return repository

    def fault(self, pattern, **what):
        """Order a fault; the first that matches and has times left is used."""
        self.faults.append(Fault(pattern, **what))

    def asked(self, pattern):
        """Return the requests whose ``METHOD path`` matches."""
        with self.lock:
            return [item for item in self.requests if re.search(pattern, f"{item.method} {item.path}")]

    def forget(self):
        """Empty the access log."""
        with self.lock:
            self.requests.clear()

    def signature(self, oid):
        return hmac.new(self.secret, oid.encode(), "sha256").hexdigest()

    def take_fault(self, line):
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this each answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    hub: Hub

    def log_message(self, format, *args):  # noqa: A002 - the base class's name
        """Stay silent: the access log is kept as data."""

    def do_GET(self):
        self.answer()

    do_HEAD = do_GET  # noqa: N815 - the base class names it

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer()

    def handle(self):
        """Serve until the client goes; one that goes in the middle is no error here."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def answer(self):
        fault = self.hub.take_fault(f"{self.command} {self.path}")
        try:
            if fault and fault.stall:
                self.hub.silent.set()
                self.hub.going.wait(fault.stall)
            self.route(fault)
        except Refused as refused:
            self.send(refused.status, json.dumps({"error": refused.message}).encode(), refused.headers)

    def route(self, fault):
        if fault and fault.status:
            raise Refused(fault.status, "ordered fault", headers=fault.headers)
        url = urlsplit(self.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        if url.path == "/api/whoami-v2":
            self.whoami(token)
        elif found := STORE.fullmatch(url.path):
            self.store(found["oid"], parse_qs(url.query), fault)
        elif found := API.fullmatch(url.path):
            self.api(found, parse_qs(url.query), token, fault)
        elif found := FILE.fullmatch(url.path):
            self.file(found, token, fault)
        else:
            raise Refused(404, "Not Found")

    def whoami(self, token):
        if token not in self.hub.tokens:
            raise Refused(401, "Invalid user token.")
        self.send_json(
            {"type": "user", "name": "tester", "auth": {"accessToken": {"displayName": "t", "role": "read"}}}
        )

    def repository(self, name, token):
        """Return what this token may see; a stranger can't tell private from absent, as on the hub."""
        if token is not None and token not in self.hub.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and token not in repository.readers):
            if token is None:
                raise Refused(401, "Invalid username or password.", code="RepoNotFound")
            raise Refused(404, "Repository not found", code="RepoNotFound")
        return repository

    @staticmethod
    def check_gate(repository, token):
        if repository.gated and token not in repository.readers:
            said = f"Access to model {repository.name} is restricted. You must have access to it."
            raise Refused(401 if token is None else 403, said, code="GatedRepo")

    @staticmethod
    def commit_of(repository, revision):
        sha = repository.resolve(revision)
        if sha is None:
            raise Refused(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return sha

    def api(self, found, query, token, fault):
        repository = self.repository(found["model"], token)
        verb, revision = found["verb"], unquote(found["rev"] or "main")
        if verb == "refs":
            self.send_json(
                {
                    "branches": [
                        {"name": k, "ref": f"refs/heads/{k}", "targetCommit": v} for k, v in repository.branches.items()
                    ],
                    "tags": [
                        {"name": k, "ref": f"refs/tags/{k}", "targetCommit": v} for k, v in repository.tags.items()
                    ],
                    "converts": [],
                }
            )
            return
        sha = self.commit_of(repository, revision)
        if verb in (None, "revision"):
            self.send_json(self.info(repository, sha))
            return
        self.check_gate(repository, token)
        folder = unquote(found["sub"] or "").strip("/")
        entries = repository.entries(sha, folder)
        if folder and not entries:
            raise Refused(404, f'{folder} does not exist on "{revision}"', code="EntryNotFound")
        if verb == "paths-info":
            wanted = parse_qs(self.body.decode()).get("paths", [])
            self.send_json([entry for entry in entries if entry["path"] in wanted])
            return
        if query.get("recursive", ["false"])[0].lower() != "true":
            depth = folder.count("/") + 1 if folder else 0
            entries = [entry for entry in entries if entry["path"].count("/") == depth]
        self.send_page(entries, query, sha, fault)

    def send_page(self, entries, query, sha, fault):
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.hub.page_size
        headers = {"X-Repo-Commit": sha}
        if end < len(entries):
            path = urlsplit(self.path).path
            headers["Link"] = f'<https://hub.invalid{path}?recursive=true&cursor={end}>; rel="next"'
        self.send(200, json.dumps(entries[start:end]).encode(), headers, fault=fault)

    @staticmethod
    def info(repository, sha):
        return {
            "_id": "0",
            "id": repository.name,
            "modelId": repository.name,
            "sha": sha,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in repository.commits[sha]],
        }

    def file(self, found, token, fault):
        repository = self.repository(found["model"], token)
        self.check_gate(repository, token)
        sha = self.commit_of(repository, unquote(found["rev"]))
        path = unquote(found["path"])
        data = repository.commits[sha].get(path)
        if data is None:
            raise Refused(404, "Entry not found", code="EntryNotFound", headers={"X-Repo-Commit": sha})
        if not repository.is_lfs(path, data):
            etag = next(entry["oid"] for entry in repository.entries(sha) if entry["path"] == path)
            self.send_ranged(data, {"X-Repo-Commit": sha, "ETag": f'"{etag}"'}, fault)
            return
        oid = hashlib.sha256(data).hexdigest()
        headers = {
            "X-Repo-Commit": sha,
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"http://localhost:{self.hub.port}/store/{oid}?sig={self.hub.signature(oid)}",
        }
        self.send(302, b"", headers)

    def store(self, oid, query, fault):
        if not hmac.compare_digest(query.get("sig", [""])[0], self.hub.signature(oid)):
            raise Refused(403, "AccessDenied")
        # As a real store does: a second proof of who asks is an error.
        if self.headers.get("Authorization"):
            raise Refused(400, "Only one auth mechanism allowed")
        for repository in self.hub.repositories.values():
            for tree in repository.commits.values():
                for data in tree.values():
                    if len(data) and hashlib.sha256(data).hexdigest() == oid:
                        self.send_ranged(data, {"ETag": f'"{oid}"'}, fault)
                        return
        raise Refused(404, "NoSuchKey")

    def send_ranged(self, data, headers, fault):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {**headers, "Content-Type": "application/octet-stream"}
        if not (wanted and self.hub.ranges):
            self.send(200, data, headers, fault=fault)
            return
        start = int(wanted[1])
        end = min(int(wanted[2]) if wanted[2] else len(data) - 1, len(data) - 1)
        if start >= len(data):
            self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self.send(206, data[start : end + 1], headers, fault=fault)

    def send_json(self, value):
        self.send(200, json.dumps(value).encode(), {})

    def send(self, status, body, headers, *, fault=None):
        self.log(status)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.flip is not None:
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 1]) + body[fault.flip + 1 :]
        if fault and fault.truncate is not None:
            body = body[: fault.truncate]
            self.close_connection = True
        if fault and fault.slow is not None:
            for at in range(0, len(body), 65536):
                self.wfile.write(body[at : at + 65536])
                self.hub.stopping.wait(fault.slow)
        else:
            self.wfile.write(body)

    def log(self, status):
        authorization = self.headers.get("Authorization")
        with self.hub.lock:
            self.hub.requests.append(
                Request(
                    method=self.command,
                    host=(self.headers.get("Host") or "").partition(":")[0],
                    path=self.path,
                    token=authorization.removeprefix("Bearer ") if authorization else None,
                    range=self.headers.get("Range"),
                    status=status,
                )
            )
