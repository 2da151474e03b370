"""A Jenkins over HTTP as its API and the Generic Webhook Trigger plugin answer, with faults on order.

Written from the documented API and the plugin's source, never compared with a running Jenkins. Nothing takes time here:
an item waits and a build runs for as many looks as its job says. Crumbs are bound to a session cookie, undeclared
parameters are dropped without a word, and every address that it names is below another host, as behind a proxy whose
Jenkins does not know its own name: a client that follows one is found out.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from http_double import FaultyDouble, ForDouble

from jenkins_double.tree import parse, prune

ROOT = "http://jenkins.internal.invalid/"
USER, TOKEN, WEBHOOK_TOKEN = "releaser", "MARKED-api-token-5Vx9", "MARKED-webhook-token-8Kq2"
RELEASE = {"BASE_DOWNLOAD_PATH": None, "VERSION": None, "FORMAT": ("", "BOTH", "TORCH_SCRIPT", "ONNX")}


@dataclass
class Fault:
    """What goes wrong, where and how often."""

    pattern: str
    """Searched in ``METHOD path``."""
    times: int = 1
    after: int = 0
    """Matching requests that go well before."""
    status: int | None = None
    body: str = "<html><body><h1>Oops!</h1><p>A problem occurred.</p></body></html>"
    headers: dict[str, str] = field(default_factory=dict)
    cut: str | None = None
    """``before`` or ``after`` the request is done: the connection is closed without an answer."""
    action: object = None
    """Called with the server, before the request is done."""


@dataclass
class JobConfig:
    """One job."""

    declared: dict
    """Name → choices, or null for any text."""
    waits: int = 1
    """Looks for which an item stays in the queue."""
    runs: int = 1
    """Looks for which a build runs."""
    fates: list = field(default_factory=list)
    """Results of the builds to come, CANCELLED for an item that never becomes one; SUCCESS when there is none left."""
    enabled: bool = True
    webhook_token: str = WEBHOOK_TOKEN
    mapped: tuple | None = None
    """The variables of its trigger; null: all that it declares."""
    filtered: str | None = None
    """Pattern that VERSION must match for the webhook to start it."""
    silent: bool = False
    broken: bool = False
    """Starting it by the webhook throws."""


@dataclass
class Item:
    id: int
    job: str
    parameters: dict
    since: float
    left: int
    fate: str
    number: int | None = None
    cancelled: bool = False


@dataclass
class BuildRecord:
    number: int
    queue_id: int
    parameters: dict
    began: float
    left: int
    fate: str


@dataclass(frozen=True)
class Request:
    """One line of the access log."""

    method: str
    path: str
    """With its query, as sent."""
    authorization: str | None
    body: str


class Jenkins(FaultyDouble):
    """A running Jenkins; ``with Jenkins() as server`` starts and stops it."""

    Fault = Fault

    def __init__(self):
        super().__init__(Handler)
        self.jobs = {"ml-models-release": JobConfig(declared=dict(RELEASE))}
        self.builds = {}
        self.items = {}
        self.sessions = {}
        self.requests = []
        self.counter = 0
        self.skew = 0.0
        """Seconds by which its clock is ahead."""
        self.down = 0
        """Requests that are still answered by 503, as a Jenkins that starts does."""
        self.lock = threading.RLock()

    @property
    def job(self):
        return self.jobs["ml-models-release"]

    def now(self):
        return time.time() + self.skew

    def restart(self, *, down=2, lose_queue=False):
        """Forget sessions, items that have left the queue, and on order those that wait; builds are on disk."""
        with self.lock:
            self.sessions.clear()
            self.items = {} if lose_queue else {key: item for key, item in self.items.items() if item.number is None}
            self.down = down

    def enqueue(self, name, parameters):
        """Put a build into the queue and return the item's number."""
        with self.lock:
            job = self.jobs[name]
            self.counter += 1
            fate = job.fates.pop(0) if job.fates else "SUCCESS"
            self.items[self.counter] = Item(self.counter, name, parameters, self.now(), job.waits, fate)
            return self.counter

    def begin(self, item):
        """Let a queue item become a build."""
        with self.lock:
            builds = self.builds.setdefault(item.job, [])
            item.number = len(builds) + 1
            runs = self.jobs[item.job].runs
            builds.append(BuildRecord(item.number, item.id, item.parameters, self.now(), runs, item.fate))
            return builds[-1]

    def declared_only(self, name, given):
        """Return the parameters of a build: what is not declared is dropped, what is missing has its default."""
        declared = self.jobs[name].declared
        return {key: given.get(key, choices[0] if choices else "") for key, choices in declared.items()}

    @property
    def started(self):
        """Number of builds that were ever asked for with success."""
        return self.counter


