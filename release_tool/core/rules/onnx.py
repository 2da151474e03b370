"""Rules about ONNX graphs.

Limits of IR and opsets were measured with the servers' onnxruntime wheels; what is fed and read is ML Commons'
translators' and DJL's OrtSymbolBlock's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.operators import Known
from release_tool.core.verdicts import Basis, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts, OnnxFacts, Tensor
    from release_tool.core.verdicts import Target

BASE_INPUTS = ("input_ids", "attention_mask")
TYPE_INPUT = "token_type_ids"
SPARSE_INPUTS = ("input1.input_ids", "input1.attention_mask")
"""The sparse translator names its tensors so; a real 3.6 node served a graph with these inputs."""
THREE_INPUT_TYPES = ("bert", "albert")
"""model_type, whatever its case, for which the dense translator feeds token types."""
CROSS_ENCODER_ASKS_SINCE = "3.9"
"""From here on the translator asks the graph whether it wants token types (ml-commons #4946)."""
SEEN_NODE = "3.6"
"""Version of the real node whose refusals are known word by word."""
SEEN_IR = 10
OTHER_OPERATORS = 8


def limits(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """IR and opsets."""
    graph, stack = facts.onnx, target.stack
    if graph is None:
        return
    if graph.ir_version > stack.max_ir:
        seen = graph.ir_version == SEEN_IR and target.version == SEEN_NODE
        yield Finding(
            rule="onnx-ir",
            severity=Severity.FATAL,
            what=f"The ONNX file has IR version {graph.ir_version}.",
            why=f"Unsupported model IR version: {graph.ir_version}, max supported IR version: {stack.max_ir}.",
            fix="Export again with IR 8 (set model.ir_version): every version takes it.",
            basis=Basis.MEASURED if seen else Basis.DERIVED,
        )
    for domain, rule, limit in (
        ("", "onnx-opset", stack.max_opset),
        ("ai.onnx.ml", "onnx-ml-opset", stack.max_ml_opset),
    ):
        opset = graph.opsets.get(domain, 0)
        if opset > limit:
            yield Finding(
                rule=rule,
                severity=Severity.FATAL,
                what=f"The graph imports opset {opset} of {domain or 'ai.onnx'}.",
                why=f"onnxruntime there knows opsets up to {limit}.",
                fix="Export with opset 17 (ai.onnx.ml 3) or lower.",
            )


def operators(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Every operator must resolve in the onnxruntime of the version."""
    graph, stack = facts.onnx, target.stack
    if graph is None:
        return
    missing, unknown = [], []
    for operator in graph.operators:
        domain = operator.rpartition("::")[0]
        opset = graph.opsets.get(domain, 0)
        # A graph whose opset is too new is refused as a whole; a function of the model's own needs no table.
        if operator in graph.functions or (domain == "" and opset > stack.max_opset):
            continue
        known = target.tables.onnx_lookup(operator, opset=opset, onnxruntime=stack.onnxruntime)
        if known is Known.NO:
            missing.append(operator.removeprefix("::"))
        elif known is Known.UNKNOWN:
            unknown.append(operator.removeprefix("::"))
    if missing:
        yield Finding(
            rule="onnx-operator",
            severity=Severity.FATAL,
            what=f"The graph uses {', '.join(missing[:OTHER_OPERATORS])}.",
            why="It is not a registered function/op of the onnxruntime there.",
            fix="Export without it: opset 17, no custom operators, and no fusion that is newer than the target.",
        )
    if unknown:
        yield Finding(
            rule="onnx-operator",
            severity=Severity.UNKNOWN,
            what=f"The graph uses {', '.join(unknown[:OTHER_OPERATORS])}, in no table here.",
            why="Whether the onnxruntime there has it is not known.",
            fix="Validate the archive in the runtime ring and on a node.",
        )


def external_data(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Weights outside of the file."""
    graph = facts.onnx
    if graph is None or not graph.external:
        return
    names = {entry.name for entry in facts.entries}
    lost = [name for name in graph.external if name not in names]
    yield Finding(
        rule="external-data",
        severity=Severity.FATAL if lost else Severity.UNKNOWN,
        what=f"Weights lie outside of the graph, in {(lost or list(graph.external))[0]!r}"
        + (", which the archive does not hold." if lost else "."),
        why="The engine can't find them."
        if lost
        else "The code would find them at the root; a user's report says it did not (ml-commons #3207).",
        fix="Save the model as one file without external data (at most 2 GiB).",
    )


def inputs(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """The graph must want exactly what the translator feeds, by name."""
    graph = facts.onnx
    if graph is None or facts.kind is None:
        return
    wanted = _wanted(facts, target, graph)
    names = tuple(tensor.name for tensor in graph.inputs)
    if wanted is not None and set(names) != set(wanted):
        same_count = len(names) == len(wanted)
        yield Finding(
            rule="onnx-inputs",
            severity=Severity.FATAL,
            what=f"The graph wants {_list(names)}; the server feeds {_list(wanted)}{_because(facts)}.",
            why="Invalid input tensor name." if same_count else f"Input mismatch, looking for: [{', '.join(names)}].",
            fix=_inputs_fix(facts),
            basis=Basis.MEASURED if _seen(facts, target, names) else Basis.DERIVED,
        )
    for tensor in graph.inputs:
        yield from _input_shape(tensor)


def _wanted(facts: ArchiveFacts, target: Target, graph: OnnxFacts) -> tuple[str, ...] | None:
    """Return what the server feeds; null where no rule says."""
    three = (*BASE_INPUTS, TYPE_INPUT)
    if facts.kind is ModelKind.SPARSE:
        return SPARSE_INPUTS
    if facts.kind is ModelKind.CROSS_ENCODER:
        two = {tensor.name for tensor in graph.inputs} == set(BASE_INPUTS)
        return BASE_INPUTS if two and target.since(CROSS_ENCODER_ASKS_SINCE) else three
    if facts.kind is not ModelKind.DENSE:
        return None
    if facts.config is None:
        names = {tensor.name for tensor in graph.inputs}
        return three if TYPE_INPUT in names else BASE_INPUTS
    return three if str(facts.model_config.get("model_type", "")).lower() in THREE_INPUT_TYPES else BASE_INPUTS


def _because(facts: ArchiveFacts) -> str:
    if facts.kind is ModelKind.DENSE and facts.config is not None:
        return f" for model_type {str(facts.model_config.get('model_type', ''))[:80]!r}"
    return ""


def _inputs_fix(facts: ArchiveFacts) -> str:
    if facts.kind is ModelKind.SPARSE:
        return f"Name the graph's inputs {' and '.join(SPARSE_INPUTS)}."
    if facts.kind is ModelKind.CROSS_ENCODER:
        return "Export with three inputs (an unused token_type_ids will do)."
    return "Export with the inputs that model_type decides: three for bert and albert, two for every other."


def _seen(facts: ArchiveFacts, target: Target, names: tuple[str, ...]) -> bool:
    """A 3.6 node refused exactly this: two inputs of a model whose model_type is bert."""
    bert = str(facts.model_config.get("model_type", "")).lower() == "bert"
    return facts.kind is ModelKind.DENSE and bert and set(names) == set(BASE_INPUTS) and target.version == SEEN_NODE


def _list(names: tuple[str, ...]) -> str:
    return f"({', '.join(name[:80] for name in names)})"


def _input_shape(tensor: Tensor) -> Iterator[Finding]:
    if tensor.dtype not in ("int64", ""):
        yield Finding(
            rule="onnx-input-dtype",
            severity=Severity.FATAL,
            what=f"The input {tensor.name} is {tensor.dtype}.",
            why="Unexpected input data type: the server feeds int64.",
            fix="Export with int64 inputs.",
        )
    shape = tensor.shape
    if shape is None:
        return
    fixed = len(shape) != 2 or shape[1].isdecimal() or (shape[0].isdecimal() and shape[0] != "1")
    if fixed:
        yield Finding(
            rule="onnx-fixed-shape",
            severity=Severity.FATAL,
            what=f"The input {tensor.name} has the fixed shape [{', '.join(dim or '?' for dim in shape)}].",
            why="Got invalid dimensions: the server feeds [1, length], each text at its own length.",
            fix="Export with dynamic axes for batch and sequence.",
        )


def outputs(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Types that the server can put into its answer, and the shape of sparse and cross-encoder answers."""
    graph = facts.onnx
    if graph is None or not graph.outputs:
        return
    first = graph.outputs[0]
    if first.dtype not in ("float32", ""):
        half = first.dtype == "float16"
        yield Finding(
            rule="onnx-output-dtype",
            severity=Severity.WARNING if half else Severity.FATAL,
            what=f"The output {first.name} is {first.dtype}.",
            why="It is read, with half the precision." if half else "The server has no such type for an answer.",
            fix="Export in float32.",
        )
    if facts.kind in (ModelKind.SPARSE, ModelKind.CROSS_ENCODER) and first.rank not in (None, 2):
        yield Finding(
            rule="onnx-output-rank",
            severity=Severity.FATAL,
            what=f"The output {first.name} has {first.rank} dimensions.",
            why="The answer of one text must be [1, vocabulary]."
            if facts.kind is ModelKind.SPARSE
            else "The answer of one pair must be one logit, [1, 1].",
            fix="Put the pooling into the graph.",
        )
    if facts.kind in (ModelKind.SPARSE, ModelKind.CROSS_ENCODER) and len(graph.outputs) > 1:
        yield Finding(
            rule="onnx-outputs",
            severity=Severity.WARNING,
            what=f"The graph has {len(graph.outputs)} outputs.",
            why="The server answers with each of them as if it were the result.",
            fix="Export one output.",
        )


def leaks(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Paths of the builder."""
    if facts.onnx is not None and facts.onnx.leaks:
        yield Finding(
            rule="onnx-leaks",
            severity=Severity.NOTE,
            what=f"The file tells where it was made: {facts.onnx.leaks[0][:120]}.",
            why="The server does not mind; everybody can read it.",
            fix="Clear doc strings and metadata before saving.",
        )


RULES = (limits, operators, external_data, inputs, outputs, leaks)
