"""A double of an account of AWS for those who only look: STS, IAM, Service Quotas and Bedrock's models, on loopback."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote

from http_double import AnswersAll, Double

ACCOUNT = "123456789012"
SERVICES = ("STS", "IAM", "SERVICE_QUOTAS", "BEDROCK")


class Account(Double):
    """Running; ``forbidden`` names actions that are refused."""

    def __init__(self):
        super().__init__(Handler)
        self.roles, self.models, self.forbidden = {"batch"}, set(), set()
        self.quotas = {"bedrock": {}, "sagemaker": {}}

    def environment(self):
        return {f"AWS_ENDPOINT_URL_{name}": self.address for name in SERVICES}


class Handler(AnswersAll):
    def answer(self):
        body, target = self.body().decode(), self.headers.get("X-Amz-Target", "")
        if target:
            return self.quotas(json.loads(body))
        if self.path != "/":
            return self.model(unquote(self.path).rpartition("/")[2])
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        action = asked["Action"]
        if action in self.double.forbidden:
            return self.query(403, f"<Error><Code>AccessDenied</Code><Message>not {action}</Message></Error>")
        if action == "GetCallerIdentity":
            who = f"<Arn>arn:aws:iam::{ACCOUNT}:user/me</Arn><UserId>U</UserId><Account>{ACCOUNT}</Account>"
            return self.query(200, f"<GetCallerIdentityResult>{who}</GetCallerIdentityResult>", action)
        name = asked["RoleName"]
        if name not in self.double.roles:
            return self.query(404, "<Error><Code>NoSuchEntity</Code><Message>no such role</Message></Error>")
        role = (
            f"<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>R</RoleId>"
            f"<Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>"
        )
        return self.query(200, f"<GetRoleResult>{role}</GetRoleResult>", action)

    def query(self, status, inner, action="Error"):
        text = f"<{action}Response>{inner}<RequestId>1</RequestId></{action}Response>"
        self.send(status, text.encode(), "text/xml")

    def quotas(self, asked):
        if "ListServiceQuotas" in self.double.forbidden:
            return self.json(400, {"__type": "AccessDeniedException", "Message": "not you"})
        found = self.double.quotas[asked["ServiceCode"]]
        return self.json(200, {"Quotas": [{"QuotaName": name, "Value": value} for name, value in found.items()]})

    def model(self, name):
        if name not in self.double.models:
            return self.json(404, {"message": "no such model"}, "ResourceNotFoundException")
        profile = {
            "inferenceProfileName": name, "inferenceProfileId": name, "status": "ACTIVE", "type": "SYSTEM_DEFINED",
            "inferenceProfileArn": f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/{name}", "models": [],
        }  # fmt: skip
        return self.json(200, profile)

    def json(self, status, data, kind=None):
        headers = {"x-amzn-ErrorType": kind} if kind else {}
        self.send(status, json.dumps(data).encode(), "application/x-amz-json-1.1", headers)
