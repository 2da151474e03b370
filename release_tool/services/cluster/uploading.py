"""Send an archive by chunks: in order, each as large as the server takes, and on from where an earlier run was cut.

Promises: no byte leaves before the whole file's sha256 is the one wanted; the last chunk, after which the server calls
the model registered, leaves only if all bytes that were read on the way have that sha256 too; memory holds one chunk.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from release_tool.bounded import NotReadable, open_regular
from release_tool.core.ml.api import get_model, upload_chunk
from release_tool.core.ml.register import CHUNK_BYTES, chunks_of
from release_tool.core.ml.searches import chunk_numbers, chunks
from release_tool.core.ml.tasks import model_state
from release_tool.errors import IntegrityError, Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from release_tool.services.cluster.sender import Sender


def present(cluster: Sender, model_id: str) -> frozenset[int]:
    """Return the places of the chunks that the cluster has of a model."""
    try:
        return chunk_numbers(cluster.send(chunks(model_id)))
    except Refused as error:
        if error.status == 404:
            return frozenset()
        raise


def unfinished(cluster: Sender, model_id: str) -> tuple[str, dict[str, Any]] | None:
    """Return a model whose chunks are not all there yet; null where it is whole, or gone."""
    try:
        found = cluster.send(get_model(model_id))
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return (model_id, found) if model_state(found) == "REGISTERING" else None


def upload(
    cluster: Sender,
    model_id: str,
    archive: Path,
    sha256: str,
    *,
    have: frozenset[int] = frozenset(),
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Send the chunks that are missing and return how many bytes were sent.

    Args:
        cluster: where the model was opened by ``register_meta``.
        model_id: of that model.
        archive: the zip; its sha256 was ``sha256`` a moment ago.
        sha256: lower-case hex.
        have: places of the chunks that are there.
        advance: gets the bytes of each chunk that is there or was sent.

    Raises:
        IntegrityError: the file is being changed.
        RemoteFailed, Unreachable: as the transport says; run again to go on.
    """
    digest, sent = hashlib.sha256(), 0
    try:
        with open_regular(archive) as stream:
            stream.seek(0, 2)
            last = chunks_of(stream.tell()) - 1
            stream.seek(0)
            for place in range(last + 1):
                content = stream.read(CHUNK_BYTES)
                digest.update(content)
                if place == last and (digest.hexdigest() != sha256 or stream.read(1)):
                    raise IntegrityError(
                        f"{archive.name} changed while it was sent; its last part was held back.",
                        hint="Let nobody write to it, and run again.",
                    )
                # The last chunk makes the model registered, so it is sent even where it is there.
                if place not in have or place == last:
                    cluster.send(upload_chunk(model_id, place, content, generation=cluster.generation))
                    sent += len(content)
                advance(len(content))
    except NotReadable as error:
        raise UsageError(f"{archive.name} can't be read: {error}.", hint="Name a regular file.") from error
    return sent
