"""An OpenAI-compatible service on loopback: chat completions, files and batches, with faults on order.

It answers a question with as many queries as the prompt asks for, and remembers every question that it answered: a
test sees what would have been paid for.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from http_double import Fault, FaultyDouble, ForDouble

KEY = "MARKED-chat-key-8Vx2"
MODEL = "writer-1"


@dataclass
class ChatFault(Fault):
    """What else may go wrong here."""

    headers: dict = field(default_factory=dict)
    cut: bool = False
    """Send a half of a good answer and close."""
    wait: float = 0.0
    """Seconds before a good answer."""
    said: str | None = None
    """What the model says, in a good answer."""
    whole: dict | None = None
    """The whole of an answer with status 200."""


class ChatDouble(FaultyDouble):
    Fault = ChatFault

    def __init__(self, *, key=KEY, batches=False, refuses=(), usage=None, slow=0.0):
        super().__init__(Handler)
        self.key, self.refuses, self.usage, self.slow = key, refuses, usage, slow
        self.batches = {} if batches else None
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.asked: list[dict] = []
        """Bodies of all requests that were answered by the model."""
        self.headers: list[dict] = []
        self.at_once = self.most_at_once = 0
        self.script: list[str] = ["validating", "in_progress", "finalizing", "completed"]
        """States of a batch, one a look."""
        self.leaves_out = 0
        """Questions of a batch that stay unanswered, and are in the error file."""
        self.started = 0

    @property
    def endpoint(self):
        return f"{self.address}/v1"

    def prompts(self):
        """Return what was asked, each as one text."""
        return [body["messages"][-1]["content"] for body in self.asked]

    def answer(self, body, said=None):
        """Answer a chat completion."""
        prompt = body["messages"][-1]["content"]
        n = int(re.search(r"Write (\d+)", prompt)[1])
        mark = hashlib.sha256(prompt.encode()).hexdigest()[:6]
        text = said if said is not None else json.dumps({"queries": [f"query {mark} {at}" for at in range(n)]})
        usage = self.usage or {"prompt_tokens": len(prompt) // 4, "completion_tokens": 10 * n}
        message = {"role": "assistant", "content": text}
        with self.lock:
            self.asked.append(body)
        return {"object": "chat.completion", "model": MODEL, "choices": [{"index": 0, "message": message}],
                "usage": usage}  # fmt: skip

    def finish(self, batch):
        """Answer a batch: its questions backwards, but for those that are left out."""
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        lost, kept = rows[: self.leaves_out], rows[self.leaves_out :]
        out = [
            {"id": "r", "custom_id": row["custom_id"], "error": None,
             "response": {"status_code": 200, "body": self.answer(row["body"])}}
            for row in reversed(kept)
        ]  # fmt: skip
        wrong = [
            {"id": "r", "custom_id": row["custom_id"], "response": None, "error": {"code": "batch_expired"}}
            for row in lost
        ]
        for word, found in (("output_file_id", out), ("error_file_id", wrong)):
            if found:
                batch[word] = f"{word}-{batch['id']}"
                self.files[batch[word]] = "".join(json.dumps(row) + "\n" for row in found).encode()


class Handler(ForDouble, BaseHTTPRequestHandler):
    double: ChatDouble

    def do_GET(self):
        self.handle_one("GET", b"")

    def do_POST(self):
        self.handle_one("POST", self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def handle_one(self, method, payload):
        double = self.double
        double.headers.append({name.lower(): value for name, value in self.headers.items()})
        fault = double.fault_of(f"{method} {self.path}")
        good = fault is None or fault.cut or fault.wait or fault.said is not None or fault.whole is not None
        if not good:
            self.send(fault.status, fault.body.encode(), "application/json", fault.headers)
            return
        if double.key and self.headers.get("Authorization") != f"Bearer {double.key}":
            said = self.headers.get("Authorization") or "nothing"
            self.say(401, {"error": {"message": f"Incorrect API key: {said}"}})
            return
        with double.lock:
            double.at_once += 1
            double.most_at_once = max(double.most_at_once, double.at_once)
        try:
            time.sleep(double.slow + (fault.wait if fault else 0))
            status, answer = self.route(method, payload, fault)
        finally:
            with double.lock:
                double.at_once -= 1
        if fault is not None and fault.cut:
            data = json.dumps(answer).encode()
            self.begin(200, data, "application/json")
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.cut()
        elif isinstance(answer, bytes):
            self.send(status, answer, "application/octet-stream")
        else:
            self.say(status, answer)

    def say(self, status, answer):
        self.send(status, json.dumps(answer).encode(), "application/json")

    def route(self, method, payload, fault):
        double, path = self.double, self.path.removeprefix("/v1/").split("?")[0]
        if (method, path) == ("POST", "chat/completions"):
            body = json.loads(payload)
            for name in double.refuses:
                if name in body:
                    return 400, {"error": {"message": f"Unsupported parameter: '{name}'.", "param": name}}
            if body["model"] != MODEL:
                return 404, {"error": {"message": "no such model", "code": "model_not_found"}}
            return 200, fault.whole if fault and fault.whole is not None else double.answer(body, fault and fault.said)
        if double.batches is None:
            return 404, {"error": {"message": "Not Found"}}
        return self.batch(method, path, payload)

    def batch(self, method, path, payload):
        double = self.double
        if (method, path) == ("POST", "files"):
            assert b'name="purpose"' in payload
            assert b"batch" in payload
            name = f"file-{len(double.files)}"
            double.files[name] = payload.split(b"\r\n\r\n")[-1].rsplit(b"\r\n--", 1)[0]
            return 200, {"id": name, "object": "file"}
        if (method, path) == ("POST", "batches"):
            body = json.loads(payload)
            assert body["endpoint"] == "/v1/chat/completions"
            double.started += 1
            name = f"batch_{double.started}"
            double.batches[name] = {"id": name, "input_file_id": body["input_file_id"], "looks": 0}
            return 200, {"id": name, "status": "validating"}
        if (method, path) == ("GET", "batches"):
            return 200, {"data": list(double.batches.values())}
        if path.startswith("batches/"):
            return 200, self.look(double.batches[path.split("/")[1]])
        return 200, double.files[path.split("/")[1]]

    def look(self, batch):
        script = self.double.script
        batch["status"] = script[min(batch["looks"], len(script) - 1)]
        batch["looks"] += 1
        if batch["status"] in ("completed", "expired", "cancelled") and "output_file_id" not in batch:
            self.double.finish(batch)
        if batch["status"] == "failed":
            batch["errors"] = {"data": [{"message": "line 3 is too long", "code": "invalid"}]}
        return batch
