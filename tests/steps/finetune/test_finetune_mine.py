"""Candidates come from the right splits, without what answers the query, best first, and the same after a kill."""

from __future__ import annotations

import pytest
import searched_runs
from chance import seeded
from model_files import Files, dense
from searched_runs import World, call, counts, rows

from release_tool.core.finetune.records import Mined
from release_tool.core.finetune.stages import Stage
from release_tool.run_folder import RunFolder

WORDS = (
    "river", "bank", "water", "city", "mountain", "winter", "music", "science", "history", "language", "night",
    "school", "stone", "paper", "market",
)  # fmt: skip


def documents(count=60, seed=3):
    draw = seeded(seed)
    return {f"d{number}": " ".join(draw.choices(WORDS, k=draw.randint(4, 12))) for number in range(count)}


def world(**over):
    texts = documents()
    splits = {f"d{number}": ("dev" if number % 10 == 0 else "test") for number in range(60) if number % 5 == 0}
    asked = [(f"q{number}", " ".join(texts[f"d{number}"].split()[:3]), f"d{number}") for number in range(0, 60, 2)]
    return World(**{"documents": texts, "queries": asked, "splits": splits, **over})


def mined(work):
    assert call(work, "filter") == 0
    assert call(work, "mine") == 0
    return {row.query: row for row in rows(work, Stage.MINE, Mined)}


@pytest.mark.parametrize("engine", ["tantivy", "bm25s"])
def test_candidates_are_of_the_splits_that_a_query_may_learn_from(tmp_path, engine):
    one = world(keys=f'[mine]\nengine = "{engine}"\ndepth = 8\n[filter]\nround_trip = "none"\n')
    found = mined(one.write(tmp_path))
    split = {name: one.splits.get(name, "train") for name in one.documents}
    assert {split[row.positive] for row in found.values()} == {"train", "dev"}
    seen = {"train": set(), "dev": set()}
    for row in found.values():
        assert row.split == split[row.positive]
        assert row.positive not in row.documents
        assert len(row.documents) == len(set(row.documents)) == len(row.scores) <= 8
        assert list(row.scores) == sorted(row.scores, reverse=True)
        seen[row.split] |= {split[name] for name in row.documents}
    assert seen == {"train": {"train"}, "dev": {"train", "dev"}}


def test_the_positive_its_near_duplicates_and_all_other_answers_are_no_candidates(tmp_path):
    texts = {
        "positive": "red apple pie", "double": "red apple pie", "near": "red apple pies with cream",
        "judged": "red apple cake", "unjudged": "red apple soup", "alike": "red apple tea", "other": "red apple juice",
    }  # fmt: skip
    one = World(
        documents=texts,
        queries=[("q1", "red apple", "positive"), ("q2", "Red, APPLE!", "alike")],
        groups={"double": "positive", "near": "positive"},
        judgements=[("q1", "judged", 1), ("q1", "unjudged", 0)],
        provider="file",
    )
    found = mined(one.write(tmp_path))
    # q2 is the same text: it is dropped itself, and its document answers q1.
    assert {name: set(row.documents) for name, row in found.items()} == {"q1": {"unjudged", "other"}}


def test_ties_stand_in_the_order_of_the_corpus_and_skip_leaves_out_the_first(tmp_path):
    texts = {f"d{number}": "same words here" for number in (5, 3, 9, 1, 7)} | {"p": "same words here"}
    keys = '[mine]\ndepth = 3\nskip = 1\n[filter]\nround_trip = "none"\n'
    for engine in ("tantivy", "bm25s"):
        one = World(
            documents=texts,
            queries=[("q", "same words", "p")],
            keys=keys.replace("depth", f'engine = "{engine}"\ndepth'),
        )
        assert mined(one.write(tmp_path / engine))["q"].documents == ("d3", "d9", "d1")


@pytest.mark.parametrize("engine", ["tantivy", "bm25s"])
def test_what_scores_above_the_share_of_the_positive_is_left_out_and_the_next_follow(tmp_path, engine):
    keys = f'[mine]\nengine = "{engine}"\ndepth = 5\n[filter]\nround_trip = "none"\n'
    everything = mined(world(keys=keys.replace("depth = 5", "depth = 59")).write(tmp_path / "all"))
    capped = mined(world(keys=keys.replace("depth", "max_share = 0.7\ndepth")).write(tmp_path / "capped"))
    cut = 0
    for name, row in capped.items():
        assert len(row.documents) <= 5
        own = own_score(tmp_path / "all", name, engine)
        allowed = [
            one
            for one, score in zip(everything[name].documents, everything[name].scores, strict=True)
            if score <= 0.7 * own
        ]
        assert list(row.documents) == allowed[:5]
        cut += row.documents != everything[name].documents[:5]
    assert cut > 5


def own_score(folder, query, engine):
    """Return the positive's score, asked of an index of its own."""
    from release_tool.services.finetune.analysis import analysis_of
    from release_tool.services.finetune.bm25s_engine import Bm25sEngine
    from release_tool.services.finetune.tantivy_engine import TantivyEngine, build

    one = world()
    analysis = analysis_of("english", lambda: None)
    text = next(text for name, text, _ in one.queries if name == query)
    place = list(one.documents).index(f"d{query[1:]}")
    if engine == "bm25s":
        hits = Bm25sEngine(one.documents.values(), analysis, told=lambda _: None).search([text], 60)[0].hits
        return dict(hits)[place]
    build(folder / "ix", one.documents.values(), analysis, memory=2**24, made_of="x", told=lambda _: None)
    with TantivyEngine(folder / "ix", analysis) as searching:
        return dict(searching.search([text], 60)[0].hits)[place]


