"""What killed commands leave behind is swept by the next one, and files that are links stay links."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
from killed_inside_writes import KILLED_INSIDE_A_WRITE
from ledger_rows import old_file
from publications import reviewed

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.receipt import Receipt
from release_tool.lock import LOCK_FILE, REPOSITORY, hold

FOREIGN = (".other.json.abcdefgh.part", ".plan.json.abc.part", ".plan.json.abcdefgh.part~", "plan.json.part")
"""None of these is what write_atomic makes of a name of ours."""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a work folder whose release lies in a bucket beside it."""
    place = tmp_path_factory.mktemp("published")
    digest = reviewed(place / "work", pages=False)
    assert run(["--work", str(place / "work"), "-q", "publish", *where(place, digest)]) == 0
    return place


def where(place, digest):
    return "--approved", digest, "--to", (place / "bucket").as_uri()


@pytest.fixture
def work(published, tmp_path):
    shutil.copytree(published / "work", tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def repo(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "supported_models.json").write_bytes(old_file())
    return tmp_path / "repo"


def record(work, repo, *more):
    return run(["--work", str(work), "--repo", str(repo), "-q", "record", *more])


def killed_at(ending, *line):
    program = [sys.executable, "-c", KILLED_INSIDE_A_WRITE, ending, *line]
    done = subprocess.run(program, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


def parts(folder):
    return sorted(path.name for path in folder.rglob("*.part*"))


def foreign(folder):
    folder.mkdir(exist_ok=True, parents=True)
    for name in FOREIGN:
        (folder / name).write_text("not yours")
        os.utime(folder / name, (1, 1))


@pytest.mark.parametrize("name", ["supported_models.json", "model_listing/pre_trained_models.json", "CHANGELOG.md"])
def test_the_next_command_sweeps_what_a_killed_one_left_in_the_repository(work, repo, name):
    foreign(repo)
    killed_at(f"/{name}", "--work", str(work), "--repo", str(repo), "-q", "record")
    assert len(parts(repo)) == len(FOREIGN) + 1
    assert record(work, repo, "--draft") == 0
    assert len(parts(repo)) == len(FOREIGN) + 1  # a draft holds no lock
    assert record(work, repo) == 0
    assert parts(repo) == sorted(FOREIGN)


def test_the_next_command_sweeps_what_a_killed_one_left_in_the_work_folder(published, work):
    for folder in (work, work / "archives"):
        foreign(folder)
    digest = decode_text(Receipt, (work / "receipt.json").read_text()).approved
    (work / "receipt.json").unlink()
    line = ["--work", str(work), "-q", "publish", *where(published, digest)]
    killed_at("/receipt.json", *line)
    (work / "archives" / ".onnx.config.json.a_b_c_d_.part").write_text("half")
    assert len(parts(work)) == 2 * len(FOREIGN) + 2
    assert run(line) == 0
    assert parts(work) == sorted(2 * FOREIGN)


def test_what_is_younger_than_the_lock_or_a_folder_or_a_link_stays(tmp_path):
    young = tmp_path / ".plan.json.abcdefgh.part"
    young.write_text("being written")
    later = young.stat().st_mtime + 60
    os.utime(young, (later, later))
    (tmp_path / ".review.md.abcdefgh.part").mkdir()
    (tmp_path / ".source.json.abcdefgh.part").symlink_to("nothing")
    os.utime(tmp_path / ".source.json.abcdefgh.part", (1, 1), follow_symlinks=False)
    with hold(tmp_path, "fetch"):
        assert len(parts(tmp_path)) == 3
    os.utime(young, (1, 1))
    with hold(tmp_path, "listing", named=REPOSITORY):  # in a repository nothing is a document of a work folder
        assert young.exists()
    with hold(tmp_path, "fetch"):
        assert not young.exists()
        assert len(parts(tmp_path)) == 2
        assert (tmp_path / LOCK_FILE).exists()


def test_git_is_told_to_leave_them_alone(repository, tmp_path):
    shutil.copy(repository / ".gitignore", tmp_path / ".gitignore")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=60)
    (tmp_path / ".supported_models.json.abcdefgh.part").write_text("half")
    told = ["git", "-C", str(tmp_path), "status", "--porcelain"]
    assert subprocess.run(told, check=True, capture_output=True, text=True, timeout=60).stdout == "?? .gitignore\n"


# --- links


def linked(repo, name, target):
    path = repo / name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(target)
    path.symlink_to(os.path.relpath(target, path.parent))
    return path


def test_a_link_stays_and_what_it_leads_to_is_written(work, repo, tmp_path):
    shutil.copytree(repo, tmp_path / "plain")
    assert record(work, tmp_path / "plain") == 0
    ledger = linked(repo, "supported_models.json", repo / "data" / "ledger.json")
    page = linked(repo, "MODEL_UPLOAD_HISTORY.md", repo / "data" / "page.md")  # leads to nothing yet
    killed_at("/ledger.json", "--work", str(work), "--repo", str(repo), "-q", "record")
    assert len(parts(repo / "data")) == 1
    assert record(work, repo) == 0
    assert parts(repo) == []
    for path in (ledger, page):
        assert path.is_symlink()
        assert path.read_bytes() == (tmp_path / "plain" / path.name).read_bytes()
    assert record(work, repo) == 0


@pytest.mark.parametrize("draft", [(), ("--draft",)])
@pytest.mark.parametrize("name", ["supported_models.json", "CHANGELOG.md"])
def test_a_link_that_leads_out_is_refused_before_anything_is_written(work, repo, tmp_path, name, draft, capsys):
    outside = tmp_path / "elsewhere" / "file"
    linked(repo, name, outside)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert record(work, repo, *draft) == 9
    assert f"{name} is a link that leads out of the repository" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_a_link_out_is_refused_too(work, repo, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (repo / "model_listing").symlink_to(tmp_path / "elsewhere")
    assert record(work, repo) == 9
    assert "model_listing/pretrained_models_all_versions.json is a link" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (repo / "supported_models.json").read_bytes() == old_file()
