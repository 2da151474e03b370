"""Say what a model is from the small files it brings along: its kind, and the facts that a plan needs.

Pure: reads through a callable and a list of files, decides by rules that are written down here, guesses nothing. A
kind that can't be told stays empty and the reason says what was seen; the planner turns that into a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.config import all_config_text
from release_tool.core.detect_kind import HEADS, Seen, kind_of, named_head
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import SERVER_MAX_LENGTH, Activation, ModelKind, PoolingMode
from release_tool.core.lengths import Settings, read_lengths
from release_tool.core.modeljson import (
    bad,
    get_count,
    get_number,
    get_texts,
    get_word,
    load_object,
    shown,
)
from release_tool.core.modules import Layout, read_layout, read_pooling, read_prompts, read_splade
from release_tool.core.plan import ModelFacts
from release_tool.core.scripts import scripted_module
from release_tool.core.weights import weights_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.modeljson import Reader
    from release_tool.core.plan import PlannedFile

SLOW_TOKENIZERS = (
    ("vocab.txt",), ("vocab.json", "merges.txt"), ("sentencepiece.bpe.model",), ("spiece.model",),
    ("tokenizer.model",), ("source.spm", "target.spm", "vocab.json"),
)  # fmt: skip
"""Sets of files that transformers can make a tokenizer.json from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What the files say."""

    model: ModelFacts
    kinds: tuple[ModelKind, ...]
    """Empty: can't be told."""
    reason: str
    """What the kind was told from, or what was seen and did not suffice."""


def detect(read: Reader, files: Sequence[PlannedFile], *, tags: Sequence[str] = ()) -> Detection:
    """Return kind and facts of a model.

    Args:
        read: path → bytes, ``None`` when absent.
        files: every file at the pinned revision.
        tags: of the card (``core.card``), lower case.

    Raises:
        UnsupportedModel: a file of the model is not what it must be; the text names the file.
    """
    script = scripted_module(file.path for file in files)
    if script is not None:
        size = next(file.size for file in files if file.path == script)
        model = ModelFacts(
            architecture=None, model_type=None, has_tokenizer_json=False, script_path=script, weight_bytes=size
        )
        reason = f"the TorchScript module {script} and no other model"
        return Detection(model=model, kinds=(ModelKind.METRICS_CORRELATION,), reason=reason)
    seen = _look(read, files, tuple(tags))
    kinds, reason = kind_of(seen)
    return Detection(model=_facts(seen, read, files), kinds=kinds, reason=reason)


def _look(read: Reader, files: Sequence[PlannedFile], tags: tuple[str, ...]) -> Seen:
    paths = {file.path for file in files}
    layout = read_layout(read)
    transformer = layout.find("Transformer", "MLMTransformer") or next(iter(layout.modules), None)
    folder = transformer.path if transformer else ""
    config_path = f"{folder}/config.json" if folder else "config.json"
    config = load_object(read, config_path) or {}
    architectures = get_texts(config, "architectures", config_path)
    if architectures:
        get_word({"architectures": architectures[0]}, "architectures", config_path)
    pooling = layout.find("Pooling")
    return Seen(
        layout=layout,
        prompts=read_prompts(read),
        config=config,
        config_path=config_path,
        architecture=architectures[0] if architectures else None,
        folder=folder,
        pooling=read_pooling(read, pooling) if pooling else None,
        idf_path=_idf_path(layout, paths),
        weights=weights_in(files, folder),
        tokenizer_path=_tokenizer_path(layout, folder, paths),
        tags=tags,
        num_labels=_num_labels(config, config_path),
    )


def _idf_path(layout: Layout, paths: set[str]) -> str | None:
    # Alone in its route: what stands behind it would change the weights.
    query = layout.query_modules or layout.modules
    static = query[0] if len(query) == 1 and query[0].name in ("SparseStaticEmbedding", "IDF") else None
    candidates = ["idf.json"]
    if static:
        candidates += [static.file("idf.json"), static.file("model.safetensors")]
    return next((path for path in candidates if path in paths), None)


def _tokenizer_path(layout: Layout, folder: str, paths: set[str]) -> str | None:
    folders = [folder, *(module.path for module in layout.all), ""]
    candidates = (f"{place}/tokenizer.json" if place else "tokenizer.json" for place in folders)
    return next((path for path in candidates if path in paths), None)


def _num_labels(config: dict[str, Any], path: str) -> int | None:
    """Return the classifier's outputs: transformers keeps the labels as a map and falls back to two."""
    labels = config.get("id2label")
    if labels is not None and not isinstance(labels, dict):
        raise bad(path, f"id2label is {shown(labels)}, expected a map")
    if labels:
        return len(labels)
    return get_count(config, "num_labels", path) or 2


