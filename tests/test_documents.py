"""Documents that people name and documents of a work folder: what is read, what is refused, and with which code."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest
from factories import make_plan, make_proof

from release_tool.bounded import MAX_DOCUMENT_BYTES, NotReadable, read_bounded
from release_tool.cli import run
from release_tool.core.certificate import Certificate
from release_tool.core.codec import encode_text
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import Proof
from release_tool.documents import WorkFolder, file_sha256, read_document, read_given
from release_tool.errors import IntegrityError, UsageError


def made(path, kind):
    """Make something under a name that is no regular file of a few bytes; return the words that tell what it is."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        with path.open("wb") as stream:
            stream.truncate(MAX_DOCUMENT_BYTES + 1)
    return {"huge": f"larger than {MAX_DOCUMENT_BYTES:,} bytes"}.get(kind, f"a {kind}")


KINDS = ("pipe", "folder", "device", "socket", "huge")


@pytest.fixture(autouse=True)
def no_hang():
    """End a read that waits for a pipe: a test that hangs tells nothing."""
    finished = threading.Event()

    def give_up():
        if not finished.wait(20):
            os.write(2, b"a read hangs\n")
            os._exit(70)

    threading.Thread(target=give_up, daemon=True).start()
    yield
    finished.set()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_document_is_told_by_what_it_is(kind, tmp_path):
    path = tmp_path / "plan.json"
    words = made(path, kind)
    with pytest.raises(NotReadable, match=words):
        read_bounded(path)
    with pytest.raises(IntegrityError, match=rf"plan\.json is no document: it is {words}"):
        WorkFolder(tmp_path).read(ReleasePlan, "plan.json", made_by="plan")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_no_digest_is_taken_of_what_may_have_no_end(kind, tmp_path):
    path = tmp_path / "thing"
    with pytest.raises(UsageError, match=made(path, kind)):
        file_sha256(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["fetch", "trace", "review"])
def test_a_plan_that_is_no_file_ends_every_step_that_reads_it(command, kind, tmp_path, capsys):
    words = made(tmp_path / "plan.json", kind)
    assert run(["--work", str(tmp_path), command]) == 7
    err = capsys.readouterr().err
    assert words in err
    assert "release-tool plan" in err


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("rebuild", "FILE"),
        ("validate", "--certificate", "FILE", __file__, "--model", "."),
        ("plan", "acme/tiny", "--version", "1.0.0", "--idf", "FILE"),
        ("plan", "acme/tiny", "--version", "1.0.0", "--event", "FILE"),
        ("validate", "--probes", "FILE"),
        ("compat", "FILE"),
        ("compat", __file__, "--config", "FILE"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + tuple(word for word in arguments if word.startswith("--"))),
)
def test_an_argument_that_is_no_file_is_exit_2_and_told(arguments, kind, tmp_path, capsys):
    path = tmp_path / "given"
    made(path, kind)
    code = run(["--work", str(tmp_path / "work"), *(str(path) if word == "FILE" else word for word in arguments)])
    err = capsys.readouterr().err
    assert code == 2
    assert any(words in err for words in ("it is a pipe", "it is a device", "larger than", "no zip archive")), err


# --- the wrong document -----------------------------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(encode_text(make_plan()))
    return path


def test_another_document_is_told_by_its_schema_before_its_keys_are_looked_at(plan):
    with pytest.raises(UsageError, match=r"plan\.json is a release-tool/plan@1, a release-tool/cert"):
        read_given(plan, Certificate, hint="Give a certificate.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "names no schema"),
        ('{"schema": 1}', "names no schema"),
        ('{"schema": "release-tool/certificate@2"}', "certificate@2"),
        ('{"schema": "' + "x\\u001b[2J" * 500 + '"}', "…"),
    ],
)
def test_what_a_person_names_by_mistake_is_exit_2(text, words, tmp_path):
    path = tmp_path / "given.json"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_given(path, Certificate, Proof, hint="Give a certificate.")
    assert words in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_bytes_that_are_no_text_are_exit_2(tmp_path):
    path = tmp_path / "given.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_given(path, Certificate, hint="Give a certificate.")


def test_a_document_of_another_version_is_said_to_be_one(tmp_path):
    path = tmp_path / "given.json"
    path.write_text('{"schema": "release-tool/certificate@9"}')
    with pytest.raises(UsageError) as raised:
        read_given(path, Certificate, hint="Give a certificate.")
    assert "another version" in raised.value.hint


def test_the_right_document_with_a_key_too_many_is_a_broken_chain(tmp_path):
    path = tmp_path / "given.json"
    path.write_text(json.dumps({**json.loads(encode_text(make_proof())), "more": 1}))
    with pytest.raises(IntegrityError, match="unknown key 'more'"):
        read_given(path, Certificate, Proof, hint="Give a certificate.")


def test_either_of_two_documents_will_do(tmp_path):
    path = tmp_path / "given.json"
    path.write_text(encode_text(make_proof()))
    assert read_given(path, Certificate, Proof, hint="Give a certificate.") == make_proof()


def test_another_document_in_the_work_folder_is_a_broken_chain(plan):
    with pytest.raises(IntegrityError, match=r"proof\.json is a release-tool/plan@1, expected release-tool/proof@1"):
        read_document(Proof, plan.read_text(), "proof.json", made_by="validate")


@pytest.mark.parametrize(
    "arguments",
    [
        ("rebuild", "PLAN"),
        ("validate", "--certificate", "PLAN", __file__, "--model", "."),
        ("compat", "ARCHIVE", "--certificate", "PLAN"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_that_takes_a_certificate_says_what_it_got_instead(arguments, plan, tmp_path, capsys):
    from archive_makers import onnx_model, pack, tokenizer

    archive = pack(
        tmp_path / "tiny.zip", {"model.onnx": onnx_model().SerializeToString(), "tokenizer.json": tokenizer()}
    )
    named = {"PLAN": str(plan), "ARCHIVE": str(archive)}
    assert run(["--work", str(tmp_path / "work"), *(named.get(word, word) for word in arguments)]) == 2
    err = capsys.readouterr().err
    assert "plan.json is a release-tool/plan@1, a release-tool/certificate@1 is wanted here" in err
    assert "hint: Give a certificate-" in err
