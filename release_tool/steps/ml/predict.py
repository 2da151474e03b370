"""``release-tool ml predict``: ask a deployed model, once or very often."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from release_tool.core.ml.predict import CONTENT_TYPES, SPARSE_FORMATS, Function
from release_tool.steps import emit
from release_tool.steps.ml.connection import RECORDER, cluster_options

if TYPE_CHECKING:
    from release_tool.core.ml.predict import Row, Wanted
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.steps.ml.connection import Asked

HELP = """Ask a deployed model.

Texts are arguments, or lines of a file or of stdin (--input): a JSON text, or an object with the server's own fields
(text_docs; query_text and text_docs; question and context; parameters) and, if wanted, id. The answers of a file are
lines of JSON in the order of the questions, as the server wrote them. A line that fails has its reason in its place,
and does not stop the others (exit code 10, or 2 where the line was no question).

A server that is asked too much is asked again, more slowly. With --output a killed run goes on where it stopped when
the same command is given again: until the last answer is there the file is called FILE.part.

\b
Examples:
  release-tool ml predict cleMb4kBJ1eYAeTMFFg4 "today is sunny"
  release-tool ml predict cleMb4kBJ1eYAeTMFFg4 --input texts.jsonl --output answers.jsonl --parallel 8
  release-tool ml predict cleMb4kBJ1eYAeTMFFg4 --query "what is rain" "water that falls" "a kind of bread"
