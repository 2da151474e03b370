"""The command compat: the table, JSON, where request and proofs are found, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from archive_makers import WIDTH, bpe, onnx_model, pack, request, tokenizer
from factories import make_comparison, make_proof

from release_tool.cli import COMMANDS, run
from release_tool.core.codec import encode_text
from release_tool.core.kinds import ModelKind
from release_tool.core.opensearch import KNOWN_VERSIONS
from release_tool.documents import file_sha256


@pytest.fixture
def release(tmp_path):
    """An archive with its request beside it, as trace leaves them."""
    folder = tmp_path / "work" / "archives"
    folder.mkdir(parents=True)
    path = pack(
        folder / "tiny-onnx.zip", {"model.onnx": onnx_model().SerializeToString(), "tokenizer.json": tokenizer()}
    )
    (folder / "onnx.config.json").write_text(json.dumps(request(path)))
    return path


@pytest.fixture
def broken(tmp_path):
    """An archive that no version deploys."""
    files = {"model.onnx": onnx_model(ir=13).SerializeToString(), "tokenizer.json": tokenizer()}
    return pack(tmp_path / "broken.zip", files)


def call(capsys, *arguments):
    """Run the command and return exit code, stdout and stderr."""
    code = run(["--work", "no-such-folder", "compat", *(str(one) for one in arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def proof(archive, **over):
    values = {
        "ring": "node",
        "archive_sha256": file_sha256(archive),
        "versions": {"opensearch": "3.6.0"},
        "comparisons": (make_comparison(ModelKind.DENSE, probe="p1"),),
    }
    return make_proof(**{**values, **over})


def test_the_table_says_from_where_to_where_and_why(release, capsys):
    code, out, _ = call(capsys, release)
    assert code == 0
    assert "register request: onnx.config.json" in out
    assert "2.4         refused   derived" in out
    assert "2.5 - 3.9   deploys   derived" in out
    assert "fatal on 2.4: TEXT_EMBEDDING as ONNX came with OpenSearch 2.5." in out
    assert "-> Serve it from 2.5 on" in out


def test_json_holds_facts_ranges_and_every_verdict(release, capsys):
    code, out, _ = call(capsys, release, "--json")
    data = json.loads(out)
    assert code == 0
    assert data["schema"] == "release-tool/compat@1"
    assert data["facts"]["sha256"] == file_sha256(release)
    assert data["facts"]["onnx"]["ir_version"] == 8
    assert [one["version"] for one in data["verdicts"]] == list(KNOWN_VERSIONS)
    assert data["ranges"][-1] == {"versions": "2.5 - 3.9", "verdict": "deploys", "basis": "derived", "reasons": []}


def test_an_archive_that_deploys_nowhere_is_exit_6(broken, capsys):
    code, out, err = call(capsys, broken)
    assert code == 6
    assert "Unsupported model IR version: 13" in out
    assert "none of the known" in err


@pytest.mark.parametrize(
    ("targets", "code"),
    [(["2.19,3.6"], 0), (["2.19", "--target-versions", "3.6"], 0), (["2.4,3.6"], 6), (["2.4"], 6), (["2.5"], 0)],
)
def test_all_versions_that_were_named_must_deploy_it(release, targets, code, capsys):
    assert call(capsys, release, "--target-versions", *targets)[0] == code


def test_what_is_not_known_is_no_yes(release, capsys):
    pack(release, {"model.onnx": onnx_model(outputs=(None,)).SerializeToString(), "tokenizer.json": tokenizer()})
    (release.parent / "onnx.config.json").write_text(json.dumps(request(release)))
    code, out, err = call(capsys, release, "--target-versions", "3.6")
    assert code == 6
    assert "3.6         unknown   unknown" in out
    assert "3.6 (unknown)" in err


@pytest.mark.parametrize("targets", ["3.99", "2.4.0", "new", ","])
def test_a_version_that_is_none_is_exit_2_and_names_the_flag(release, targets, capsys):
    code, _, err = call(capsys, release, "--target-versions", targets)
    assert code == 2
    assert "--target-versions" in err


def test_a_proof_in_the_work_folder_makes_the_verdict_measured(release, tmp_path, capsys):
    work = tmp_path / "work"
    (work / "proof-node-onnx.json").write_text(encode_text(proof(release)))
    (work / "proof-node-other.json").write_text(encode_text(proof(release, archive_sha256="e" * 64)))
    assert run(["--work", str(work), "compat", str(release), "--target-versions", "3.5,3.6"]) == 0
    out = capsys.readouterr().out
    assert "3.5         deploys   derived" in out
    assert "3.6         deploys   measured" in out
    assert "1 of 1 probes were answered by OpenSearch 3.6.0" in out


def test_a_broken_proof_in_the_work_folder_is_said_and_left_aside(release, tmp_path, capsys):
    work = tmp_path / "work"
    (work / "proof-node-onnx.json").write_text("{}")
    assert run(["--work", str(work), "compat", str(release)]) == 0
    assert "proof-node-onnx.json was left aside" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"architectures": ["BertModel"], "model_type": "bert"}', "the config.json of the model itself"),
        ('{"schema": "release-tool/plan@1"}', "it is a release-tool/plan@1"),
        ("{}", "it has no function_name, model_config"),
        ('{"name": "acme/tiny"}', "it has no function_name, model_config"),
        ("[]", "holds no JSON object"),
        ("{", "is no register request"),
        ('{"name": 1, "name": 2}', "given twice"),
        ('{"name": "\x1b[2J"}', "no register request"),
    ],
)
def test_a_config_that_is_no_register_request_is_exit_2_and_told_by_what_it_is(release, tmp_path, text, words, capsys):
    path = tmp_path / "some.json"
    path.write_text(text)
    code, out, err = call(capsys, release, "--config", path)
    assert code == 2
    assert out == ""
    assert words in err
    assert "hint: " in err


def test_a_request_with_odd_values_is_judged_and_not_refused(release, tmp_path, capsys):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(request(release, name=7, model_format=[])))
    code, out, _ = call(capsys, release, "--config", path)
    assert code == 6
    assert "model_format is" in out


def test_the_models_own_config_beside_the_archive_is_not_taken_for_the_request(release, capsys):
    (release.parent / "onnx.config.json").unlink()
    (release.parent / "config.json").write_text('{"model_type": "bert"}')
    assert "register request: none given" in call(capsys, release)[1]
    (release.parent / "config.json").write_text(json.dumps(request(release)))
    assert "register request: config.json" in call(capsys, release)[1]


def test_a_certificate_that_is_named_counts(release, tmp_path, capsys):
    path = tmp_path / "proof.json"
    path.write_text(encode_text(proof(release)))
    code, out, _ = call(capsys, release, "--certificate", path, "--target-versions", "3.6")
    assert code == 0
    assert "measured" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (2, "can't be read")),
        ("{}", (2, "names no schema, a release-tool/certificate@1 is wanted")),
        ("other", (2, "another archive")),
    ],
)
def test_a_certificate_that_is_named_must_be_one_of_this_archive(release, tmp_path, text, expected, capsys):
    path = tmp_path / "proof.json"
    if text == "other":
        path.write_text(encode_text(replace(proof(release), archive_sha256="e" * 64)))
    elif text is not None:
        path.write_text(text)
    code, _, err = call(capsys, release, "--certificate", path)
    assert code == expected[0]
    assert expected[1] in err


def test_the_request_whose_digest_is_the_archives_own_is_taken(release, capsys):
    other = pack(release.parent / "other.zip", {"model.onnx": b"x", "tokenizer.json": tokenizer()})
    (release.parent / "a.config.json").write_text(json.dumps(request(other)))
    (release.parent / "b.config.json").write_text("{")
    assert "register request: onnx.config.json" in call(capsys, release)[1]


def test_a_request_that_is_named_wins_over_the_one_beside_it(release, tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(request(release, model_config={"model_type": "mpnet"})))
    code, out, _ = call(capsys, release, "--config", path)
    assert code == 6
    assert "register request: mine.json" in out
    assert "mpnet" in out


def test_among_strangers_no_request_is_guessed(release, capsys):
    (release.parent / "onnx.config.json").unlink()
    pack(release.parent / "other.zip", {"tokenizer.json": tokenizer()})
    (release.parent / "x.config.json").write_text(json.dumps(request(release, model_content_hash_value="0" * 64)))
    out = call(capsys, release)[1]
    assert "register request: none given" in out
    assert "fatal on 2.4:" in out


@pytest.mark.parametrize(("make", "code"), [(lambda path: None, 2), (lambda path: path.write_bytes(b"x"), 2)])
def test_what_is_no_archive_is_exit_2(tmp_path, make, code, capsys):
    path = tmp_path / "a.zip"
    make(path)
    assert call(capsys, path)[0] == code


def test_a_damaged_archive_is_exit_7(release, capsys):
    release.write_bytes(release.read_bytes()[:-40])
    assert call(capsys, release)[0] == 7


def test_names_in_an_archive_can_not_write_to_the_terminal(tmp_path, capsys, monkeypatch):
    evil = "\x1b[2J\u202egnp.onnx"
    files = {evil: b"x", "b\r.onnx": b"y", "tokenizer.json": tokenizer(model=bpe(type="\x1b]0;owned\x07"))}
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    _, out, err = call(capsys, pack(tmp_path / "a.zip", files))
    assert "files are taken for models" in out
    for text in (out, err, summary.read_text()):
        assert not set(text) & {"\x1b", "\u202e", "\x07", "\r"}


def test_the_step_summary_is_a_table_that_an_archive_can_not_break(tmp_path, capsys, monkeypatch):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = {"a|b`<script>.onnx": b"x", "c.onnx": b"y", "tokenizer.json": tokenizer()}
    call(capsys, pack(tmp_path / "a.zip", files))
    rows = [line for line in summary.read_text().splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    assert "<script>" not in summary.read_text().replace("\\<", "")


def test_help_is_light_and_shows_examples():
    code = (
        "import sys; from release_tool.cli import run; run(['compat', '--help']);"
        "print(sorted({'torch','numpy','onnx','jinja2','zipfile','tokenizers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "release-tool compat model.zip --config config.json --target-versions 2.19,3.6" in out
    assert out.splitlines()[-1] == "[]"
    assert COMMANDS["compat"][1] in out


def test_a_graph_of_another_dimension_than_the_request_is_said(release, capsys):
    wrong = request(release, model_config={"embedding_dimension": WIDTH * 2})
    (release.parent / "onnx.config.json").write_text(json.dumps(wrong))
    out = call(capsys, release)[1]
    assert f"embedding_dimension is {WIDTH * 2}, the graph's output has {WIDTH}" in out
