"""The rules of compatibility, one small function each; ``RULES`` is the table that ``core.compat`` runs.

A rule takes the facts and the target version and yields what it finds. Sources: ML Commons' and DJL's code tag by tag,
onnxruntime, tokenizers and torch wheels of the servers' versions, and what a real node said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.rules import layout, metrics, onnx, pooling, register, tokenizer, torch_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.verdicts import Finding, Target

    Rule = Callable[[ArchiveFacts, Target], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    *layout.RULES,
    *register.RULES,
    *onnx.RULES,
    *torch_script.RULES,
    *pooling.RULES,
    *metrics.RULES,
    *tokenizer.RULES,
)
