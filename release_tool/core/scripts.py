"""Metrics correlation comes as a TorchScript module: one ``*.pt`` at the root of a source that holds no other model.

There is nothing that transformers could load: no tokenizer, no config.json, no weights beside. What else lies there
(README.md, LICENSE) is taken as of any model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_OTHER_MODELS = frozenset({"config.json", "modules.json", "idf.json"})
TOKENIZERS = frozenset({"tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model"})
OTHER_WEIGHTS = (".safetensors", ".bin", ".onnx", ".h5", ".msgpack")

EVENT_FIELDS = ("event_window", "event_pattern", "suspected_metrics")
"""Keys of an event, as ML Commons names the tensors that it reads."""


def scripted_module(paths: Iterable[str]) -> str | None:
    """Return the path of the TorchScript module, null where the source is something else or holds several."""
    at_root = {path for path in paths if "/" not in path}
    scripts = [path for path in at_root if path.endswith(".pt")]
    other = at_root & (OF_OTHER_MODELS | TOKENIZERS) or any(path.endswith(OTHER_WEIGHTS) for path in at_root)
    return scripts[0] if len(scripts) == 1 and not other else None
