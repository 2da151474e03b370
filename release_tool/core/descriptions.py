"""The description of a release, in the server's characters, where nobody wrote one."""

from __future__ import annotations

from release_tool.core.escape import server_text
from release_tool.core.kinds import ModelKind


def describe(asked: str | None, card: str | None, kind: ModelKind) -> str:
    """Return the first of: what was asked for, what the card says, a sentence about the kind."""
    for text in (asked, card):
        served = server_text(text) if text else ""
        if served:
            return served
    return DEFAULT_DESCRIPTIONS[kind]


DEFAULT_DESCRIPTIONS = {
    ModelKind.DENSE: "This is a dense embedding model: it maps a text to one vector.",
    ModelKind.SPARSE: "This is a sparse encoding model: it maps a text to weighted tokens of its vocabulary.",
    ModelKind.SPARSE_TOKENIZER: (
        "This is a sparse tokenizer: it splits a query into tokens and gives each its fixed weight. "
        "It serves queries only, beside a sparse encoding model that serves documents."
    ),
    ModelKind.CROSS_ENCODER: "This is a cross-encoder: it scores how well a document answers a query.",
    ModelKind.QUESTION_ANSWERING: "This is a question answering model: it finds the answer to a question in a text.",
    ModelKind.HIGHLIGHTER: "This is a semantic highlighter: it chooses the sentences of a text that answer a query.",
    ModelKind.METRICS_CORRELATION: "This is a metrics correlation model: it finds events that many metrics share.",
}
"""Within the server's character set; a test holds that."""
