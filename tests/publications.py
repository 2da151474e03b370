"""Reviewed releases, what a bucket holds, and what may differ between two publications of one release."""

from __future__ import annotations

import json
from dataclasses import replace

from releases import write_release

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.notice import BASE_PATH, Build, BuildNotice, Way
from release_tool.core.publication import CLAIMS, MARKER
from release_tool.core.receipt import Receipt
from release_tool.core.review import REVIEW_NAME, Review
from release_tool.documents import WorkFolder
from release_tool.steps.review_reading import read_release

OTHER = "f" * 64
TIMES = {"released_at": "", "at": ""}


def reviewed(folder, *, pages=True, **over):
    """Write a release, review it, and return its digest; see ``write_release`` for what may differ.

    Args:
        folder: the work folder.
        pages: whether the pages for people are rendered, which takes longer than all the rest.
        over: of ``write_release``.
    """
    write_release(folder, **over)
    if not pages:
        review = read_release(WorkFolder(folder), look_inside=False).review
        WorkFolder(folder).write(REVIEW_NAME, review)
        return review.digest
    assert run(["--work", str(folder), "--repo", str(folder), "-q", "review"]) == 0
    return decode_text(Review, (folder / "review.json").read_text()).digest


def another(folder, **over):
    """Write a release of the same keys, every archive and config.json with other bytes, and return its digest."""
    return reviewed(folder, archive_of=lambda artifact: f"{artifact} of {folder.name}\n".encode() * 100, **over)


def contents(folder):
    """Return key → bytes of everything that lies in a folder bucket."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def masked(found):
    """Take out the times: of the release, which is that of its first claim, and of a tombstone."""
    timed = [key for key in found if key.endswith(f"/{MARKER}") or key.startswith(CLAIMS)]
    return {**found, **{key: json.dumps({**json.loads(found[key]), **TIMES}) for key in timed}}


def check_one_won(racers, codes, found, alone):
    """Check what a race has left: one release, whole, and nothing of the others.

    Args:
        racers: (work folder, digest) of each.
        codes: exit code of each.
        found: key → bytes of the bucket.
        alone: key → bytes of a bucket into which the winner published without rivals, by its place among the racers.
    """
    assert sorted(codes) == [0] + [3] * (len(racers) - 1)
    wanted = alone(codes.index(0))
    assert set(found) == set(wanted)
    assert masked(found) == masked(wanted)


def notify(work, *results, **over):
    """Write notice.json as ``notify`` would."""
    receipt = decode_text(Receipt, (work / "receipt.json").read_text())
    folders = sorted({item.key.rsplit("/", 3)[0] for item in receipt.objects if item.key.endswith(".zip")})
    builds = tuple(
        Build(parameters={BASE_PATH: folder}, result=result, build_number=17, url="https://jenkins.example/job/x/17/")
        for folder, result in zip(folders, results, strict=True)
    )
    folder = WorkFolder(work)
    notice = BuildNotice(
        uses=folder.uses("receipt.json"), server="https://jenkins.example", job="x", way=Way.JENKINS, builds=builds
    )
    folder.write("notice.json", replace(notice, **over))
