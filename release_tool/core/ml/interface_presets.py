"""The interfaces that go with the connectors of the documented models, and what a connector must do to keep them.

A server from 2.14 on sets one by itself where a remote model is registered without an interface and its connector is
that of a known model: by ``service_name`` and ``model`` (or ``api_name``) among the parameters, and by the
post-process function. It looks at nothing else, so a connector that departs from the blueprint registers well and then
refuses every prediction. Source of the rules: ML Commons ``ModelInterfaceUtils``, tag 3.6.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since
from release_tool.core.ml.connector import predict_action
from release_tool.core.ml.functions import PRE_PROCESS
from release_tool.core.ml.placeholders import as_text, inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_NUMBERS = {"type": "array", "items": _NUMBER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An interface and the connector that it is for."""

    name: str
    service: str
    model: str | None
    """The parameter ``model``; null where the service is asked by ``api_name``."""
    api: str | None = None
    post_process: str | None = None
    """The post-process function that chooses this preset; ``*`` is any; null where none or another one is named."""
    asked: tuple[str, ...]
    """The parameters of a prediction."""
    optional: bool = False
    """Whether a prediction may leave them out."""
    filtered: bool = False
    """Whether the answer must be brought to ``response``: by ``response_filter`` or by a function."""
    input: dict[str, Any]
    output: dict[str, Any]
    outdated_since: str | None = None
    """The first OpenSearch whose own interface refuses every answer of the blueprint."""
    repaired: dict[str, Any] | None = None
    """The output side for such servers."""

    def interface(self) -> dict[str, Any]:
        """Return both sides."""
        return {"input": self.input, "output": self.output}


