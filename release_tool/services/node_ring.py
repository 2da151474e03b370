"""The ``node`` ring: what the real OpenSearch answers with an archive, in the arrays that the oracle's answers have.

The register request is the archive's own config.json; only the name is made unique and the address of the archive
added. Promises: the model is undeployed and deleted again, also when something fails; a probe that the node refuses
becomes an entry in ``errors`` and an empty or NaN row, while a node that is gone ends everything.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from release_tool.core.kinds import ModelKind
from release_tool.errors import RemoteFailed, Unreachable, UsageError
from release_tool.services.archive_server import serve_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from release_tool.console import Console
    from release_tool.core.bundle import Config
    from release_tool.core.probes import Probe
    from release_tool.services.mlcommons import Client
    from release_tool.services.node import Node

PARALLEL = 2
"""Requests at once. The server runs each model on one thread a request."""

ONE_AT_A_TIME = frozenset({ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER})
"""ML Commons' question answering translators keep the tokens of a request in a field: not safe for two at once."""

MAX_ERROR_CHARACTERS = 300

INTERFACE_WORDS = ("Question is not provided", "Context is not provided")
"""How the server refuses an empty question or context, before any model is touched (seen on 3.6)."""


class NodeAnswers(NamedTuple):
    """What the node answered; rows follow the probes."""

    arrays: dict[str, np.ndarray]
    """As the oracle's of that kind, without what a node does not tell: the length of its input, logits per token,
    probabilities."""
    texts: tuple[str, ...]
    """Question answering: the answers. Else empty."""
    errors: dict[str, str]
    """Probe id → the node's own words."""
    not_asked: tuple[str, ...]
    """Ids of probes that the server's interface refuses for every model (an empty question): nothing about the
    archive follows, so they are not to be compared."""
    versions: dict[str, str]
    """opensearch, ml-commons, djl, libtorch, onnxruntime, tokenizers."""


def answer(
    node: Node, archive: Path, config: Config, probes: Sequence[Probe], kind: ModelKind, *, console: Console
) -> NodeAnswers:
    """Register, deploy, ask every probe, undeploy, delete.

    Args:
        node: a running one.
        archive: the zip.
        config: its config.json, key order kept.
        probes: those of the kind, ``ProbeSet.for_kind``.
        kind: what the model does.
        console: gets a bar over the probes.

    Raises:
        RemoteFailed: the node refuses to register or to deploy the archive; its words are in the message.
        Unreachable: the node does not answer any more.
        UsageError: a kind that is not asked by predict.
    """
    if kind not in READERS:
        raise UsageError(f"Models of kind {kind.value} can't be asked on the node.", hint="Validate without --on node.")
    with node.client() as client:
        versions = {**node.libraries, **_own_versions(client)}
        with deployed(client, archive, config, console) as model_id:
            replies = _ask_all(client, model_id, probes, kind, config=config, console=console)
    refused = {probe.id: reply for probe, reply in zip(probes, replies, strict=True) if isinstance(reply, str)}
    not_asked = tuple(key for key, words in refused.items() if words.endswith(INTERFACE_WORDS))
    errors = {key: words[:MAX_ERROR_CHARACTERS] for key, words in refused.items() if key not in not_asked}
    outputs = [None if isinstance(reply, str) else reply for reply in replies]
    arrays, texts, unread = READERS[kind](outputs, tuple(probe.id for probe in probes))
    return NodeAnswers(arrays, texts, {**unread, **errors}, not_asked, versions)


@contextmanager
def deployed(client: Client, archive: Path, config: Config, console: Console) -> Iterator[str]:
    """Register and deploy an archive; yields the model's id, and takes the model away again.

    Raises:
        RemoteFailed, Unreachable: see ``answer``.
    """
    name = f"{config.get('name', 'model')}-{secrets.token_hex(6)}"
    model_id = None
    try:
        with serve_file(archive) as url:
            # The order of the keys is part of what is proven: the name is changed in its place.
            request = {key: name if key == "name" else value for key, value in config.items()}
            model_id = client.register({**request, "name": name, "url": url})
        client.deploy(model_id)
        yield model_id
    finally:
        try:
            if model_id is None:
                client.remove_named(name)
            else:
                client.remove(model_id)
        except (RemoteFailed, Unreachable) as error:
            console.warning(f"The model {name} is still on the node: {error}")


def _own_versions(client: Client) -> dict[str, str]:
    said = client.versions()
    return {"opensearch": said["opensearch"], "ml-commons": said["opensearch-ml"]}


def _ask_all(
    client: Client, model_id: str, probes: Sequence[Probe], kind: ModelKind, *, config: Config, console: Console
) -> list[Any]:
    """Return a reply for each probe: the output tensor, or a string where the node refused."""
    asymmetric = bool({"query_prefix", "passage_prefix"} & set(config.get("model_config") or {}))
    with console.progress("Ask the node", len(probes), "probes") as bar:

        def ask(probe: Probe) -> Any:
            try:
                return _tensor(client.predict(model_id, request_of(probe, kind, asymmetric=asymmetric)), kind)
            except RemoteFailed as error:
                return str(error)
            finally:
                bar.advance()

        workers = ThreadPoolExecutor(max_workers=1 if kind in ONE_AT_A_TIME else PARALLEL)
        try:
            return list(workers.map(ask, probes))
        finally:
            workers.shutdown(cancel_futures=True)


