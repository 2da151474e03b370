"""Blueprints of Amazon's services, signed with SigV4: SageMaker, Bedrock, Comprehend, Textract."""

from __future__ import annotations

from typing import Any

from release_tool.core.ml.blueprints.services import HEAD, model, titled
from release_tool.core.ml.blueprints.template import Blueprint, Variable, action, body, param, raw
from release_tool.core.ml.credentials import ACCESS_KEY, SECRET_KEY, by_name, variable_for

_KEYS = {name: by_name(variable_for(name)) for name in (ACCESS_KEY, SECRET_KEY)}
_JSON = {"content-type": "application/json"}
_SIGNED = {**_JSON, "x-amz-content-sha256": "required"}
_REGION = Variable(name="region", meaning="region of AWS", pattern=r"[a-z]{2}(?:-[a-z]+)+-\d")
_ENDPOINT = Variable(
    name="endpoint", meaning="name of the endpoint in SageMaker", pattern=r"[A-Za-z0-9](?:-*[A-Za-z0-9]){0,62}"
)
_INVOKE = f"https://bedrock-runtime.{param('region')}.amazonaws.com/model/{param('model')}/invoke"
_SAGEMAKER = f"https://runtime.sagemaker.{param('region')}.amazonaws.com/endpoints/{param('endpoint')}/invocations"
_EMBEDDING = {
    "pre_process_function": "connector.pre_process.bedrock.embedding",
    "post_process_function": "connector.post_process.bedrock.embedding",
}
_DOCS = {"text_docs": ["today is sunny"]}
_QUESTION = {"parameters": {"inputs": "How is the weather?"}}


def _signed(service: str, parameters: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any]:
    base = {"region": "{{region}}", "service_name": service}
    return {
        **HEAD, "protocol": "aws_sigv4", "parameters": {**base, **parameters}, "credential": _KEYS, "actions": actions,
    }  # fmt: skip


def _bedrock(parameters: dict[str, Any], request_body: str, **functions: str) -> dict[str, Any]:
    headers = _SIGNED if functions else _JSON
    made = action(_INVOKE, request_body, headers=headers, **functions)
    return _signed("bedrock", {"model": "{{model}}", **parameters}, made)


_MAX_TOKENS = Variable(name="max_tokens", meaning="how long an answer may be", default="1000", pattern=r"[1-9]\d*")
_CLAUDE_TURN = [{"role": "user", "content": [{"type": "text", "text": param("inputs")}]}]

