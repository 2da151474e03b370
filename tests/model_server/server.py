"""Models over HTTP as OpenAI, Cohere, SageMaker and Bedrock serve them, on loopback, with their checks of who asks.

The vectors follow from the texts alone, so a test knows them without having been there. A key is compared, a signature
of AWS is computed again from what arrived: a request that was signed wrongly, or changed after that, is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from http_double import FaultyDouble, ForDouble

KEY = "MARKED-model-key-3Tq7"
ACCESS_KEY, SECRET_KEY = "AKIAMARKED0000000001", "MARKED-aws-secret-9Lw4"
DIMENSION = 8


def vector(text: str) -> list[float]:
    """Return the vector of a text: eight numbers between -1 and 1 that JSON keeps exactly."""
    digest = hashlib.sha256(text.encode()).digest()
    return [(byte - 128) / 128 for byte in digest[:DIMENSION]]


def weights(text: str) -> dict[str, float]:
    """Return a sparse vector of a text: each word weighs its length."""
    return {word: float(len(word)) for word in sorted(set(text.lower().split()))}


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict
    body: object


@dataclass
class Said:
    """What a chat model is made to say."""

    text: str = "It is sunny."
    whole: dict | None = field(default=None)
    """The whole answer of any path, instead of its own."""


class ModelServer(FaultyDouble):
    """Holds what was asked, newest last."""

    def __init__(self):
        super().__init__(Handler)
        self.asked: list[Asked] = []
        self.said = Said()


class Refused(Exception):
    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


class Handler(ForDouble, BaseHTTPRequestHandler):
    double: ModelServer

    def do_POST(self):
        payload = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.double.fault_of(f"POST {self.path}")
        if fault is not None:
            self.send(fault.status, fault.body.encode(), "application/json")
            return
        try:
            status, answer = 200, self.answer(payload)
        except Refused as error:
            status, answer = error.status, {"error": {"message": str(error)}}
        self.send(status, json.dumps(answer).encode(), "application/json")

    def answer(self, payload):
        try:
            body = json.loads(payload)
        except ValueError:
            raise Refused(400, "The body is no JSON.") from None
        self.double.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256"):
            self.check_signature(payload)
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            raise Refused(401, "Incorrect API key provided.")
        if self.double.said.whole is not None:
            return self.double.said.whole
        for pattern, make in ANSWERS.items():
            if re.fullmatch(pattern, self.path):
                try:
                    return make(self.double, body)
                except (KeyError, TypeError, AttributeError) as error:
                    raise Refused(400, f"The request lacks {error}.") from None
        raise Refused(404, f"There is no {self.path}.")

    def check_signature(self, payload):
        """Compute the signature again from what arrived."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        header = self.headers["Authorization"]
        found = re.search(r"Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request.*SignedHeaders=([^,]+)", header)
        if not found or found[1] != ACCESS_KEY:
            raise Refused(403, "The security token included in the request is invalid.")
        signed = {name: self.headers[name] for name in found[5].split(";")}
        request = AWSRequest(method="POST", url=self.double.address + self.path, data=payload, headers=signed)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), found[4], found[3])
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        if not header.endswith(f"Signature={signature}"):
            raise Refused(403, "The request signature we calculated does not match the signature you provided.")


def chat(server, body):
    if not isinstance(body["messages"], list) or not body["messages"][-1]["content"]:
        raise Refused(400, "messages is no list.")
    message = {"role": "assistant", "content": server.said.text}
    return {"object": "chat.completion", "model": body["model"], "choices": [{"index": 0, "message": message}]}


def completion(server, body):
    if not isinstance(body["prompt"], str) or not isinstance(body.get("max_tokens", 1), int):
        raise Refused(400, "prompt is no text.")
    return {"object": "text_completion", "model": body["model"], "choices": [{"index": 0, "text": server.said.text}]}


def embeddings(_, body):
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": place, "embedding": vector(text)} for place, text in enumerate(texts)]
    return {"object": "list", "model": body["model"], "data": data}


def cohere_embed(_, body):
    vectors = [vector(text) for text in body["texts"]]
    return {"id": "1", "texts": body["texts"], "embeddings": vectors, "response_type": "embeddings_floats"}


def cohere_chat(server, body):
    return {"text": server.said.text, "generation_id": "1", "asked": body["message"]}


def cohere_rerank(_, body):
    """The text that shares most words with the question is first, as the service sorts them."""
    words = set(body["query"].lower().split())
    scored = [(len(words & set(text.lower().split())), place) for place, text in enumerate(body["documents"])]
    best = sorted(scored, key=lambda one: (-one[0], one[1]))[: body["top_n"]]
    return {"results": [{"index": place, "relevance_score": score / 10} for score, place in best]}


def sagemaker(_, body):
    if not isinstance(body, list):
        raise Refused(400, "The input is no list of texts.")
    return [vector(text) for text in body]


def sagemaker_sparse(_, body):
    return [weights(text) for text in body]


def titan(_, body):
    return {"embedding": vector(body["inputText"]), "inputTextTokenCount": len(body["inputText"].split())}


def claude(server, body):
    asked = body["messages"][-1]["content"][0]["text"]
    return {"id": "1", "type": "message", "content": [{"type": "text", "text": server.said.text}], "asked": asked}


def claude_2(server, body):
    return {"type": "completion", "completion": f" {server.said.text}", "stop_reason": "stop_sequence",
            "stop": body["prompt"][:9]}  # fmt: skip


def jurassic(server, body):
    return {"id": 1, "prompt": {"text": body["prompt"]}, "completions": [{"data": {"text": server.said.text}}]}


def comprehend(_, body):
    return {"Languages": [{"LanguageCode": "en", "Score": 0.98 if body["Text"] else 0.0}]}


def textract(_, body):
    page = {"BlockType": "PAGE", "Id": "1", "Text": str(len(body["Document"]["Bytes"]))}
    return {"Blocks": [page], "DetectDocumentTextModelVersion": "1.0", "DocumentMetadata": {"Pages": 1}}


ANSWERS = {
    "/v1/chat/completions": chat,
    "/v1/completions": completion,
    "/v1/embeddings": embeddings,
    "/v1/embed": cohere_embed,
    "/v1/chat": cohere_chat,
    "/v1/rerank": cohere_rerank,
    "/endpoints/[^/]*sparse[^/]*/invocations": sagemaker_sparse,
    "/endpoints/[^/]+/invocations": sagemaker,
    "/model/amazon.titan-[^/]+/invoke": titan,
    "/model/cohere.embed-[^/]+/invoke": cohere_embed,
    "/model/anthropic.claude-v2/invoke": claude_2,
    "/model/anthropic.claude-3[^/]+/invoke": claude,
    "/model/ai21.j2-[^/]+/invoke": jurassic,
    "/comprehend": comprehend,
    "/textract": textract,
}
