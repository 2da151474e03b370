"""Rules about TorchScript.

Operators: the registered schemas of the torch wheels whose libtorch the servers load. Signatures: what DJL's PyTorch
engine passes for each of ML Commons' translators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.operators import Known
from release_tool.core.verdicts import Basis, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts, TorchScriptFacts
    from release_tool.core.verdicts import Target

MAX_CONTAINER = 10
"""kMaxSupportedFileFormatVersion of libtorch 1.12.1, 1.13.1 and 2.5.1."""
SDPA = "aten::scaled_dot_product_attention"
SEEN_SDPA = "2.19"
"""A real 2.19 node refused a model with SDPA by this name."""
DICT = "Dict[str, Tensor]"
EVENTS = f"List[{DICT}]"
BY_PLACE: dict[ModelKind | None, tuple[str, str]] = {
    ModelKind.QUESTION_ANSWERING: (
        "Start and end logits are read by their place, first and second.",
        "Return (start, end).",
    ),
    ModelKind.METRICS_CORRELATION: (
        "The tensors of the events are taken three at a time, by their keys.",
        f"Return {EVENTS}, each with event_window, event_pattern and suspected_metrics.",
    ),
}
"""Kind → (why another answer is useless, what to return)."""
SHOWN = 8


def container(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """The version of the file format."""
    script = facts.torch_script
    if script is None:
        return
    version = script.container_version
    if version is None or version > MAX_CONTAINER:
        yield Finding(
            rule="torch-container",
            severity=Severity.UNKNOWN if version is None else Severity.FATAL,
            what="The file does not say its format version."
            if version is None
            else f"The file has format version {version}.",
            why=f"libtorch there reads versions up to {MAX_CONTAINER}.",
            fix="Trace and save with a torch that writes version 10 (2.13 does).",
        )


def operators(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Every operator in the code must be registered in the libtorch of the version."""
    script = facts.torch_script
    if script is None:
        return
    known = {name: target.tables.torch.lookup(name, target.stack.libtorch) for name in script.operators}
    missing = [name for name, answer in known.items() if answer is Known.NO]
    unknown = [name for name, answer in known.items() if answer is Known.UNKNOWN]
    if missing:
        yield Finding(
            rule="torch-operator",
            severity=Severity.FATAL,
            what=f"The code calls {', '.join(missing[:SHOWN])}.",
            why=f"Unknown builtin op: {missing[0]}. libtorch there is older than the operator.",
            fix='Trace with attn_implementation="eager"; every version loads that.'
            if SDPA in missing
            else "Trace without the operator, or serve it from a later version on.",
            basis=Basis.MEASURED if SDPA in missing and target.version == SEEN_SDPA else Basis.DERIVED,
        )
    if unknown:
        yield Finding(
            rule="torch-operator",
            severity=Severity.UNKNOWN,
            what=f"The code calls {', '.join(unknown[:SHOWN])}, which no table here has.",
            why="Whether libtorch there has it is not known.",
            fix="Validate the archive on a node, or load it with the torch of that version.",
        )