def request_of(probe: Probe, kind: ModelKind, *, asymmetric: bool = False) -> dict[str, Any]:
    """Return the body of predict for a probe."""
    match kind:
        case ModelKind.CROSS_ENCODER:
            return {"query_text": probe.first, "text_docs": [probe.second]}
        case ModelKind.QUESTION_ANSWERING | ModelKind.HIGHLIGHTER:
            return {"question": probe.first, "context": probe.second}
        case ModelKind.SPARSE | ModelKind.SPARSE_TOKENIZER:
            # Since 3.2. Words would hide tokens that decode to the same text.
            return {"text_docs": [probe.text], "parameters": {"sparse_embedding_format": "TOKEN_ID"}}
        case _:
            body: dict[str, Any] = {"text_docs": [probe.text], "return_number": True}
            if asymmetric:
                body["parameters"] = {"content_type": str(probe.role or "passage")}
            return body


def _tensor(results: list[Any], kind: ModelKind) -> dict[str, Any]:
    """Return the one output of a reply.

    Raises:
        RemoteFailed: the reply is not what this kind answers.
    """
    outputs = results[0].get("output") if results and isinstance(results[0], dict) else None
    found = [item for item in outputs or () if isinstance(item, dict)]
    if kind is ModelKind.DENSE:
        # TorchScript models may give further outputs beside it.
        found = [item for item in found if item.get("name") == "sentence_embedding"] or found
    if not found:
        raise RemoteFailed(f"The reply to predict holds no output of a {kind.value} model.")
    return found[0]


Outputs = list["dict[str, Any] | None"]
Read = tuple["dict[str, np.ndarray]", tuple[str, ...], dict[str, str]]


def _numbers(output: dict[str, Any] | None) -> list[float]:
    # Java writes NaN and Infinity as strings in some places; float() takes both.
    return [] if output is None else [float("nan") if item is None else float(item) for item in output["data"]]


def _read_dense(outputs: Outputs, ids: tuple[str, ...]) -> Read:
    import numpy as np

    rows = [_numbers(output) for output in outputs]
    width = max((len(row) for row in rows), default=0)
    errors = {
        probe: f"the embedding has {len(row)} components, others have {width}"
        for probe, row, output in zip(ids, rows, outputs, strict=True)
        if output is not None and len(row) != width
    }
    embedding = np.full((len(rows), width), np.nan, dtype=np.float32)
    for index, row in enumerate(rows):
        if len(row) == width:
            embedding[index] = row
    return {"embedding": embedding}, (), errors


def _read_logit(outputs: Outputs, ids: tuple[str, ...]) -> Read:
    import numpy as np

    rows = [_numbers(output) for output in outputs]
    errors = {
        probe: f"expected one number, the node gave {len(row)}"
        for probe, row, output in zip(ids, rows, outputs, strict=True)
        if output is not None and len(row) != 1
    }
    logit = np.array([row[0] if len(row) == 1 else np.nan for row in rows], dtype=np.float32)
    return {"logit": logit}, (), errors


def _read_sparse(outputs: Outputs, ids: tuple[str, ...]) -> Read:
    import numpy as np

    rows: list[list[tuple[int, float]]] = []
    errors: dict[str, str] = {}
    for probe, output in zip(ids, outputs, strict=True):
        try:
            found = {} if output is None else output["dataAsMap"]["response"][0]
            rows.append(sorted((int(token), float(weight)) for token, weight in found.items()))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            rows.append([])
            errors[probe] = f"the reply holds no token weights: {error}"
    pairs = [pair for row in rows for pair in row]
    return (
        {
            "indptr": _indptr(rows),
            "ids": np.array([token for token, _ in pairs], dtype=np.int32),
            "weights": np.array([weight for _, weight in pairs], dtype=np.float32),
        },
        (),
        errors,
    )


def _indptr(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    import numpy as np

    return np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)


def _read_answers(outputs: Outputs, ids: tuple[str, ...]) -> Read:
    errors = {
        probe: "the reply holds no answer text"
        for probe, output in zip(ids, outputs, strict=True)
        if output is not None and not isinstance(output.get("result"), str)
    }
    texts = tuple(str((output or {}).get("result") or "") for output in outputs)
    return {}, texts, errors


def _read_highlights(outputs: Outputs, ids: tuple[str, ...]) -> Read:
    import numpy as np

    rows: list[list[int]] = []
    errors: dict[str, str] = {}
    for probe, output in zip(ids, outputs, strict=True):
        try:
            found = [] if output is None else output["dataAsMap"]["highlights"]
            rows.append(sorted(int(item["position"]) for item in found))
        except (KeyError, TypeError, ValueError) as error:
            rows.append([])
            errors[probe] = f"the reply holds no highlights: {error}"
    selected = np.array([index for row in rows for index in row], dtype=np.int32)
    return {"indptr": _indptr(rows), "selected": selected}, (), errors


READERS: dict[ModelKind, Callable[[Outputs, tuple[str, ...]], Read]] = {
    ModelKind.DENSE: _read_dense,
    ModelKind.SPARSE: _read_sparse,
    ModelKind.SPARSE_TOKENIZER: _read_sparse,
    ModelKind.CROSS_ENCODER: _read_logit,
    ModelKind.QUESTION_ANSWERING: _read_answers,
    ModelKind.HIGHLIGHTER: _read_highlights,
}
"""How the outputs of each kind become arrays; a kind that is not here is not asked by predict."""
