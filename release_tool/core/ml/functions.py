"""The pre- and post-process functions that ML Commons has built in, and what each puts where.

Source: ML Commons ``MLPreProcessFunction`` and ``MLPostProcessFunction``, tags 2.9.0.0 to 3.6.0.0. Anything else that
an action names is a Painless script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A built-in function."""

    since: str
    """The first OpenSearch that has it."""
    gives: tuple[str, ...] = ()
    """Of a pre-process function: the parameters that it makes of ``text_docs`` (or of query_text and text_docs)."""
    takes: str = "text_docs"
    """Of a pre-process function: ``text_docs``, ``images`` (among text_docs) or ``pairs``."""
    reads: int | None = None
    """Of a pre-process function: how many of the texts of a request it reads where the connector does not say how to
    part them (``input_docs_processed_step_size``); null where it reads all."""


_RERANK = ("query", "documents", "top_n")

PRE_PROCESS: dict[str, Function] = {
    "connector.pre_process.openai.embedding": Function(since="2.9", gives=("input",)),
    "connector.pre_process.cohere.embedding": Function(since="2.9", gives=("texts",)),
    "connector.pre_process.default.embedding": Function(since="2.11", gives=("input",)),
    "connector.pre_process.bedrock.embedding": Function(since="2.12", gives=("inputText",)),
    "connector.pre_process.cohere.rerank": Function(since="2.12", gives=_RERANK, takes="pairs"),
    "connector.pre_process.default.rerank": Function(since="2.12", gives=_RERANK, takes="pairs"),
    "connector.pre_process.bedrock.multimodal_embedding": Function(
        since="2.16", gives=("inputText", "inputImage"), takes="images", reads=2
    ),
    "connector.pre_process.bedrock.rerank": Function(
        since="2.19", gives=("queries", "sources", "numberOfResults"), takes="pairs"
    ),
    "connector.pre_process.cohere.multimodal_embedding": Function(since="2.19", gives=("images",), takes="images"),
    "connector.pre_process.bedrock.nova.embedding": Function(since="3.5", takes="images", reads=1),
    "connector.pre_process.bedrock.nova.text_embedding": Function(since="3.4", gives=("inputText",), reads=1),
    "connector.pre_process.bedrock.nova.image_embedding": Function(
        since="3.4", gives=("inputImage",), takes="images", reads=1
    ),
    "connector.pre_process.bedrock.nova.video_embedding": Function(
        since="3.4", gives=("inputVideo",), takes="images", reads=1
    ),
    "connector.pre_process.bedrock.nova.audio_embedding": Function(
        since="3.4", gives=("inputAudio",), takes="images", reads=1
    ),
}

POST_PROCESS: dict[str, Function] = {
    "connector.post_process.openai.embedding": Function(since="2.9"),
    "connector.post_process.cohere.embedding": Function(since="2.9"),
    "connector.post_process.default.embedding": Function(since="2.11"),
    "connector.post_process.bedrock.embedding": Function(since="2.12"),
    "connector.post_process.cohere.rerank": Function(since="2.12"),
    "connector.post_process.default.rerank": Function(since="2.12"),
    "connector.post_process.bedrock.batch_job_arn": Function(since="2.18"),
    "connector.post_process.bedrock.rerank": Function(since="2.19"),
    "connector.post_process.bedrock_v2.embedding.float": Function(since="3.0"),
    "connector.post_process.bedrock_v2.embedding.binary": Function(since="3.0"),
    "connector.post_process.cohere_v2.embedding.float": Function(since="3.0"),
    "connector.post_process.cohere_v2.embedding.int8": Function(since="3.0"),
    "connector.post_process.cohere_v2.embedding.uint8": Function(since="3.0"),
    "connector.post_process.cohere_v2.embedding.binary": Function(since="3.0"),
    "connector.post_process.cohere_v2.embedding.ubinary": Function(since="3.0"),
    "connector.post_process.mlcommons.passthrough": Function(since="3.3"),
    "connector.post_process.bedrock.nova.embedding": Function(since="3.4"),
}

_NAME = re.compile(r"\s*[\w.-]+\s*\Z")

SERVICES = {"sagemaker": "default", "openai": "openai", "bedrock": "bedrock", "cohere": "cohere"}
"""Part of an address → the part of the names of the functions that fit it; the server asks in this order."""


def is_name(text: str) -> bool:
    """Tell whether a text is meant as a function's name and not as a script: one word, with dots."""
    return "." in text and _NAME.match(text) is not None


def misfit(function: str, url: str) -> str | None:
    """Return the service in an address that a built-in function is not made for; null where it fits."""
    service = next((name for name in SERVICES if name in url), None)
    # A model of Cohere's on Bedrock is asked as Cohere is: its name stands in the address too.
    named = {SERVICES[name] for name in SERVICES if name in url}
    return service if service and not any(name in function for name in named) else None
