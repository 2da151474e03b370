"""Answers of a model: the reply as the server wrote it, as a line of JSON, and as a row for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_NUMBERS = 4
SHOWN_TOKENS = 6
SHOWN_FAULTS = 10
RESULTS = "inference_results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one line of the input."""

    line: int
    id: str | int | None
    asked: str
    """Digest of the question (see ``predict.digest_of``)."""
    results: list[Any] | None = None
    """``inference_results`` as the server wrote them; null where the question was refused."""
    error: dict[str, Any] | None = None
    """``message``, ``hint`` and, where a server said it, ``status``."""

    def text(self) -> str:
        """Return one line of JSON, without its end."""
        data: dict[str, Any] = {"line": self.line}
        if self.id is not None:
            data["id"] = self.id
        data["asked"] = self.asked
        data |= {RESULTS: self.results} if self.error is None else {"error": self.error}
        try:
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(data, separators=(",", ":"))
        return text


def results_of(reply: Any) -> list[Any] | None:
    """Return what a reply holds; null where it is none of a predict."""
    found = reply.get(RESULTS) if isinstance(reply, dict) else None
    return found if isinstance(found, list) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a line of answers says of itself."""

    line: int
    """Of the input."""
    asked: str
    """Digest of the question."""
    failed: bool


def read_written(text: str) -> Written | None:
    """Return what a line of answers says of itself; null where it is none."""
    try:
        data = json.loads(text)
        line, asked = data["line"], data["asked"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(line, int) or not isinstance(asked, str):
        return None
    return Written(line=line, asked=asked, failed="error" in data)


def outputs_of(results: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each output with the number of its text, from 0; what has another form is left to ``--json``."""
    for place, result in enumerate(results):
        outputs = result.get("output") if isinstance(result, dict) else None
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, dict):
                yield place, output


def table_rows(shown: str, results: list[Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row each output: text, name, type, shape, the first of its values."""
    for place, output in outputs_of(results):
        shape = output.get("shape")
        yield (
            shown if place == 0 else f"({place})",
            str(output.get("name") or ""),
            str(output.get("data_type") or ""),
            "x".join(str(size) for size in shape) if isinstance(shape, list) else "",
            _values(output),
        )


def _values(output: dict[str, Any]) -> str:
    data = output.get("data")
    if isinstance(data, list):
        shown = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in data[:SHOWN_NUMBERS])
        return shown + (", …" if len(data) > SHOWN_NUMBERS else "")
    mapped = output.get("dataAsMap")
    if isinstance(mapped, dict):
        tokens = mapped.get("response")
        if isinstance(tokens, list) and len(tokens) == 1 and isinstance(tokens[0], dict) and _are_weights(tokens[0]):
            return _weights(tokens[0])
        return json.dumps(mapped, ensure_ascii=False)
    if "result" in output:
        return str(output["result"])
    return json.dumps({key: value for key, value in output.items() if key not in ("name", "data_type", "shape")})


def _are_weights(found: dict[str, Any]) -> bool:
    return bool(found) and all(isinstance(value, (int, float)) for value in found.values())


def _weights(found: dict[str, Any]) -> str:
    """Return the heaviest tokens."""
    best = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{token} {weight:.3g}" for token, weight in best[:SHOWN_TOKENS])
    return shown + (f", … ({len(best)} tokens)" if len(best) > SHOWN_TOKENS else "")


@dataclass(slots=True)
class Lines:
    """Lines without an answer: how many, and the first of them, since there may be as many as questions."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        """Count a line; they come in order."""
        self.count += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append(line)
