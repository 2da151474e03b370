"""``release-tool finetune doctor``: what stands in the way of a run, and how it is put right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.finetune.doctor import Finding
    from release_tool.core.finetune.recipe import Recipe
    from release_tool.global_options import Context
    from release_tool.services.finetune.index_documents import IndexDocuments

HELP = """Say what stands in the way of a run, and how it is put right; nothing is paid for or changed.

Looks at what the recipe uses: documents and files, identity and region in AWS, Bedrock's model, bucket, role and
quotas, the index and the right to register models. With --aws also at what the template in templates/aws/finetune
needs: quotas of machines, the role; --parameters writes the template's parameters.

\b
Examples:
  release-tool finetune doctor --recipe recipe.toml
  release-tool finetune doctor --recipe recipe.toml --aws --parameters parameters.json
"""

FILES = {"path": "own queries", "qrels": "judgements", "examples": "example queries", "prompt": "prompt"}
"""Key of ``[queries]`` → what it names."""


@click.command(help=HELP, short_help="Say what stands in the way of a run, and how it is put right.")
@click.option("--recipe", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The recipe, in TOML.")
@click.option("--aws", "on_aws", is_flag=True, help="Look at what the AWS template needs, too; also by engine.name.")
@click.option(
    "--parameters",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --aws: write the parameters of the template there, for aws cloudformation create-stack.",
)
@click.pass_obj
def command(context: Context, /, *, recipe: Path, on_aws: bool, parameters: Path | None) -> None:
    """See HELP."""
    from release_tool.core.finetune.doctor import MISSING
    from release_tool.errors import MachineError, UsageError
    from release_tool.steps.finetune.plan import read_recipe

    read = read_recipe(recipe)
    on_aws = on_aws or read.engine.name == "aws"
    if parameters is not None and not on_aws:
        raise UsageError("--parameters is about the AWS template.", hint="Add --aws.")
    findings, account = _look(context, read, recipe.absolute().parent, on_aws=on_aws)
    emit(context, table(findings), findings)
    lacking = [one.what for one in findings if one.state == MISSING]
    if lacking:
        raise MachineError(f"The run would fail for want of {', '.join(lacking)}.", hint="The lines above say the fix.")
    if parameters is not None:
        write_parameters(parameters, read, account)


def _look(context: Context, recipe: Recipe, folder: Path, *, on_aws: bool) -> tuple[list[Finding], str]:
    from release_tool.core.finetune.naming import role_name
    from release_tool.services.finetune import doctor_aws
    from release_tool.steps.finetune.given_files import PINS, REMOTE

    found: list[Finding] = []
    account, region = "", recipe.queries.region
    by_bedrock = recipe.queries.provider == "bedrock"
    in_s3 = recipe.corpus.source == "s3"
    remote = {word: value for word in PINS if (value := getattr(recipe.queries, word)).startswith(REMOTE)}
    if on_aws or by_bedrock or in_s3 or remote:
        found, account, region = doctor_aws.identity(recipe.queries.region)
        if not region:
            return found, account
    if in_s3:
        found.append(doctor_aws.object_there("documents", recipe.corpus.s3_path))
    found += [doctor_aws.object_there(FILES[word], address) for word, address in remote.items()]
    found += _files(recipe, folder, on_aws=on_aws)
    if by_bedrock or on_aws:
        found += doctor_aws.bedrock(recipe, region)
    if by_bedrock and not on_aws:
        found += doctor_aws.batches(recipe)
    if on_aws:
        found += doctor_aws.machines(recipe, region)
        found.append(doctor_aws.free_role(recipe.aws.search_role, role_name(recipe.model.name, "search")))
    needs_cluster = recipe.corpus.source == "opensearch" or (on_aws and recipe.aws.register)
    if needs_cluster:
        found += _cluster(context, recipe, account, on_aws=on_aws)
    return found, account


def _files(recipe: Recipe, folder: Path, *, on_aws: bool) -> list[Finding]:
    """Look at the files that a recipe names, which the machines of AWS don't have."""
    from release_tool.core.finetune.doctor import MISSING, OK, Finding
    from release_tool.steps.finetune.pinning import files_of

    if on_aws:
        fix = "put it into S3, and name it by its address there"
        return [
            Finding(what=what, state=MISSING, why=f"{key} names a file of this machine", fix=fix)
            for what, (key, _) in files_of(recipe, folder).items()
        ]
    found = []
    for what, (key, paths) in files_of(recipe, folder).items():
        lacking = [path.name for path in paths if not path.is_file()]
        is_there = bool(paths) and not lacking
        found.append(
            Finding(
                what=what,
                state=OK if is_there else MISSING,
                why=f"{len(paths)} to read" if is_there else f"{key} names no file that can be read",
                fix="" if is_there else "paths begin where the recipe lies",
            )
        )
    return found


