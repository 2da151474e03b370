"""Questions to a model: what a person gives as text or as a line of JSON, and the body that asks it.

Source: ML Commons ``RestMLPredictionAction``, ``MLInput.parse`` and ``ModelResultFilter``, tags 2.4.0.0 to 3.6.0.0.
Old servers skip fields that they don't know, so what is younger than a server is refused here and not lost there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import is_since, predict
from release_tool.core.ml.request import json_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.ml.request import Request


class Function(StrEnum):
    """What a model does when it is asked, by the server's own names."""

    TEXT_EMBEDDING = "text_embedding"
    SPARSE_ENCODING = "sparse_encoding"
    SPARSE_TOKENIZE = "sparse_tokenize"
    TEXT_SIMILARITY = "text_similarity"
    QUESTION_ANSWERING = "question_answering"
    REMOTE = "remote"


TEXTS = frozenset({Function.TEXT_EMBEDDING, Function.SPARSE_ENCODING, Function.SPARSE_TOKENIZE})
"""Asked with ``text_docs`` alone."""
SPARSE = frozenset({Function.SPARSE_ENCODING, Function.SPARSE_TOKENIZE})
ONE_AT_A_TIME = frozenset({Function.QUESTION_ANSWERING})
"""The server's translator keeps the tokens of a request in a field: two at once mix their answers."""

CONTENT_TYPE_SINCE = "2.13"
SPARSE_FORMAT_SINCE = "3.2"
CONTENT_TYPES = ("query", "passage")
SPARSE_FORMATS = ("word", "token_id")
DIGEST_DIGITS = 16

