"""``release-tool models`` and ``listing``: from the ledger, the listings and a bucket."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from killed_writes import KILLED_AT_A_WRITE
from ledger_rows import old_file, own_row
from publications import contents, reviewed

from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.digest import sha256_bytes
from release_tool.core.ledger import parse

ALL = "model_listing/pretrained_models_all_versions.json"
SERVED = "model_listing/pre_trained_models.json"
NAME = "huggingface/acme/tiny"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a place with work, bucket and repo, into which one release was published and recorded."""
    place = tmp_path_factory.mktemp("released")
    digest = reviewed(place / "work")
    repo = place / "repo"
    repo.mkdir()
    (repo / "supported_models.json").write_bytes(old_file())
    to = (place / "bucket").as_uri()
    assert run(["--work", str(place / "work"), "-q", "publish", "--approved", digest, "--to", to]) == 0
    assert run(["--work", str(place / "work"), "--repo", str(repo), "-q", "record", "--uploader", "octocat"]) == 0
    return place


@pytest.fixture
def place(released, tmp_path, capsys):
    shutil.copytree(released, tmp_path / "place")
    capsys.readouterr()
    return tmp_path / "place"


def files(repo):
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def models(place, *more):
    return run(["--repo", str(place / "repo"), "models", *more])


def listing(place, *more):
    return run(["--repo", str(place / "repo"), "listing", *more])


def to(place):
    return "--to", (place / "bucket").as_uri()


def rows(place):
    return json.loads((place / "repo" / "supported_models.json").read_bytes())


# ---------------------------------------------------------------------------------------------------------------------
# list, show


def test_list_shows_every_version_once_oldest_first(place, capsys):
    assert models(place, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sentence-transformers/first-model  1.0.2  -  onnx,torch_script  2023-")
    assert lines[-1].startswith(f"{NAME}  1.0.0  dense  onnx,torch_script  2")
    assert len(lines) == len({tuple(line.split()[:2]) for line in lines}) == 6
    assert models(place, "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == [line.split()[0] for line in lines]
    assert found[-1]["approved"] == rows(place)[-1][column.APPROVED]
    assert (found[-1]["dimension"], found[-1]["yanked"], found[-1]["build"]) == ("32", False, None)


def test_an_empty_ledger_lists_nothing(tmp_path, capsys):
    assert run(["--repo", str(tmp_path), "models", "list"]) == 0
    assert run(["--repo", str(tmp_path), "models", "list", "--json"]) == 0
    assert capsys.readouterr().out == "nothing was released yet\n[]\n"


@pytest.mark.parametrize("name", ["acme/tiny", NAME, "acme/tiny@1.0.0", f"{NAME}@1.0.0"])
def test_show_says_everything_that_the_ledger_says(place, name, capsys):
    assert models(place, "show", name, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"name": NAME, **row} for row in rows(place)[-2:]]
    assert models(place, "show", name) == 0
    out = capsys.readouterr().out
    for row in rows(place)[-2:]:
        assert row[column.ARCHIVE] in out
        assert row[column.KEY] in out


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("acme/tidy", "Did you mean acme/tiny"),
        ("tiny", "acme/tiny"),
        ("acme/tiny@2.0.0", "It has 1.0.0"),
        ("sentence-transformers/first-model@9", "It has 1.0.2, 1.0.10"),
        ("zzz", "models list"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_closest(place, name, what, capsys):
    assert models(place, "show", name) == 2
    assert what in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# yank, restore


def test_a_yank_leaves_the_bytes_and_takes_the_version_out_of_both_listings(place, capsys):
    bucket = contents(place / "bucket")
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "Wrong | answers\nbeyond", "--by", "octocat") == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["yanked    acme/tiny 1.0.0", *(f"changed   {name}" for name in (
        "supported_models.json", "MODEL_UPLOAD_HISTORY.md", ALL, SERVED,
    ))]  # fmt: skip
    assert contents(place / "bucket") == bucket
    for name in (ALL, SERVED):
        assert json.loads((place / "repo" / name).read_bytes()) == []
    for row in rows(place)[-2:]:
        assert (row[column.YANKED]["reason"], row[column.YANKED]["by"]) == ("Wrong | answers beyond", "@octocat")
        assert row[column.YANKED]["at"].endswith("Z")
    page = (place / "repo" / "MODEL_UPLOAD_HISTORY.md").read_text()
    assert page.count("Wrong \\| answers beyond") == 2
    assert run(["--repo", str(place / "repo"), "record", "--check"]) == 0
    assert models(place, "list") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("yanked")
    assert models(place, "show", "acme/tiny") == 0
    assert "Wrong | answers beyond" in capsys.readouterr().out


def test_yanked_twice_is_yanked_once(place, capsys):
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "First.") == 0
    before = files(place / "repo")
    capsys.readouterr()
    assert models(place, "yank", NAME + "@1.0.0", "--reason", "Second.") == 0
    assert files(place / "repo") == before
    assert "unchanged" in capsys.readouterr().out