def _cluster(context: Context, recipe: Recipe, account: str, *, on_aws: bool) -> list[Finding]:
    """Look at the index, and at the right to register models."""
    import os

    from release_tool.core.finetune.doctor import MISSING, OK, Finding, role_mapping
    from release_tool.errors import ReleaseError
    from release_tool.services.cluster.transport import Cluster
    from release_tool.services.finetune.index_documents import IndexDocuments
    from release_tool.services.finetune.roles import roles_of
    from release_tool.steps.ml.connection import find_cluster

    corpus, found = recipe.corpus, []
    arn = f"arn:aws:iam::{account}:role/{recipe.aws.search_role}" if account and on_aws else ""
    try:
        if not corpus.endpoint:
            fix = "name it at corpus.endpoint, or set aws.register = false"
            return [Finding(what="cluster", state=MISSING, why="corpus.endpoint is missing", fix=fix)]
        with Cluster(find_cluster(context.repo, corpus.endpoint), os.environ) as cluster:
            found.append(Finding(what="cluster", state=OK, why=f"{cluster.cluster.shown} answers: {cluster.version}"))
            if corpus.source == "opensearch":
                found.append(_index(IndexDocuments(cluster, corpus.index, corpus.fields), arn))
            if on_aws and recipe.aws.register:
                found.append(role_mapping(roles_of(cluster), arn=arn))
    except ReleaseError as error:
        found.append(Finding(what="cluster", state=MISSING, why=str(error), fix=error.hint))
    return found


def _index(documents: IndexDocuments, arn: str) -> Finding:
    from release_tool.core.finetune.doctor import MISSING, OK, Finding
    from release_tool.core.quantity import plural
    from release_tool.errors import ReleaseError

    try:
        total = documents.total()
    except ReleaseError as error:
        fix = f"map {arn} to a role of OpenSearch with indices:data/read* on the index" if arn else error.hint
        return Finding(what="index", state=MISSING, why=str(error), fix=fix)
    if not total:
        return Finding(what="index", state=MISSING, why="it holds no documents", fix="name another at corpus.index")
    return Finding(what="index", state=OK, why=f"{plural(total, 'document')} can be read")


def write_parameters(path: Path, recipe: Recipe, account: str) -> None:
    """Write the parameters of the template, in the form that create-stack takes."""
    import json

    from release_tool.core.finetune.naming import bucket_name
    from release_tool.core.finetune.parameters import parameters_of
    from release_tool.documents import write_atomic

    values = {**parameters_of(recipe), "BucketName": bucket_name(recipe.model.name, account)}
    rows = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    write_atomic(path, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


def table(findings: list[Finding]) -> str:
    """Return the findings for a terminal: what, how it is, why; below it the fix."""
    from release_tool.core.escape import one_line

    lines = []
    for one in findings:
        lines.append(f"{one.what:<16} {one.state:<8} {one_line(one.why)}")
        if one.fix and one.state != "ok":
            lines.append(f"{'':<25} fix: {one_line(one.fix)}")
    return "\n".join(lines)