def test_a_query_without_a_common_word_has_no_candidate_and_is_counted(tmp_path):
    one = World(
        documents={"a": "red apples", "b": "green pears", "c": "green apples"},
        queries=[("q1", "zebra quagga", "a"), ("q2", "green things", "b")],
        keys='[filter]\nround_trip = "none"\n',
    )
    work = one.write(tmp_path)
    found = mined(work)
    assert found["q1"].documents == ()
    assert found["q2"].documents == ("c",)
    said = counts(work, Stage.MINE)
    assert (said["queries_without"], said["queries_with_fewer"], said["candidates"]) == (1, 1, 1)


HOSTILE = (
    'a" OR text:*', "red AND (apple", "+red -apple", "text:red^9", "*", "[a TO z]", "\\", "red~2", '"red apple',
    "/re.*/", "<script>alert(1)</script>", "\x00 red", "red\n::error::", "🍎 \u202e", "{!lucene}red", "a" * 9000,
)  # fmt: skip


@pytest.mark.parametrize("engine", ["tantivy", "bm25s"])
def test_a_query_is_words_and_never_a_syntax(tmp_path, engine):
    texts = {"a": "red apple", "b": "red pear", "c": "green or and to text"}
    asked = [(f"q{number}", text, "a") for number, text in enumerate(HOSTILE)]
    keys = f'[mine]\nengine = "{engine}"\n[filter]\nround_trip = "none"\nmin_words = 1\n'
    found = mined(World(documents=texts, queries=asked, keys=keys).write(tmp_path))
    assert len(found) >= len(HOSTILE) - 4  # some are the same words, or none
    assert found["q1"].documents == ("c", "b")
    assert found["q2"].documents == ("b",)
    assert {row.documents for name, row in found.items() if name in ("q15", "q10", "q13")} == {()}


def word_pieces():
    """Return a tokenizer.json that knows letters and two endings."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    letters = "abcdefghijklmnopqrstuvwxyzäöüß東京都タワーの高さ"
    pieces = dict.fromkeys(["[UNK]", *letters, *(f"##{letter}" for letter in letters), "river", "##en", "##er"])
    built = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer(strip_accents=False)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return built.to_str()


@pytest.mark.parametrize("analysis", ["german", "words", "wordpiece", "turkish"])
def test_both_engines_see_the_same_terms_whatever_the_analysis(tmp_path, analysis):
    texts = {
        "a": "Die Häuser der Stadt", "b": "ein Haus am Fluß", "c": "東京タワーの高さ", "d": "京都の高さ",
        "e": "river bank of the city", "f": "the history of a river", "g": "İstanbul'un evleri", "h": "evlerin tarihi",
    }  # fmt: skip
    asked = [(f"q{name}", text, name) for name, text in texts.items()]
    found = {}
    for engine in ("tantivy", "bm25s"):
        Files(dense()).write(tmp_path / engine / "base")
        (tmp_path / engine / "base" / "tokenizer.json").write_text(word_pieces(), encoding="utf-8")
        keys = f'[mine]\nengine = "{engine}"\nanalysis = "{analysis}"\n[filter]\nround_trip = "none"\nmin_words = 1\n'
        found[engine] = mined(World(documents=texts, queries=asked, keys=keys).write(tmp_path / engine))
    names = {engine: {name: row.documents for name, row in table.items()} for engine, table in found.items()}
    assert names["tantivy"] == names["bm25s"]
    for name, row in found["tantivy"].items():
        assert row.scores == pytest.approx(found["bm25s"][name].scores, rel=1e-3)
    assert any(names["tantivy"].values())
    if analysis == "german":
        assert "b" in names["tantivy"]["qa"]
    if analysis == "words":
        assert names["tantivy"]["qc"] == ("d",)
    if analysis == "wordpiece":
        assert names["tantivy"]["qc"][0] == "d"


def test_a_base_without_a_tokenizer_is_told_before_anything_is_indexed(tmp_path, capsys):
    one = world(keys='[mine]\nanalysis = "wordpiece"\n')
    work = one.write(tmp_path)
    (tmp_path / "base" / "tokenizer.json").unlink(missing_ok=True)
    assert call(one.write(tmp_path), "filter") != 0
    assert "tokenizer.json" in capsys.readouterr().err
    assert not (work / "finetune" / "index" / "tantivy").exists()


def test_opensearch_as_engine_needs_the_corpus_in_opensearch(tmp_path, capsys):
    one = world(keys='[mine]\nengine = "opensearch"\n')
    with pytest.raises(AssertionError):
        one.write(tmp_path)
    assert "mine.engine" in capsys.readouterr().err


def test_the_index_is_shared_by_both_stages_and_gone_at_the_end(tmp_path, monkeypatch):
    from release_tool.services.finetune import tantivy_engine

    built = []
    write = tantivy_engine._write
    monkeypatch.setattr(tantivy_engine, "_write", lambda *args: (built.append(1), write(*args)))
    work = world().write(tmp_path)
    assert call(work, "filter") == 0
    assert (work / "finetune" / "index" / "tantivy" / "meta.json").is_file()
    assert call(work, "mine") == 0
    assert built == [1]
    assert not (work / "finetune" / "index").exists()
    assert [path.name for path in RunFolder.below(work).folder(Stage.MINE).iterdir() if path.is_dir()] == []


def test_several_threads_and_more_memory_find_the_same(tmp_path):
    found = {}
    for name, keys in {"one": "", "many": "[engine]\nprocesses = 4\n[mine]\nmemory_mb = 64\n"}.items():
        work = world(keys=keys).write(tmp_path / name)
        mined(work)
        found[name] = searched_runs.digest(work, Stage.MINE)
    assert found["one"] == found["many"]
