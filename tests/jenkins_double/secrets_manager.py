"""AWS Secrets Manager as boto3 speaks to it: one operation, JSON over HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SecretsManager:
    """A running one; ``secrets`` is name → text, an int is answered as a status, bytes are a binary secret."""

    def __init__(self, secrets):
        self.secrets = secrets
        self.asked = []
        handler = type("BoundHandler", (Handler,), {"manager": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    manager = None

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.manager.asked.append(body["SecretId"])
        assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
        found = self.manager.secrets.get(body["SecretId"])
        if found is None:
            self.answer(400, {"__type": "ResourceNotFoundException", "Message": "can't find the specified secret."})
        elif isinstance(found, int):
            kind = "AccessDeniedException" if found == 400 else "InternalServiceError"
            self.answer(found, {"__type": kind, "Message": "no"})
        elif isinstance(found, bytes):
            self.answer(200, {"Name": body["SecretId"], "SecretBinary": "AAEC"})
        else:
            self.answer(200, {"Name": body["SecretId"], "SecretString": found})

    def answer(self, status, data):
        payload = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
