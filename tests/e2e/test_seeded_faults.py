"""Faults that released models really had, put into good archives: each is stopped by its own words.

The archive is changed and its digests are made right again everywhere, as if the exporter itself had written it: what
stops it is the measurement, not a checksum. A register request that is not the plan's is not measured at all.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from spoiling import Archive, edit_onnx, edit_weight, spoil
from tiny_models import make

from release_tool.cli import run

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 64
"""Tokens: a model limit below the server's 512, so that a lost truncation is seen as numbers and not as an error."""


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    model = make(folder / "tiny", "bert", "dense", max_length=LIMIT)
    assert run(["--work", str(folder / "work"), "trace", str(model), "--version", "1.0.0"]) == 0
    assert run(["--work", str(folder / "work"), "validate"]) == 0
    return folder / "work"


def wrong_pooling(archive: Archive) -> None:
    archive.config["model_config"]["pooling_mode"] = "CLS"


def unnormalised(archive: Archive) -> None:
    archive.config["model_config"]["normalize_result"] = False


def longer_truncation(archive: Archive) -> None:
    tokenizer = json.loads(archive.members["tokenizer.json"])
    tokenizer["truncation"]["max_length"] = 48
    archive.members["tokenizer.json"] = json.dumps(tokenizer).encode()


def no_truncation(archive: Archive) -> None:
    tokenizer = json.loads(archive.members["tokenizer.json"])
    tokenizer["truncation"] = None
    archive.members["tokenizer.json"] = json.dumps(tokenizer).encode()


def ir_10(archive: Archive) -> None:
    edit_onnx(archive, lambda model: setattr(model, "ir_version", 10))


def no_token_types(archive: Archive) -> None:
    archive.config["model_config"]["model_type"] = "BertModel"


def swapped_rows(weight: np.ndarray) -> None:
    weight[[5 + 4, 5 + 19]] = weight[[5 + 19, 5 + 4]]


def external_weights(archive: Archive) -> None:
    import onnx

    def change(model: Any) -> None:
        tensor = max(model.graph.initializer, key=lambda item: len(item.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")

    edit_onnx(archive, change)


def two_models(archive: Archive) -> None:
    archive.members["other.onnx"] = archive.members[archive.model]


def nested(archive: Archive) -> None:
    archive.members = {f"model/{name}": data for name, data in archive.members.items()}


def nan(weight: np.ndarray) -> None:
    weight.flat[7] = np.nan


def one_hundredth(weight: np.ndarray) -> None:
    weight.flat[3] += 1e-2


OF_THE_REQUEST = {
    "wrong pooling": "pooling_mode' is 'CLS' where plan and archive say 'MEAN'",
    "unnormalised": "normalize_result' is 'false' where plan and archive say 'true'",
    "missing token types": "model_type' is 'BertModel' where plan and archive say 'bert'",
}
"""Faults of the register request, which follows from the plan: what is said of them."""

FAULTS: dict[str, tuple[Callable[[Archive], None], str]] = {
    "wrong pooling": (wrong_pooling, OF_THE_REQUEST["wrong pooling"]),
    "unnormalised": (unnormalised, OF_THE_REQUEST["unnormalised"]),
    "another truncation": (longer_truncation, "48 tokens where the source has 64|truncat"),
    "no truncation": (no_truncation, "truncat|token"),
    "IR 10": (ir_10, "Unsupported model IR version: 10"),
    "missing token types": (no_token_types, OF_THE_REQUEST["missing token types"]),
    "swapped vocabulary row": (edit_weight("word_embeddings.weight", swapped_rows), "differs by"),
    "external weights": (external_weights, "weights.bin|external"),
    "two models": (two_models, "(?i)multiple model"),
    "nested": (nested, "(?i)tokenizer|root|model file"),
    "NaN weight": (edit_weight("layer.1.output.dense.bias", nan), "NaN"),
    "one weight off by 0.01": (edit_weight("layer.1.output.LayerNorm.bias", one_hundredth), "differs by"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_stopped_with_its_own_words(
    fault: str, dense: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change, words = FAULTS[fault]
    work = tmp_path / "work"
    shutil.copytree(dense, work)
    spoil(work, "onnx", change)
    capfd.readouterr()
    code = run(["--work", str(work), "validate", "--artifact", "onnx"])
    error = capfd.readouterr().err
    assert code == (7 if fault in OF_THE_REQUEST else 6), error
    assert re.search(words, error), error
    assert run(["--work", str(work), "review"]) in (6, 7)
    review = work / "review.json"
    assert not review.is_file() or json.loads(review.read_text())["digest"] is None


def test_an_archive_that_changed_after_its_certificate_is_named(
    dense: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = json.loads((dense / "bundle-onnx.json").read_text())
    data = bytearray((dense / bundle["archive"]["path"]).read_bytes())
    data[len(data) // 2] ^= 1
    archive = tmp_path / Path(bundle["archive"]["path"]).name
    archive.write_bytes(data)
    certificate = str(dense / "certificate-onnx.json")
    model = str(dense / "snapshot")
    config = str(dense / bundle["config"]["path"])
    code = run(["validate", "--certificate", certificate, str(archive), "--model", model, "--config", config])
    error = capfd.readouterr().err
    assert code == 7, error
    assert "not the archive" in error or "certificate" in error
