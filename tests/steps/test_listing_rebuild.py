"""``listing rebuild``: what --drop means, an address that leads to nothing, and listings that can't be read."""

from __future__ import annotations

import json
import shutil

import pytest
from ledger_rows import own_row
from publications import reviewed

from release_tool.cli import run
from release_tool.core.ledger import parse
from release_tool.core.listing_rebuild import meant
from release_tool.errors import UsageError

ALL = "model_listing/pretrained_models_all_versions.json"
SERVED = "model_listing/pre_trained_models.json"
EXCLUDED = "model_listing/excluded.json"
NAME = "huggingface/acme/tiny"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a place with bucket and repo, into which one release was published and recorded."""
    place = tmp_path_factory.mktemp("released")
    digest = reviewed(place / "work", pages=False)
    (place / "repo").mkdir()
    to = (place / "bucket").as_uri()
    assert run(["--work", str(place / "work"), "-q", "publish", "--approved", digest, "--to", to]) == 0
    assert run(["--work", str(place / "work"), "--repo", str(place / "repo"), "-q", "record"]) == 0
    return place


@pytest.fixture
def place(released, tmp_path, capsys):
    shutil.copytree(released, tmp_path / "place")
    capsys.readouterr()
    return tmp_path / "place"


def files(place):
    found = sorted((place / "repo").rglob("*"))
    return {path.relative_to(place / "repo").as_posix(): path.read_bytes() for path in found if path.is_file()}


def rebuild(place, *more, bucket="bucket"):
    to = ("--to", (place / bucket).as_uri())
    return run(["--repo", str(place / "repo"), "listing", "rebuild", *to, *more])


def listed(place, name=SERVED):
    return json.loads((place / "repo" / name).read_bytes())


# --- drop


@pytest.mark.parametrize("word", ["acme/tiny@1.0.0", f"{NAME}@1.0.0"])
def test_a_name_to_drop_is_read_as_models_reads_it(place, word):
    assert rebuild(place, "--drop", word) == 0
    assert listed(place) == listed(place, ALL) == []
    assert [(one["name"], one["version"]) for one in listed(place, EXCLUDED)] == [(NAME, "1.0.0")]
    before = files(place)
    assert rebuild(place, "--drop", word) == rebuild(place) == 0
    assert files(place) == before


def test_without_a_ledger_a_model_id_means_what_ends_in_it(place):
    (place / "repo" / "supported_models.json").unlink()
    assert rebuild(place, "--drop", "acme/tiny@1.0.0") == 0
    assert [(one["name"], one["version"]) for one in listed(place, EXCLUDED)] == [(NAME, "1.0.0")]


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("acme/tidy@1.0.0", "Did you mean acme/tiny"),
        ("tiny@1.0.0", "Did you mean acme/tiny"),
        ("zzz@1.0.0", "listing show shows every name"),
        ("acme/tiny@2.0.0", "It has 1.0.0."),
        ("huggingface/acme/tiny@1.0", "It has 1.0.0."),
        ("huggingface/acme@tiny", "huggingface/acme/tiny"),
    ],
)
@pytest.mark.parametrize("draft", [(), ("--draft",)])
def test_what_is_neither_there_nor_listed_can_not_be_dropped(place, word, what, draft, capsys):
    before = files(place)
    assert rebuild(place, "--drop", f"{NAME}@1.0.0", "--drop", word, *draft) == 2
    err = capsys.readouterr().err
    assert f"{word} lies neither in the bucket nor is it listed" in err
    assert what in err
    assert files(place) == before


def test_what_is_only_listed_and_what_lies_there_by_half_can_be_dropped(place):
    for name, entry in (
        (ALL, {"versions": {"1": {"format": ["onnx"]}}}),
        (SERVED, {"version": ["1"], "format": ["onnx"]}),
    ):
        (place / "repo" / name).write_text(json.dumps([{"name": "huggingface/gone/model", **entry}]))
    half = place / "bucket/ml-models/huggingface/half/model/1.0.0/onnx"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    assert rebuild(place, "--drop", "gone/model@1", "--drop", "half/model@1.0.0") == 0
    assert [one["name"] for one in listed(place, EXCLUDED)] == ["huggingface/gone/model", "huggingface/half/model"]
    assert [one["name"] for one in listed(place)] == [NAME]


def test_a_model_id_means_every_model_of_it_and_a_registered_name_itself_alone():
    tokenizer = "huggingface/acme/tiny-tokenizer"
    key = "ml-models/huggingface/acme/tiny-tokenizer/1.0.0/onnx/acme_tiny-tokenizer-1.0.0-onnx.zip"
    ledger = parse(b"[]").add(own_row()).add(own_row(Key=key))
    there = {(NAME, "1.0.0"), (tokenizer, "1.0.0"), (NAME, "1.0.1"), ("local/acme/other", "1.0.0")}
    assert meant("acme/tiny", "1.0.0", there, ledger) == ((NAME, "1.0.0"), (tokenizer, "1.0.0"))
    assert meant(NAME, "1.0.0", there, ledger) == ((NAME, "1.0.0"),)
    assert meant(tokenizer, "1.0.0", there, ledger) == ((tokenizer, "1.0.0"),)
    assert meant("acme/other", "1.0.0", there, ledger) == (("local/acme/other", "1.0.0"),)
    with pytest.raises(UsageError) as raised:
        meant("acme/tiny", "9", there, ledger)
    assert "1.0.0, 1.0.1" in raised.value.hint


# --- an address that leads to nothing


@pytest.mark.parametrize("draft", [(), ("--draft",)])
def test_a_folder_that_does_not_exist_is_named_and_empties_nothing(place, draft, capsys):
    before = files(place)
    assert rebuild(place, *draft, bucket="bukcet") == 8
    assert f"{(place / 'bukcet').as_uri()} does not exist" in capsys.readouterr().err
    assert files(place) == before
    assert not (place / "bukcet").exists()


@pytest.mark.parametrize("left", [(ALL, SERVED), (ALL,), (SERVED,)])
def test_a_bucket_without_any_model_empties_no_listing(place, left, capsys):
    for name in {ALL, SERVED} - {*left}:
        (place / "repo" / name).unlink()
    before = files(place)
    (place / "empty" / "releases").mkdir(parents=True)
    (place / "empty" / "releases" / "notes.txt").write_text("x")
    assert rebuild(place, bucket="empty") == 9
    assert f"Nothing at all lies under ml-models/ in {(place / 'empty').as_uri()}" in capsys.readouterr().err
    assert files(place) == before


def test_a_broken_listing_counts_as_one_with_entries(place):
    for name in (ALL, SERVED):
        (place / "repo" / name).write_text("<<<<<<< main\n")
    before = files(place)
    (place / "empty").mkdir()
    assert rebuild(place, bucket="empty") == 9
    assert files(place) == before


def test_of_an_empty_bucket_empty_listings_are_made(place):
    shutil.rmtree(place / "repo" / "model_listing")
    (place / "empty").mkdir()
    assert rebuild(place, bucket="empty") == 0
    assert listed(place) == listed(place, ALL) == []
    assert rebuild(place, bucket="empty") == 0


# --- listings that can't be read


@pytest.mark.parametrize("broken", [b"<<<<<<< main\n[]", b"", b"\xff\xfe", b"[{}]", b'{"name": 1}'])
@pytest.mark.parametrize("names", [(ALL,), (SERVED,), (ALL, SERVED)])
def test_a_listing_that_can_not_be_read_is_made_anew_and_told(place, names, broken, capsys):
    before = files(place)
    for name in names:
        (place / "repo" / name).write_bytes(broken)
    assert run(["--repo", str(place / "repo"), "listing", "show"]) == 9
    assert "release-tool listing rebuild" in capsys.readouterr().err
    now = files(place)
    assert rebuild(place, "--draft") == 0
    assert files(place) == now
    assert capsys.readouterr().err.count("It is made anew") == len(names)
    assert rebuild(place) == 0
    err = capsys.readouterr().err
    assert all(f"{name}, " in err for name in names)
    assert err.count("It is made anew") == len(names)
    assert files(place) == before
    assert run(["--repo", str(place / "repo"), "record", "--check"]) == 0


def test_what_is_no_file_at_all_is_not_made_anew(place, capsys):
    (place / "repo" / SERVED).unlink()
    (place / "repo" / SERVED).mkdir()
    assert rebuild(place) == 9
    assert f"{SERVED} can't be read" in capsys.readouterr().err
