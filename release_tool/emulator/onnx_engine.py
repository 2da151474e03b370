"""DJL's OnnxRuntime engine: the file is loaded from a path, tensors are fed by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .faults import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from .feeds import Feed


_ORIGIN = re.compile(r"/onnxruntime_src/\S+:\d+ .*?\)(?=\s[A-Z])\s*")
"""Where in onnxruntime's own sources an error was raised: a file, a line and a C++ signature."""


def reason(words: str, path: Path) -> str:
    """Return the runtime's words without our path and its source lines: what is wrong comes first and is not cut."""
    return _ORIGIN.sub("", words.replace(f"Load model from {path} failed:", ""))


class OnnxEngine:
    """One session, one thread, the server's default optimisations."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.versions = {"onnxruntime": onnxruntime.__version__}
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Refused(f"ONNX Model cannot be loaded: {reason(str(error), path)}") from error
        self.inputs: list[str] | None = [item.name for item in self.session.get_inputs()]
        self.outputs = [item.name for item in self.session.get_outputs()]

    def run(self, feed: Feed) -> list[tuple[str | None, Any]]:
        """Return the outputs in the graph's order; their names do not reach the server's translators.

        Raises:
            Refused: count or name of an input differs, or the runtime fails.
        """
        known = self.inputs or []
        if len(feed) != len(known):
            raise Refused(f"Input mismatch, looking for: [{', '.join(known)}]")
        container = {}
        for name, array in feed:
            if name is None or name not in known:
                raise Refused(f"Invalid input tensor name: {name}")
            container[name] = array
        try:
            results = self.session.run(None, container)
        except Exception as error:
            raise Refused(str(error)) from error
        return [(None, result) for result in results]
