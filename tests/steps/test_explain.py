"""``models`` over releases that were interrupted, given up and overwritten: what bucket and ledger know of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from factories import make_plan
from ledger_rows import own_row
from publications import another, contents, notify, reviewed

from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.digest import sha256_bytes
from release_tool.core.ledger import parse, replaced
from release_tool.core.publication import claim_key, marker_key
from release_tool.documents import file_sha256
from release_tool.services.bucket_folder import FolderBucket

PLAN = make_plan()
KEYS = [key for artifact in PLAN.artifacts for key in (artifact.key, artifact.config_key)]
FIRST = min(artifact.key for artifact in PLAN.artifacts)
NAME = "huggingface/acme/tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return two reviewed releases of the same keys, each with its digest."""
    folder = tmp_path_factory.mktemp("releases")
    return [(folder / name, another(folder / name, pages=False)) for name in ("one", "two")]


@pytest.fixture
def bucket(tmp_path, capsys):
    return tmp_path / "bucket"


@pytest.fixture
def repo(tmp_path):
    (tmp_path / "repo").mkdir()
    return tmp_path / "repo"


def publish(release, bucket, *more):
    return run(["--work", str(release[0]), "-q", "publish", "--approved", release[1], "--to", bucket.as_uri(), *more])


def interrupted(release, bucket, at):
    """Publish until an object is written whose key ends so."""
    write, send = FolderBucket.write, FolderBucket.send

    def until(method):
        def call(self, key, *given, **named):
            if key.endswith(at):
                raise KeyboardInterrupt
            return method(self, key, *given, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderBucket, "write", until(write))
        patch.setattr(FolderBucket, "send", until(send))
        assert publish(release, bucket) == 130


def explain(repo, digest, bucket, capsys):
    capsys.readouterr()
    code = run(["--repo", str(repo), "models", "explain", digest, "--to", bucket.as_uri(), "--json"])
    done = capsys.readouterr()
    return [(one["what"], one["of"], one["where"]) for one in json.loads(done.out)] if code == 0 else (code, done.err)


# --- interrupted, and given up


@pytest.mark.parametrize("at", ["released.json", FIRST])
def test_a_release_that_was_interrupted_is_known_and_said_not_to_be_complete(made, repo, bucket, at, capsys):
    work, digest = made[0]
    interrupted(made[0], bucket, at)
    there = [key for key in contents(bucket) if key.startswith(f"releases/{digest}/")]
    ((what, of, where),) = explain(repo, digest[:8], bucket, capsys)
    assert (what, of) == ("the digest that was approved", f"{NAME} 1.0.0")
    assert f", {len(there)} documents under releases/{digest}/" in where
    assert where.endswith("no released.json: not complete")
    archive = file_sha256(work / "archives" / PLAN.artifacts[0].file_name)
    ((what, of, where),) = explain(repo, archive, bucket, capsys)
    assert (what, of) == (PLAN.artifacts[0].key, f"{NAME} 1.0.0")
    assert where.startswith(f"named by {claim_key(PLAN.artifacts[0].key)}, claimed 2")
    assert where.endswith(f"by {digest}: not complete")


def test_documents_without_a_claim_are_known_too(made, repo, bucket, capsys):
    interrupted(made[0], bucket, "released.json")
    shutil.rmtree(bucket / "releases" / "claims")
    ((_, of, where),) = explain(repo, made[0][1], bucket, capsys)
    assert of == made[0][1]
    assert where.startswith("it holds no claim any more, ")


def test_after_a_take_over_every_digest_can_still_be_explained(made, repo, bucket, capsys):
    dead, alive = made
    interrupted(dead, bucket, "released.json")
    assert publish(alive, bucket, "--take-over", dead[1]) == 0
    at = json.loads(contents(bucket)[marker_key(dead[1])])["at"]
    told = f"{marker_key(dead[1])}: given up {at}, taken over by {alive[1]}"
    assert explain(repo, dead[1], bucket, capsys) == [("the digest that was approved", f"{NAME} 1.0.0", told)]
    found = explain(repo, alive[1], bucket, capsys)
    assert ("the release that took over", f"{NAME} 1.0.0", told) in found
    released = json.loads(contents(bucket)[marker_key(alive[1])])["released_at"]
    complete = f"{marker_key(alive[1])}, released {released}: it is complete"
    assert ("the digest that was approved", "acme/tiny 1.0.0", complete) in found
    plan = sha256_bytes(contents(bucket)[f"releases/{alive[1]}/plan.json"])
    assert explain(repo, plan, bucket, capsys)[0][0].endswith("/plan.json")
    assert explain(repo, "0" * 64, bucket, capsys)[0] == 2


