"""AWS Secrets Manager as boto3 speaks to it: one operation, JSON over HTTP."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

from http_double import Double, ForDouble


class SecretsManager(Double):
    """A running one; ``secrets`` is name → text, an int is answered as a status, bytes are a binary secret."""

    def __init__(self, secrets):
        super().__init__(Handler)
        self.secrets = secrets
        self.asked = []


class Handler(ForDouble, BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.double.asked.append(body["SecretId"])
        assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
        found = self.double.secrets.get(body["SecretId"])
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
        self.send(status, json.dumps(data).encode(), "application/x-amz-json-1.1")