def test_a_restore_leaves_every_file_as_if_there_had_been_no_yank(place, capsys):
    before = files(place / "repo")
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R") == 0
    assert models(place, "restore", f"{NAME}@1.0.0") == 0
    assert files(place / "repo") == before
    capsys.readouterr()
    assert models(place, "restore", f"{NAME}@1.0.0") == 0
    assert "unchanged" in capsys.readouterr().out
    assert files(place / "repo") == before


def test_a_version_older_than_this_tool_can_be_yanked_and_restored(place):
    repo = place / "repo"
    name = "huggingface/sentence-transformers/first-model"
    (repo / SERVED).write_text(json.dumps([{"name": name, "version": ["1.0.2", "1.0.10"], "format": ["onnx"]}]))
    before = files(repo)
    assert models(place, "yank", "sentence-transformers/first-model@1.0.2", "--reason", "R") == 0
    assert json.loads((repo / SERVED).read_bytes())[0]["version"] == ["1.0.10"]
    assert models(place, "restore", "sentence-transformers/first-model@1.0.2") == 0
    assert files(repo) == before


def test_a_draft_of_a_yank_changes_nothing(place, capsys):
    before = files(place / "repo")
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R", "--draft") == 0
    out = capsys.readouterr().out
    assert files(place / "repo") == before
    assert "+++ b/supported_models.json" in out
    assert '-    "name": "huggingface/acme/tiny",' in out
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R", "--draft", "--json") == 0
    assert json.loads(capsys.readouterr().out)["yanked"] is True


