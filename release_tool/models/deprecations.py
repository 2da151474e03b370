"""The only warnings that are silenced, each by its exact message and only around the call that gives it.

ML Commons loads TorchScript and ONNX of opset 17 at most; torch has deprecated both writers in favour of formats that
no OpenSearch can load (docs/adr/0005-deprecated-writers.md).
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = (
    "`torch.jit.trace` is deprecated. Please switch to `torch.compile` or `torch.export`.",
    "`torch.jit.trace_method` is deprecated. Please switch to `torch.compile` or `torch.export`.",
    "`torch.jit.script` is deprecated. Please switch to `torch.compile` or `torch.export`.",
    "`torch.jit.freeze` is deprecated. Please use `torch.compile` instead.",
    "`torch.jit.save` is deprecated. Please switch to `torch.export`.",
    "`torch.jit.load` is deprecated. Please switch to `torch.export`.",
    (
        "You are using the legacy TorchScript-based ONNX export. Starting in PyTorch 2.9, the new torch.export-based "
        "ONNX exporter has become the default."
    ),
    # The older exporter's own helpers, which it calls itself.
    "The feature will be removed. Please remove usage of this function",
)


@contextmanager
def deprecated_writers() -> Iterator[None]:
    """Call torch's deprecated writers without their own deprecation warnings; every other warning passes."""
    with warnings.catch_warnings():
        for message in MESSAGES:
            warnings.filterwarnings("ignore", message=re.escape(message), category=DeprecationWarning)
        yield