class Handler(ForDouble, BaseHTTPRequestHandler):
    def date_time_string(self, timestamp=None):
        return formatdate(self.double.now() if timestamp is None else timestamp, usegmt=True)

    def do_GET(self):
        self.handle_one("")

    def do_POST(self):
        self.handle_one(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

    def handle_one(self, body):
        jenkins = self.double
        with jenkins.lock:
            line = f"{self.command} {unquote(urlsplit(self.path).path)}"
            jenkins.requests.append(Request(self.command, self.path, self.headers.get("Authorization"), body))
            fault = jenkins.fault_of(line)
            if fault is not None and fault.action is not None:
                fault.action(jenkins)
            if fault is not None and fault.cut == "before":
                return self.cut()
            if fault is not None and fault.status is not None:
                text = fault.body.replace("{authorization}", self.headers.get("Authorization") or "")
                return self.answer(fault.status, text, fault.headers)
            if jenkins.down > 0:
                jenkins.down -= 1
                return self.answer(503, "<html><body>Please wait while Jenkins is getting ready to work.</body></html>")
            status, data, headers = self.done(body)
            if fault is not None and fault.cut == "after":
                return self.cut()
        return self.answer(status, data, headers)

    def answer(self, status, data, headers=None):
        is_json = not isinstance(data, str)
        payload = (json.dumps(data) if is_json else data).encode()
        content_type = "application/json" if is_json else "text/html;charset=utf-8"
        self.send(status, payload, content_type, {"X-Jenkins": "2.541.1", **(headers or {})})

    def done(self, body):
        """Do a request and return status, body and headers."""
        url = urlsplit(self.path)
        path, query = unquote(url.path), {key: values[0] for key, values in parse_qs(url.query).items()}
        if path == "/generic-webhook-trigger/invoke":  # before login and crumb, as the plugin has it
            return self.invoke(query, body)
        refused = self.login()
        if refused is not None:
            return refused
        if path == "/crumbIssuer/api/json":
            return self.crumb()
        if self.command == "POST":
            cookie = re.search(r"JSESSIONID=(\w+)", self.headers.get("Cookie") or "")
            crumb = self.double.sessions.get(cookie[1]) if cookie else None
            if crumb is None or crumb != self.headers.get("Jenkins-Crumb"):
                return 403, "<html><h1>No valid crumb was included in the request</h1></html>", {}
        status, data, headers = self.route(path, query)
        if status == 200 and "tree" in query:
            data = prune(data, parse(query["tree"]))
        return status, data, headers

    def login(self):
        kind, _, value = (self.headers.get("Authorization") or "").partition(" ")
        if kind != "Basic":
            return 403, "<html>Authentication required</html>", {}
        if base64.b64decode(value).decode() != f"{USER}:{TOKEN}":
            return 401, "<html><title>Error 401</title>Invalid password/token for user</html>", {}
        return None

    def crumb(self):
        session, crumb = secrets.token_hex(8), secrets.token_hex(16)
        self.double.sessions[session] = crumb
        data = {
            "_class": "hudson.security.csrf.DefaultCrumbIssuer",
            "crumb": crumb,
            "crumbRequestField": "Jenkins-Crumb",
        }
        return 200, data, {"Set-Cookie": f"JSESSIONID={session}; Path=/; HttpOnly"}

    def route(self, path, query):  # noqa: PLR0911 - one answer a kind of address
        missing = 404, "<html>Not Found</html>", {}
        if path == "/queue/api/json":
            return 200, {"items": [self.item(one) for one in self.double.items.values() if self.is_queued(one)]}, {}
        if found := re.fullmatch(r"/queue/item/(\d+)/api/json", path):
            item = self.double.items.get(int(found[1]))
            return missing if item is None else (200, self.item(self.looked_at(item)), {})
        found = re.fullmatch(r"((?:/job/[^/]+)+)/(?:(\d+)/)?(api/json|buildWithParameters)", path)
        name = "/".join(re.findall(r"/job/([^/]+)", found[1])) if found else None
        if name not in self.double.jobs:
            return missing
        if found[3] == "buildWithParameters":
            return self.start(name, query)
        if found[2] is None:
            return 200, self.job_data(name), {}
        builds = self.double.builds.get(name, [])
        number = int(found[2])
        if not 1 <= number <= len(builds) or builds[number - 1] is None:
            return missing
        build = builds[number - 1]
        data = self.build_data(name, build)
        build.left -= 1
        return 200, data, {}

    def start(self, name, query):
        job = self.double.jobs[name]
        if self.command != "POST":
            return 405, "<html>Method Not Allowed</html>", {"Allow": "POST"}
        if not job.enabled:
            return 409, "<html>is not buildable</html>", {}
        for key, choices in job.declared.items():
            if choices and query.get(key, choices[0]) not in choices:
                return 400, f"<html>Illegal choice for parameter {key}: {query[key]}</html>", {}
        number = self.double.enqueue(name, self.double.declared_only(name, query))
        return 201, "", {"Location": f"{ROOT}queue/item/{number}/"}

    def is_queued(self, item):
        return item.number is None and not item.cancelled

    def looked_at(self, item):
        """One more look at an item brings it nearer to its end."""
        if self.is_queued(item):
            if item.left > 0:
                item.left -= 1
            elif item.fate == "CANCELLED":
                item.cancelled = True
            else:
                self.double.begin(item)
        return item

    def item(self, item):
        waiting = self.is_queued(item)
        data = {
            "_class": "hudson.model.Queue$WaitingItem" if waiting else "hudson.model.Queue$LeftItem",
            "id": item.id,
            "inQueueSince": int(item.since * 1000),
            "why": "In the quiet period. Expires in 4.9 sec" if waiting else None,
            "task": {"name": item.job.rpartition("/")[2], "url": self.job_url(item.job)},
            "actions": [{}, parameters_action(item.parameters)],
        }
        if not waiting:
            data["cancelled"] = item.cancelled
        if item.number is not None:
            data["executable"] = {"number": item.number, "url": f"{self.job_url(item.job)}{item.number}/"}
        return data

    def job_url(self, name):
        return ROOT + "".join(f"job/{quote(part)}/" for part in name.split("/"))

    def job_data(self, name):
        job = self.double.jobs[name]
        definitions = [
            {"name": key, "type": "ChoiceParameterDefinition", "choices": list(choices)}
            if choices
            else {"name": key, "type": "StringParameterDefinition"}
            for key, choices in job.declared.items()
        ]
        builds = [build for build in self.double.builds.get(name, []) if build is not None]
        return {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
            "name": name.rpartition("/")[2],
            "buildable": job.enabled,
            "property": [{}, {"parameterDefinitions": definitions}],
            "actions": [{}, {}],
            "builds": [self.build_data(name, build) for build in reversed(builds)],
        }

    def build_data(self, name, build):
        building = build.left > 0
        return {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "number": build.number,
            "queueId": build.queue_id,
            "timestamp": int(build.began * 1000),
            "duration": 0 if building else 61_000,
            "building": building,
            # A pipeline may say what it will end as before it has ended.
            "result": build.fate if not building or build.fate == "FAILURE" else None,
            "url": f"{self.job_url(name)}{build.number}/",
            "actions": [{}, parameters_action(build.parameters), {"_class": "hudson.model.CauseAction"}],
        }

    # -----------------------------------------------------------------------------------------------------------------
    # The plugin

    def invoke(self, query, body):
        bearer = self.headers.get("Authorization") or ""
        token = query.get("token") or self.headers.get("token")
        token = token or (bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else None)
        found = {name: job for name, job in self.double.jobs.items() if token and job.webhook_token == token}
        results, errors, silent = {}, False, True
        for name, job in found.items():
            if job.broken:
                errors, results[name] = True, "Exception occurred (class java.lang.NullPointerException: null)"
                continue
            results[name] = self.triggered(name, job, json.loads(body))
            if job.silent:
                del results[name]
            else:
                silent = False
        if found and silent:
            return 200, "", {}
        if errors:
            return 500, {"jobs": results, "message": "There were errors when triggering jobs."}, {}
        if not found:
            message = "Did not find any jobs with GenericTrigger configured!\nA token was supplied.\n"
            return 404, {"jobs": None, "message": message}, {}
        return 200, {"jobs": results, "message": "Triggered jobs."}, {}

    def triggered(self, name, job, data):
        mapped = job.declared if job.mapped is None else job.mapped
        resolved = {key: str(data.get(key, "")) for key in mapped}
        text = resolved.get("VERSION", "")
        matches = job.enabled and (job.filtered is None or re.search(job.filtered, text) is not None)
        number = None
        if matches:
            given = {key: value for key, value in resolved.items() if value}
            number = self.double.enqueue(name, self.double.declared_only(name, given))
        return {
            "regexpFilterExpression": job.filtered or "",
            "regexpFilterText": text,
            "resolvedVariables": resolved,
            "triggered": matches,
            "id": number or 0,
            "url": f"queue/item/{number}/" if number else None,
        }


def parameters_action(parameters):
    return {
        "_class": "hudson.model.ParametersAction",
        "parameters": [{"name": key, "value": value} for key, value in parameters.items()],
    }
