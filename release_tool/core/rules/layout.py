"""Rules about the zip itself: which files it holds and where. Source: ModelHelper, DLModel and ZipUtils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.archive_facts import DEFLATED, MODEL_SUFFIXES, STORED, TOKENIZER_FILE
from release_tool.core.kinds import MAX_ARCHIVE_BYTES, MAX_ONNX_BYTES, TRAITS, Format, ModelKind
from release_tool.core.serving import INTRODUCED, since
from release_tool.core.verdicts import Basis, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.verdicts import Target

EXECUTABLES = (".jar", ".class", ".so", ".dylib", ".dll")
REJECTED_SINCE = "3.8"
SEEN_METRICS = "3.6"
"""A real 3.6.0 node registered, deployed and executed metrics correlation models, and refused one without the file."""
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z")
_PACK = "Pack the model and tokenizer.json side by side at the root of the zip, and nothing else that runs."


def archive_size(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """4 GiB and more are refused at register."""
    if facts.size > MAX_ARCHIVE_BYTES:
        yield Finding(
            rule="archive-size",
            severity=Severity.FATAL,
            what=f"The archive has {facts.size:,} bytes.",
            why="Model file size exceeds the limit of 4GB.",
            fix="Release a smaller or a quantised model.",
        )


def model_count(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Exactly one model file at any depth, at the root; none for a sparse tokenizer."""
    models = facts.models
    tokenizer_only = facts.kind is ModelKind.SPARSE_TOKENIZER
    if not models and not tokenizer_only:
        inner = [entry.name for entry in facts.entries if entry.name.lower().endswith(ARCHIVES)]
        other = [
            entry.name for entry in facts.entries if entry.name.lower().endswith((*MODEL_SUFFIXES, ".pth", ".bin"))
        ]
        hint = f"It holds {(inner or other)[0]!r} instead." if inner or other else ""
        yield Finding(
            rule="no-model",
            severity=Severity.FATAL,
            what=f"No file ends in .pt or .onnx. {hint}".rstrip(),
            why="Can't find model file.",
            fix=_PACK,
        )
    if len(models) > 1:
        yield Finding(
            rule="two-models",
            severity=Severity.FATAL,
            what=f"{len(models)} files are taken for models: {', '.join(entry.name for entry in models[:4])}.",
            why="Find multiple model files, but expected only one.",
            fix="Leave one model; a __MACOSX folder counts, so pack without it.",
        )
    elif models and not models[0].at_root:
        yield Finding(
            rule="nested-model",
            severity=Severity.FATAL,
            what=f"The model lies in a folder: {models[0].name}.",
            why="It registers, and deploying looks at the root only: .pt file not found in the model folder.",
            fix=_PACK,
        )
    if tokenizer_only and any(entry.name.endswith(".onnx") for entry in models):
        yield Finding(
            rule="tokenizer-with-model",
            severity=Severity.FATAL,
            what="A sparse tokenizer's archive holds an .onnx file.",
            why="Model format is TORCH_SCRIPT, but find .onnx file.",
            fix="Pack tokenizer.json and idf.json only.",
        )