def test_a_release_that_was_given_up_and_not_yet_replaced_is_said_to_be(made, repo, bucket, capsys):
    """The one that took over was killed between the tombstone and the claims."""
    dead, alive = made
    interrupted(dead, bucket, "released.json")
    write = FolderBucket.write

    def once(self, key, *given, **named):
        stored = write(self, key, *given, **named)
        if key == marker_key(dead[1]):
            raise KeyboardInterrupt
        return stored

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderBucket, "write", once)
        assert publish(alive, bucket, "--take-over", dead[1]) == 130
    archive = file_sha256(dead[0] / "archives" / PLAN.artifacts[0].file_name)
    ((_, _, where),) = explain(repo, archive, bucket, capsys)
    assert where.endswith(f"by {dead[1]}: given up")


def test_what_is_no_marker_is_an_error_and_what_is_no_claim_of_an_archive_is_not_looked_at(made, repo, bucket, capsys):
    assert publish(made[0], bucket) == 0
    for name in ("claims/notes.txt", "claims/what is this.json", "readme.md", "of-old/released.json"):
        path = bucket / "releases" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert explain(repo, made[0][1], bucket, capsys)[0][2].endswith("it is complete")
    (bucket / marker_key(made[0][1])).write_text("{}")
    code, err = explain(repo, made[0][1], bucket, capsys)
    assert code == 8
    assert marker_key(made[0][1]) in err


@pytest.mark.parametrize("command", ["explain", "diff"])
def test_the_help_says_that_the_name_of_a_target_will_do(command, capsys):
    assert run(["models", command, "--help"]) == 0
    assert "or a target of the settings" in " ".join(capsys.readouterr().out.split())


# --- diff


def test_a_certificate_that_is_gone_is_no_entry_without_a_name(tmp_path, repo, bucket, capsys):
    plan = make_plan()
    moved = tuple(
        replace(one, key=one.key.replace("1.0.0", "1.0.1"), config_key=one.config_key.replace("1.0.0", "1.0.1"))
        for one in plan.artifacts
    )
    later = replace(plan, artifacts=moved, request=replace(plan.request, version="1.0.1"))
    for number, one in enumerate((plan, later)):
        work = tmp_path / f"work-{number}"
        assert publish((work, reviewed(work, pages=False, plan=one)), bucket) == 0
        assert run(["--work", str(work), "--repo", str(repo), "-q", "record"]) == 0
    for row in json.loads((repo / "supported_models.json").read_bytes()):
        if row[column.VERSION] == "1.0.1":
            (bucket / row[column.CERTIFICATE]).unlink()
    capsys.readouterr()
    line = ["--repo", str(repo), "models", "diff", "acme/tiny@1.0.0", "acme/tiny@1.0.1", "--json"]
    assert run([*line, "--to", bucket.as_uri()]) == 0
    found = [one for one in json.loads(capsys.readouterr().out) if ": certificate: " in one["what"]]
    assert found
    assert all(one["second"] is None and not one["what"].endswith(": ") for one in found)


# --- overwritten


@pytest.fixture
def overwritten(made, repo, bucket, tmp_path, capsys):
    """Publish, notify and record a release, then another one in its place that nobody built yet."""
    work = shutil.copytree(made[0][0], tmp_path / "first")
    assert publish((work, made[0][1]), bucket) == 0
    notify(work, "SUCCESS")
    assert run(["--work", str(work), "--repo", str(repo), "-q", "record"]) == 0
    second = tmp_path / "second"
    digest = another(second, pages=False, plan=make_plan(replaces={key: file_sha256(bucket / key) for key in KEYS}))
    assert publish((second, digest), bucket) == 0
    assert run(["--work", str(second), "--repo", str(repo), "-q", "record"]) == 0
    capsys.readouterr()
    return second, digest


