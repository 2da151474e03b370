"""OpenSearch versions and the libraries that each of them loads models with.

Source: ML Commons' build files and DJL's, tag by tag; the limits of onnxruntime were measured with its wheels.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What one range of OpenSearch versions loads models with."""

    first: str
    last: str
    djl: str
    libtorch: str
    onnxruntime: str
    max_opset: int
    max_ir: int
    max_ml_opset: int
    tokenizers: str


STACKS: tuple[Stack, ...] = (
    Stack(first="2.4", last="2.4", djl="0.19.0", libtorch="1.12.1", onnxruntime="1.12.1", max_opset=17, max_ir=8,
          max_ml_opset=3, tokenizers="0.12.0"),
    Stack(first="2.5", last="2.8", djl="0.19.0", libtorch="1.12.1", onnxruntime="1.13.1", max_opset=17, max_ir=8,
          max_ml_opset=3, tokenizers="0.12.0"),
    Stack(first="2.9", last="2.14", djl="0.21.0", libtorch="1.13.1", onnxruntime="1.14.0", max_opset=18, max_ir=8,
          max_ml_opset=3, tokenizers="0.13.2"),
    Stack(first="2.15", last="2.18", djl="0.28.0", libtorch="1.13.1", onnxruntime="1.16.3", max_opset=19, max_ir=9,
          max_ml_opset=3, tokenizers="0.19.1"),
    Stack(first="2.19", last="2.19", djl="0.31.1", libtorch="1.13.1", onnxruntime="1.16.3", max_opset=19, max_ir=9,
          max_ml_opset=3, tokenizers="0.20.3"),
    Stack(first="3.0", last="3.9", djl="0.31.1", libtorch="2.5.1", onnxruntime="1.16.3", max_opset=19, max_ir=9,
          max_ml_opset=3, tokenizers="0.20.3"),
)  # fmt: skip

KNOWN_VERSIONS: tuple[str, ...] = (
    *(f"2.{minor}" for minor in range(4, 20)),
    *(f"3.{minor}" for minor in range(10)),
)


DEFAULT_TARGETS = ("2.19", "3.6")
"""What a release must serve where nobody says otherwise: the last of the second line, and the pinned node's."""


def number(version: str) -> tuple[int, ...]:
    """Return a version as numbers, so that 2.19 comes after 2.4."""
    return tuple(int(part) for part in version.split("."))


def stack_of(version: str) -> Stack:
    """Return the libraries of an OpenSearch version.

    Raises:
        KeyError: not a version of ``KNOWN_VERSIONS``.
    """
    wanted = number(version)[:2]
    for stack in STACKS:
        if number(stack.first) <= wanted <= number(stack.last):
            return stack
    raise KeyError(version)


def any_below(versions: tuple[str, ...], limit: str) -> bool:
    """Tell whether any version is older than ``limit``."""
    return any(number(version) < number(limit) for version in versions)
