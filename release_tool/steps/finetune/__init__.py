"""``release-tool finetune``: from documents to a better model; one command a file."""

from __future__ import annotations

import click

from release_tool.steps.lazy import TableGroup

HELP = """Make a better model of a base model and one's own documents, and prove that it is better.

plan -> corpus -> split -> queries -> filter -> mine -> teach -> select -> train -> evaluate -> hand-over. A finished
stage is never run twice; run goes on where a killed one stopped. What it makes lies in --work, under finetune.

\b
Examples:
  release-tool finetune run --recipe recipe.toml
  release-tool finetune status
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("release_tool.steps.finetune.plan", "Read a recipe, pin what it names, and say what it will take."),
    "corpus": ("release_tool.steps.finetune.corpus", "Read the documents, and group near duplicates."),
    "split": ("release_tool.steps.finetune.split", "Divide the documents: train, dev and test."),
    "queries": ("release_tool.steps.finetune.queries", "Have queries written for a sample of the documents."),
    "filter": ("release_tool.steps.finetune.filter", "Drop queries that teach nothing, and count why."),
    "mine": ("release_tool.steps.finetune.mine", "Find documents that look right and are not."),
    "teach": ("release_tool.steps.finetune.teach", "Let cross-encoders score queries and documents."),
    "select": ("release_tool.steps.finetune.select", "Choose positives, negatives and labels."),
    "train": ("release_tool.steps.finetune.train", "Train the model."),
    "evaluate": ("release_tool.steps.finetune.evaluate", "Measure before and after, and judge."),
    "hand-over": ("release_tool.steps.finetune.hand_over", "Write the model's folder with its lineage."),
    "run": ("release_tool.steps.finetune.run", "Run every stage that is not done yet."),
    "release": ("release_tool.steps.finetune.release", "Start the release of the tuned model, on GitHub."),
    "status": ("release_tool.steps.finetune.status", "Say which stages are done, and what they made."),
    "publish": ("release_tool.steps.finetune.publish", "Publish the packages of the AWS template, once."),
    "doctor": ("release_tool.steps.finetune.doctor", "Say what stands in the way of a run, and how it is put right."),
}


@click.group(
    cls=TableGroup, table=COMMANDS, help=HELP, short_help="Make a better model of one's own documents, with proof."
)
def command() -> None:
    """Hold them."""
