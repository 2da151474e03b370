"""How ``models`` changes the records, and how it compares two releases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from release_tool.core import catalogue, yank
from release_tool.core import ledger_columns as column
from release_tool.core.certificate import Certificate
from release_tool.core.codec import DocumentFault, decode_text
from release_tool.core.naming import CONFIG_FILE
from release_tool.errors import PublishError, UsageError
from release_tool.services.buckets import open_bucket
from release_tool.steps.claiming import MAX_DOCUMENT_BYTES
from release_tool.steps.settings import address_of
from release_tool.steps.worktree import diff_of, held, read_ledger, read_state, with_history, write_changes

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.catalogue import Difference, Release
    from release_tool.core.ledger import Row
    from release_tool.services.bucket import Bucket

MAX_CERTIFICATE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What ``yank`` and ``restore`` did, or with --draft would do."""

    name: str
    version: str
    yanked: bool
    changed: tuple[str, ...]
    diff: str | None = None


def change(repo: Path, word: str, *, yank_for: str | None, by: str | None, draft: bool) -> Changed:
    """Yank a version, or restore it.

    Args:
        repo: the repository.
        word: ``NAME@VERSION``.
        yank_for: the reason; null restores.
        by: who decided it.
        draft: change nothing.

    Raises:
        UsageError: there is no such version.
        RecordError: a file is not what it must be.
    """
    with held(repo, "models", draft=draft):
        state = read_state(repo)
        name, version = catalogue.find_one(state.records.ledger, word)
        if yank_for is None:
            records = yank.restore(state.records, name, version, state.excluded)
        else:
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            records = yank.yank(state.records, name, version, at=at, by=by, reason=yank_for)
        changes = state.changes(with_history(state, records))
        # A restore forgets last what it needs to be done again.
        ordered = changes if yank_for is not None else tuple(reversed(changes))
        if not draft:
            write_changes(repo, ordered)
    return Changed(
        name=name,
        version=version,
        yanked=yank_for is not None,
        changed=tuple(one.name for one in ordered),
        diff=diff_of(changes) if draft else None,
    )


def compare(repo: Path, first: str, second: str, to: str | None) -> tuple[Difference, ...]:
    """Return in what two releases differ.

    Args:
        repo: whose ledger is read.
        first: ``NAME@VERSION``.
        second: the same.
        to: address of the bucket whose configs and certificates are compared, too.

    Raises:
        UsageError: there is no such version, or a name means more than one model.
        PublishError: the bucket refused, or holds what is no such document.
        Unreachable: it did not answer.
    """
    ledger = read_ledger(repo)
    bucket = open_bucket(address_of(repo, to)) if to else None
    sides = []
    for word in (first, second):
        catalogue.find_one(ledger, word)
        found = catalogue.find(ledger, word)
        if len(found) > 1:
            names = " or ".join(f"{one.name}@{one.version}" for one in found)
            raise UsageError(f"{word} means more than one release.", hint=f"Write {names}.")
        facts = catalogue.facts(found[0])
        sides.append(facts | (_documents(bucket, found[0]) if bucket else {}))
    return catalogue.differences(sides[0], sides[1])


def _documents(bucket: Bucket, release: Release) -> dict[str, str]:
    """Return what config.json and the certificate of each archive say, by ``format: document: path``."""
    found: dict[str, str] = {}
    for row in release.rows:
        if row.key is None:
            continue
        fmt = row.data[column.FORMAT].lower()
        config = _json(bucket, f"{row.key.rpartition('/')[0]}/{CONFIG_FILE}")
        found |= _flat(f"{fmt}: {CONFIG_FILE}: ", config)
        found |= _flat(f"{fmt}: certificate: ", _of_certificate(bucket, row))
    return found


def _flat(head: str, data: Any) -> dict[str, str]:
    return {head + path: value for path, value in catalogue.flat(data).items()}


def _json(bucket: Bucket, key: str) -> Any:
    found = bucket.read(key, MAX_DOCUMENT_BYTES)
    try:
        data = json.loads(found[0]) if found else None
    except (ValueError, RecursionError) as error:
        raise _unreadable(bucket, key, error) from error
    # all_config is JSON inside of a text: its own keys are what differs.
    inner = data.get("model_config") if isinstance(data, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("all_config"), str):
        try:
            inner["all_config"] = json.loads(inner["all_config"])
        except (ValueError, RecursionError):
            return data
    return data


def _of_certificate(bucket: Bucket, row: Row) -> dict[str, Any] | None:
    key = row.data.get(column.CERTIFICATE)
    found = bucket.read(key, MAX_CERTIFICATE_BYTES) if isinstance(key, str) else None
    if found is None:
        return None
    try:
        certificate = decode_text(Certificate, found[0].decode())
    except (DocumentFault, UnicodeDecodeError) as error:
        raise _unreadable(bucket, str(key), error) from error
    failures = certificate.failures()
    return {
        "source files": {file.path: file.sha256 for file in certificate.source.files},
        "made with": {"release-tool": certificate.plan.tool_version, **certificate.bundle.export.versions},
        "targets": ", ".join(certificate.plan.target_versions),
        "longest input": certificate.plan.max_length,
        "attention": certificate.bundle.export.attention,
        "proofs": {
            proof.ring: {
                "probes": len(proof.comparisons),
                "worst difference": max(
                    (one.max_abs for one in proof.comparisons if one.max_abs is not None), default=None
                ),
                "versions": proof.versions,
                "equal": not failures.get(proof.ring),
            }
            for proof in certificate.proofs
        },
    }


def _unreadable(bucket: Bucket, key: str, error: Exception) -> PublishError:
    return PublishError(f"{key} in {bucket.address} can't be read: {error}", hint="Look who wrote it.")