def signature(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """``forward`` must take and return what the translator of the kind passes and reads."""
    script, kind = facts.torch_script, facts.kind
    if script is None or kind in (None, ModelKind.SPARSE_TOKENIZER):
        return
    if not script.inputs or not script.returns:
        yield Finding(
            rule="torch-signature",
            severity=Severity.UNKNOWN,
            what="The signature of forward could not be read.",
            why="Whether it takes what the server passes is not known.",
            fix="Validate the archive in the runtime ring.",
        )
        return
    wanted, fits = _wanted(facts, script)
    given = ", ".join(argument.type for argument in script.inputs)
    if not fits:
        yield Finding(
            rule="torch-signature",
            severity=Severity.FATAL,
            what=f"forward takes ({given[:200]}).",
            why=f"The server passes {wanted}: forward() Expected a value of another type.",
            fix=f"Wrap the model so that forward takes {wanted}.",
        )
    yield from _returned(kind, facts, script)


def _wanted(facts: ArchiveFacts, script: TorchScriptFacts) -> tuple[str, bool]:
    types = [argument.type for argument in script.inputs]
    if facts.kind is ModelKind.METRICS_CORRELATION:
        # Further arguments have defaults: the algorithm of opensearch-py-ml has two.
        return "one tensor", types[:1] == ["Tensor"]
    if facts.kind is ModelKind.DENSE and _transformers(facts):
        neuron = str(facts.model_config.get("framework_type", "")).lower().endswith("_neuron")
        counts = (2, 3) if neuron or facts.config is None else (2,)
        return "two tensors", len(types) in counts and set(types) == {"Tensor"}
    if facts.kind in (ModelKind.DENSE, ModelKind.SPARSE):
        return f"one {DICT}", types == [DICT]
    count = {ModelKind.CROSS_ENCODER: 3, ModelKind.QUESTION_ANSWERING: 2}.get(facts.kind or ModelKind.HIGHLIGHTER, 4)
    words = {2: "two", 3: "three", 4: "four"}
    return f"{words[count]} tensors", types == ["Tensor"] * count


def _transformers(facts: ArchiveFacts) -> bool:
    """Tell whether a dense model is served by the translator that pools; without a request the signature tells."""
    if facts.config is not None:
        return str(facts.model_config.get("framework_type", "")).lower() != "sentence_transformers"
    return facts.torch_script is not None and len(facts.torch_script.inputs) > 1


def _returned(kind: ModelKind | None, facts: ArchiveFacts, script: TorchScriptFacts) -> Iterator[Finding]:
    returns = script.returns
    key = {ModelKind.DENSE: "sentence_embedding", ModelKind.SPARSE: "output"}.get(kind or ModelKind.HIGHLIGHTER)
    if kind is ModelKind.DENSE and _transformers(facts):
        return
    if key is not None and returns == DICT and key not in script.strings:
        yield Finding(
            rule="torch-output-key",
            severity=Severity.WARNING,
            what=f"The code names no {key!r} among the keys it returns.",
            why="The key becomes the name of the answer, and clients ask for that name.",
            fix=f'Return {{"{key}": ...}}.',
        )
    wrong = {
        ModelKind.DENSE: returns != DICT,
        ModelKind.SPARSE: returns != DICT,
        ModelKind.QUESTION_ANSWERING: returns != "Tuple[Tensor, Tensor]",
        ModelKind.CROSS_ENCODER: returns not in ("Tensor", "Tuple[Tensor]"),
        ModelKind.HIGHLIGHTER: returns not in ("Tensor", "Tuple[Tensor]"),
        ModelKind.METRICS_CORRELATION: returns != EVENTS,
    }.get(kind or ModelKind.SPARSE_TOKENIZER, False)
    if wrong:
        yield Finding(
            rule="torch-returns",
            severity=Severity.FATAL if kind in BY_PLACE else Severity.WARNING,
            what=f"forward returns {returns[:120]}.",
            why=BY_PLACE[kind][0] if kind in BY_PLACE else "The answer has no name or holds more than the result.",
            fix=BY_PLACE[kind][1] if kind in BY_PLACE else f"Return {DICT}." if key else "Return one tensor.",
        )


def devices(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Nothing may be bound to a device."""
    script = facts.torch_script
    if script is None:
        return
    away = [name for name in (*script.storage_devices, *script.devices) if not name.startswith("cpu")]
    if away:
        yield Finding(
            rule="torch-device",
            severity=Severity.FATAL,
            what=f"The model was saved for the device {away[0]}.",
            why="The server loads without mapping: a node without that device can't load it.",
            fix="Move the model to the CPU before tracing and saving.",
        )
    elif script.devices:
        yield Finding(
            rule="torch-device-constant",
            severity=Severity.WARNING,
            what="The code names the device cpu.",
            why="On a GPU node: Expected all tensors to be on the same device.",
            fix="Take device constants out of the graph (release-tool trace does).",
        )


def constants(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Tensors that no node can move to its GPU: all weights of a frozen module."""
    script = facts.torch_script
    if (
        script is None
        or not script.constant_bytes
        or any(not name.startswith("cpu") for name in script.storage_devices)
    ):
        return
    yield Finding(
        rule="torch-cpu-only",
        severity=Severity.WARNING,
        what=f"CPU nodes only: tensors of {script.constant_bytes:,} bytes are constants, as freezing makes weights.",
        why="A node with a GPU moves parameters there and no constants: Expected all tensors to be on the same device.",
        fix="Serve it from nodes without a GPU, or trace without --cpu-only.",
    )


def leftovers(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """What does no harm on the server."""
    script = facts.torch_script
    if script is None:
        return
    if script.debug_files:
        yield Finding(
            rule="torch-debug",
            severity=Severity.NOTE,
            what=f"The file holds {script.debug_files} debug files with paths of the machine that traced.",
            why="The server does not mind; everybody can read them.",
            fix="Take the .debug_pkl files out (release-tool trace does).",
        )
    low = [name for name in script.weight_dtypes if name in ("float16", "bfloat16")]
    if low:
        yield Finding(
            rule="torch-dtype",
            severity=Severity.WARNING,
            what=f"Weights are {low[0]}.",
            why="The server can't put bfloat16 into an answer, and float16 is slow on a CPU.",
            fix="Save the weights as float32.",
        )


RULES = (container, operators, signature, devices, constants, leftovers)
