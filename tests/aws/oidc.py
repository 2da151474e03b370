"""An issuer of tokens as GitHub Actions has one: a job that may ask gets a signed token that names its environment.

What a token says and how it is asked for follow GitHub's page on OpenID Connect. A job is told where to ask by two
variables; here they say as well in which environment the job runs, which GitHub knows by itself.
"""

from __future__ import annotations

import base64
import json
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from http_double import Double, ForDouble

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
REQUEST_TOKEN = "may-ask-for-a-token"
LIFE_SECONDS = 300
KEY_ID = "key-1"


class Issuer(Double):
    """A running one, for one repository; ``asked`` is the environment of every token that it gave."""

    def __init__(self, repository="acme/releases"):
        super().__init__(Handler)
        self.repository = repository
        self.asked = []
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def variables(self, environment=None):
        """Return what the runner sets for a job with ``id-token: write`` in this environment, or in none."""
        where = {"environment": environment} if environment else {}
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.address}/token?{urlencode({**where, 'api-version': '2.0'})}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    def subject(self, environment=None):
        """Return whom a token is about: the environment where the job has one, else its branch."""
        where = f"environment:{environment}" if environment else "ref:refs/heads/main"
        return f"repo:{self.repository}:{where}"

    def token(self, environment=None, *, audience=AUDIENCE, **over):
        """Return a signed token; ``over`` replaces claims."""
        now = int(time.time())
        owner = self.repository.partition("/")[0]
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": self.subject(environment),
            "repository": self.repository,
            "repository_owner": owner,
            "ref": "refs/heads/main",
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            **({"environment": environment} if environment else {}),
            **over,
        }
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def keys(self):
        """Return what a verifier needs."""
        numbers = self.key.public_key().public_numbers()
        modulus, exponent = (
            encoded(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (numbers.n, numbers.e)
        )
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": exponent}]}


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Handler(ForDouble, BaseHTTPRequestHandler):
    def do_GET(self):
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/.well-known/openid-configuration":
            self.answer(200, {"issuer": ISSUER, "jwks_uri": f"{self.double.address}/jwks"})
        elif place.path == "/jwks":
            self.answer(200, self.double.keys())
        elif place.path != "/token":
            self.answer(404, {"message": "not found"})
        elif self.headers.get("Authorization", "").lower() != f"bearer {REQUEST_TOKEN}":
            self.answer(401, {"message": "bad credentials"})
        else:
            environment = asked.get("environment")
            self.double.asked.append(environment)
            owner = self.double.repository.partition("/")[0]
            audience = asked.get("audience", f"https://github.com/{owner}")
            self.answer(200, {"value": self.double.token(environment, audience=audience)})

    def answer(self, status, data):
        self.send(status, json.dumps(data).encode(), "application/json")