def test_an_overwritten_version_is_listed_as_the_newest_release_of_it(overwritten, repo, capsys):
    assert run(["--repo", str(repo), "models", "list", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["approved"], one["build"], one["dimension"]) == (overwritten[1], None, "32")
    notify(overwritten[0], "FAILURE")
    assert run(["--work", str(overwritten[0]), "--repo", str(repo), "-q", "record"]) == 0
    assert run(["--repo", str(repo), "models", "list"]) == 0
    assert capsys.readouterr().out.split()[-1] == "FAILURE"


def test_what_an_older_release_alone_said_is_not_said_of_the_newest(tmp_path, capsys):
    old = own_row(**{column.BUILD_RESULT: "SUCCESS"})
    new = own_row(**{
        column.APPROVED: "d" * 64, column.ARCHIVE: "e" * 64, column.TIME: "2026-11-22 10:00:00Z", column.KIND: "sparse",
        column.REPLACES: old[column.ARCHIVE], column.DIMENSION: None, column.POOLING: None,
    })  # fmt: skip
    for rows in ([old, new], [new, old]):
        ledger = parse(b"[]")
        for row in rows:
            ledger = ledger.add(row)
        (tmp_path / "supported_models.json").write_bytes(ledger.data())
        assert run(["--repo", str(tmp_path), "models", "list", "--json"]) == 0
        (one,) = json.loads(capsys.readouterr().out)
        assert (one["kind"], one["dimension"], one["build"]) == ("sparse", None, None)
        assert one["released"] == new[column.TIME]


def test_the_history_says_which_archive_was_replaced(overwritten, repo, capsys):
    page = [line for line in (repo / "MODEL_UPLOAD_HISTORY.md").read_text().splitlines() if "acme/tiny" in line]
    assert sorted(line.rsplit("|", 2)[1].strip() for line in page) == ["released"] * 2 + ["replaced"] * 2
    assert all((overwritten[1][:12] in line) == ("| released |" in line) for line in page)
    old = next(row for row in json.loads((repo / "supported_models.json").read_bytes()) if not row[column.REPLACES])
    assert run(["--repo", str(repo), "models", "explain", old[column.ARCHIVE]]) == 0
    out = capsys.readouterr().out
    assert out.startswith("the archive of")
    assert ", replaced since" in out.splitlines()[1]
    assert "replaced since" not in "".join(out.splitlines()[2:])
    assert run(["--repo", str(repo), "models", "yank", "acme/tiny@1.0.0", "--reason", "R"]) == 0
    assert (repo / "MODEL_UPLOAD_HISTORY.md").read_text().count("| yanked 2") == 4


def chain(*archives, at="2026-11-21 10:00:00Z"):
    """Return rows of one key, each replacing the one before it, all of one second."""
    rows, before = [], None
    for number, archive in enumerate(archives):
        approved = sha256_bytes(bytes([number]))
        rows.append(own_row(**{column.APPROVED: approved, column.ARCHIVE: archive * 64, column.REPLACES: before,
                               column.TIME: at}))  # fmt: skip
        before = archive * 64
    return rows


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_in_the_same_second_the_one_that_names_the_other_is_the_later(turned):
    first, second = chain("a", "b")
    ledger = parse(b"[]").add(second).add(first) if turned else parse(b"[]").add(first).add(second)
    assert replaced(ledger.rows) == {(first[column.APPROVED], first[column.KEY])}
    assert replaced(ledger.rows[::-1]) == {(first[column.APPROVED], first[column.KEY])}


def test_bytes_that_came_back_are_released_and_rows_of_other_keys_stay():
    rows = chain("a", "b", "a")
    for number, row in enumerate(rows):
        row[column.TIME] = f"2026-11-21 10:00:0{number}Z"
    ledger = parse(json.dumps([*rows, rows[2], own_row("other")]).encode())
    assert {approved for approved, _ in replaced(ledger.rows)} == {row[column.APPROVED] for row in rows[:2]}