def model_format(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Name, content and declared format must agree."""
    if facts.model_file is None:
        return
    named = next((fmt for end, fmt in MODEL_SUFFIXES.items() if facts.model_file.endswith(end)), None)
    if facts.config is not None and facts.declared_format is not None and named is not facts.declared_format:
        yield Finding(
            rule="wrong-extension",
            severity=Severity.FATAL,
            what=f"model_format is {facts.declared_format.value.upper()}, and the model is {facts.model_file}.",
            why="Model format is another one, but find the file: register refuses it.",
            fix="Set model_format to what the archive holds.",
        )
    if facts.format is not None and named is not facts.format:
        yield Finding(
            rule="wrong-content",
            severity=Severity.FATAL,
            what=f"{facts.model_file} holds {facts.format.value}.",
            why="The engine is chosen by the name, and it can't read the content.",
            fix="Name the file .pt for TorchScript, .onnx for ONNX.",
        )
    elif facts.model_problem is not None and not _oddly_packed(facts):
        yield Finding(
            rule="unreadable-model",
            severity=Severity.FATAL,
            what=f"{facts.model_file}: {facts.model_problem}.",
            why="The engine can't load it.",
            fix="Export the model as TorchScript (torch.jit.save) or ONNX.",
        )
    if facts.format is Format.ONNX and facts.model_size > MAX_ONNX_BYTES:
        yield Finding(
            rule="onnx-size",
            severity=Severity.FATAL,
            what=f"The ONNX file has {facts.model_size:,} bytes.",
            why="One protobuf message holds less than 2 GiB.",
            fix="Release it as TorchScript.",
        )


def _oddly_packed(facts: ArchiveFacts) -> bool:
    return any(entry.name == facts.model_file and entry.method not in (STORED, DEFLATED) for entry in facts.entries)


def packing(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Stored and deflated entries are read by everybody; for other methods no rule exists."""
    odd = [entry for entry in facts.entries if entry.method not in (STORED, DEFLATED)]
    if odd:
        yield Finding(
            rule="packing",
            severity=Severity.UNKNOWN,
            what=f"{odd[0].name} is packed by method {odd[0].method}.",
            why="Only stored and deflated files are known to be read.",
            fix="Pack the zip stored or deflated.",
        )


def tokenizer_file(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """tokenizer.json at the root, readable."""
    unread = facts.kind is ModelKind.METRICS_CORRELATION  # Only the name is looked for.
    if facts.tokenizer_problem is not None and not unread:
        yield Finding(
            rule="unreadable-tokenizer",
            severity=Severity.FATAL,
            what=f"tokenizer.json: {facts.tokenizer_problem}.",
            why="The tokenizers library can't load it.",
            fix="Write it with tokenizer.save of the tokenizers library.",
        )
    elif facts.tokenizer is None and not (unread and facts.tokenizer_problem):
        nested = next((e.name for e in facts.entries if e.name.endswith(f"/{TOKENIZER_FILE}")), None)
        refused = "No tokenizer file." if target.since("2.7") else "Deploying fails: the tokenizer is not there."
        metrics = facts.kind is ModelKind.METRICS_CORRELATION
        why = "Only the server's own registration of its metrics model may lack it: " if metrics else ""
        yield Finding(
            rule="no-tokenizer",
            severity=Severity.FATAL,
            what=f"There is no {TOKENIZER_FILE} at the root" + (f", only {nested}." if nested else "."),
            why=why + refused,
            fix="Add a tokenizer.json; its content does not matter." if metrics else _PACK,
            basis=Basis.MEASURED if metrics and target.version == SEEN_METRICS else Basis.DERIVED,
        )


def denied_files(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Executable files are refused from 3.8 on; serving.properties steers DJL on every version."""
    denied = [entry.name for entry in facts.entries if entry.name.lower().endswith(EXECUTABLES)]
    if denied:
        late = target.since(REJECTED_SINCE)
        yield Finding(
            rule="denied-file",
            severity=Severity.FATAL if late else Severity.WARNING,
            what=f"It holds {denied[0]}.",
            why="Model archive contains a disallowed executable file."
            if late
            else f"Later versions ({REJECTED_SINCE} and on) refuse executable files.",
            fix="Take it out.",
        )
    properties = [e.name for e in facts.entries if e.name.split("/")[-1].lower() == "serving.properties"]
    if properties:
        yield Finding(
            rule="serving-properties",
            severity=Severity.UNKNOWN if target.since(REJECTED_SINCE) else Severity.WARNING,
            what=f"It holds {properties[0]}, which was not judged.",
            why=f"The engine takes options from it; from {REJECTED_SINCE} on it must name no class but DJL's.",
            fix="Take it out.",
        )


def introduced(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Functions and formats came one by one."""
    kind, fmt = facts.kind, facts.format or facts.declared_format or Format.TORCH_SCRIPT
    if kind is None:
        what = f"function_name is {facts.function_name}" if facts.config is not None else "Nothing says what it is"
        yield Finding(
            rule="unknown-kind",
            severity=Severity.UNKNOWN,
            what=f"{what}: no rules for it here.",
            why="Only the functions that serve local models are known.",
            fix="Give the register request with --config.",
        )
        return
    if fmt not in TRAITS[kind].formats:
        yield Finding(
            rule="format-of-kind",
            severity=Severity.FATAL,
            what=f"A {kind.value} model as {fmt.value}.",
            why=f"The server's translator takes {TRAITS[kind].formats[0].value} only.",
            fix=f"Export it as {TRAITS[kind].formats[0].value}.",
        )
        return
    first = since(kind, fmt)
    if target.before(first):
        name = TRAITS[kind].function_name
        new = f"{name} as ONNX" if first != INTRODUCED[kind] else name
        new = "Sentence highlighting" if kind is ModelKind.HIGHLIGHTER else new
        yield Finding(
            rule="introduced",
            severity=Severity.FATAL,
            what=f"{new} came with OpenSearch {first}.",
            why="Older versions do not know it.",
            fix=f"Serve it from {first} on.",
        )


def idf(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """A sparse tokenizer without weights answers 1 for every token."""
    if facts.kind is ModelKind.SPARSE_TOKENIZER and not facts.has_idf:
        yield Finding(
            rule="no-idf",
            severity=Severity.NOTE,
            what="There is no idf.json.",
            why="Every token weighs 1.",
            fix="Add the model's idf.json where it has one.",
        )


RULES = (archive_size, model_count, model_format, packing, tokenizer_file, denied_files, introduced, idf)
