"""Read a published release for its record: only documents, and only those that were approved.

The archives need not be here. What a certificate says of one was approved with it, and the receipt says that the
bucket holds these very bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from release_tool.core.bundle import bundle_name
from release_tool.core.certificate import Certificate, certificate_name
from release_tool.core.ledger_rows import Outcome, Published
from release_tool.core.notice import BASE_PATH, NOTICE_NAME, BuildNotice
from release_tool.core.plan import ReleasePlan
from release_tool.core.receipt import RECEIPT_NAME, Receipt
from release_tool.core.review import REVIEW_NAME, Review
from release_tool.errors import Fault, IntegrityError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.documents import WorkFolder

LOGIN = re.compile(r"@?([A-Za-z0-9][A-Za-z0-9-]{0,38}(?:\[bot\])?)")
"""A login of GitHub, with or without the sign before it."""
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NUMBER = re.compile(r"[0-9]{1,20}")
RUN_OF_URL = re.compile(r"/runs/([0-9]{1,20})(?:[/?#]|\Z)")
MAX_URL = 500
REVIEW_AGAIN = "Use the work folder that was approved and published."


def read_published(work: WorkFolder, *, uploader: str | None, run_id: str | None, run_url: str | None) -> Published:
    """Return the release of a work folder.

    Args:
        work: the work folder.
        uploader: login of who started the release.
        run_id: of the workflow run; a number, and that of the address, where there is one.
        run_url: of the workflow run; its id is read from it where none is given.

    Raises:
        UsageError: a step before has not run.
        RequestError: who or where it was run can't be so written.
        IntegrityError: a document is not the one that was approved or published.
    """
    who, run_id, run_url = _checked(uploader, run_id, run_url)
    receipt = work.read(Receipt, RECEIPT_NAME, made_by="publish")
    if set(receipt.uses) != {REVIEW_NAME}:
        raise IntegrityError(f"{RECEIPT_NAME} does not name the review that it is about.", hint="Publish again.")
    work.check_chain(receipt, RECEIPT_NAME)
    review = work.read(Review, REVIEW_NAME, made_by="review")
    wrong = review.fault()
    if wrong is not None or review.digest != receipt.approved:
        what = f"contradicts itself: {wrong}" if wrong else f"has another digest than the published {receipt.approved}"
        raise IntegrityError(f"{REVIEW_NAME} {what}.", hint=REVIEW_AGAIN)
    _check_approved(work, review, "plan.json")
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    certificates = {artifact.id: _certificate(work, review, receipt, plan, artifact.id) for artifact in plan.artifacts}
    return Published(
        receipt=receipt,
        certificates=certificates,
        outcomes=_outcomes(work),
        uploader=who,
        run_id=run_id,
        run_url=run_url,
    )


def _check_approved(work: WorkFolder, review: Review, name: str) -> None:
    """Refuse a document that is not the one that was approved."""
    if name not in review.uses:
        raise IntegrityError(f"{name} was not approved: {REVIEW_NAME} does not name it.", hint=REVIEW_AGAIN)
    work.check_chain(review, REVIEW_NAME, only=(name,))


def _certificate(work: WorkFolder, review: Review, receipt: Receipt, plan: ReleasePlan, artifact: str) -> Certificate:
    for name in (bundle_name(artifact), certificate_name(artifact)):
        _check_approved(work, review, name)
    certificate = work.read(Certificate, certificate_name(artifact), made_by="validate")
    if certificate.plan != plan or certificate.artifact != artifact:
        raise IntegrityError(f"{certificate_name(artifact)} is about another plan.", hint=REVIEW_AGAIN)
    key = plan.artifact(artifact).key
    published = {item.key: item.sha256 for item in receipt.objects}
    if published.get(key) != certificate.archive_sha256:
        raise IntegrityError(
            f"{RECEIPT_NAME} says that {key} holds {published.get(key)}; {certificate_name(artifact)} is about"
            f" {certificate.archive_sha256}.",
            hint=REVIEW_AGAIN,
        )
    return certificate


def _outcomes(work: WorkFolder) -> Mapping[str, Outcome]:
    """Return folder in the bucket → how its build ended; nothing where nobody was notified."""
    if not work.has(NOTICE_NAME):
        return {}
    notice = work.read(BuildNotice, NOTICE_NAME, made_by="notify")
    work.check_chain(notice, NOTICE_NAME)
    return {
        build.parameters[BASE_PATH]: Outcome(result=build.result, number=build.build_number, url=build.url)
        for build in notice.builds
        if BASE_PATH in build.parameters
    }


def _checked(
    uploader: str | None, run_id: str | None, run_url: str | None
) -> tuple[str | None, str | None, str | None]:
    who = login_of(uploader, "--uploader")
    faults = []
    if run_url and not _is_address(run_url):
        faults.append(Fault("--run-url", f"{run_url[:80]!r} is no address of a run", "it begins with https://"))
    if run_id and not RUN_ID.fullmatch(run_id):
        faults.append(Fault("--run-id", f"{run_id[:80]!r} is no id of a run", "letters, digits, '_' and '-'"))
    elif run_id and run_url:
        faults += _disagreement(run_id, run_url)
    if faults:
        raise RequestError(tuple(faults))
    of_url = RUN_OF_URL.search(run_url) if run_url else None
    return who, run_id or (of_url[1] if of_url else None), run_url or None


def _disagreement(run_id: str, run_url: str) -> tuple[Fault, ...]:
    """Return what is wrong with an id beside an address: a run that has one has a number, which stands in it."""
    of_url = RUN_OF_URL.search(run_url)
    if of_url is not None and run_id != of_url[1]:
        return (Fault("--run-id", f"{run_id!r} is not the run of --run-url, which is {of_url[1]}", "leave it out"),)
    if not NUMBER.fullmatch(run_id):
        return (Fault("--run-id", f"{run_id!r} is no number", "with --run-url it is the number of that run"),)
    return ()


def login_of(text: str | None, option: str) -> str | None:
    """Return a login as the ledger writes it; null where nobody is named.

    Raises:
        RequestError: it is none.
    """
    found = LOGIN.fullmatch(text) if text else None
    if text and found is None:
        raise RequestError((Fault(option, f"{text[:80]!r} is no login", "such as octocat"),))
    return f"@{found[1]}" if found else None


def _is_address(text: str) -> bool:
    if len(text) > MAX_URL or not re.fullmatch(r"https?://[!-~]+", text):
        return False
    parts = urlsplit(text)
    return bool(parts.hostname) and not parts.username and not parts.password
