"""What a person asks for: the same inputs from a form, from flags or from a file.

``check`` finds every fault at once; nothing here looks at the hub or at a disk.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from release_tool.core.kinds import TRAITS, Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.opensearch import DEFAULT_TARGETS, KNOWN_VERSIONS
from release_tool.core.variants import Variant
from release_tool.errors import Fault

VERSION_PATTERN = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){0,3}")
"""One to four numeric parts without leading zeros: what the listing and ML Commons' paths accept."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""One path segment of an object key: no slash, no leading dot or hyphen, no space."""

MODEL_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
REVISION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
FOLDER_REVISION_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
COMMIT_PATTERN = re.compile(r"[0-9a-f]{40}")
RUN_ID_PATTERN = re.compile(r"[0-9]{1,20}")
LOGIN_PATTERN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:\[bot\])?")
"""A login of GitHub."""
AS_DECLARED = "as-declared"
"""Accepts the licence that the card declares, whatever it is: what a form's yes means."""
LICENCE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
MAX_DESCRIPTION = 2000
FORBIDDEN_KWARGS = frozenset(
    {
        "attn_implementation", "cache_dir", "config", "device_map", "force_download", "local_files_only",
        "output_loading_info", "pretrained_model_name_or_path", "proxies", "quantization_config", "revision",
        "state_dict", "subfolder", "token", "use_safetensors",
    }
)  # fmt: skip
"""Arguments of a loader that say which model, from where and how it is loaded: the plan says that."""

TOGETHER = frozenset({ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER})
"""The only kinds that one request may release together: an encoder and its query tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """The inputs of the form, one field each; ``None`` means the person left it blank."""

    model: str
    """A hub id ``org/name``, or the name of a folder (its last part; the path itself is no part of a release)."""
    version: str
    model_source: str = "huggingface"
    """First part of the object key: who stands behind the model (huggingface, amazon, ...)."""
    revision: str | None = None
    model_id: str | None = None
    """What to call a folder instead of ``local/<folder name>``; a hub's models have their own."""
    kinds: tuple[ModelKind, ...] = ()
    """Empty: detect from the snapshot."""
    formats: tuple[Format, ...] = ()
    """Empty: every format that kind and model allow (``--format both``)."""
    name: str | None = None
    prefix: str | None = None
    description: str | None = None
    embedding_dimension: int | None = None
    pooling_mode: PoolingMode | None = None
    normalize_result: bool | None = None
    prune_ratio: float | None = None
    activation: Activation | None = None
    model_init_kwargs: dict[str, Any] = field(default_factory=dict)
    idf: str | None = None
    """The sha256 of a file of token weights that replaces the model's own idf.json."""
    framework: Framework = Framework.SENTENCE_TRANSFORMERS
    target_versions: tuple[str, ...] = DEFAULT_TARGETS
    accept_licence: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    remote_code: tuple[str, ...] = ()
    """40-hex commits of the only code that may run; empty: whatever the model names, where code is allowed at all."""
    accepted_by: str | None = None
    """Login of who ran the form in which the licence was accepted."""
    overwrite: bool = False
    """The version is released already and is to be replaced; ``check`` looks up what exactly."""
    upload_target: str | None = None
    """Name of a target in the repository's settings."""
    tune_run_id: str | None = None
    """Workflow run whose fine-tuned model this is."""
    variants: tuple[Variant, ...] | None = None
    """What to make of ONNX: ``fp32`` or ``fused``, and ``int8``; null or empty: the fastest at float32 parity."""
    cpu_only: bool | None = None
    """Freeze TorchScript: faster to start with, and only for nodes without a GPU."""
    budgets: dict[str, float] | None = None
    """What an archive may cost, see ``core.speed.BUDGETS``; null where nothing was said."""


def closest(word: str, options: tuple[str, ...]) -> str:
    """Return ``did you mean X?`` for a misspelt word, or the list of options."""
    from difflib import get_close_matches

    match = get_close_matches(word, options, n=1)
    return f"did you mean {match[0]}?" if match else "one of " + ", ".join(options)


def check(request: ReleaseRequest, *, is_folder: bool) -> tuple[Fault, ...]:
    """Return every fault of a request; empty means that it can be planned."""
    return (*_identity_faults(request, is_folder=is_folder), *_kind_faults(request), *_setting_faults(request))


def _identity_faults(request: ReleaseRequest, *, is_folder: bool) -> list[Fault]:
    faults = []
    if not is_folder and not MODEL_ID_PATTERN.fullmatch(request.model):
        faults.append(Fault("MODEL", f"{request.model!r} is no folder here and no model id", "an id is org/name"))
    if not VERSION_PATTERN.fullmatch(request.version):
        faults.append(Fault("--version", f"{request.version!r} is no version", "1 to 4 numeric parts, such as 1.0.0"))
    names = (("--model-source", request.model_source), ("--name", request.name), ("--prefix", request.prefix))
    faults.extend(
        Fault(flag, f"{value!r} can't stand in an object key", "letters, digits, '.', '_' and '-'")
        for flag, value in names
        if value is not None and not NAME_PATTERN.fullmatch(value)
    )
    if request.revision is not None:
        if is_folder and request.tune_run_id is None:
            faults.append(Fault("--revision", "a folder has no revision", "its revision is the digest of its files"))
        elif is_folder and not FOLDER_REVISION_PATTERN.fullmatch(request.revision):
            hint = "sha256: and 64 digits, as the fine-tuning run shows it"
            faults.append(Fault("--revision", "is no revision of a fine-tuned model", hint))
        elif not is_folder and not REVISION_PATTERN.fullmatch(request.revision):
            faults.append(Fault("--revision", f"{request.revision!r} is no revision", "a branch, tag or commit"))
    faults += _folder_id_faults(request, is_folder=is_folder)
    faults += _origin_faults(request, is_folder=is_folder)
    if request.accept_licence is not None and not LICENCE_PATTERN.fullmatch(request.accept_licence):
        faults.append(Fault("--accept-licence", "not a licence identifier", "such as apache-2.0 or mit"))
    if request.description is not None and len(request.description) > MAX_DESCRIPTION:
        faults.append(Fault("--description", f"longer than {MAX_DESCRIPTION} characters"))
    return faults