"""
WAYS = (
    "content_type", "sparse_format", "target_response", "positions", "return_number", "return_bytes", "by_algorithm",
)  # fmt: skip
"""Options that are fields of ``Wanted``."""
SILENT_STATES = frozenset({
    "REGISTERING", "REGISTERED", "UNDEPLOYED", "DEPLOY_FAILED", "UPLOADING", "UPLOADED", "UNLOADED", "LOAD_FAILED",
})  # fmt: skip
"""States of a model in which no node has it, by the names of both generations."""


@click.command(help=HELP, short_help="Ask a deployed model.")
@click.argument("model")
@click.argument("texts", nargs=-1)
@click.option(
    "--function",
    type=click.Choice([one.value for one in Function]),
    help="What the model does.  [default: what the cluster says]",
)
@click.option("--query", metavar="TEXT", help="What the texts are compared with, or the question to a text.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Of a remote model; repeatable.")
@click.option("--content-type", type=click.Choice(CONTENT_TYPES), help="Of an asymmetric model: what the texts are.")
@click.option("--sparse-format", type=click.Choice(SPARSE_FORMATS), help="How a sparse model names its tokens.")
@click.option("--target-response", multiple=True, metavar="NAME", help="Return this output only; repeatable.")
@click.option(
    "--target-position", "positions", type=click.IntRange(min=0), multiple=True, metavar="N",
    help="Return the output at this place only, from 0; repeatable.",
)  # fmt: skip
@click.option("--number/--no-number", "return_number", default=None, help="Return numbers or not.  [default: do]")
@click.option("--bytes/--no-bytes", "return_bytes", default=None, help="Return base64 of bytes.  [default: do not]")
@click.option("--by-algorithm", is_flag=True, help="Ask by _predict/ALGORITHM/ID, as the first servers were.")
@click.option(
    "--input", "source", metavar="FILE|-", type=click.Path(path_type=Path), help="Questions, one a line; - is stdin."
)
@click.option("--plain", is_flag=True, help="The lines of --input are texts and not JSON.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write the answers of --input there.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --output.")
@click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Questions at once.  [default: 4; answering: 1]"
)
@click.option(
    "--patience", type=click.FloatRange(min=0), default=300.0, show_default=True, metavar="SECONDS",
    help="How long a question is asked again while the server can't answer.",
)  # fmt: skip
@cluster_options
@click.pass_obj
def command(context: Context, /, model: str, texts: tuple[str, ...], *, asked: Asked, **given: Any) -> None:
    """Ask."""
    from release_tool.errors import UsageError
    from release_tool.steps.ml.predicting import DEFAULT_PARALLEL

    source = given["source"]
    if source is None and not texts and not given["parameters"]:
        raise UsageError("There is nothing to ask.", hint="Give texts, or a file of them with --input.")
    if source is not None and (texts or given["query"] is not None or given["parameters"]):
        raise UsageError("--input stands for texts, --query and --parameter.", hint="Leave one of them out.")
    for option in ("plain", "output", "overwrite"):
        if given[option] and source is None:
            raise UsageError(f"--{option} is about --input.", hint="Give --input, or leave it out.")
    with asked.open(context, connections=given["parallel"] or DEFAULT_PARALLEL) as cluster:
        wanted = wanted_of(cluster, model, given)
        if source is None:
            _ask_texts(context, cluster, model, _rows(texts, wanted, given), given, wanted)
        else:
            _ask_file(context, cluster, model, given, wanted)


def wanted_of(cluster: Sender, model: str, given: dict[str, Any]) -> Wanted:
    """Return how to ask; the cluster says what the model does where the person does not.

    Args:
        cluster: that has the model.
        model: its id.
        given: the options of this command, as far as there are any.

    Raises:
        UsageError: models of this function can't be asked, or not in this way, or not by this version.
    """
    from release_tool.core.ml.api import get_model
    from release_tool.core.ml.predict import Wanted, function_of
    from release_tool.errors import UsageError

    named = given.get("function")
    if named is None:
        found = cluster.send(get_model(model))
        named = str(found.get("algorithm") or found.get("function_name") or "")
        if named:  # a cluster that is not there tells nothing
            _check_answers(found, model, named)
    try:
        function = function_of(named)
    except ValueError as error:
        what = f"A model of {named[:60]!r} is not asked by predict." if named else "Nobody says what the model does."
        raise UsageError(what, hint="Name it with --function.") from error
    asked = {name: value for name, value in given.items() if name in WAYS and value is not None}
    wanted = Wanted(function=function, **asked)
    problem = wanted.misfit() or wanted.too_new(cluster.version)
    if problem:
        raise UsageError(f"This can't be asked of {cluster.cluster.shown}: {problem}.", hint="Leave the option out.")
    return wanted


def _check_answers(found: dict[str, Any], model: str, named: str) -> None:
    """Refuse to ask a local model that is not deployed: a remote one is deployed when it is first asked.

    Raises:
        RemoteFailed: it is not.
    """
    from release_tool.core.escape import one_line
    from release_tool.errors import RemoteFailed

    state = str(found.get("model_state") or "")
    if named.lower() != Function.REMOTE and state in SILENT_STATES:
        raise RemoteFailed(
            f"The model {one_line(model)} is {state.lower()} and not deployed.",
            hint=f"Deploy it first: release-tool ml deploy {one_line(model)}.",
        )


def _rows(texts: tuple[str, ...], wanted: Wanted, given: dict[str, Any]) -> tuple[Row, ...]:
    import json

    from release_tool.core.ml.predict import RowFault, parameters_row, text_rows
    from release_tool.errors import UsageError

    parameters: dict[str, Any] = {}
    for one in given["parameters"]:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise UsageError(f"--parameter {one[:60]!r} is no NAME=VALUE.")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    try:
        if parameters:
            return parameters_row(parameters, texts, wanted)
        return text_rows(texts, wanted, query=given["query"])
    except RowFault as fault:
        raise UsageError(f"These are no questions: {fault}.", hint="See release-tool ml predict --help.") from fault


def _run(context: Context, cluster: Sender, model: str, given: dict[str, Any], wanted: Wanted) -> Any:
    from release_tool.steps.ml.predicting import Run, at_once

    return Run(
        cluster=cluster, model_id=model, wanted=wanted, console=context.console, patience=given["patience"],
        parallel=at_once(wanted, given["parallel"], context.console),
    )  # fmt: skip


def _ask_texts(
    context: Context, cluster: Sender, model: str, rows: tuple[Row, ...], given: dict[str, Any], wanted: Wanted
) -> None:
    import json

    from release_tool.core.ml.answers import table_rows
    from release_tool.steps.ml.predicting import Tally, failure_of
    from release_tool.steps.ml.tables import rows as table

    tally, run = Tally(), _run(context, cluster, model, given, wanted)
    if len(rows) == 1:
        # Of one question the server's own refusal says most.
        reply = cluster.send(rows[0].request(model, wanted))
        answers = [run.answer_of(rows[0], reply)]
    else:
        answers = list(run.answers(iter(rows), tally))
    shown = [
        cells
        for row, answer in zip(rows, answers, strict=True)
        for cells in table_rows(row.shown[:40], answer.results or [])
    ]
    text = table(("text", "output", "type", "shape", "values"), shown, empty="no outputs")
    if tally.refused.count < len(answers) or context.json:
        emit(context, text, [json.loads(answer.text()) for answer in answers])
    failure = failure_of(tally, "above")
    if failure:
        raise failure


def _ask_file(context: Context, cluster: Sender, model: str, given: dict[str, Any], wanted: Wanted) -> None:
    from release_tool.core.quantity import plural
    from release_tool.errors import UsageError
    from release_tool.services.cluster.answer_file import AnswerFile
    from release_tool.steps.ml.predicting import failure_of, open_input, read_questions, to_file, to_stdout

    # An export has no answers, and writes none.
    output: Path | None = None if RECORDER in click.get_current_context().meta else given["output"]
    if output is not None and output.exists() and given["source"].exists() and output.samefile(given["source"]):
        raise UsageError("--input and --output are one file.", hint="Name another --output.")
    run = _run(context, cluster, model, given, wanted)
    with open_input(given["source"]) as stream:
        questions = read_questions(stream, wanted, plain=given["plain"])
        if output is None:
            tally = to_stdout(run, questions)
        else:
            tally = to_file(run, questions, AnswerFile(output, overwrite=given["overwrite"]))
            context.console.info(f"{plural(tally.kept + tally.asked, 'answer')} in {output}")
    failure = failure_of(tally, f"in {output}" if output else "in their lines")
    if failure:
        raise failure
