"""Blueprints of services that are asked with a key: OpenAI's interface, which many servers speak, and Cohere's."""

from __future__ import annotations

from typing import Any

from release_tool.core.ml.blueprints.template import Blueprint, Variable, action, bearer, body, param, raw
from release_tool.core.ml.credentials import by_name

_ADDRESS = r"https?://[^\s/?#@]+(?:/[^\s?#]*[^\s?#/])?"
_BASE = Variable(
    name="base_url", meaning="address up to /v1, without a slash at its end", default="https://api.openai.com/v1",
    pattern=_ADDRESS,
)  # fmt: skip
_COHERE_BASE = Variable(
    name="base_url", meaning="address up to /v1, without a slash at its end", default="https://api.cohere.ai/v1",
    pattern=_ADDRESS,
)  # fmt: skip
_OPENAI_KEY = {"openAI_key": by_name("OPENAI_KEY")}
_COHERE_KEY = {"cohere_key": by_name("COHERE_KEY")}


def model(default: str | None, meaning: str = "name of the model at the service") -> Variable:
    """Return the variable of a model's name."""
    return Variable(name="model", meaning=meaning, default=default, pattern=r"\S+")


def titled(default: str) -> tuple[Variable, ...]:
    """Return the variables of name and description, which every blueprint has."""
    return (
        Variable(name="name", meaning="name of the connector", default=default),
        Variable(name="description", meaning="what it is for", default=f"Made from a blueprint: {default}"),
    )


HEAD: dict[str, Any] = {"name": "{{name}}", "description": "{{description}}", "version": "1"}


def _keyed(key: dict[str, str], parameters: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any]:
    base = {"endpoint": "{{base_url}}", "model": "{{model}}"}
    return {**HEAD, "protocol": "http", "parameters": {**base, **parameters}, "credential": key, "actions": actions}


_OPENAI = bearer("openAI_key")
_COHERE = bearer("cohere_key")

BLUEPRINTS: tuple[Blueprint, ...] = (
    Blueprint(
        name="openai-chat",
        summary="Chat completions of OpenAI, or of a server that speaks its interface.",
        variables=(*titled("OpenAI chat"), _BASE, model("gpt-4o-mini")),
        connector=_keyed(
            _OPENAI_KEY, {},
            action(f"{param('endpoint')}/chat/completions", body(model=param("model"), messages=raw("messages")),
                   headers=_OPENAI),
        ),
        ask={"parameters": {"messages": [{"role": "user", "content": "How is the weather?"}]}},
    ),
    Blueprint(
        name="openai-completion",
        summary="Completions of OpenAI, or of a server that speaks its interface.",
        variables=(
            *titled("OpenAI completion"), _BASE, model("gpt-3.5-turbo-instruct"),
            Variable(name="max_tokens", meaning="how long an answer may be", default="64", pattern=r"[1-9]\d*"),
            Variable(name="temperature", meaning="0 to 2", default="0", pattern=r"[01](?:\.\d+)?|2(?:\.0+)?"),
        ),
        connector=_keyed(
            _OPENAI_KEY, {"max_tokens": "{{max_tokens}}", "temperature": "{{temperature}}"},
            action(
                f"{param('endpoint')}/completions",
                body(model=param("model"), prompt=param("prompt"), max_tokens=raw("max_tokens"),
                     temperature=raw("temperature")),
                headers=_OPENAI,
            ),
        ),
        ask={"parameters": {"prompt": "Today is"}},
    ),
    Blueprint(
        name="openai-embedding",
        summary="Embeddings of OpenAI, or of a server that speaks its interface; asked by text_docs.",
        variables=(*titled("OpenAI embedding"), _BASE, model("text-embedding-3-small")),
        connector=_keyed(
            _OPENAI_KEY, {},
            action(
                f"{param('endpoint')}/embeddings", body(model=param("model"), input=raw("input")), headers=_OPENAI,
                pre_process_function="connector.pre_process.openai.embedding",
                post_process_function="connector.post_process.openai.embedding",
            ),
        ),
        ask={"text_docs": ["today is sunny"]},
    ),
    Blueprint(
        name="cohere-embedding",
        summary="Embeddings of Cohere; asked by text_docs.",
        variables=(
            *titled("Cohere embedding"), _COHERE_BASE, model("embed-english-v3.0"),
            Variable(
                name="input_type", meaning="search_document, search_query, classification or clustering",
                default="search_document", pattern="search_document|search_query|classification|clustering",
            ),
            Variable(name="truncate", meaning="NONE, START or END", default="END", pattern="NONE|START|END"),
        ),
        connector=_keyed(
            _COHERE_KEY, {"input_type": "{{input_type}}", "truncate": "{{truncate}}"},
            action(
                f"{param('endpoint')}/embed",
                body(model=param("model"), texts=raw("texts"), input_type=param("input_type"),
                     truncate=param("truncate")),
                headers=_COHERE,
                pre_process_function="connector.pre_process.cohere.embedding",
                post_process_function="connector.post_process.cohere.embedding",
            ),
        ),
        ask={"text_docs": ["today is sunny"]},
    ),
    Blueprint(
        name="cohere-chat",
        summary="Chat of Cohere.",
        variables=(*titled("Cohere chat"), _COHERE_BASE, model("command-r")),
        connector=_keyed(
            _COHERE_KEY, {},
            action(f"{param('endpoint')}/chat", body(model=param("model"), message=param("message")), headers=_COHERE),
        ),
        ask={"parameters": {"message": "How is the weather?"}},
    ),
    Blueprint(
        name="cohere-rerank",
        summary="Reranking by Cohere; asked by query_text and text_docs.",
        since="2.12",
        variables=(*titled("Cohere rerank"), _COHERE_BASE, model("rerank-english-v3.0")),
        connector=_keyed(
            _COHERE_KEY, {},
            action(
                f"{param('endpoint')}/rerank",
                body(model=param("model"), query=param("query"), documents=raw("documents"), top_n=raw("top_n")),
                headers=_COHERE,
                pre_process_function="connector.pre_process.cohere.rerank",
                post_process_function="connector.post_process.cohere.rerank",
            ),
        ),
        ask={"query_text": "today", "text_docs": ["today is sunny", "a search engine"]},
    ),
)  # fmt: skip
