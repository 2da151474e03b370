"""The recipe: everything that a fine-tuning run is told, in one file of TOML.

.. code-block:: toml

    [model]
    name = "acme-search"
    base = "sentence-transformers/all-MiniLM-L6-v2"

    [corpus]
    path = "articles.jsonl"

All faults of a recipe are listed at once, a misspelt key with the nearest one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints

from release_tool.core.escape import one_line
from release_tool.core.finetune.keys import MAX_SHOWN, read_section
from release_tool.core.finetune.sections import (
    CorpusSection,
    FilterSection,
    MineSection,
    ModelSection,
    QueriesSection,
    SplitSection,
)
from release_tool.core.finetune.sections_aws import AwsSection
from release_tool.core.finetune.sections_training import (
    EngineSection,
    EvaluateSection,
    HandOverSection,
    SelectSection,
    TeachSection,
    TrainSection,
)
from release_tool.core.quantity import clip
from release_tool.core.request import closest
from release_tool.core.server_address import address_problem, is_this_machine
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run."""

    model: ModelSection = field(default_factory=ModelSection)
    corpus: CorpusSection = field(default_factory=CorpusSection)
    split: SplitSection = field(default_factory=SplitSection)
    queries: QueriesSection = field(default_factory=QueriesSection)
    filter: FilterSection = field(default_factory=FilterSection)
    mine: MineSection = field(default_factory=MineSection)
    teach: TeachSection = field(default_factory=TeachSection)
    select: SelectSection = field(default_factory=SelectSection)
    train: TrainSection = field(default_factory=TrainSection)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    hand_over: HandOverSection = field(default_factory=HandOverSection)
    engine: EngineSection = field(default_factory=EngineSection)
    aws: AwsSection = field(default_factory=AwsSection)


SECTIONS: dict[str, type] = get_type_hints(Recipe)
"""Name of the table → its dataclass."""


def parse_recipe(data: bytes) -> Recipe:
    """Read a recipe.

    Raises:
        RequestError: it is no TOML, or has faults; all of them are listed.
    """
    try:
        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise RequestError((Fault("--recipe", f"is no TOML: {clip(one_line(str(error)), 200)}"),)) from error
    faults = [
        Fault(clip(one_line(name), MAX_SHOWN), "is no section of a recipe", closest(name, tuple(SECTIONS)))
        for name in found
        if name not in SECTIONS
    ]
    read: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        read[name], wrong = read_section(section, found.get(name, {}), name)
        faults += wrong
    recipe = None if faults else Recipe(**read)
    if recipe is not None:
        faults = together(recipe) + _price_faults(recipe.queries, found.get("queries", {}))
    if recipe is None or faults:
        raise RequestError(tuple(faults), hint="Correct the recipe; docs/recipe.md lists every key.")
    return recipe


def together(recipe: Recipe) -> list[Fault]:
    """Return what is wrong between keys that are right by themselves."""
    faults = []
    corpus, queries = recipe.corpus, recipe.queries
    wanted = {
        "files": (("path", corpus.path),),
        "s3": (("s3_path", corpus.s3_path),),
        "opensearch": (("endpoint", corpus.endpoint), ("index", corpus.index), ("fields", corpus.fields)),
    }[corpus.source]
    faults += [
        Fault(f"corpus.{name}", f"is missing: source is {corpus.source!r}") for name, value in wanted if not value
    ]
    if recipe.split.dev + recipe.split.test >= 1:
        faults.append(Fault("split", "leaves nothing to train on", "dev and test together must be below 1"))
    faults += _address_faults(recipe)
    faults += _writer_faults(queries)
    faults += _bedrock_faults(queries)
    if recipe.aws.register and not recipe.aws.deploy:
        faults.append(Fault("aws.register", "needs an endpoint", "set aws.deploy = true, or aws.register = false"))
    if recipe.filter.min_words > recipe.filter.max_words:
        faults.append(Fault("filter.min_words", "is above max_words"))
    if recipe.mine.engine == "opensearch" and corpus.source != "opensearch":
        faults.append(
            Fault("mine.engine", "is 'opensearch', which must hold the corpus", "set corpus.source to 'opensearch'")
        )
    if recipe.train.loss in ("kl", "margin_mse") and not recipe.teach.models:
        faults.append(
            Fault("train.loss", f"is {recipe.train.loss!r}, which needs a teacher", "name one at teach.models")
        )
    scored = min(recipe.mine.depth, recipe.teach.negatives) if recipe.teach.models else recipe.mine.depth
    if recipe.select.negatives > scored:
        faults.append(
            Fault("select.negatives", f"is above {scored}, the candidates a query", "raise mine.depth, teach.negatives")
        )
    if len(recipe.teach.revisions) > len(recipe.teach.models):
        faults.append(Fault("teach.revisions", "names more revisions than there are models"))
    return faults


def _address_faults(recipe: Recipe) -> list[Fault]:
    """Return addresses that hold more than a place: plan and lineage repeat the recipe, and both are read by others."""
    named = (("corpus.endpoint", recipe.corpus.endpoint), ("queries.endpoint", recipe.queries.endpoint))
    return [
        Fault(name, problem, "such as https://host:9200")
        for name, address in named
        # A cluster may be named as release-tool.toml does.
        if ("://" in address or "@" in address or (name, recipe.queries.provider) == ("queries.endpoint", "openai"))
        and address
        and (problem := address_problem(address))
    ]


def _writer_faults(queries: QueriesSection) -> list[Fault]:
    """Return what a provider lacks that is not Bedrock's."""
    faults = []
    if queries.provider == "file" and not queries.path:
        faults.append(Fault("queries.path", "is missing: provider is 'file'"))
    if queries.provider == "openai" and not queries.endpoint:
        faults.append(Fault("queries.endpoint", "is missing: provider is 'openai'"))
    if queries.provider in ("openai", "local") and queries.model == QueriesSection().model:
        faults.append(Fault("queries.model", f"is Bedrock's default: provider is {queries.provider!r}"))
    return faults


def _price_faults(queries: QueriesSection, told: Collection[str]) -> list[Fault]:
    """Return the prices that a recipe must tell: without them nobody can say beforehand what the queries will cost.

    A service of this machine is taken for one of one's own, which is free, unless there is a budget in dollars.

    Args:
        queries: without faults.
        told: its keys that the recipe holds; a price of 0 that somebody wrote is a price.
    """
    missing = [name for name in ("dollars_in", "dollars_out") if name not in told]
    if queries.provider != "openai" or not missing or address_problem(queries.endpoint):
        return []
    if is_this_machine(queries.endpoint) and (len(missing) == 1 or not queries.max_dollars):
        return []
    why = "is missing: what the answers cost can't be estimated before they are paid for"
    return [Fault(f"queries.{name}", why, "the price of a million tokens; 0 where nobody is paid") for name in missing]


def _bedrock_faults(queries: QueriesSection) -> list[Fault]:
    """Return what Bedrock lacks where it is the provider."""
    if queries.provider != "bedrock":
        return []
    wanted = ("batch_s3", "batch_role", "dollars_in", "dollars_out")
    faults = [
        Fault(f"queries.{name}", "is missing: provider is 'bedrock'") for name in wanted if not getattr(queries, name)
    ]
    if queries.temperature > 1:
        faults.append(Fault("queries.temperature", f"is {queries.temperature:g}; Bedrock's models take 0 to 1"))
    return faults