BLUEPRINTS: tuple[Blueprint, ...] = (
    Blueprint(
        name="sagemaker-embedding",
        summary="A dense model behind an endpoint of SageMaker: a list of texts in, a list of vectors out.",
        since="2.11",
        variables=(*titled("SageMaker embedding"), _REGION, _ENDPOINT),
        connector=_signed(
            "sagemaker", {"endpoint": "{{endpoint}}"},
            action(
                _SAGEMAKER, param("input"), headers=_JSON,
                pre_process_function="connector.pre_process.default.embedding",
                post_process_function="connector.post_process.default.embedding",
            ),
        ),
        ask=_DOCS,
    ),
    Blueprint(
        name="sagemaker-sparse",
        summary="A sparse model behind an endpoint of SageMaker: a list of texts in, a list of token weights out.",
        since="2.11",
        variables=(*titled("SageMaker sparse"), _REGION, _ENDPOINT),
        connector=_signed(
            "sagemaker", {"endpoint": "{{endpoint}}"},
            action(
                _SAGEMAKER, param("input"), headers=_JSON,
                pre_process_function="connector.pre_process.default.embedding",
            ),
        ),
        ask=_DOCS,
    ),
    Blueprint(
        name="bedrock-titan-embed-text",
        summary="Amazon Titan text embeddings; asked by text_docs.",
        since="2.12",
        variables=(*titled("Bedrock Titan text embedding"), _REGION, model("amazon.titan-embed-text-v1")),
        connector=_bedrock({}, body(inputText=param("inputText")), **_EMBEDDING),
        ask=_DOCS,
    ),
    Blueprint(
        name="bedrock-titan-embed-image",
        summary="Amazon Titan embeddings of a text, an image in base64, or both.",
        since="2.16",
        variables=(*titled("Bedrock Titan multimodal embedding"), _REGION, model("amazon.titan-embed-image-v1")),
        connector=_bedrock(
            {"input_docs_processed_step_size": 2},
            body(inputText=param("inputText:-null"), inputImage=param("inputImage:-null")),
            pre_process_function="connector.pre_process.bedrock.multimodal_embedding",
            post_process_function="connector.post_process.bedrock.embedding",
        ),
        ask={"text_docs": ["today is sunny", "iVBORw0KGgo="]},
    ),
    Blueprint(
        name="bedrock-cohere-embed",
        summary="Cohere's embeddings on Bedrock; asked by text_docs.",
        variables=(
            *titled("Bedrock Cohere embedding"), _REGION, model("cohere.embed-english-v3"),
            Variable(
                name="input_type", meaning="search_document, search_query, classification or clustering",
                default="search_document", pattern="search_document|search_query|classification|clustering",
            ),
            Variable(name="truncate", meaning="NONE, START or END", default="END", pattern="NONE|START|END"),
        ),
        connector=_bedrock(
            {"input_type": "{{input_type}}", "truncate": "{{truncate}}"},
            body(texts=raw("texts"), input_type=param("input_type"), truncate=param("truncate")),
            pre_process_function="connector.pre_process.cohere.embedding",
            post_process_function="connector.post_process.cohere.embedding",
        ),
        ask=_DOCS,
    ),
    Blueprint(
        name="bedrock-claude-3",
        summary="Anthropic Claude 3 on Bedrock: messages; the answer's text at 'response'.",
        variables=(
            *titled("Bedrock Claude 3"), _REGION, model("anthropic.claude-3-sonnet-20240229-v1:0"), _MAX_TOKENS,
        ),
        connector=_bedrock(
            {
                "response_filter": "$.content[0].text", "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": "{{max_tokens}}",
            },
            body(messages=_CLAUDE_TURN, anthropic_version=param("anthropic_version"), max_tokens=raw("max_tokens")),
        ),
        ask=_QUESTION,
    ),
    Blueprint(
        name="bedrock-claude-2",
        summary="Anthropic Claude 2 on Bedrock: a prompt.",
        variables=(*titled("Bedrock Claude 2"), _REGION, model("anthropic.claude-v2"), _MAX_TOKENS),
        connector=_bedrock(
            {"max_tokens": "{{max_tokens}}"},
            body(prompt=f"\n\nHuman: {param('inputs')}\n\nAssistant:", max_tokens_to_sample=raw("max_tokens")),
        ),
        ask=_QUESTION,
    ),
    Blueprint(
        name="bedrock-ai21-j2",
        summary="AI21 Jurassic-2 on Bedrock; the answer's text at 'response'.",
        variables=(*titled("Bedrock AI21 Jurassic 2"), _REGION, model("ai21.j2-mid-v1"), _MAX_TOKENS),
        connector=_bedrock(
            {"max_tokens": "{{max_tokens}}"},
            body(prompt=param("inputs"), maxTokens=raw("max_tokens")),
            post_process_function="return params.completions[0].data.text;",
        ),
        ask=_QUESTION,
    ),
    Blueprint(
        name="comprehend-language",
        summary="Amazon Comprehend names the language of a text.",
        variables=(*titled("Comprehend language"), _REGION),
        connector=_signed(
            "comprehend",
            {"api_name": "DetectDominantLanguage", "api": f"Comprehend_20171127.{param('api_name')}",
             "response_filter": "$"},
            action(
                f"https://comprehend.{param('region')}.amazonaws.com", body(Text=param("Text")),
                headers={"X-Amz-Target": param("api"), "content-type": "application/x-amz-json-1.1"},
            ),
        ),
        ask={"parameters": {"Text": "today is sunny"}},
    ),
    Blueprint(
        name="textract-text",
        summary="Amazon Textract reads the text of an image in base64.",
        variables=(*titled("Textract text"), _REGION),
        connector=_signed(
            "textract",
            {"api_name": "DetectDocumentText", "api": f"Textract.{param('api_name')}"},
            action(
                f"https://textract.{param('region')}.amazonaws.com", body(Document={"Bytes": param("bytes")}),
                headers={"X-Amz-Target": param("api"), "content-type": "application/x-amz-json-1.1"},
            ),
        ),
        ask={"parameters": {"bytes": "iVBORw0KGgo="}},
    ),
)  # fmt: skip
