"""``release-tool review``: the page that approvers read, and the digest that they approve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.bundle import FileDigest
    from release_tool.core.page_build import Reviewed
    from release_tool.core.review import Review
    from release_tool.global_options import Context

TEMPLATES = ("review.html.j2", "review.md.j2")
WHOLE = "The whole page is review.md in the work folder; a workflow keeps it as its artifact review."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewResult:
    """What the step leaves."""

    review: Review
    page: Path
    """review.html."""


HELP = """Write the page that approvers read, and its digest.

review.html and review.md show everything about a release; review.json holds the digest that is approved. Exit code 6:
the page says that it can't be released, and why.

\b
Examples:
  release-tool review
  release-tool --work work/acme review --json
"""


@click.command(help=HELP, short_help="Write the page that approvers read, and its digest.")
@click.pass_obj
def command(context: Context) -> None:
    """Write review.md, review.html and review.json, and print the digest."""
    from release_tool.core.escape import one_line
    from release_tool.lock import hold

    with hold(context.work, "review"):
        result = run_review(context)
    text = f"digest {result.review.digest}\npage   {one_line(str(result.page))}"
    emit(context, text, result.review)


def run_review(context: Context) -> ReviewResult:
    """Check the whole chain, write the page and its manifest, and say whether it may be approved.

    The pages are evidence and are written in any case; only review.json of a release that may be approved holds a
    digest.

    Raises:
        UsageError: a step before this one has not run; a template of the repository is wrong.
        IntegrityError: a document or an archive is not what the documents after it were made from.
        ValidationFailed: the page says NOT RELEASABLE.
    """
    from release_tool.core.page_build import make_page
    from release_tool.core.render import render_html, render_markdown
    from release_tool.documents import WorkFolder, write_atomic
    from release_tool.steps.review_reading import read_release
    from release_tool.steps.templates import load_templates

    work = WorkFolder(context.work)
    with context.console.step("Review"):
        given = read_release(work)
        templates, overridden = load_templates(context.repo, TEMPLATES)
        page = make_page(_with_templates(given, overridden))
        texts = {
            "review.md": render_markdown(templates["review.md.j2"], page),
            "review.html": render_html(templates["review.html.j2"], page),
        }
        # An interrupted run must not leave an old digest beside a new page.
        work.path("review.json").unlink(missing_ok=True)
        for name, text in texts.items():
            write_atomic(work.path(name), text)
        review = _with_pages(given.review, texts)
        work.write("review.json", review)
        context.console.summary(texts["review.md"], whole=WHOLE)
    _tell(context, review)
    return ReviewResult(review=review, page=work.path("review.html"))


def _with_templates(given: Reviewed, overridden: dict[str, str]) -> Reviewed:
    from dataclasses import replace

    return replace(given, overridden=overridden)


def _with_pages(review: Review, texts: dict[str, str]) -> Review:
    from dataclasses import replace

    from release_tool.core.bundle import FileDigest
    from release_tool.core.digest import sha256_bytes

    pages: list[FileDigest] = []
    for name, text in sorted(texts.items()):
        data = text.encode()
        pages.append(FileDigest(path=name, size=len(data), sha256=sha256_bytes(data)))
    return replace(review, pages=tuple(pages))


def _tell(context: Context, review: Review) -> None:
    from release_tool.errors import ValidationFailed

    if review.digest is None:
        lines = "\n".join(f"  - {reason}" for reason in review.reasons)
        raise ValidationFailed(
            f"NOT RELEASABLE:\n{lines}",
            hint=f"The evidence is in {context.work / 'review.html'}; correct the cause and validate again.",
        )
