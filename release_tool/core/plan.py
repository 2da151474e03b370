"""The release plan: everything is decided and named here, and nowhere else.

``SourceFacts`` is what ``plan`` read at the pinned revision (small files only); ``make_plan`` turns a checked
request and those facts into a ``ReleasePlan``, or lists every reason why it can't.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.request import ReleaseRequest
from release_tool.core.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file of the source at the pinned revision."""

    path: str
    """POSIX, relative to the root of the model."""
    size: int
    """Bytes."""
    digest: str
    """``sha256:<hex>`` (large files of a hub, every file of a folder) or ``git-sha1:<hex>`` (a git blob)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCode:
    """One file of Python that the model brings along, allowed by name."""

    repo: str
    """``org/name`` on the hub."""
    revision: str
    """40-hex commit of that repository."""
    path: str
    digest: str
    """As in ``PlannedFile``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceFacts:
    """What the card says and what a person accepted; a missing or unlisted licence never stops tracing."""

    declared: str | None
    """The card's ``license`` field, as written; null when there is none."""
    listed: bool
    """Whether it is one of the licences that need no acceptance."""
    accepted: str | None = None
    """The licence a person named with --accept-licence, or the declared one where a form was answered with yes."""
    accepted_by: str | None = None
    """Login of that person, where a form was filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the snapshot's own files say, read at plan time; null where they say nothing."""

    architecture: str | None
    """First of config.json's ``architectures``."""
    model_type: str | None
    """config.json's ``model_type``; decides the inputs of an ONNX graph on the server."""
    modules: tuple[str, ...] = ()
    """Class names of modules.json, in order (Transformer, Pooling, Dense, Normalize, ...); empty without one."""
    pooling_mode: PoolingMode | None = None
    normalize: bool | None = None
    embedding_dimension: int | None = None
    dense_module: bool = False
    max_length: int | None = None
    """Tokens: the model's own max_seq_length, else its tokenizer's or position limit, at most 512."""
    query_prefix: str | None = None
    passage_prefix: str | None = None
    weights_dtype: str | None = None
    """``float32``, ``float16``, ``bfloat16``: what most numbers of the weights are, else what config.json declares."""
    has_tokenizer_json: bool = True
    has_idf: bool = False
    alpha: float | None = None
    """Highlighter: the back-off threshold, null for the default 0.05."""
    weight_bytes: int = 0
    """Bytes on disk of every weight file that is loaded."""
    parameters: int | None = None
    """Numbers of floating point in the safetensors files, by their headers; null for pickle and without weights."""
    own_max_length: int | None = None
    """Tokens: as ``max_length``, before the server's limit cut it."""
    pooling_words: tuple[str, ...] | None = None
    """The Pooling module's own words; several mean joined vectors, which leave ``pooling_mode`` null."""
    pools_prompt: bool | None = None
    """False where the model leaves the prompt's tokens out of its pooling."""
    default_prompt: str | None = None
    """A non-empty prompt that the model's encode puts before every text."""
    pooling_strategy: str | None = None
    """Sparse: ``max`` or ``sum`` as the SpladePooling module says."""
    activation: Activation | None = None
    """Sparse: from the SpladePooling module."""
    num_labels: int | None = None
    """Cross-encoder: outputs of the classifier."""
    do_lower_case: bool | None = None
    """True where sentence-transformers lower-cases the text before the tokenizer, whatever the tokenizer does."""
    transformer_path: str | None = None
    """Folder of the transformer inside the model; empty is the root."""
    tokenizer_path: str | None = None
    """Path of tokenizer.json inside the model; null without one."""
    tokenizer_bytes: int | None = None
    tokenizer_sources: tuple[str, ...] | None = None
    """Files of a slow tokenizer that tokenizer.json can be made from."""
    idf_path: str | None = None
    """Path of the token weights inside the model: an idf.json, or the safetensors of a SparseStaticEmbedding."""
    weights_format: str | None = None
    """``safetensors`` or ``pickle``; null without weights."""
    similarity: str | None = None
    """The model's own ``similarity_fn_name``; null where it names none."""
    config_sha256: str | None = None
    """Of ``core.config.all_config_text`` over the transformer's config.json, an empty object where there is none: what
    the register request carries is held against it. Null for a TorchScript module, which has no such file."""
    script_path: str | None = None
    """Metrics correlation: path of the TorchScript module, which is all the model there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """The pinned source, as ``plan`` saw it."""

    origin: str
    """``hub`` or ``folder``."""
    model_id: str
    """``org/name``; ``local/<folder name>`` for a folder."""
    revision: str
    """40-hex commit, or ``sha256:<hex>`` over the files of a folder."""
    requested_revision: str | None
    files: tuple[PlannedFile, ...]
    licence: LicenceFacts
    model: ModelFacts
    remote_code: tuple[RemoteCode, ...] = ()
    description: str | None = None
    """From the card: the first sentences about the model, free of markup, not yet in the server's characters."""
    kinds: tuple[ModelKind, ...] = ()
    """Detected from the snapshot."""
    kind_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArtifact:
    """One archive to make, with every name it will ever have."""

    id: str
    """``torch_script``, ``onnx``, ``onnx-int8``, ``tokenizer``. Part of document names."""
    kind: ModelKind
    format: Format
    variant: Variant
    """How the model file is made; releases before there were variants say ``fp32`` of every archive."""
    model_name: str
    registered_name: str
    """``{model_source}/{prefix}/{model_name}``: what a pretrained register request names."""
    file_name: str
    key: str
    """Object key of the archive."""
    config_key: str
    expected_bytes: int
    """About the size of the archive: weights as the variant has them, and the tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A format that was not asked for by name and is not made, with the reason."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """Largest differences that still count as equal; recorded in the plan so that an approver sees them."""

    dense_runtime: float = 1e-5
    """Times max(1, max|reference|): float32 rounding of one forward pass. Of metrics correlation, too: there of the
    patterns."""
    dense_node: float = 1e-4
    """The same on the node, whose answers travel as JSON."""
    sparse_threshold: float = 1e-3
    """Tokens above this weight must be the same set."""
    sparse_weight: float = 1e-3
    logit: float = 1e-4
    answer_margin: float = 1e-3
    """Question answering on the node: answers must agree where the oracle's margin is larger."""
    highlight_margin: float = 1e-4
    """Highlighter: indices must agree unless a probability is this close to the threshold."""
    int8_cosine: float | None = 0.97
    """An int8 archive's dense or sparse vector of each probe: least cosine to the oracle's; a larger one is
    stricter. Null in older plans."""
    int8_norm: float | None = 0.05
    """The length of an int8 archive's dense vector: largest difference from the oracle's, as a share of it."""
    int8_logit: float | None = 0.1
    """An int8 archive's logit of each probe: largest difference from the oracle's, as a share of the spread (largest
    less smallest) of the oracle's logits over all probes. Null in older plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePlan:
    """plan.json."""

    SCHEMA: ClassVar[str] = "release-tool/plan@1"

    schema: str = "release-tool/plan@1"
    uses: dict[str, str] = field(default_factory=dict)
    tool_version: str
    request: ReleaseRequest
    source: SourceFacts
    kinds: tuple[ModelKind, ...]
    prefix: str
    target_versions: tuple[str, ...]
    attention: str
    """``eager`` when any target is below 3.0 (libtorch 1.13.1 has no SDPA), else ``sdpa``."""
    max_length: int
    """Tokens, at most 512; the truncation written into tokenizer.json and the length the oracle runs at."""
    pooling_mode: PoolingMode | None
    normalize_result: bool | None
    framework: Framework
    prune_ratio: float
    activation: str
    description: str
    """Normalised to the server's character set."""
    artifacts: tuple[PlannedArtifact, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    tolerances: Tolerances
    limits: dict[str, int]
    """Bytes: ``archive_bytes``, ``onnx_bytes``; tokens: ``max_length``."""
    lineage: dict[str, Any] | None = None
    """How the model was fine-tuned (lineage.json of a model folder), null when it was not."""
    replaces: dict[str, str] | None = None
    """Object key → sha256 that this release overwrites on purpose; null for a normal release."""
    budgets: dict[str, float] | None = None
    """What an archive may cost, see ``core.speed.BUDGETS``; ``bench`` judges it."""
    to: str | None = None
    """Address of the bucket that ``request.upload_target`` names; null where no target was named."""

    def artifact(self, artifact_id: str) -> PlannedArtifact:
        """Return the artifact with this id.

        Raises:
            KeyError: the plan has no such artifact.
        """
        for artifact in self.artifacts:
            if artifact.id == artifact_id:
                return artifact
        raise KeyError(artifact_id)