def test_dry_run_is_another_name_of_draft_wherever_files_of_the_repository_change(place, capsys):
    def said(*line):
        capsys.readouterr()
        assert run(["--work", str(place / "work"), "--repo", str(place / "repo"), *line, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R") == 0
    yanked = files(place / "repo")
    lines = [("models", "restore", "acme/tiny@1.0.0"), ("record", "--uploader", "hubot")]
    assert [said(*line, "--dry-run") for line in lines] == (drafts := [said(*line, "--draft") for line in lines])
    assert all(one["diff"] for one in drafts)
    assert files(place / "repo") == yanked
    assert models(place, "restore", "acme/tiny@1.0.0") == 0
    before = files(place / "repo")
    drop = ("listing", "rebuild", *to(place), "--drop", f"{NAME}@1.0.0")
    assert said(*drop, "--dry-run") == said(*drop, "--draft")
    assert said(*drop, "--dry-run")["changed"]
    assert said("models", "yank", "acme/tiny@1.0.0", "--reason", "R", "--dry-run")["changed"]
    assert files(place / "repo") == before


@pytest.mark.parametrize(
    "more",
    [
        ("yank", "acme/tiny", "--reason", "R"),
        ("yank", "acme/tiny@", "--reason", "R"),
        ("yank", "acme/tiny@2", "--reason", "R"),
        ("yank", "acme/tiny@1.0.0", "--reason", " "),
        ("yank", "acme/tiny@1.0.0", "--reason", "R" * 501),
        ("yank", "acme/tiny@1.0.0", "--reason", "R", "--by", "a b"),
        ("yank", "acme/tiny@1.0.0"),
        ("restore", "acme/none@1.0.0"),
    ],
)
def test_what_can_not_be_yanked_changes_nothing(place, more):
    before = files(place / "repo")
    assert models(place, *more) == 2
    assert files(place / "repo") == before


@pytest.mark.parametrize("writes", range(4))
def test_a_yank_and_a_restore_that_were_killed_are_repaired_by_another_run(place, writes):
    repo = place / "repo"
    start = files(repo)
    yank = ["models", "yank", "acme/tiny@1.0.0", "--reason", "R"]
    restore = ["models", "restore", "acme/tiny@1.0.0"]
    for line in (yank, restore):
        command = [sys.executable, "-c", KILLED_AT_A_WRITE, str(writes), "--repo", str(repo), *line]
        done = subprocess.run(command, check=False, capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert run(["--repo", str(repo), *line]) == 0
        assert run(["--repo", str(repo), "record", "--check"]) == 0
        if line is yank:
            assert json.loads((repo / SERVED).read_bytes()) == []
    assert files(repo) == start


# ---------------------------------------------------------------------------------------------------------------------
# diff, explain


@pytest.fixture
def two(place, tmp_path):
    """Add a second version, made of other bytes for other targets."""
    from dataclasses import replace

    from factories import make_plan

    plan = make_plan(target_versions=("3.6",))
    moved = tuple(
        replace(one, key=one.key.replace("1.0.0", "1.0.10"), config_key=one.config_key.replace("1.0.0", "1.0.10"))
        for one in plan.artifacts
    )
    plan = replace(plan, artifacts=moved, request=replace(plan.request, version="1.0.10"))
    work = tmp_path / "second"
    digest = reviewed(work, plan=plan, archive_of=lambda artifact: f"{artifact}\n".encode() * 9)
    assert run(["--work", str(work), "-q", "publish", "--approved", digest, *to(place)]) == 0
    assert run(["--work", str(work), "--repo", str(place / "repo"), "-q", "record"]) == 0
    return digest


def test_diff_says_what_the_ledger_knows_and_with_a_bucket_what_documents_say(place, two, capsys):
    capsys.readouterr()
    assert models(place, "diff", "acme/tiny@1.0.0", "acme/tiny@1.0.10", "--json") == 0
    found = {one["what"]: (one["first"], one["second"]) for one in json.loads(capsys.readouterr().out)}
    assert found["onnx: Archive Size"] == ("8112", "45")
    assert found["onnx: Model Version"] == ("1.0.0", "1.0.10")
    assert not [what for what in found if "Uploader" in what or "Time" in what or "config.json" in what]
    assert models(place, "diff", "acme/tiny@1.0.0", "acme/tiny@1.0.10", "--json", *to(place)) == 0
    more = {one["what"]: (one["first"], one["second"]) for one in json.loads(capsys.readouterr().out)}
    assert more["onnx: certificate: targets"] == ("2.19, 3.6", "3.6")
    assert more["torch_script: config.json: version"] == ("1.0.0", "1.0.10")
    assert found.items() <= more.items()
    assert models(place, "diff", "acme/tiny@1.0.0", "acme/tiny@1.0.10") == 0
    assert "onnx: Archive Size\n  - 8112\n  + 45" in capsys.readouterr().out
    assert models(place, "diff", "acme/tiny@1.0.0", "acme/tiny@1.0.0", *to(place)) == 0
    assert capsys.readouterr().out == "nothing differs\n"


def test_explain_knows_archive_approval_revision_and_every_document(place, two, capsys):
    row = rows(place)[-3] if rows(place)[-3].get(column.VERSION) == "1.0.0" else rows(place)[-1]
    capsys.readouterr()

    def explained(digest, *more):
        assert models(place, "explain", digest, "--json", *more) == 0
        return [(one["what"], one["of"]) for one in json.loads(capsys.readouterr().out)]

    of = f"{NAME} {row[column.VERSION]} ({row[column.FORMAT]})"
    assert explained(row[column.ARCHIVE][:8]) == [("the archive", of)]
    assert explained(f"sha256:{row[column.ARCHIVE]}") == [("the archive", of)]
    assert len(explained(two)) == 2
    assert len(explained("c" * 40)) == 4
    asked = explained(row[column.ARCHIVE], *to(place))
    assert (row[column.KEY], f"acme/tiny {row[column.VERSION]}") in asked
    assert ("the claim", of) in asked
    certificate = contents(place / "bucket")[row[column.CERTIFICATE]]
    assert explained(sha256_bytes(certificate), *to(place)) == [
        (row[column.CERTIFICATE], f"acme/tiny {row[column.VERSION]}")
    ]
    (place / "bucket" / row[column.KEY]).write_bytes(b"other")
    assert models(place, "explain", row[column.ARCHIVE], *to(place)) == 0
    assert f"other bytes: {sha256_bytes(b'other')}" in capsys.readouterr().out


def test_a_yanked_archive_is_explained_with_its_reason(place, capsys):
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "It is wrong.", "--by", "octocat") == 0
    capsys.readouterr()
    assert models(place, "explain", rows(place)[-1][column.ARCHIVE]) == 0
    assert "by @octocat: It is wrong." in capsys.readouterr().out


@pytest.mark.parametrize(("digest", "code"), [("0" * 64, 2), ("abc", 2), ("xyz" * 5, 2), ("", 2), ("a" * 65, 2)])
def test_what_nobody_knows_is_no_answer(place, digest, code, capsys):
    assert models(place, "explain", digest) == code
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------------------------------------------------------------
# listing


def test_listing_show_joins_both(place, capsys):
    assert listing(place, "show") == 0
    assert capsys.readouterr().out == f"{NAME}  1.0.0  onnx, torch_script\n"
    (place / "repo" / SERVED).unlink()
    assert listing(place, "show", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["name"], one["version"], one["served"], one["description"]) == (NAME, "1.0.0", False, "A tiny model.")


def test_listings_are_published_and_twice_is_once(place, capsys):
    before = contents(place / "bucket")
    assert listing(place, "publish", *to(place), "--dry-run") == 0
    assert contents(place / "bucket") == before
    assert capsys.readouterr().out.count("would write") == 2
    assert listing(place, "publish", *to(place)) == 0
    there = contents(place / "bucket")
    assert {key: data for key, data in there.items() if key not in before} == {
        f"ml-models/{name}": (place / "repo" / name).read_bytes() for name in (ALL, SERVED)
    }
    times = [path.stat().st_mtime_ns for path in sorted((place / "bucket" / "ml-models").rglob("*.json"))]
    assert listing(place, "publish", *to(place)) == 0
    assert times == [path.stat().st_mtime_ns for path in sorted((place / "bucket" / "ml-models").rglob("*.json"))]


def test_a_yank_is_published_and_a_stale_repository_is_not(place, tmp_path, capsys):
    shutil.copytree(place, tmp_path / "stale")
    assert listing(place, "publish", *to(place)) == 0
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R") == 0
    assert listing(place, "publish", *to(place)) == 0
    assert contents(place / "bucket")[f"ml-models/{SERVED}"] == (place / "repo" / SERVED).read_bytes()
    stale = tmp_path / "stale" / "repo"
    assert models(place, "restore", "acme/tiny@1.0.0") == 0
    assert listing(place, "publish", *to(place)) == 0
    there = contents(place / "bucket")
    for name in (ALL, SERVED):
        (stale / name).write_text("[]")
    capsys.readouterr()
    assert run(["--repo", str(stale), "listing", "publish", *to(place)]) == 9
    assert f"{NAME}@1.0.0" in capsys.readouterr().err
    assert contents(place / "bucket") == there


def test_two_that_publish_at_once_lose_nothing(place, tmp_path, two):
    """One has the second version, one does not know of it yet: whatever comes first, it is there in the end."""
    repos = []
    for number in range(4):
        repo = tmp_path / f"repo-{number}"
        shutil.copytree(place / "repo", repo)
        if number % 2:
            for name in (ALL, SERVED):
                (repo / name).write_bytes((repo / name).read_bytes().replace(b'"1.0.10"', b'"1.0.11"'))
        repos.append(repo)
    codes = {}

    def publish(repo):
        codes[repo] = run(["--repo", str(repo), "-q", "listing", "publish", *to(place)])

    threads = [threading.Thread(target=publish, args=(repo,)) for repo in repos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = contents(place / "bucket")[f"ml-models/{SERVED}"]
    winners = [repo for repo, code in codes.items() if code == 0]
    assert winners
    assert set(codes.values()) <= {0, 9}
    assert there in {(repo / SERVED).read_bytes() for repo in winners}


def test_what_lies_there_and_is_no_listing_is_not_touched(place):
    key = place / "bucket" / "ml-models" / SERVED
    key.parent.mkdir(parents=True)
    key.write_bytes(b"not a listing")
    assert listing(place, "publish", *to(place)) == 8
    assert key.read_bytes() == b"not a listing"
    assert not (key.parent / "pretrained_models_all_versions.json").exists()


def test_without_listings_there_is_nothing_to_publish(tmp_path, capsys):
    assert run(["--repo", str(tmp_path), "listing", "publish", "--to", (tmp_path / "b").as_uri()]) == 9
    assert "record" in capsys.readouterr().err


def test_rebuild_makes_the_listings_of_the_bucket(place, two, capsys):
    before = files(place / "repo")
    for name in (ALL, SERVED):
        (place / "repo" / name).unlink()
    assert listing(place, "rebuild", *to(place), "--draft") == 0
    assert not (place / "repo" / SERVED).exists()
    assert listing(place, "rebuild", *to(place)) == 0
    assert (place / "repo" / SERVED).read_bytes().rstrip() == before[SERVED].rstrip()
    assert list(json.loads((place / "repo" / ALL).read_bytes())[0]["versions"]) == ["1.0.0", "1.0.10"]
    capsys.readouterr()
    assert listing(place, "rebuild", *to(place)) == 0
    assert "unchanged" in capsys.readouterr().out


def test_rebuild_loses_nothing_that_exists_unless_it_is_named(place, capsys):
    repo = place / "repo"
    (repo / "model_listing" / "excluded.json").write_text(
        json.dumps([{"name": NAME, "version": "1.0.0", "reason": "by mistake"}])
    )
    before = files(repo)
    assert listing(place, "rebuild", *to(place)) == 9
    assert f"{NAME}@1.0.0" in capsys.readouterr().err
    assert files(repo) == before
    (repo / "model_listing" / "excluded.json").unlink()
    assert listing(place, "rebuild", *to(place), "--drop", f"{NAME}@1.0.0") == 0
    assert json.loads((repo / SERVED).read_bytes()) == []
    (one,) = json.loads((repo / "model_listing" / "excluded.json").read_bytes())
    assert (one["name"], one["version"]) == (NAME, "1.0.0")
    assert listing(place, "rebuild", *to(place)) == 0
    assert run(["--repo", str(repo), "record", "--check"]) == 0
    assert listing(place, "rebuild", *to(place), "--drop", "nothing") == 2


def test_rebuild_leaves_out_what_is_yanked_and_says_what_is_gone_or_half(place, capsys):
    repo = place / "repo"
    for name, entry in (
        (ALL, {"versions": {"1": {"format": ["onnx"]}}}),
        (SERVED, {"version": ["1"], "format": ["onnx"]}),
    ):
        (repo / name).write_text(json.dumps([{"name": "huggingface/gone/model", **entry}]))
    assert models(place, "yank", "acme/tiny@1.0.0", "--reason", "R") == 0
    half = place / "bucket/ml-models/huggingface/half/model/1.0.0/onnx"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    capsys.readouterr()
    assert listing(place, "rebuild", *to(place)) == 0
    said = capsys.readouterr().err
    assert "huggingface/gone/model@1 was listed" in said
    assert "huggingface/half/model/1.0.0/onnx/ lacks" in said
    assert json.loads((repo / ALL).read_bytes()) == json.loads((repo / SERVED).read_bytes()) == []


def test_a_ledger_that_is_broken_stops_every_command(place, capsys):
    (place / "repo" / "supported_models.json").write_text("[\n{}]")
    before = files(place / "repo")
    for line in (("list",), ("show", "x"), ("explain", "0" * 8), ("yank", "a@1", "--reason", "R"), ("restore", "a@1")):
        assert models(place, *line) == 9
    assert listing(place, "rebuild", *to(place)) == 9
    assert capsys.readouterr().err.count("supported_models.json, row 1 (line 2)") == 6
    assert files(place / "repo") == before


def test_hostile_rows_are_told_in_one_line_each(tmp_path, capsys):
    row = own_row(**{column.MODEL_ID: "a/b\n::set-output name=x::y\x1b[2J", column.KIND: "\r\n::error::x"})
    (tmp_path / "supported_models.json").write_bytes(parse(b"[]").add(row).data())
    assert run(["--repo", str(tmp_path), "models", "list"]) == 0
    assert run(["--repo", str(tmp_path), "models", "show", NAME]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.split("\n")
    assert len(lines) == 1 + len([value for value in row.values() if value is not None]) + 1 + 1
    assert not [line for line in lines if line.lstrip().startswith(("::", "set-output"))]
