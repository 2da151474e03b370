"""The inputs of a release as options, shared by every command that plans: plan, trace and run.

Values stay texts here and are parsed in one place (``core.inputs``), so that a form, a flag and an environment
variable are read alike and all faults come at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.opensearch import DEFAULT_TARGETS
from release_tool.core.variants import ONNX_VARIANTS
from release_tool.errors import UsageError
from release_tool.global_options import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

    from release_tool.core.inputs import Raw

F = TypeVar("F", bound="Callable[..., Any]")

MAX_EVENT_BYTES = 1_000_000


def _one_of(enum: type[StrEnum]) -> str:
    return "[" + "|".join(member.value for member in enum) + "]"


def _words_of(enum: Iterable[StrEnum], *more: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes an option in a shell; the value stays a text, so that all faults come at once."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        return [word for word in (*(member.value for member in enum), *more) if word.startswith(incomplete)]

    return complete


def _folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def _files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


model_argument = click.argument("model", required=False, shell_complete=_folders)
"""MODEL: an id of the hub, or a folder, which the shell completes."""

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--version", metavar="X.Y.Z", help="Version of this release: 1 to 4 numeric parts."),
    click.option("--model-source", metavar="WORD", help="First part of the key. [default: huggingface]"),
    click.option("--revision", metavar="REF", help="Branch, tag or commit; resolved to a commit once. [default: main]"),
    click.option("--model-id", metavar="ORG/NAME", help="What to call a folder. [default: local/ and its name]"),
    click.option(
        "--kind",
        multiple=True,
        metavar=_one_of(ModelKind),
        shell_complete=_words_of(ModelKind),
        help="What the model does. [default: detected]",
    ),
    click.option(
        "--format",
        metavar=_one_of(Format).replace("]", "|both]"),
        shell_complete=_words_of(Format, "both"),
        help="Format to make; both: every one that kind and model allow. [default: both]",
    ),
    click.option(
        "--variant",
        multiple=True,
        metavar="[" + "|".join(ONNX_VARIANTS) + "]",
        shell_complete=_words_of(ONNX_VARIANTS),
        help="What to make of ONNX; may be repeated. [default: the fastest at float32 parity]",
    ),
    click.option(
        "--cpu-only", is_flag=True, default=None, help="Freeze TorchScript: a node with a GPU can't serve it then."
    ),
    click.option(
        "--budget",
        multiple=True,
        metavar="NAME=NUMBER",
        help="What bench allows: slower or larger (times another archive), bytes, memory (bytes); may be repeated.",
    ),
    click.option("--name", metavar="NAME", help="Name of the release. [default: the model's own]"),
    click.option("--prefix", metavar="NAME", help="Second part of the key. [default: the organisation; local]"),
    click.option("--description", metavar="TEXT", help="One or two sentences. [default: from the card]"),
    click.option("--embedding-dimension", metavar="N", help="Size that the vector must have."),
    click.option(
        "--pooling-mode",
        metavar=_one_of(PoolingMode),
        shell_complete=_words_of(PoolingMode),
        help="Pooling of a bare transformer; an assertion where the model has its own. [default: mean]",
    ),
    click.option(
        "--normalize-result/--no-normalize-result",
        default=None,
        help="Normalise the vector of a bare transformer; an assertion where the model has modules.",
    ),
    click.option("--prune-ratio", metavar="R", help="Sparse: drop weights below R times the largest. [default: 0]"),
    click.option(
        "--activation",
        metavar=_one_of(Activation),
        shell_complete=_words_of(Activation),
        help="Sparse: what follows the maximum.",
    ),
    click.option("--model-init-kwargs", metavar="JSON", help="Arguments for the model's loader, an object."),
    click.option(
        "--idf",
        metavar="FILE",
        shell_complete=_files,
        help="Sparse tokenizer: token weights that replace the model's idf.json.",
    ),
    click.option(
        "--framework",
        metavar=_one_of(Framework),
        shell_complete=_words_of(Framework),
        help="Who pools TorchScript: the graph, or the server.",
    ),
    click.option(
        "--target-versions",
        multiple=True,
        metavar="V,V",
        help=f"OpenSearch versions that must serve it. [default: {','.join(DEFAULT_TARGETS)}]",
    ),
    click.option(
        "--remote-code",
        multiple=True,
        metavar="COMMIT",
        help="Run the model's own code, but only from this commit; may be repeated.",
    ),
    click.option("--upload-target", metavar="NAME", help="Target of release-tool.toml that the release goes to."),
    click.option("--overwrite", is_flag=True, default=None, help="Replace the version, which is released already."),
    click.option("--tune-run-id", metavar="ID", help="Workflow run that fine-tuned the folder MODEL; recorded."),
    click.option("--accept-licence", metavar="ID", help="A licence that you accept for this release; recorded."),
    click.option("--allow-pickle", is_flag=True, default=None, help="Take pickle weights, which can run code."),
    click.option("--trust-remote-code", is_flag=True, default=None, help="Run the model's own Python or TorchScript."),
    click.option(
        "--event",
        type=Named(exists=True, dir_okay=False, path_type=Path),
        help="Take inputs from a GitHub workflow_dispatch event, its model by an id alone; flags win.",
    ),
)


def request_options(function: F) -> F:
    """Add every input of a release to a command; it gets them as keyword arguments (see ``collect_inputs``)."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def collect_inputs(model: str | None, options: dict[str, Any]) -> dict[str, Raw]:
    """Return the inputs that were given, flags and environment over the event; defaults are left out.

    Args:
        model: the positional MODEL, when there is one.
        options: what ``request_options`` added to the command's arguments.

    Raises:
        UsageError: the event can't be read.
    """
    from release_tool.core.inputs import BY_EVENT, NAMES

    if model is not None and not model.strip():
        raise UsageError("MODEL is empty.", hint="Name a model, or leave MODEL out to go on from the plan.")
    event = options.get("event")
    inputs = _read_event(event) if event else {}
    given = {name: model if name == "model" else options.get(name) for name in NAMES}
    given = {name: value for name, value in given.items() if value is not None and value not in ((), "")}
    if event:
        given[BY_EVENT] = tuple(name for name in inputs if name not in given)
    return {**inputs, **given}


def _read_event(path: Path) -> dict[str, Raw]:
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.core.inputs import event_inputs

    try:
        data = read_bounded(path, MAX_EVENT_BYTES)
    except (OSError, NotReadable) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"The event {path.name} can't be read: {reason}.",
            hint="--event takes the file of a workflow_dispatch event.",
        ) from error
    return event_inputs(data, path.name)


def origins(ctx: click.Context, inputs: dict[str, Raw]) -> list[str]:
    """Return a line an input: its value and whether it came from the command line, the environment or the event."""
    from release_tool.core.inputs import NAMES, flag_of

    words = {
        ParameterSource.COMMANDLINE: "command line",
        ParameterSource.ENVIRONMENT: "environment",
        ParameterSource.DEFAULT_MAP: "settings",
    }
    lines = []
    for name in NAMES:
        if name not in inputs:
            lines.append(f"{flag_of(name)}: default")
            continue
        source = ctx.get_parameter_source(name)
        lines.append(f"{flag_of(name)}: {inputs[name]!r} ({words.get(source, 'event') if source else 'event'})")
    return lines