_ID = "id"
_FIELDS: dict[Function, frozenset[str]] = {
    **dict.fromkeys(TEXTS, frozenset({"text", "text_docs", "content_type", "parameters"})),
    Function.TEXT_SIMILARITY: frozenset({"query_text", "text_docs"}),
    Function.QUESTION_ANSWERING: frozenset({"question", "context"}),
    Function.REMOTE: frozenset({"parameters", "query_text", "text", "text_docs"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How every question of a run is asked."""

    function: Function
    content_type: str | None = None
    """Of asymmetric models: ``query`` or ``passage``; a line's own goes before it."""
    sparse_format: str | None = None
    """``word`` or ``token_id``."""
    target_response: tuple[str, ...] = ()
    """Names of the outputs that are returned; all where empty."""
    positions: tuple[int, ...] = ()
    """Places of the outputs that are returned, from 0."""
    return_number: bool | None = None
    """Whether numbers are returned; the server's default (yes) where null."""
    return_bytes: bool | None = None
    """Whether numbers are returned as base64 of their bytes; the server's default (no) where null."""
    by_algorithm: bool = False
    """Ask by ``_predict/ALGORITHM/ID`` and not by ``models/ID/_predict``."""

    def misfit(self) -> str | None:
        """Return what is asked for that models of this function don't have; null where all fits."""
        if self.content_type and self.function is not Function.TEXT_EMBEDDING:
            return f"a model of {self.function.value} tells no queries from passages (--content-type)"
        if self.sparse_format and self.function not in SPARSE:
            return f"a model of {self.function.value} names no tokens (--sparse-format)"
        return None

    def too_new(self, version: str) -> str | None:
        """Return what is asked for that a server of this version does not know; null where it knows all."""
        if self.content_type and not is_since(version, CONTENT_TYPE_SINCE):
            return f"asymmetric models are there from {CONTENT_TYPE_SINCE} on"
        if self.sparse_format == "token_id" and not is_since(version, SPARSE_FORMAT_SINCE):
            return f"token ids are returned from {SPARSE_FORMAT_SINCE} on"
        return None


class RowFault(ValueError):
    """A line is no question; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question."""

    line: int
    """In the input, from 1."""
    id: str | int | None
    """The line's own, handed through."""
    body: dict[str, Any]
    shown: str
    """The text that people know it by."""

    def request(self, model_id: str, wanted: Wanted) -> Request:
        """Return the request that asks it."""
        return predict(model_id, self.body, function=self._algorithm(wanted))

    def _algorithm(self, wanted: Wanted) -> str | None:
        """A remote model gets texts only by the path of what they are for; by its own it sees parameters alone."""
        if wanted.function is Function.REMOTE and "text_docs" in self.body:
            return (Function.TEXT_SIMILARITY if "query_text" in self.body else Function.TEXT_EMBEDDING).value
        return wanted.function.value if wanted.by_algorithm else None


def function_of(found: str) -> Function:
    """Return the function of a server's name for it, such as TEXT_EMBEDDING.

    Raises:
        ValueError: models of this function are not asked by predict with text.
    """
    return Function(found.lower())


def text_rows(texts: Sequence[str], wanted: Wanted, *, query: str | None = None) -> tuple[Row, ...]:
    """Return the questions that arguments stand for: one a text; one for all texts that a query is compared with.

    Args:
        texts: the texts, the documents to compare, or the context.
        wanted: how to ask.
        query: what documents are compared with, or the question to a context.

    Raises:
        RowFault: a query is missing or means nothing, or a context is not one text.
    """
    function = wanted.function
    paired = function in {Function.TEXT_SIMILARITY, Function.QUESTION_ANSWERING}
    if paired and query is None:
        raise RowFault(f"a model of {function.value} is asked with a query, too")
    if not paired and query is not None and function is not Function.REMOTE:
        raise RowFault(f"a model of {function.value} takes no query")
    if function is Function.TEXT_SIMILARITY or (function is Function.REMOTE and query is not None):
        return (_row(1, {"query_text": query, "text_docs": list(texts)}, wanted),)
    if function is Function.QUESTION_ANSWERING:
        return tuple(_row(number, {"question": query, "context": text}, wanted) for number, text in enumerate(texts, 1))
    return tuple(_row(number, {"text": text}, wanted) for number, text in enumerate(texts, 1))


def parameters_row(parameters: dict[str, Any], texts: Sequence[str], wanted: Wanted) -> tuple[Row, ...]:
    """Return the one question of a remote model that parameters, and texts where there are some, stand for.

    Raises:
        RowFault: the model is no remote one.
    """
    if wanted.function is not Function.REMOTE:
        raise RowFault(f"a model of {wanted.function.value} takes no parameters of one's own")
    docs = {"text_docs": list(texts)} if texts else {}
    return (_row(1, {"parameters": parameters, **docs}, wanted),)


def read_row(text: str, line: int, wanted: Wanted, *, plain: bool = False) -> Row:
    """Return the question of one line.

    Args:
        text: of the line.
        line: its number, from 1.
        wanted: how to ask.
        plain: the line is a text, not JSON.

    Raises:
        RowFault: it is none.
    """
    if plain:
        return _row(line, {"text": text}, wanted)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RowFault(f"is no JSON: {error}") from error
    except RecursionError as error:
        raise RowFault("is nested too deeply") from error
    if isinstance(found, str):
        found = {"text": found}
    if not isinstance(found, dict):
        raise RowFault("is neither a text nor an object")
    return _row(line, found, wanted)


def _row(line: int, found: dict[str, Any], wanted: Wanted) -> Row:
    ident = found.get(_ID)
    if ident is not None and (isinstance(ident, bool) or not isinstance(ident, (str, int))):
        raise RowFault("has an id that is neither a text nor a whole number")
    known = _FIELDS[wanted.function]
    odd = [key for key in found if key != _ID and key not in known]
    if odd:
        raise RowFault(f"says {odd[0][:80]!r}, which means nothing here: one of {', '.join(sorted(known))}")
    if wanted.function is Function.TEXT_SIMILARITY or "query_text" in found:
        shown = _text(found, "query_text")
        body = {"query_text": shown, "text_docs": _texts(found)}
    elif wanted.function is Function.QUESTION_ANSWERING:
        shown = _text(found, "question")
        body = {"question": shown, "context": _text(found, "context")}
    else:
        body = _text_body(found, wanted)
        shown = body["text_docs"][0] if "text_docs" in body else json.dumps(body["parameters"], ensure_ascii=False)
    return Row(line=line, id=ident, body={**body, **_filter(wanted)}, shown=shown)


def _text_body(found: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Return the body of a model that takes texts, or parameters, or both."""
    if "text" in found and "text_docs" in found:
        raise RowFault("has both text and text_docs")
    body: dict[str, Any] = {}
    if "text" in found:
        body["text_docs"] = [_text(found, "text")]
    elif "text_docs" in found or wanted.function is not Function.REMOTE:
        body["text_docs"] = _texts(found)
    parameters = found.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RowFault("has parameters that are no object")
    if wanted.function is Function.REMOTE and not body and not parameters:
        raise RowFault("has neither parameters nor a text")
    parameters = {**_parameters(found, wanted), **parameters}
    return {**body, **({"parameters": parameters} if parameters else {})}


def _parameters(found: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    content_type = found.get("content_type", wanted.content_type)
    parameters: dict[str, Any] = {}
    if content_type is not None:
        if content_type not in CONTENT_TYPES:
            raise RowFault(f"has a content_type that is none of {', '.join(CONTENT_TYPES)}")
        parameters["content_type"] = content_type
    # Words are every server's default, and older ones know no parameters of sparse models.
    if wanted.sparse_format == "token_id":
        parameters["sparse_embedding_format"] = "TOKEN_ID"
    return parameters


def _filter(wanted: Wanted) -> dict[str, Any]:
    """Return what says which of the outputs come back, and how."""
    body: dict[str, Any] = {}
    if wanted.return_number is not None:
        body["return_number"] = wanted.return_number
    if wanted.return_bytes is not None:
        body["return_bytes"] = wanted.return_bytes
    if wanted.target_response:
        body["target_response"] = list(wanted.target_response)
    if wanted.positions:
        body["target_response_positions"] = list(wanted.positions)
    return body


def _text(found: dict[str, Any], key: str) -> str:
    text = found.get(key)
    if not isinstance(text, str):
        raise RowFault(f"has no text at {key}")
    return text


def _texts(found: dict[str, Any]) -> list[str]:
    texts = found.get("text_docs")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RowFault("has no list of texts at text_docs")
    return texts


def digest_of(model_id: str, asked: Row | str, wanted: Wanted) -> str:
    """Return what tells a question from any other: of the request itself, or of a line that is none.

    A run that goes on compares it with what the answers say that they answer.
    """
    if isinstance(asked, str):
        raw = asked.encode("utf-8", errors="surrogatepass")
        return hashlib.sha256(b"line\0" + raw).hexdigest()[:DIGEST_DIGITS]
    request = asked.request(model_id, wanted)
    said = f"{request.method} {request.target}\0".encode()
    return hashlib.sha256(said + json_bytes(request.body)).hexdigest()[:DIGEST_DIGITS]
