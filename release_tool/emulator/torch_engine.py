"""DJL's PyTorch engine: names with a dot make one dictionary argument, all others are positional."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .faults import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from .feeds import Feed


class TorchEngine:
    """One TorchScript module on one thread of the CPU."""

    inputs: list[str] | None = None

    def __init__(self, path: Path, *, optimised: bool = False) -> None:
        import torch

        self.torch = torch
        # Every probe has another length: optimising the graph for each costs more than it saves. The server does it.
        self.optimised = optimised
        torch.set_num_threads(1)
        with suppress(RuntimeError):  # Refused once threads have started: only where a test runs us in its own process.
            torch.set_num_interop_threads(1)
        self.versions = {"torch": torch.__version__.split("+")[0]}
        try:
            self.module: Any = torch.jit.load(str(path), map_location="cpu")
        except Exception as error:
            raise Refused(first_line(error)) from error

    def run(self, feed: Feed) -> list[tuple[str | None, Any]]:
        """Return the outputs flat, under their keys where the graph answers with a dictionary.

        Raises:
            Refused: the signature does not fit, or the graph fails.
        """
        arguments: list[Any] = []
        groups: dict[str, dict[str, Any]] = {}
        for name, array in feed:
            tensor = self.torch.from_numpy(array)
            if name is not None and "." in name:
                group, key = name.split(".", 1)
                if group not in groups:
                    groups[group] = {}
                    arguments.append(groups[group])
                groups[group][key] = tensor
            else:
                arguments.append(tensor)
        try:
            with self.torch.no_grad(), self.torch.jit.optimized_execution(self.optimised):
                answer = self.module(*arguments)
        except Exception as error:
            raise Refused(first_line(error)) from error
        return [(name, self._array(tensor)) for name, tensor in self._flat(answer, None)]

    def _flat(self, value: Any, name: str | None) -> list[tuple[str | None, Any]]:
        if self.torch.is_tensor(value):
            return [(name, value)]
        if isinstance(value, dict):
            return [pair for key, item in value.items() for pair in self._flat(item, str(key))]
        if isinstance(value, (list, tuple)):
            return [pair for item in value for pair in self._flat(item, None)]
        raise Refused(f"Unsupported IValue type: {type(value).__name__}")

    def _array(self, tensor: Any) -> Any:
        if tensor.dtype == self.torch.bfloat16:
            raise Refused("No enum constant MLResultDataType.BFLOAT16")
        return tensor.detach().numpy()


def first_line(error: Exception) -> str:
    """Return what an error says at its end: TorchScript puts the graph's trace before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(("RuntimeError:", "IndexError:", "builtins.")):
            return line
    return lines[0] if lines else type(error).__name__
