"""``release-tool finetune hand-over``: write the model's folder with its lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.card import Card
    from release_tool.core.finetune.evaluation import Evaluation
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Write the model's folder with its lineage."
HELP = """Write the model's folder with its lineage.

The folder that release-tool plan takes: the trained model, lineage.json and a card. Refuses with exit code 6 a model
that evaluate has found not better, unless a person says why it shall be handed over all the same; the reason stands in
the lineage, and on the review page.
"""
MODEL = "model"
ACCEPT = click.Option(
    ["--accept-worse"], metavar="REASON", help="Hand over a model that is not better; why goes into its lineage."
)

command = stage_command(
    Stage.HAND_OVER,
    HELP,
    short=SHORT,
    options=(ACCEPT,),
    example='hand-over --accept-worse "the guard is of a domain that we never search"',
)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        ValidationFailed: the model is not better, and no reason is given.
        UsageError: the reason is too short or too long, or the lineage too large.
        MachineError: the disk is full.
    """
    from release_tool.core.finetune.gate import failures
    from release_tool.core.finetune.lineage import card_text, make_lineage
    from release_tool.core.lineage import CARD, FILE
    from release_tool.documents import write_atomic
    from release_tool.steps.finetune.reporting import write_report
    from release_tool.steps.finetune.running import Made

    evaluation = _evaluation(work)
    accepted = _reason(work, failures(evaluation))
    cards = _cards(work)
    folder = work.folder / MODEL
    model_sha256 = _copy(work, folder)
    lineage = make_lineage(
        work.plan,
        {stage: work.run.require(stage, work.plan) for stage in Stage if stage is not Stage.HAND_OVER},
        evaluation,
        model_sha256=model_sha256,
        licences={name: declared for name, card in cards.items() if (declared := _declared(card))},
        accepted=accepted,
    )
    licence = (work.recipe.hand_over.licence, None) if work.recipe.hand_over.licence else _licence_of(cards["base"])
    if licence[0] is None:
        work.context.console.warning(
            "The base's card declares no licence: name that of the model at hand_over.licence."
        )
    description = work.recipe.hand_over.description or (
        f"{lineage.base.rpartition('@')[0]}, fine-tuned for search in documents of one's own."
    )
    write_atomic(folder / FILE, _bounded(lineage))
    write_atomic(folder / CARD, card_text(lineage, evaluation, licence=licence, description=description))
    write_report(work.run, work.plan, evaluation)
    _say_next(work, folder)
    return Made(counts={"files": sum(path.is_file() for path in folder.rglob("*")), "accepted": float(bool(accepted))})


def _evaluation(work: Work) -> Evaluation:
    from release_tool.core.finetune.evaluation import Evaluation
    from release_tool.documents import WorkFolder
    from release_tool.steps.finetune.evaluate import DOCUMENT

    return WorkFolder(work.of(Stage.EVALUATE)).read(Evaluation, DOCUMENT, made_by="finetune evaluate")


def _reason(work: Work, reasons: tuple[str, ...]) -> str | None:
    """Return why a model that is not better is handed over; null where it is better."""
    from release_tool.core.escape import one_line
    from release_tool.core.lineage import MAX_REASON, MIN_REASON
    from release_tool.errors import UsageError, ValidationFailed

    given = work.options.get("accept_worse")
    reason = None if given is None else one_line(given)
    if reason is not None and not MIN_REASON <= len(reason) <= MAX_REASON:
        raise UsageError(
            f"The reason has {len(reason)} characters; {MIN_REASON} to {MAX_REASON} are wanted.",
            hint="Say with --accept-worse why this model shall be handed over although it is not better.",
        )
    if not reasons:
        return None
    if reason is None:
        lines = "\n".join(f"  - {line}" for line in reasons)
        raise ValidationFailed(
            f"The model was not found better than its base:\n{lines}",
            hint="Look at report.html of the run; release-tool finetune hand-over --accept-worse REASON hands it over.",
        )
    return reason


def _copy(work: Work, folder: Path) -> str:
    """Put the trained model into the folder and return the digest over its files."""
    import shutil

    from release_tool.core.lineage import digest_of
    from release_tool.services.checked_files import copy_or_share
    from release_tool.steps.finetune.evaluating import trained_folder

    trained = trained_folder(work)
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(trained.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(trained)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_or_share(path, target)
    files = work.run.require(Stage.TRAIN, work.plan).files
    prefix = f"{trained.name}/"
    return digest_of(
        (name.removeprefix(prefix), file.sha256) for name, file in files.items() if name.startswith(prefix)
    )


def _cards(work: Work) -> dict[str, Card]:
    """Return pin → card of every model that the run used."""
    from release_tool.core.card import read_card
    from release_tool.core.lineage import CARD
    from release_tool.steps.finetune.models_there import model_folder

    found = {}
    for pin in sorted(name for name in work.plan.pins if name.partition(":")[0] in ("base", "teacher", "writer")):
        path = model_folder(work, pin) / CARD
        found[pin] = read_card(path.read_bytes() if path.is_file() else None)
    return found


def _declared(card: Card) -> str | None:
    from release_tool.core.card import licence_facts

    return licence_facts(card, None).declared


def _licence_of(card: Card) -> tuple[str | None, str | None]:
    """Return id and name of the licence for the new card: the base's, where it has one."""
    return (card.licences[0], card.licence_name) if len(card.licences) == 1 else (None, None)


def _bounded(lineage: object) -> str:
    from release_tool.core.codec import encode_text
    from release_tool.core.lineage import MAX_BYTES
    from release_tool.errors import UsageError

    text = encode_text(lineage)
    if (size := len(text.encode())) > MAX_BYTES:
        raise UsageError(
            f"The lineage would have {size:,} bytes; {MAX_BYTES:,} are allowed.",
            hint="Shorten the lists of the recipe, such as evaluate.sets.",
        )
    return text


def _say_next(work: Work, folder: Path) -> None:
    """Say what to type next; ONNX is left out where the weights can't be in it."""
    from release_tool.core.kinds import MAX_ONNX_BYTES

    weights = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    only = " --format torch_script" if weights > MAX_ONNX_BYTES else ""
    work.context.console.info(f"Next: release-tool plan {folder} --version 1.0.0{only}")