def _object(properties: dict[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return the schema of an object; every property is required unless ``required`` says which."""
    needed = list(properties if required is None else required)
    made: dict[str, Any] = {"type": "object", "properties": properties}
    return {**made, "required": needed} if needed else made


def _asked(parameters: dict[str, Any], *, required: bool = True, by_parameters_only: bool = False) -> dict[str, Any]:
    """Return the schema of a prediction; without ``by_parameters_only`` it may be asked by text_docs too."""
    inner = _object(parameters, None if required else ())
    return _object({"parameters": inner}, ("parameters",) if by_parameters_only else ())


def _reply(tensor: dict[str, Any]) -> dict[str, Any]:
    result = _object({"output": {"type": "array", "items": tensor}, "status_code": {"type": "integer"}})
    return _object({"inference_results": {"type": "array", "items": result}})


def _map(properties: dict[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    return _reply(_object({"name": _TEXT, "dataAsMap": _object(properties, required)}))


_EMBEDDING = _reply(
    _object(
        {"name": _TEXT, "data_type": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}, "data": _NUMBERS}
    )
)
_ANSWER = _map({"response": _TEXT})
_INPUTS = _asked({"inputs": _TEXT}, by_parameters_only=True)
_TEXTS = _asked({"texts": {"type": "array", "items": _TEXT}})
_RAW_COHERE = _map(
    {
        "id": _TEXT,
        "texts": {"type": "array", "items": _TEXT},
        "embeddings": {"type": "array", "items": _NUMBERS},
        "response_type": _TEXT,
    }
)
_RAW_TITAN = _map({"embedding": _NUMBERS, "inputTextTokenCount": {"type": "integer"}})
_LANGUAGES = {"type": "array", "items": _object({"LanguageCode": _TEXT, "Score": _NUMBER})}
_BLOCK = _object({"BlockType": _TEXT, "Id": _TEXT, "Text": _TEXT, "Confidence": _NUMBER}, ())

_COHERE = "connector.post_process.cohere.embedding"
_BEDROCK = "connector.post_process.bedrock.embedding"


def _bedrock_embedding(name: str, model: str, function: str, raw: dict[str, Any], **about: Any) -> tuple[Preset, ...]:
    return (
        Preset(name=name, service="bedrock", model=model, post_process=function, output=_EMBEDDING, **about),
        Preset(name=f"{name}-raw", service="bedrock", model=model, output=raw, **about),
    )


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="bedrock-ai21-j2-mid", service="bedrock", model="ai21.j2-mid-v1", post_process="*", asked=("inputs",),
        input=_INPUTS, output=_ANSWER,
    ),
    Preset(
        name="bedrock-ai21-j2-mid-raw", service="bedrock", model="ai21.j2-mid-v1", asked=("inputs",), input=_INPUTS,
        output=_map({"id": _NUMBER, "completions": {"type": "array", "items": {"type": "object"}}}, ()),
    ),
    Preset(
        name="bedrock-claude-3-sonnet", service="bedrock", model="anthropic.claude-3-sonnet-20240229-v1:0",
        asked=("inputs",), filtered=True, input=_INPUTS, output=_ANSWER,
    ),
    Preset(
        name="bedrock-claude-2", service="bedrock", model="anthropic.claude-v2", asked=("inputs",), input=_INPUTS,
        output=_map(
            {"type": _TEXT, "completion": _TEXT, "stop_reason": _TEXT, "stop": _TEXT}, ("type", "completion")
        ),
    ),
    *_bedrock_embedding(
        "bedrock-cohere-embed-english", "cohere.embed-english-v3", _COHERE, _RAW_COHERE, asked=("texts",), input=_TEXTS
    ),
    *_bedrock_embedding(
        "bedrock-cohere-embed-multilingual", "cohere.embed-multilingual-v3", _COHERE, _RAW_COHERE, asked=("texts",),
        input=_TEXTS,
    ),
    *_bedrock_embedding(
        "bedrock-titan-embed-text", "amazon.titan-embed-text-v1", _BEDROCK, _RAW_TITAN, asked=("inputText",),
        input=_asked({"inputText": _TEXT}),
    ),
    *_bedrock_embedding(
        "bedrock-titan-embed-image", "amazon.titan-embed-image-v1", _BEDROCK, _RAW_TITAN,
        asked=("inputText", "inputImage"), optional=True,
        input=_asked({"inputText": _TEXT, "inputImage": _TEXT}, required=False),
    ),
    Preset(
        name="comprehend-dominant-language", service="comprehend", model=None, api="DetectDominantLanguage",
        asked=("Text",), filtered=True, input=_asked({"Text": _TEXT}, by_parameters_only=True),
        output=_map({"response": _object({"Languages": _LANGUAGES})}),
        # Since then an object that response_filter finds is the answer itself and stands at 'response' no more.
        outdated_since="3.3", repaired=_map({"Languages": _LANGUAGES}),
    ),
    Preset(
        name="textract-detect-document-text", service="textract", model=None, asked=("bytes",),
        input=_asked({"bytes": _TEXT}, by_parameters_only=True),
        output=_map({
            "Blocks": {"type": "array", "items": _BLOCK}, "DetectDocumentTextModelVersion": _TEXT,
            "DocumentMetadata": _object({"Pages": _NUMBER}, ()),
        }, ()),
    ),
)  # fmt: skip


def named(name: str) -> Preset | None:
    """Return a preset by its name; null where there is none."""
    return next((one for one in PRESETS if one.name == name), None)


def preset_of(connector: Mapping[str, Any]) -> Preset | None:
    """Return the preset whose interface the server sets by itself for a connector; null where it sets none."""
    parameters = connector.get("parameters")
    actions = connector.get("actions") or []
    if not parameters or not actions:
        return None
    for one in PRESETS:
        if _has(parameters, "service_name", one.service) and _fits(one, parameters, actions[0]):
            return one
    return None


def _has(parameters: Mapping[str, Any], name: str, value: str | None) -> bool:
    return value is None or (name in parameters and as_text(parameters[name]) == value)


def _fits(preset: Preset, parameters: Mapping[str, Any], action: Mapping[str, Any]) -> bool:
    if not (_has(parameters, "model", preset.model) and _has(parameters, "api_name", preset.api)):
        return False
    function = str(action.get("post_process_function") or "").strip()
    if preset.post_process == "*":
        return bool(function)
    return preset.post_process is None or function.lower() == preset.post_process


def repaired(preset: Preset, version: str) -> dict[str, Any] | None:
    """Return the interface to send in place of the server's own, which no answer can meet; null where that is sound."""
    if preset.outdated_since is None or preset.repaired is None or not is_since(version, preset.outdated_since):
        return None
    return {"input": preset.input, "output": preset.repaired}


def preset_notes(connector: Mapping[str, Any], preset: Preset) -> Iterator[str]:
    """Yield where a connector departs from what its preset holds every prediction to."""
    action = predict_action(connector) or {}
    parameters = connector.get("parameters") or {}
    wanted = inputs(str(action.get("request_body", "")), parameters)
    unsent = [name for name in preset.asked if name not in wanted]
    if unsent and not preset.optional:
        yield (
            f"The interface {preset.name} requires {_named(unsent)} of every prediction, which the body does not send "
            "on: name it there, or give an interface of your own."
        )
    besides = [name for name in wanted if name not in preset.asked]
    if besides:
        yield f"The blueprint of {preset.name} asks for {_named(preset.asked)}; this body also wants {_named(besides)}."
    if preset.output is _EMBEDDING and str(action.get("pre_process_function", "")) not in PRE_PROCESS:
        yield f"Without a pre_process_function a model of {preset.name} can't be asked by text_docs."
    if preset.filtered and "response_filter" not in parameters and not action.get("post_process_function"):
        yield (
            f"The interface {preset.name} requires the answer at 'response': without parameters.response_filter every "
            "prediction is refused."
        )


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"parameters.{name}" for name in names)