# --- the facts --------------------------------------------------------------------------------------------------


def _facts(seen: Seen, read: Reader, files: Sequence[PlannedFile]) -> ModelFacts:
    layout, config, path = seen.layout, seen.config, seen.config_path
    own_length, lower = read_lengths(read, _settings(seen))
    strategy, activation = _splade(layout, read)
    tokenizer = next((file for file in files if file.path == seen.tokenizer_path), None)
    return ModelFacts(
        architecture=seen.architecture,
        model_type=get_word(config, "model_type", path),
        modules=tuple(module.name for module in layout.modules),
        pooling_mode=seen.pooling.mode if seen.pooling else None,
        pooling_words=seen.pooling.words if seen.pooling else None,
        pools_prompt=seen.pooling.include_prompt if seen.pooling else None,
        normalize=layout.find("Normalize") is not None if seen.pooling else None,
        embedding_dimension=_dimension(seen, read),
        dense_module=layout.find("Dense") is not None,
        max_length=min(own_length, SERVER_MAX_LENGTH) if own_length else None,
        own_max_length=own_length,
        query_prefix=seen.prompts.query,
        passage_prefix=seen.prompts.passage,
        default_prompt=seen.prompts.default,
        weights_dtype=_dtype(config, path),
        has_tokenizer_json=tokenizer is not None,
        tokenizer_path=seen.tokenizer_path,
        tokenizer_bytes=tokenizer.size if tokenizer else None,
        tokenizer_sources=_slow_tokenizer(seen.folder, files) if tokenizer is None else None,
        has_idf=seen.idf_path is not None and seen.idf_path.endswith(".json"),
        idf_path=seen.idf_path,
        alpha=get_number(config, "alpha", path),
        weight_bytes=seen.weights.size + _module_weights(layout, seen.folder, files),
        weights_format=_worst_format(layout, seen, files),
        pooling_strategy=strategy,
        activation=activation,
        num_labels=seen.num_labels if named_head(ModelKind.CROSS_ENCODER, seen.architecture or "") else None,
        do_lower_case=lower,
        transformer_path=seen.folder,
        similarity=seen.prompts.similarity,
        config_sha256=sha256_bytes(all_config_text(config).encode()),
    )


def _settings(seen: Seen) -> Settings:
    return Settings(
        config=seen.config,
        config_path=seen.config_path,
        folder=seen.folder,
        has_modules=bool(seen.layout.modules),
        tokenizer_path=seen.tokenizer_path,
    )


def _splade(layout: Layout, read: Reader) -> tuple[str | None, Activation | None]:
    module = layout.find("SpladePooling")
    return read_splade(read, module) if module else (None, None)


def _dtype(config: dict[str, Any], path: str) -> str | None:
    word = get_word(config, "dtype", path) or get_word(config, "torch_dtype", path)
    return word.removeprefix("torch.") if word else None


def _dimension(seen: Seen, read: Reader) -> int | None:
    """Return the size of the released vector: the last module that changes it decides."""
    if seen.pooling is None:
        if any(named_head(kind, seen.architecture or "") for kind in HEADS):
            return None
        return get_count(seen.config, "hidden_size", seen.config_path) or get_count(
            seen.config, "dim", seen.config_path
        )
    width = seen.pooling.dimension
    size = width * len(seen.pooling.words) if width else None
    for module in seen.layout.modules:
        if module.name == "Dense":
            file = module.file("config.json")
            size = get_count(load_object(read, file) or {}, "out_features", file)
    return size


def _slow_tokenizer(folder: str, files: Sequence[PlannedFile]) -> tuple[str, ...] | None:
    paths = {file.path for file in files}
    for names in SLOW_TOKENIZERS:
        wanted = tuple(f"{folder}/{name}" if folder else name for name in names)
        if paths.issuperset(wanted):
            return wanted
    return None


def _module_weights(layout: Layout, folder: str, files: Sequence[PlannedFile]) -> int:
    return sum(weights_in(files, module.path).size for module in layout.modules if module.path not in ("", folder))


def _worst_format(layout: Layout, seen: Seen, files: Sequence[PlannedFile]) -> str | None:
    formats = {weights_in(files, module.path).format for module in layout.modules if module.path}
    if seen.weights.format == "safetensors" and "pickle" in formats:
        return "pickle"
    return seen.weights.format


def pooling_or_default(facts: ModelFacts, asked: PoolingMode | None) -> PoolingMode | None:
    """Return the pooling of a dense model: its own, else what was asked for, else mean; null for joined vectors."""
    if facts.pooling_words:
        return facts.pooling_mode
    return asked or PoolingMode.MEAN
