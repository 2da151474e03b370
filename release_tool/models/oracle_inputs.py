"""What every oracle needs: the plan's settings as transformers' keywords, the tokenizer, errors by their names."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.errors import MachineError, UnsupportedModel
from release_tool.models.pinned_code import trusts
from release_tool.models.starting import no_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

    from release_tool.core.kinds import ModelKind
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.probes import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that decides the oracle's answers."""

    plan: ReleasePlan
    kind: ModelKind
    snapshot: Path
    probes: tuple[Probe, ...]
    idf: Path | None = None
    """A file of token weights that replaces the model's own."""
    advance: Callable[[int], None] = lambda _: None
    """Told how many more probes are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The arrays of one kind and how they were made."""

    arrays: dict[str, np.ndarray]
    inputs: list[list[int]]
    """Token ids of each probe's input, after truncation."""
    batching: str = "padded"
    lengths: tuple[int, ...] = ()
    """Highlighter: tokens of each probe's first chunk; elsewhere those of ``inputs``."""
    texts: tuple[str, ...] = ()
    special_ids: tuple[int, ...] = field(default=())


def shared_keywords(plan: ReleasePlan) -> dict[str, Any]:
    """Return what tokenizer, config and model are loaded with: local files, remote code only as planned."""
    return {"local_files_only": True, "trust_remote_code": trusts(plan)}


def model_keywords(plan: ReleasePlan) -> dict[str, Any]:
    """Return how weights are loaded: float32 whatever the file says, safetensors unless the plan allows pickle.

    The attention is left to the library: the oracle answers as the source's own users get it.
    """
    import torch

    keywords = dict(plan.request.model_init_kwargs)
    keywords["dtype"] = torch.float32
    if not plan.request.allow_pickle:
        keywords["use_safetensors"] = True
    return keywords


@contextmanager
def loading(kind: ModelKind) -> Iterator[None]:
    """Name what libraries raise while a model is loaded."""
    try:
        with no_collection():
            yield
    except MemoryError as error:
        raise MachineError("Not enough memory to load the model for the comparison.") from error
    except (ValueError, OSError, KeyError, RuntimeError, ImportError, AttributeError) as error:
        raise UnsupportedModel(
            f"The source can't be loaded as {kind.value} by its own library: {error}",
            hint="Name the right --kind; a model with code of its own needs --trust-remote-code.",
        ) from error


def transformer_folder(question: Question) -> Path:
    """Return the folder of the transformer and its tokenizer inside the snapshot."""
    path = question.plan.source.model.transformer_path
    return question.snapshot / path if path else question.snapshot


def load_tokenizer(question: Question) -> Any:
    """Return transformers' own tokenizer of the snapshot."""
    import transformers

    with loading(question.kind):
        return transformers.AutoTokenizer.from_pretrained(
            transformer_folder(question), **shared_keywords(question.plan)
        )


def lowered(question: Question, text: str) -> str:
    """Return the text as sentence-transformers hands it to the tokenizer."""
    return text.lower() if question.plan.source.model.do_lower_case else text


def unpadded(features: Any) -> list[list[int]]:
    """Return the token ids of a padded batch without its padding, whichever side that is on."""
    return [
        ids[mask.bool()].tolist() for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
