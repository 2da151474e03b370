"""One writer a work folder: real processes, one of them killed; who comes second ends at once, told whom it met."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from archive_makers import onnx_model, pack, tokenizer
from factories import make_plan
from model_files import Files, dense

from release_tool.cli import COMMANDS, run
from release_tool.core.codec import encode_text
from release_tool.errors import WorkFolderBusy
from release_tool.lock import LOCK_FILE, hold

HOLD = """
import sys, time
from pathlib import Path
from release_tool.lock import hold
with hold(Path(sys.argv[1]), "trace"):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def holder(work):
    """Return a process that holds the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_command_ends_at_once_and_names_the_first(holder, work):
    started = time.monotonic()
    with pytest.raises(WorkFolderBusy) as raised, hold(work, "fetch"):
        pytest.fail("both write")
    assert time.monotonic() - started < 1
    assert f"release-tool trace (process {holder.pid}, since 20" in str(raised.value)
    assert str(work) in str(raised.value)
    assert "--work" in raised.value.hint
    assert str(holder.pid) in raised.value.hint


def test_a_killed_command_leaves_the_folder_free(holder, work):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (work / LOCK_FILE).exists(), "what it wrote is still there; only the kernel's lock counts"
    with hold(work, "fetch"):
        assert json.loads((work / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert not (work / LOCK_FILE).exists()


def test_what_was_only_made_for_the_lock_is_removed(tmp_path):
    with hold(tmp_path / "a" / "b", "fetch"):
        pass
    assert list(tmp_path.iterdir()) == []
    with hold(tmp_path / "a" / "b", "fetch"):
        (tmp_path / "a" / "b" / "plan.json").write_text("{}")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["plan.json"]
    (tmp_path / "mine").mkdir()
    with hold(tmp_path / "mine", "fetch"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_the_lock_is_let_go_of_after_an_error(work):
    with pytest.raises(ValueError, match="odd"), hold(work, "fetch"):
        raise ValueError("odd")
    with hold(work, "fetch"):
        pass


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b'{"command": "\x1b[2J", "pid": 1, "since": "now"}', b'{"command": "x"}', b"\xff" * 9000]
)
def test_a_note_that_says_nothing_sound_is_not_repeated(note, holder, work):
    (work / LOCK_FILE).write_bytes(note)
    with pytest.raises(WorkFolderBusy, match="Another release-tool command is writing"), hold(work, "fetch"):
        pytest.fail("both write")


def test_a_lock_that_is_a_link_is_not_followed(work, tmp_path):
    work.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (work / LOCK_FILE).symlink_to(precious)
    with pytest.raises(OSError, match=LOCK_FILE), hold(work, "fetch"):
        pytest.fail("it was followed")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("link", [False, True])
def test_a_file_or_a_link_to_nothing_instead_of_the_folder_is_said_at_once(link, work):
    work.symlink_to("nowhere") if link else work.write_text("mine")
    with pytest.raises(FileExistsError), hold(work, "fetch"):
        pytest.fail("it was taken for a folder")
    assert work.is_symlink() if link else work.read_text() == "mine"


CROWD = """
import os, sys
from pathlib import Path
from release_tool.errors import WorkFolderBusy
from release_tool.lock import hold
folder, mark, done = Path(sys.argv[1]), Path(sys.argv[2]), 0
while done < 25:
    try:
        with hold(folder, "fetch"):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # fails where another one is inside
            mark.unlink()
            done += 1
    except WorkFolderBusy:
        pass
"""


def test_a_crowd_that_makes_and_removes_the_folder_is_never_two_inside(work, tmp_path):
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, str(work), str(tmp_path / "mark")]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in crowd] == [0, 0, 0]
    # Who came second into the folder of the first leaves it: empty.
    assert not work.exists() or not list(work.iterdir())


# --- commands ---------------------------------------------------------------------------------------------------------

MODEL = object()
WRITING = {
    "plan": ("plan", MODEL, "--version", "1.0.0"),
    "fetch": ("fetch",),
    "trace": ("trace",),
    "validate": ("validate",),
    "quality": ("quality",),
    "bench": ("bench",),
    "review": ("review",),
    "run": ("run", MODEL, "--version", "1.0.0"),
    "check": ("check", "--overwrite"),
    "publish": ("publish", "--approved", "0" * 64),
    "notify": ("notify", "--server", "https://ci.example.org"),
    "answer": ["answer"],
    "propose": ("propose", "--repository", "octo-org/models"),
    "ml": ("ml", "register", "tiny.zip", "--cluster", "http://127.0.0.1:9"),
    "finetune": ("finetune", "run"),
}
OTHER_PLACES = {"compat", "doctor", "listing", "models", "node", "rebuild", "record", "verify"}
"""They write nothing into the work folder; rebuild has one of its own inside (a test below), others write into
--repo."""


def test_every_command_is_known_to_write_or_not():
    assert {*WRITING, *OTHER_PLACES} == set(COMMANDS)


@pytest.mark.parametrize("arguments", WRITING.values(), ids=WRITING)
def test_every_command_that_writes_waits_for_nobody(arguments, work, tmp_path, capsys):
    model = Files(dense()).write(tmp_path / "tiny")
    with hold(work, "trace"):
        assert run(["--work", str(work), *(str(model) if word is MODEL else word for word in arguments)]) == 2
        assert [path.name for path in work.iterdir()] == [LOCK_FILE]
    err = capsys.readouterr().err
    assert f"release-tool trace (process {os.getpid()}, since" in err
    assert "hint: Wait until process" in err


def test_commands_that_only_read_run_beside_one_that_writes(work, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = Files(dense()).write(tmp_path / "tiny")
    archive = pack(
        tmp_path / "tiny.zip", {"model.onnx": onnx_model().SerializeToString(), "tokenizer.json": tokenizer()}
    )
    with hold(work, "trace"):
        (work / "plan.json").write_text(encode_text(make_plan()))
        at = ["--work", str(work)]
        assert run([*at, "plan", str(model), "--version", "1.0.0", "--dry-run"]) == 0
        assert run([*at, "fetch", "--dry-run"]) == 0
        assert run([*at, "compat", str(archive)]) == 0
        run([*at, "doctor"])
    assert "is writing into" not in capsys.readouterr().err


def test_two_fetches_at_the_same_time_are_one(hub, work, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "60")
    files = Files(dense()).write(tmp_path / "tiny")
    hub.add(
        "acme/tiny",
        {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()},
    )
    assert run(["--work", str(work), "plan", "acme/tiny", "--version", "1.0.0"]) == 0
    hub.forget()
    hub.fault("/store/", stall=50)
    command = [sys.executable, "-m", "release_tool", "--work", str(work), "fetch"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert hub.silent.wait(timeout=60)
        assert run(["--work", str(work), "fetch"]) == 2
        assert f"release-tool fetch (process {first.pid}, since" in capsys.readouterr().err
        hub.going.set()
        assert first.wait(timeout=60) == 0, first.stderr.read()
    assert run(["--work", str(work), "fetch"]) == 0
