"""GitHub's API over HTTP, over a real bare repository, with faults on order.

Written from GitHub's REST documentation and messages that people have reported, never compared with GitHub itself: the
statuses are the documented ones (201 for what is made, 204 for a dispatch, 404 for what a token may not see, 409 for an
empty repository, 422 for a reference or a pull request that is there already). Objects, trees and references are git's
own.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from http_double import FaultyDouble, ForDouble

TOKEN = "ghs_MARKED-token-4Wp7"
WEB = "https://github.example"
SHA = "[0-9a-f]{40}"
MAX_TITLE, MAX_BODY = 256, 65_536


@dataclass
class Fault:
    """What goes wrong, where and how often."""

    pattern: str
    """Searched in ``METHOD path``."""
    times: int = 1
    after: int = 0
    """Matching requests that go well before."""
    status: int | None = None
    data: object = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: str | None = None
    """``before`` or ``after`` the request is done: the connection is closed without an answer."""
    half: bool = False
    """Half of the answer is sent, then the connection is closed."""
    action: object = None
    """Called with the server before the request is done."""


@dataclass(frozen=True)
class Request:
    """One line of the access log."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    data: object


class GitHubDouble(FaultyDouble):
    """A running API; ``with GitHubDouble(git, "octo-org/models") as server`` starts and stops it."""

    Fault = Fault

    def __init__(self, git, repository):
        super().__init__(Handler)
        self.git = git
        self.repository = repository
        self.default_branch = "main"
        self.token = TOKEN
        self.pulls = []
        self.runs = []
        self.requests = []
        self.answers = {}
        """Path below the repository → JSON, for settings that are only read; "" adds to the repository itself."""
        self.lock = threading.RLock()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.git.close()

    def environment(self):
        """Return what leads a client here."""
        return {"GITHUB_API_URL": self.address, "GITHUB_TOKEN": self.token, "GITHUB_REPOSITORY": self.repository}

    def forget(self, git):
        """Begin anew with another repository."""
        self.git.close()
        self.git, self.pulls, self.runs, self.faults, self.requests = git, [], [], [], []

    @property
    def writes(self):
        """Every request that was no GET, as ``METHOD path``."""
        return [f"{one.method} {one.path}" for one in self.requests if one.method != "GET"]

    def close(self, number, *, merged=False):
        """Close a pull request, as a person does who merges or refuses it."""
        pull = self.pulls[number - 1]
        pull["state"], pull["merged_at"] = "closed", "2026-01-02T03:04:05Z" if merged else None


