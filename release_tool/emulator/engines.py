"""The runtime of a format, opened on an unpacked model file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .onnx_header import OnnxLimits, check_limits

if TYPE_CHECKING:
    from pathlib import Path

    from .collect import Engine
    from .config import ServedConfig


def open_engine(path: Path, config: ServedConfig, limits: OnnxLimits | None, *, optimised: bool = False) -> Engine:
    """Load a model file.

    Args:
        path: the file.
        config: names the format.
        limits: of the server's onnxruntime, where another one stands in for it.
        optimised: TorchScript: let the runtime optimise the graph while it runs, as the server does.

    Raises:
        Refused: the server could not load it.
    """
    if config.model_format == "ONNX":
        from .onnx_engine import OnnxEngine

        if limits is not None:
            check_limits(path, limits)
        return OnnxEngine(path)
    from .torch_engine import TorchEngine

    return TorchEngine(path, optimised=optimised)
