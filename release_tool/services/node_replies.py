"""Turn the outputs of predict into the arrays that the oracle's answers have, a reader for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import ModelKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

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


def _read_events(outputs: Sequence[Any], ids: tuple[str, ...]) -> Read:
    import numpy as np

    fields = {"event_window": np.float32, "event_pattern": np.float32, "suspected_metrics": np.int64}
    rows: list[list[list[np.ndarray]]] = []
    errors: dict[str, str] = {}
    for probe, output in zip(ids, outputs, strict=True):
        try:
            rows.append([[np.array(event[name], dtype) for name, dtype in fields.items()] for event in output or ()])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            rows.append([])
            errors[probe] = f"the reply holds no whole event: {error}"
    events = [event for row in rows for event in row]
    arrays = {
        name: np.concatenate([np.zeros(0, dtype), *(event[place] for event in events)])
        for place, (name, dtype) in enumerate(zip(("window", "pattern", "suspected"), fields.values(), strict=True))
    }
    sizes = np.array([[part.size for part in event] for event in events], np.int64).reshape(-1, len(fields))
    return {"indptr": _indptr(rows), "sizes": sizes, **arrays}, (), errors


READERS: dict[ModelKind, Callable[[Outputs, tuple[str, ...]], Read]] = {
    ModelKind.DENSE: _read_dense,
    ModelKind.SPARSE: _read_sparse,
    ModelKind.SPARSE_TOKENIZER: _read_sparse,
    ModelKind.CROSS_ENCODER: _read_logit,
    ModelKind.QUESTION_ANSWERING: _read_answers,
    ModelKind.HIGHLIGHTER: _read_highlights,
    ModelKind.METRICS_CORRELATION: _read_events,
}
"""How the outputs of each kind become arrays; a kind that is not here is not asked by predict."""