class Handler(ForDouble, BaseHTTPRequestHandler):
    def do_GET(self):
        self.handle_one(None)

    def do_POST(self):
        self.handle_one(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 - the names that the base class calls

    def handle_one(self, body):
        hub, url = self.double, urlsplit(self.path)
        path, query = unquote(url.path), {key: values[0] for key, values in parse_qs(url.query).items()}
        with hub.lock:
            data = json.loads(body) if body else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.requests.append(Request(self.command, path, query, headers, data))
            fault = hub.fault_of(f"{self.command} {path}")
            if fault is not None and fault.action is not None:
                fault.action(hub)
            if fault is not None and fault.cut == "before":
                return self.cut()
            if fault is not None and fault.status is not None:
                return self.answer(fault.status, fault.data, fault.headers)
            status, found = self.done(path, query, data)
            if fault is not None and fault.cut == "after":
                return self.cut()
        return self.answer(status, found, half=fault is not None and fault.half)

    def answer(self, status, data, headers=None, *, half=False):
        raw = isinstance(data, bytes)
        payload = data if raw else b"" if status == 204 else json.dumps(data).encode()
        content_type = "application/octet-stream" if raw else "application/json; charset=utf-8"
        if not half:
            return self.send(status, payload, content_type, headers or ())
        self.begin(status, payload, content_type, headers or ())
        self.wfile.write(payload[: len(payload) // 2])
        self.wfile.flush()
        return self.cut()

    # -----------------------------------------------------------------------------------------------------------------

    def done(self, path, query, data):
        """Do a request and return status and answer."""
        authorization = self.headers.get("Authorization") or ""
        if authorization != f"Bearer {self.double.token}":
            return 401, {"message": "Bad credentials", "documentation_url": "https://docs.github.example/rest"}
        prefix = f"/repos/{self.double.repository}"
        if path != prefix and not path.startswith(prefix + "/"):
            return MISSING
        below = path[len(prefix) + 1 :]
        if below.startswith("git/") and self.double.git.object("HEAD") is None:
            return 409, {"message": "Git Repository is empty.", "status": "409"}
        for method, pattern, name in ROUTES:
            found = re.fullmatch(pattern, below)
            if found and method == self.command:
                return getattr(self, name)(*found.groups(), query=query, data=data)
        if self.command == "GET" and below in self.double.answers:
            return 200, self.double.answers[below]
        return MISSING

    def get_repository(self, **_):
        facts = {"full_name": self.double.repository, "default_branch": self.double.default_branch, "private": False}
        return 200, facts | self.double.answers.get("", {})

    def get_ref(self, branch, **_):
        head = self.double.git.head(branch)
        return MISSING if head is None else (200, reference(branch, head))

    def get_commit(self, sha, **_):
        if self.double.git.type_of(sha) != "commit":
            return MISSING
        return 200, self.commit_data(sha)

    def commit_data(self, sha):
        head, _, message = self.double.git.object(sha)[2].decode().partition("\n\n")
        fields = [line.split(" ", 1) for line in head.splitlines()]
        tree = next(value for key, value in fields if key == "tree")
        parents = [{"sha": value} for key, value in fields if key == "parent"]
        return {"sha": sha, "tree": {"sha": tree}, "parents": parents, "message": message.removesuffix("\n")}

    def get_tree(self, sha, *, query, **_):
        if self.double.git.type_of(sha) not in {"tree", "commit"}:
            return MISSING
        lines = self.double.git("ls-tree", "-z", *(["-r", "-t"] if "recursive" in query else []), sha).decode()
        listed = [re.fullmatch(r"(\d+) (\w+) (\w+)\t(.*)", line, re.DOTALL).groups() for line in lines.split("\0")[:-1]]
        tree = [{"path": path, "mode": mode, "type": kind, "sha": one} for mode, kind, one, path in listed]
        return 200, {"sha": sha, "tree": tree, "truncated": False}

    def get_blob(self, sha, **_):
        found = self.double.git.object(sha)
        if found is None or found[1] != "blob":
            return MISSING
        data = found[2]
        if "raw" in (self.headers.get("Accept") or ""):
            return 200, data
        return 200, {"sha": sha, "size": len(data), "encoding": "base64", "content": base64.b64encode(data).decode()}

    def make_blob(self, *, data, **_):
        content = data["content"]
        sha = self.double.git.blob(base64.b64decode(content) if data.get("encoding") == "base64" else content.encode())
        return 201, {"sha": sha}

    def make_tree(self, *, data, **_):
        entries = [(one["path"], one["mode"], one["sha"]) for one in data["tree"]]
        for _, _, sha in entries:
            if sha is not None and self.double.git.type_of(sha) != "blob":
                return refused(f"tree.sha {sha} is not a valid blob")
        if "base_tree" in data and self.double.git.type_of(data["base_tree"]) is None:
            return refused("base_tree is not a valid tree oid")
        return 201, {"sha": self.double.git.tree(data.get("base_tree"), entries)}

    def make_commit(self, *, data, **_):
        if self.double.git.type_of(data["tree"]) != "tree":
            return refused("Tree SHA does not exist")
        if any(self.double.git.type_of(parent) != "commit" for parent in data["parents"]):
            return refused("Parent SHA does not exist or is not a commit object")
        sha = self.double.git.commit(data["message"], data["tree"], data["parents"], data.get("author"))
        return 201, self.commit_data(sha)

    def make_ref(self, *, data, **_):
        ref, sha = data["ref"], data["sha"]
        if not ref.startswith("refs/") or self.double.git("check-ref-format", ref, check=False) is None:
            return refused(f"{ref} is not a valid ref name.")
        if self.double.git.type_of(sha) is None:
            return refused("Object does not exist")
        if self.double.git.object(ref) is not None:
            return refused("Reference already exists")
        if self.double.git("update-ref", ref, sha, "0" * 40, check=False) is None:
            return refused("Reference update failed")
        return 201, reference(ref.removeprefix("refs/heads/"), sha)

    def move_ref(self, branch, *, data, **_):
        head, sha = self.double.git.head(branch), data["sha"]
        if head is None:
            return refused("Reference does not exist")
        if self.double.git.type_of(sha) != "commit":
            return refused("Object does not exist")
        forward = self.double.git("merge-base", "--is-ancestor", head, sha, check=False) is not None
        if not forward and not data.get("force"):
            return refused("Update is not a fast forward")
        self.double.git("update-ref", f"refs/heads/{branch}", sha)
        return 200, reference(branch, sha)

    def get_pulls(self, *, query, **_):
        state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
        found = [
            pull
            for pull in reversed(self.double.pulls)
            if state in {"all", pull["state"]}
            and (head is None or ":" not in head or pull["head"]["label"] == head)
            and (base is None or pull["base"]["ref"] == base)
        ]
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        return 200, found[(page - 1) * size : page * size]

    def make_pull(self, *, data, **_):
        hub, branch, base = self.double, data["head"], data["base"]
        owner = hub.repository.partition("/")[0]
        for name in ("head", "base"):
            if hub.git.head(data[name]) is None:
                return invalid({"resource": "PullRequest", "field": name, "code": "invalid"})
        if too_long(data):
            return invalid(too_long(data))
        if any(pull["state"] == "open" and pull["head"]["ref"] == branch for pull in hub.pulls):
            return invalid(custom(f"A pull request already exists for {owner}:{branch}."))
        if hub.git("merge-base", "--is-ancestor", hub.git.head(branch), hub.git.head(base), check=False) is not None:
            return invalid(custom(f"No commits between {base} and {branch}"))
        number = len(hub.pulls) + 1
        repo = {"full_name": hub.repository}
        hub.pulls.append({
            "number": number,
            "state": "open",
            "merged_at": None,
            "title": data["title"],
            "body": data.get("body"),
            "html_url": f"{WEB}/{hub.repository}/pull/{number}",
            "head": {"ref": branch, "label": f"{owner}:{branch}", "repo": repo},
            "base": {"ref": base, "repo": repo},
        })  # fmt: skip
        return 201, hub.pulls[-1]

    def change_pull(self, number, *, data, **_):
        if not 1 <= int(number) <= len(self.double.pulls):
            return MISSING
        if too_long(data):
            return invalid(too_long(data))
        pull = self.double.pulls[int(number) - 1]
        pull.update({key: data[key] for key in ("title", "body", "state") if key in data})
        if "base" in data:
            pull["base"] = {**pull["base"], "ref": data["base"]}
        return 200, pull

    def get_runs(self, workflow, *, query, **_):
        found = [
            run
            for run in self.double.runs
            if run["path"].endswith(f"/{workflow}")
            and query.get("branch") in {None, run["head_branch"]}
            and query.get("head_sha") in {None, run["head_sha"]}
            and query.get("event") in {None, run["event"]}
        ]
        return 200, {"total_count": len(found), "workflow_runs": found[: int(query.get("per_page", 30))]}

    def get_run(self, number, **_):
        return next(((200, run) for run in self.double.runs if run["id"] == int(number)), MISSING)

    def dispatch(self, workflow, *, data, **_):
        head, path = self.double.git.head(data["ref"]), f".github/workflows/{workflow}"
        found = self.double.git.object(f"{self.double.default_branch}:{path}")
        if found is None:
            return MISSING
        if head is None:
            return refused(f"No ref found for: {data['ref']}")
        if b"workflow_dispatch" not in found[2]:
            return refused("Workflow does not have 'workflow_dispatch' trigger")
        flow = yaml.safe_load(found[2])
        inputs = data.get("inputs", {})
        # The key "on" is true in YAML.
        if wrong := wrong_inputs((flow[True]["workflow_dispatch"] or {}).get("inputs", {}), inputs):
            return refused(wrong)
        run = {"path": path, "head_branch": data["ref"], "head_sha": head, "event": "workflow_dispatch"}
        if inputs:
            run |= {"inputs": inputs, "display_title": title_of(flow["run-name"], inputs), "conclusion": None}
        self.double.runs.append({"id": len(self.double.runs) + 1, **run})
        return 204, None


ROUTES = (
    ("GET", "", "get_repository"),
    ("GET", r"git/ref/heads/(.+)", "get_ref"),
    ("GET", rf"git/commits/({SHA})", "get_commit"),
    ("GET", rf"git/trees/({SHA})", "get_tree"),
    ("GET", rf"git/blobs/({SHA})", "get_blob"),
    ("POST", "git/blobs", "make_blob"),
    ("POST", "git/trees", "make_tree"),
    ("POST", "git/commits", "make_commit"),
    ("POST", "git/refs", "make_ref"),
    ("PATCH", r"git/refs/heads/(.+)", "move_ref"),
    ("GET", "pulls", "get_pulls"),
    ("POST", "pulls", "make_pull"),
    ("PATCH", r"pulls/(\d+)", "change_pull"),
    ("GET", r"actions/workflows/([^/]+)/runs", "get_runs"),
    ("GET", r"actions/runs/(\d+)", "get_run"),
    ("POST", r"actions/workflows/([^/]+)/dispatches", "dispatch"),
)
MISSING = (404, {"message": "Not Found", "documentation_url": "https://docs.github.example/rest", "status": "404"})


def tuning_run(repository, number, /, **over):
    """Return a run of the fine-tuning workflow as GitHub tells of it, changed by keyword."""
    return {
        "id": number,
        "path": ".github/workflows/tune-model.yml",
        "head_branch": "main",
        "head_sha": "a" * 40,
        "event": "workflow_dispatch",
        "status": "completed",
        "conclusion": "success",
        "repository": {"full_name": repository},
        "head_repository": {"full_name": repository},
        **over,
    }


def wrong_inputs(form, inputs):
    """Return what GitHub has against the inputs of a dispatch; empty where it takes them."""
    if unknown := [name for name in inputs if name not in form]:
        return f"Unexpected inputs provided: {json.dumps(unknown)}"
    for name, about in form.items():
        value = inputs.get(name, about.get("default", ""))
        if about.get("required") and not value:
            return f"Required input '{name}' not provided"
        if about["type"] == "choice" and value not in about["options"]:
            return f"Provided value '{value}' for input '{name}' not in the list of allowed values"
    return ""


TITLE = re.compile(r"\$\{\{ inputs\.(\w+)(?: && format\('([^']*)', ([^)]*)\) \|\| '')?\s*\}\}")
"""The two kinds of expression that a run-name here has."""


def title_of(name, inputs):
    """Return the name of a run, as GitHub makes it of run-name."""

    def value(found):
        given, pattern, names = inputs.get(found[1], ""), found[2], found[3]
        if pattern is None or not given:
            return given
        return pattern.format(*(inputs.get(one.strip().removeprefix("inputs."), "") for one in names.split(",")))

    title = TITLE.sub(value, name)
    assert "${{" not in title, f"an expression that is not known here: {name}"
    return title


def refused(message):
    return 422, {"message": message, "status": "422"}


def invalid(error):
    return 422, {"message": "Validation Failed", "errors": [error], "status": "422"}


def custom(message):
    return {"resource": "PullRequest", "code": "custom", "message": message}


def too_long(data):
    """Return the error of a title or a body that is longer than GitHub takes; null where none is."""
    for name, limit in (("title", MAX_TITLE), ("body", MAX_BODY)):
        if len(data.get(name) or "") > limit:
            return custom(f"{name} is too long (maximum is {limit} characters)")
    return None


def reference(branch, sha):
    return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": sha}}
