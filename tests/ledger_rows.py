"""Rows of the ledger: those of the catalogue that is carried on, with their oddities, and ours."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from release_tool.core import ledger_columns as column

OLD_MODELS = (
    ("sentence-transformers/first-model", "1.0.2", "BOTH", "384", "N/A"),
    ("sentence-transformers/first-model", "1.0.10", "BOTH", "N/A", "N/A"),
    ("sentence-transformers/second-model", "1.0.1", "TORCH_SCRIPT", "N/A", "N/A"),
    ("opensearch-project/sparse-model", "1.0.0", "TORCH_SCRIPT", "N/A", "N/A"),
    ("opensearch-project/sparse-model", "1.0.0", "TORCH_SCRIPT", "N/A", "N/A"),
    ("opensearch-project/sparse-model", "1.0.0", "TORCH_SCRIPT", "N/A", "N/A"),
    ("metrics_correlation", "1.0.0b2", "TORCH_SCRIPT", "N/A", "N/A"),
)


def old_rows() -> list[dict[str, str]]:
    """Return 38 rows in the old manner: repeats of one version, N/A, ``-``, times without a zone."""
    rows: list[dict[str, str]] = []
    number = 0
    while len(rows) < 38:
        model, version, fmt, dimension, pooling = OLD_MODELS[number % len(OLD_MODELS)]
        at = "-" if number == 0 else f"2023-{1 + number // 28:02}-{1 + number % 28:02} 11:07:{number:02}"
        rows += [
            {
                column.UPLOADER: "-" if number == 0 else f"@person-{number % 3}",
                column.TIME: at,
                column.MODEL_ID: model,
                column.VERSION: version,
                column.FORMAT: one,
                column.DIMENSION: dimension,
                column.POOLING: pooling,
                column.RUN_ID: "-" if number == 0 else str(10_000_000 + number),
            }
            for one in (("ONNX", "TORCH_SCRIPT") if fmt == "BOTH" else (fmt,))
        ]
        number += 1
    return rows[:38]


def old_file() -> bytes:
    """Return them as the old tool wrote them: four spaces, no final newline."""
    return json.dumps(old_rows(), indent=4).encode()


def approved_of(word: str) -> str:
    """Return a digest that belongs to a word."""
    return sha256(word.encode()).hexdigest()


def own_row(name: str = "tiny", version: str = "1.0.0", fmt: str = "onnx", **over: Any) -> dict[str, Any]:
    """Return a row as ``record`` makes it; ``over`` by column constant's value."""
    approved = approved_of(f"{name} {version}")
    stem = name.replace("/", "_")
    row = {
        column.UPLOADER: "@octocat",
        column.TIME: "2026-11-21 10:00:00Z",
        column.MODEL_ID: f"acme/{name}",
        column.VERSION: version,
        column.FORMAT: fmt.upper(),
        column.DIMENSION: "32",
        column.POOLING: "MEAN",
        column.RUN_ID: "17",
        column.RUN_URL: None,
        column.KIND: "dense",
        column.DESCRIPTION: f"Model {name}.",
        column.REVISION: "c" * 40,
        column.LICENCE: "apache-2.0",
        column.ARTIFACT: fmt,
        column.ARCHIVE: approved_of(f"{name} {version} {fmt}"),
        column.SIZE: 8112,
        column.APPROVED: approved,
        column.KEY: f"ml-models/huggingface/acme/{name}/{version}/{fmt}/acme_{stem}-{version}-{fmt}.zip",
        column.CERTIFICATE: f"releases/{approved}/certificate-{fmt}.json",
        column.RECEIPT: f"releases/{approved}/released.json",
        column.REPLACES: None,
        column.BUILD_RESULT: None,
        column.BUILD_NUMBER: None,
        column.BUILD_URL: None,
        column.LINEAGE: None,
        column.TUNING_RUN: None,
    }
    return {**row, **over}
