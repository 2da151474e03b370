"""Where the servers' libraries can't be had, installed ones stand in: what the servers' would refuse is still refused.

A newer onnxruntime takes files that the server's does not. Its limits (``core.opensearch``, measured with its wheels)
go along with the request, and every refusal says that a stand-in gave it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from release_tool.core.opensearch import stack_of
from release_tool.errors import ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.services.runtime_env import RuntimeEnvironment


def limits_of(server: str) -> dict[str, Any]:
    """Return what the onnxruntime of an OpenSearch version takes, for ``emulator.onnx_header.OnnxLimits``."""
    stack = stack_of(server)
    opsets = {"": stack.max_opset, "ai.onnx.ml": stack.max_ml_opset}
    return {"onnxruntime": stack.onnxruntime, "ir": stack.max_ir, "opsets": opsets}


@contextmanager
def stand_in_named(environment: RuntimeEnvironment) -> Iterator[None]:
    """Let a refusal say that it comes from libraries that stand in for the servers'."""
    try:
        yield
    except ValidationFailed as refusal:
        if environment.pinned:
            raise
        raise ValidationFailed(f"Stand-in for the servers' versions: {refusal}", hint=refusal.hint) from refusal
