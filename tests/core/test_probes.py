from __future__ import annotations

import json

import pytest

from release_tool.core.kinds import ModelKind
from release_tool.core.probes import Role, parse
from release_tool.errors import UsageError
from release_tool.packaged import load_probes, packaged_probes, read_packaged

GOOD = {
    "schema": "release-tool/probes@1",
    "texts": [{"id": "a", "shape": "short", "role": "query", "text": "hello"}],
    "pairs": [{"id": "b", "shape": "short", "first": "who", "second": "me"}],
}

SHAPES_OF_TEXTS = {
    "short", "empty", "one-token", "three-tokens", "len-128", "len-200", "len-300", "len-512", "len-2000",
    "punctuation", "cjk", "arabic", "hebrew", "devanagari", "emoji", "code", "mixed", "digits", "whitespace",
    "markup", "long-word", "repeated-word", "control", "upper-case", "url",
}  # fmt: skip


def faulty(**change: object) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


def test_the_shipped_set_has_at_least_64_texts_and_64_pairs_of_every_shape() -> None:
    probes = packaged_probes()
    assert len(probes.texts) >= 64
    assert len(probes.pairs) >= 64
    assert {probe.shape for probe in probes.texts} >= SHAPES_OF_TEXTS
    assert {probe.shape for probe in probes.pairs} >= {
        "empty-second",
        "cjk",
        "punctuation",
        "sentences",
        "len-512",
    }


def test_every_kind_that_answers_gets_at_least_64_shipped_probes() -> None:
    for kind in ModelKind:
        assert len(packaged_probes().for_kind(kind)) >= 64, kind


def test_shipped_texts_alternate_between_query_and_passage() -> None:
    roles = [probe.role for probe in packaged_probes().texts]
    assert roles[:4] == [Role.QUERY, Role.PASSAGE, Role.QUERY, Role.PASSAGE]


def test_few_shipped_probes_are_long_so_that_a_proof_is_quick() -> None:
    probes = packaged_probes()
    long = [probe for probe in (*probes.texts, *probes.pairs) if len(probe.text + (probe.second or "")) > 400]
    assert len(long) <= 17


def test_the_digest_is_of_the_bytes_and_not_of_the_meaning() -> None:
    data = json.dumps(GOOD).encode()
    assert parse(data).sha256 != parse(data + b"\n").sha256
    assert parse(data).texts == parse(data + b"\n").texts


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff", "utf-8"),
        (b"[]", "expected an object"),
        (faulty(schema="release-tool/probes@2"), "probes@2"),
        (faulty(more=1), "unknown key 'more'"),
        (faulty(texts=[{**GOOD["texts"][0], "role": "title"}]), "none of query, passage"),
        (faulty(texts=[GOOD["texts"][0], GOOD["texts"][0]]), "given twice"),
        (faulty(pairs=[{**GOOD["pairs"][0], "id": "a"}]), "given twice"),
        (faulty(texts=[{**GOOD["texts"][0], "id": "a b"}]), "not made of letters"),
        (faulty(texts=[{**GOOD["texts"][0], "text": "x" * 100_001}]), "longer than"),
        (faulty(texts=[{**GOOD["texts"][0], "text": "\ud800"}]), "surrogate"),
        (faulty(pairs=[{"id": "b", "shape": "s", "first": "x"}]), "missing key 'second'"),
    ],
)
def test_a_faulty_file_of_a_user_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(UsageError, match="not a probe set") as caught:
        parse(data, "mine.json")
    assert says in str(caught.value)
    assert "--probes" in caught.value.hint


def test_a_set_without_probes_for_the_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="no texts for models of kind dense"):
        parse(faulty(texts=[])).for_kind(ModelKind.DENSE)


def test_the_highlighter_gets_only_pairs_with_something_to_choose_from() -> None:
    chosen = packaged_probes().for_kind(ModelKind.HIGHLIGHTER)
    assert chosen
    assert all((probe.second or "").split() for probe in chosen)


def test_an_unreadable_file_is_a_usage_error(tmp_path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        load_probes(tmp_path / "none.json")


def test_without_a_file_the_shipped_set_is_used(tmp_path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(read_packaged("probes.json"))
    assert load_probes(copy) == load_probes() == packaged_probes()
