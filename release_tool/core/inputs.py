"""Parse the inputs of a release, as texts from flags, the environment or a workflow's form, into a request.

One name per thing: ``embedding_dimension`` is ``--embedding-dimension`` and the form's ``embedding_dimension``. An
empty text is an input left blank. Nothing is looked up here; every fault is collected.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.modeljson import bad, get_number, shown
from release_tool.core.modeljson import parse as parse_json
from release_tool.core.opensearch import DEFAULT_TARGETS
from release_tool.core.request import AS_DECLARED, ReleaseRequest, closest
from release_tool.core.speed_inputs import parse_budgets
from release_tool.core.variants import ONNX_VARIANTS, Variant
from release_tool.errors import Fault, UnsupportedModel, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

BOTH = "both"
DETECT = "auto"
"""What a form's choice says when the kind is to be detected."""

TEXTS = (
    "model", "model_source", "version", "revision", "model_id", "name", "prefix", "description", "accept_licence",
    "upload_target", "tune_run_id",
)  # fmt: skip
LISTS = ("kind", "variant", "target_versions", "remote_code", "budget")
FLAGS = ("normalize_result", "cpu_only", "allow_pickle", "trust_remote_code", "overwrite")
OTHERS = (
    "format", "embedding_dimension", "pooling_mode", "prune_ratio", "activation", "model_init_kwargs", "idf",
    "framework",
)  # fmt: skip
NAMES = (*TEXTS, *LISTS, *FLAGS, *OTHERS)
"""Every input that there is."""
CHOSEN = frozenset(
    {"kind", "format", "variant", "pooling_mode", "normalize_result", "activation", "framework"}
)  # fmt: skip
"""Inputs that a form offers as choices; there ``auto`` stands for an input left blank."""
ACCEPTED_BY = "accepted_by"
"""No input of a person: who filled the form, by the event."""
BY_EVENT = "by_event"
"""No input of a person either: the names of the inputs that an event gave and nobody else; absent without one."""

Raw = str | bool | int | float | tuple[str, ...] | None


def flag_of(name: str) -> str:
    """Return how an input is called on the command line."""
    return "MODEL" if name == "model" else "--" + name.replace("_", "-")


class _Parser:
    """Parses one input after another and keeps what was wrong."""

    def __init__(self, inputs: Mapping[str, Raw]) -> None:
        self.inputs = inputs
        self.faults: list[Fault] = []

    def fault(self, name: str, problem: str, hint: str = "") -> None:
        self.faults.append(Fault(flag_of(name), problem, hint))

    def text(self, name: str) -> str | None:
        value = self.inputs.get(name)
        text = "" if value is None else str(value).strip()
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.fault(name, "is not valid UTF-8 text")
            return None
        return text or None

    def words(self, name: str) -> tuple[str, ...]:
        value = self.inputs.get(name)
        texts = value if isinstance(value, tuple) else (self.text(name) or "",)
        parts = (part.strip() for text in texts for part in text.split(","))
        return tuple(dict.fromkeys(part for part in parts if part))

    def member(self, name: str, enum: type[E], text: str | None = None) -> E | None:
        word = (text or self.text(name) or "").lower()
        if not word:
            return None
        try:
            return enum(word)
        except ValueError:
            options = tuple(member.value for member in enum)
            self.fault(name, f"{shown(word)!r} is none that is known here", closest(word, options))
            return None

    def flag(self, name: str) -> bool | None:
        value = self.inputs.get(name)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in ("true", "yes", "1"):
            return True
        if word in ("false", "no", "0"):
            return False
        if word:
            self.fault(name, f"{shown(word)!r} is neither true nor false")
        return None

    def number(self, name: str, parse: Callable[[str], T], what: str) -> T | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse(text)
        except (ValueError, OverflowError):
            self.fault(name, f"{shown(text)!r} is no {what}")
            return None

    def kwargs(self) -> dict[str, Any]:
        text = self.text("model_init_kwargs")
        if text is None:
            return {}
        try:
            value = parse_json(text.encode(), "input")
        except UnsupportedModel as error:
            self.fault("model_init_kwargs", str(error).partition(": ")[2].rstrip("."), 'such as {"subfolder": "x"}')
            return {}
        if not isinstance(value, dict):
            self.fault("model_init_kwargs", f"{shown(text)} is no JSON object", 'such as {"subfolder": "x"}')
            return {}
        return value

    def formats(self) -> tuple[Format, ...]:
        text = self.text("format")
        if text is None or text.lower() == BOTH:
            return ()
        fmt = self.member("format", Format)
        return (fmt,) if fmt else ()

    def variants(self) -> tuple[Variant, ...]:
        """Return the variants of ONNX; those of TorchScript follow from targets and ``cpu_only``."""
        words = [word.lower() for word in self.words("variant")]
        for word in words:
            if word not in ONNX_VARIANTS:
                problem = f"{shown(word)!r} is no variant of ONNX"
                self.fault("variant", problem, closest(word, tuple(ONNX_VARIANTS)))
        return tuple(variant for variant in ONNX_VARIANTS if variant in words)

    def budgets(self) -> dict[str, float]:
        """Return what an archive may cost, name → number."""
        budgets, faults = parse_budgets(self.words("budget"))
        self.faults += faults
        return budgets


