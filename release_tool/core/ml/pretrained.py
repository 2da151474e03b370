"""The project's own models, as a cluster can register them by name: what each is and in which formats it is there.

Source: the documentation of 3.6 and the upload history of opensearch-py-ml. A listing of the repository adds what came
later; the function of a new model is told by the family that its name says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TS, _BOTH = ("torch_script",), ("torch_script", "onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """One model in all its versions."""

    name: str
    versions: tuple[str, ...]
    """Newest first."""
    function_name: str
    formats: tuple[str, ...]
    dimension: int | None = None
    space_type: str | None = None
    since: str = "2.6"
    """First OpenSearch that serves it."""


def _dense(name: str, versions: str, dimension: int, space: str, formats: tuple[str, ...] = _BOTH) -> Pretrained:
    return Pretrained(
        name=f"huggingface/sentence-transformers/{name}", versions=tuple(versions.split()), dimension=dimension,
        function_name="TEXT_EMBEDDING", formats=formats, space_type=space,
    )  # fmt: skip


def _sparse(name: str, versions: str, *, since: str = "2.11", tokenizer: bool = False) -> Pretrained:
    function = "SPARSE_TOKENIZE" if tokenizer else "SPARSE_ENCODING"
    return Pretrained(
        name=f"amazon/neural-sparse/opensearch-neural-sparse-{name}", versions=tuple(versions.split()), since=since,
        function_name=function, formats=_TS,
    )  # fmt: skip


def _cross(name: str) -> Pretrained:
    return Pretrained(
        name=f"huggingface/cross-encoders/{name}", versions=("1.0.2", "1.0.1", "1.0.0"), since="2.12",
        function_name="TEXT_SIMILARITY", formats=_BOTH,
    )  # fmt: skip


SHIPPED: tuple[Pretrained, ...] = (
    _dense("all-distilroberta-v1", "1.0.2 1.0.1", 768, "l2"),
    _dense("all-MiniLM-L6-v2", "1.0.2 1.0.1", 384, "l2"),
    _dense("all-MiniLM-L12-v2", "1.0.2 1.0.1", 384, "l2"),
    _dense("all-mpnet-base-v2", "1.0.2 1.0.1", 768, "l2"),
    _dense("msmarco-distilbert-base-tas-b", "1.0.3 1.0.2 1.0.1", 768, "innerproduct"),
    _dense("multi-qa-MiniLM-L6-cos-v1", "1.0.2 1.0.1", 384, "l2"),
    _dense("multi-qa-mpnet-base-dot-v1", "1.0.2 1.0.1", 768, "innerproduct"),
    _dense("paraphrase-MiniLM-L3-v2", "1.0.2 1.0.1", 384, "cosinesimil"),
    _dense("paraphrase-multilingual-MiniLM-L12-v2", "1.0.2 1.0.1", 384, "cosinesimil"),
    _dense("paraphrase-mpnet-base-v2", "1.0.1 1.0.0", 768, "cosinesimil"),
    _dense("distiluse-base-multilingual-cased-v1", "1.0.2 1.0.1", 512, "cosinesimil", _TS),
    _sparse("encoding-v1", "1.0.1 1.0.0"),
    _sparse("encoding-v2-distill", "1.0.0"),
    _sparse("encoding-doc-v1", "1.0.1 1.0.0"),
    _sparse("encoding-doc-v2-distill", "1.0.0"),
    _sparse("encoding-doc-v2-mini", "1.0.0"),
    _sparse("encoding-doc-v3-distill", "1.0.0", since="3.0"),
    _sparse("encoding-doc-v3-gte", "1.0.0", since="3.3"),
    _sparse("encoding-multilingual-v1", "1.0.0"),
    _sparse("tokenizer-v1", "1.0.1 1.0.0", tokenizer=True),
    _sparse("tokenizer-multilingual-v1", "1.0.0", tokenizer=True),
    _cross("ms-marco-MiniLM-L-6-v2"),
    _cross("ms-marco-MiniLM-L-12-v2"),
    Pretrained(
        name="amazon/sentence-highlighting/opensearch-semantic-highlighter-v1", versions=("1.0.0",), since="3.0",
        function_name="QUESTION_ANSWERING", formats=_TS,
    ),
)  # fmt: skip


def function_of(name: str) -> str:
    """Return the function of a model that the table does not have, by the family that its name says."""
    _, _, rest = name.partition("/")
    family, _, last = rest.partition("/")
    if family == "neural-sparse":
        return "SPARSE_TOKENIZE" if "tokenizer" in last else "SPARSE_ENCODING"
    known = {"cross-encoders": "TEXT_SIMILARITY", "sentence-highlighting": "QUESTION_ANSWERING"}
    return known.get(family, "METRICS_CORRELATION" if rest == "metrics_correlation" else "TEXT_EMBEDDING")


def refreshed(listing: Mapping[str, Any] | None) -> tuple[Pretrained, ...]:
    """Return the table with what a listing has beyond it.

    Args:
        listing: name → {version → formats}; null for the table as it is shipped.
    """
    found = {one.name: one for one in SHIPPED}
    for name, versions in (listing or {}).items():
        formats = tuple(dict.fromkeys(item for some in versions.values() for item in some))
        known = found.get(name)
        if known is None:
            ordered = tuple(sorted(versions, key=_numbers, reverse=True))
            found[name] = Pretrained(name=name, versions=ordered, function_name=function_of(name), formats=formats)
            continue
        every = tuple(sorted({*known.versions, *versions}, key=_numbers, reverse=True))
        found[name] = replace(known, versions=every, formats=tuple(dict.fromkeys((*known.formats, *formats))))
    return tuple(found.values())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.split("."))


def find(table: tuple[Pretrained, ...], name: str) -> Pretrained | None:
    """Return the model of a whole name, or of its last part where only one ends so; null where there is none."""
    ends = [one for one in table if name in {one.name, one.name.rpartition("/")[2]}]
    return ends[0] if len(ends) == 1 else None
