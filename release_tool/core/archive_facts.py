"""What an archive and its register request are, as read from their bytes without loading the model.

These types say nothing about servers; ``core.compat`` judges them. Every text in them was written by somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from release_tool.core.kinds import Format, ModelKind

MODEL_SUFFIXES = {".pt": Format.TORCH_SCRIPT, ".onnx": Format.ONNX}
"""What ML Commons takes for a model file (``ModelHelper``): the end of the name, in lower case only."""

TOKENIZER_FILE = "tokenizer.json"
SENTENCE_HIGHLIGHTING = "sentence_highlighting"
"""The model_type that turns QUESTION_ANSWERING into the highlighter."""

STORED = 0
DEFLATED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the zip, as its directory lists it."""

    name: str
    size: int
    """Bytes, unpacked."""
    packed: int
    method: int
    """0 stored, 8 deflated; Java reads no other."""

    @property
    def at_root(self) -> bool:
        """Whether it lies in no folder."""
        return "/" not in self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of an ONNX graph."""

    name: str
    dtype: str
    """``int64``, ``float32``, ...; ``type 21`` for a number that has no name here; empty when not declared."""
    shape: tuple[str, ...] | None
    """A number, the name of a symbol, or empty for an unnamed dimension; null when not declared."""

    @property
    def rank(self) -> int | None:
        """Number of dimensions; null when not declared."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFacts:
    """What an ONNX file declares; the weights themselves were not read."""

    ir_version: int
    opsets: dict[str, int]
    """Domain → opset; the standard domain is the empty name."""
    operators: tuple[str, ...]
    """Sorted ``domain::Name`` of every node, those of subgraphs and functions too."""
    inputs: tuple[Tensor, ...]
    """What a server must feed: inputs that are no initialisers."""
    outputs: tuple[Tensor, ...]
    external: tuple[str, ...] = ()
    """Files that hold weights outside of the graph."""
    functions: tuple[str, ...] = ()
    """``domain::Name`` of functions that the model brings along."""
    weight_dtypes: tuple[str, ...] = ()
    int8_weights: tuple[str, ...] = ()
    """Sorted names of the initialisers in eight bits."""
    leaks: tuple[str, ...] = ()
    """Paths of the builder found in doc strings and metadata; at most a few."""
    producer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of ``forward``."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchScriptFacts:
    """What a TorchScript file says in its code and its pickles; nothing was unpickled, no weight was read."""

    container_version: int | None
    operators: tuple[str, ...]
    """Sorted ``namespace::name`` of every call in the code."""
    inputs: tuple[Argument, ...]
    """Arguments of the root module's ``forward`` without self."""
    returns: str
    """The type that ``forward`` returns; empty when it could not be read."""
    devices: tuple[str, ...] = ()
    """Device constants in the code, such as ``cpu`` and ``cuda:0``."""
    storage_devices: tuple[str, ...] = ()
    """Where the weights lay when they were saved."""
    weight_dtypes: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    """Keys of the dictionaries that the code returns, such as ``sentence_embedding``."""
    constant_bytes: int = 0
    """Of tensors that are constants of the code, single numbers left aside; of all weights where it was frozen."""
    debug_files: int = 0
    """How many ``.debug_pkl`` there are: they hold source paths of the machine that traced."""
    serialization_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """tokenizer.json's ``truncation``."""

    max_length: int
    strategy: str
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """What decides whether and how the server's tokenizers library reads tokenizer.json."""

    model_type: str
    truncation: Truncation | None
    fixed_padding: int | None
    """Length that every text is padded to; null when padding is off or only to the longest."""
    pad_to_multiple_of: int | None = None
    merges: str | None = None
    """``pairs`` or ``strings`` for BPE with merges, else null."""
    vocabulary: int = 0
    byte_fallback: bool = False
    ignore_merges: bool = False
    components: tuple[str, ...] = ()
    """Sorted ``place:Type`` of every normalizer, pre_tokenizer, post_processor and decoder."""
    metaspace_prepend_scheme: str | None = None
    metaspace_split: bool | None = None
    metaspace_plain: bool = True
    """False where a Metaspace lacks ``add_prefix_space``, which tokenizers before 0.19 demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """One archive and, when there is one, the register request that goes with it."""

    file_name: str
    sha256: str
    size: int
    entries: tuple[Entry, ...]
    model_file: str | None = None
    """The model that was looked into: the one at the root, else the first one anywhere; null without any."""
    model_size: int = 0
    format: Format | None = None
    """What the bytes of the model file are, whatever its name says; null when they are neither."""
    onnx: OnnxFacts | None = None
    torch_script: TorchScriptFacts | None = None
    model_problem: str | None = None
    """Why the model file could not be read."""
    tokenizer: TokenizerFacts | None = None
    tokenizer_problem: str | None = None
    """Why tokenizer.json could not be read."""
    has_idf: bool = False
    config: dict[str, Any] | None = None
    """The register request in the order of its keys; null when none was given."""

    @property
    def function_name(self) -> str | None:
        """The request's function_name in capitals; TEXT_EMBEDDING when it is missing; null without a request."""
        if self.config is None:
            return None
        value = self.config.get("function_name")
        return value.upper() if isinstance(value, str) else "TEXT_EMBEDDING"

    @property
    def model_config(self) -> dict[str, Any]:
        """The request's model_config; empty when there is none or it is no object."""
        value = (self.config or {}).get("model_config")
        return value if isinstance(value, dict) else {}

    @property
    def declared_format(self) -> Format | None:
        """The request's model_format, else what the name of the model file says."""
        value = (self.config or {}).get("model_format")
        if isinstance(value, str):
            return next((fmt for fmt in Format if fmt.value == value.lower()), None)
        for suffix, fmt in MODEL_SUFFIXES.items():
            if (self.model_file or "").endswith(suffix):
                return fmt
        return None

    @property
    def models(self) -> tuple[Entry, ...]:
        """Entries that ML Commons takes for model files, at any depth."""
        return tuple(entry for entry in self.entries if entry.name.endswith(tuple(MODEL_SUFFIXES)))

    @property
    def kind(self) -> ModelKind | None:
        """What the request says the model is, else what its signature looks like; null when neither tells."""
        name = self.function_name
        if name is not None:
            if name == "QUESTION_ANSWERING":
                highlights = self.model_config.get("model_type") == SENTENCE_HIGHLIGHTING
                return ModelKind.HIGHLIGHTER if highlights else ModelKind.QUESTION_ANSWERING
            return _KIND_OF_FUNCTION.get(name)
        return self._guessed_kind()

    def _guessed_kind(self) -> ModelKind | None:
        if not self.models:
            return ModelKind.SPARSE_TOKENIZER if self.tokenizer is not None else None
        if self.onnx is not None:
            names = {tensor.name for tensor in self.onnx.inputs}
            if names & {"input1.input_ids", "input1.attention_mask"}:
                return ModelKind.SPARSE
            ranks = [tensor.rank for tensor in self.onnx.outputs]
            fixed = [tensor.shape[-1] for tensor in self.onnx.outputs if tensor.shape]
            return ModelKind.CROSS_ENCODER if ranks == [2] and fixed == ["1"] else ModelKind.DENSE
        script = self.torch_script
        return None if script is None else _guess_script(script)


def _guess_script(script: TorchScriptFacts) -> ModelKind | None:
    if script.returns == "List[Dict[str, Tensor]]":
        return ModelKind.METRICS_CORRELATION
    if len(script.inputs) == 1:
        return ModelKind.DENSE if "sentence_embedding" in script.strings else ModelKind.SPARSE
    if len(script.inputs) == 4:
        return ModelKind.HIGHLIGHTER
    if len(script.inputs) == 3:
        return ModelKind.CROSS_ENCODER
    if len(script.inputs) == 2:
        return ModelKind.QUESTION_ANSWERING if script.returns.startswith("Tuple[") else ModelKind.DENSE
    return None


_KIND_OF_FUNCTION = {
    "TEXT_EMBEDDING": ModelKind.DENSE,
    "SPARSE_ENCODING": ModelKind.SPARSE,
    "SPARSE_TOKENIZE": ModelKind.SPARSE_TOKENIZER,
    "TEXT_SIMILARITY": ModelKind.CROSS_ENCODER,
    "METRICS_CORRELATION": ModelKind.METRICS_CORRELATION,
}