def parse_inputs(inputs: Mapping[str, Raw], *, idf_sha256: str | None = None) -> tuple[ReleaseRequest, list[Fault]]:
    """Return the request and what could not be parsed of it; ``core.request.check`` looks at the rest.

    Args:
        inputs: name → value as the form or the command line gave it; ``model`` is the id or the folder's name.
        idf_sha256: digest of the file behind ``idf``, once it was read.
    """
    parser = _Parser(inputs)
    kinds = [word for word in parser.words("kind") if word.lower() != DETECT]
    members = [parser.member("kind", ModelKind, word) for word in kinds]
    request = ReleaseRequest(
        model=parser.text("model") or "",
        version=parser.text("version") or "",
        model_source=parser.text("model_source") or "huggingface",
        revision=parser.text("revision"),
        model_id=parser.text("model_id"),
        kinds=tuple(dict.fromkeys(kind for kind in members if kind is not None)),
        formats=parser.formats(),
        name=parser.text("name"),
        prefix=parser.text("prefix"),
        description=parser.text("description"),
        embedding_dimension=parser.number("embedding_dimension", int, "whole number"),
        pooling_mode=parser.member("pooling_mode", PoolingMode),
        normalize_result=parser.flag("normalize_result"),
        prune_ratio=parser.number("prune_ratio", float, "number"),
        activation=parser.member("activation", Activation),
        model_init_kwargs=parser.kwargs(),
        idf=idf_sha256,
        framework=parser.member("framework", Framework) or Framework.SENTENCE_TRANSFORMERS,
        target_versions=parser.words("target_versions") or DEFAULT_TARGETS,
        accept_licence=parser.text("accept_licence"),
        allow_pickle=bool(parser.flag("allow_pickle")),
        # Who names the commit of the code that may run allows it to run.
        trust_remote_code=bool(parser.flag("trust_remote_code")) or bool(parser.words("remote_code")),
        remote_code=parser.words("remote_code"),
        accepted_by=parser.text(ACCEPTED_BY),
        overwrite=bool(parser.flag("overwrite")),
        upload_target=parser.text("upload_target"),
        tune_run_id=parser.text("tune_run_id"),
        variants=parser.variants() or None,
        cpu_only=parser.flag("cpu_only") or None,
        budgets=parser.budgets() or None,
    )
    return request, parser.faults


def event_inputs(data: bytes, file: str) -> dict[str, Raw]:
    """Return the inputs of a workflow_dispatch event.

    Raises:
        UsageError: no such event, or an input that is not known here.
    """
    try:
        event = parse_json(data, file)
    except UnsupportedModel as error:
        raise UsageError(f"The event {shown(file)} can't be read: {str(error).partition(': ')[2]}") from error
    inputs = event.get("inputs") if isinstance(event, dict) else None
    if not isinstance(inputs, dict):
        raise UsageError(
            f"The event {shown(file)} holds no inputs.", hint="--event takes the file of a workflow_dispatch event."
        )
    unknown = sorted(set(inputs) - set(NAMES))
    if unknown:
        raise UsageError(
            f"The event has an input {shown(unknown[0])!r} that means nothing: {closest(unknown[0], NAMES)}."
        )
    wrong = [name for name, value in inputs.items() if isinstance(value, (dict, list))]
    if wrong:
        raise UsageError(f"The event's input {wrong[0]!r} is no text.", hint="A form's inputs are texts.")
    given = {name: value for name, value in inputs.items() if value not in (None, "")}
    given = {name: value for name, value in given.items() if not (name in CHOSEN and value == DETECT)}
    return _accepting(event, given)


def _accepting(event: dict[str, Any], inputs: dict[str, Raw]) -> dict[str, Raw]:
    """Return the inputs with a form's yes or no to the licence turned into what it means, and who said it."""
    word = str(inputs.get("accept_licence", "")).strip().lower()
    if word == "no":
        return {name: value for name, value in inputs.items() if name != "accept_licence"}
    if not word:
        return inputs
    sender = event.get("sender")
    login = sender.get("login") if isinstance(sender, dict) else None
    accepted = AS_DECLARED if word == "yes" else inputs["accept_licence"]
    return {**inputs, "accept_licence": accepted, ACCEPTED_BY: login if isinstance(login, str) else "?"}


def check_token_weights(data: bytes, file: str) -> int:
    """Return the number of tokens in an idf.json: a flat map of token → finite number.

    Raises:
        UnsupportedModel: it is something else.
    """
    value = parse_json(data, file)
    if not isinstance(value, dict):
        raise bad(file, f"it holds a {type(value).__name__}, expected a map of token to weight")
    for token in value:
        if get_number(value, token, file) is None:
            raise bad(file, f"the weight of {shown(token)!r} is null")
    return len(value)