def _folder_id_faults(request: ReleaseRequest, *, is_folder: bool) -> list[Fault]:
    if request.model_id is None:
        return []
    if not is_folder:
        return [Fault("--model-id", "a model of a hub has its own id", "leave it out: it is for a folder")]
    if not MODEL_ID_PATTERN.fullmatch(request.model_id):
        return [Fault("--model-id", f"{request.model_id!r} is no model id", "an id is org/name")]
    return []


def _origin_faults(request: ReleaseRequest, *, is_folder: bool) -> list[Fault]:
    """Return what is wrong with the commits, runs and people that a request names."""
    faults = [
        Fault("--remote-code", f"{commit[:60]!r} is no commit", "40 hexadecimal digits, as the hub shows them")
        for commit in request.remote_code
        if not COMMIT_PATTERN.fullmatch(commit)
    ]
    if request.accepted_by is not None and not LOGIN_PATTERN.fullmatch(request.accepted_by):
        faults.append(Fault("--accept-licence", "the event names nobody who could have accepted it"))
    if request.tune_run_id is not None:
        if not RUN_ID_PATTERN.fullmatch(request.tune_run_id):
            faults.append(Fault("--tune-run-id", "is no id of a run", "the number in the run's address"))
        elif not is_folder:
            faults.append(Fault("--tune-run-id", "belongs to a folder", "name the run's model as MODEL"))
    return faults


def _kind_faults(request: ReleaseRequest) -> list[Fault]:
    faults = []
    kinds = set(request.kinds)
    if len(kinds) > 1 and kinds != TOGETHER:
        faults.append(
            Fault("--kind", "these kinds can't be released together", "only sparse with sparse-tokenizer can")
        )
    for fmt in request.formats:
        impossible = [kind for kind in request.kinds if fmt not in TRAITS[kind].formats]
        # An encoder may have the format although its tokenizer (which has no model file) does not.
        if impossible and len(impossible) == len(request.kinds):
            faults.append(
                Fault(
                    "--format", f"{fmt} does not exist for {impossible[0]}", f"{TRAITS[impossible[0]].formats[0]} does"
                )
            )
    if not request.kinds:
        return faults
    sparse = bool(kinds & TOGETHER)
    dense = ModelKind.DENSE in kinds
    only_sparse = (("--prune-ratio", request.prune_ratio), ("--activation", request.activation))
    faults.extend(
        Fault(flag, f"means nothing for {request.kinds[0]}", "it belongs to sparse")
        for flag, value in only_sparse
        if value is not None and ModelKind.SPARSE not in kinds
    )
    if request.idf is not None and ModelKind.SPARSE_TOKENIZER not in kinds:
        faults.append(Fault("--idf", f"means nothing for {request.kinds[0]}", "it belongs to sparse-tokenizer"))
    only_dense = (
        ("--pooling-mode", request.pooling_mode),
        ("--normalize-result", request.normalize_result),
        ("--embedding-dimension", request.embedding_dimension),
    )
    faults.extend(
        Fault(flag, f"means nothing for {request.kinds[0]}", "it belongs to dense")
        for flag, value in only_dense
        if value is not None and (sparse or not dense)
    )
    if request.framework is not Framework.SENTENCE_TRANSFORMERS and not dense:
        faults.append(Fault("--framework", f"can't be chosen for {request.kinds[0]}", "it belongs to dense"))
    return faults


def _setting_faults(request: ReleaseRequest) -> list[Fault]:
    faults = []
    if request.embedding_dimension is not None and not 1 <= request.embedding_dimension <= 16000:
        faults.append(Fault("--embedding-dimension", "out of range", "1 to 16000, what a k-NN field accepts"))
    ratio = request.prune_ratio
    if ratio is not None and not (math.isfinite(ratio) and 0 <= ratio < 1):
        faults.append(Fault("--prune-ratio", f"{ratio} is out of range", "0 up to, not including, 1"))
    faults.extend(
        Fault("--target-versions", f"{version!r} is no OpenSearch version known here", closest(version, KNOWN_VERSIONS))
        for version in request.target_versions
        if version not in KNOWN_VERSIONS
    )
    if not request.target_versions:
        faults.append(Fault("--target-versions", "at least one is needed", ", ".join(DEFAULT_TARGETS)))
    if "trust_remote_code" in request.model_init_kwargs:
        faults.append(
            Fault(
                "--model-init-kwargs", "trust_remote_code can't be set here", "say it openly with --trust-remote-code"
            )
        )
    forbidden = FORBIDDEN_KWARGS
    faults.extend(
        Fault("--model-init-kwargs", f"{key!r} can't be set here", "the plan pins it")
        for key in sorted(forbidden & set(request.model_init_kwargs))
    )
    return faults
