"""``release-tool review``: what it refuses, what it leaves, and that anybody can compute the digest again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from releases import one_changed, write_release

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.review import Review
from release_tool.documents import WorkFolder, file_sha256
from release_tool.packaged import read_packaged

GREEN = ("runtime", "node")


def review(folder, *more, repo=None):
    return run(["--work", str(folder), "--repo", str(repo or folder), *more, "review"])


def document(folder):
    return decode_text(Review, (folder / "review.json").read_text())


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    write_release(folder, rings=GREEN)
    return folder


def red(proof):
    return one_changed(proof, 4, max_abs=3e-2) if (proof.ring, proof.artifact) == ("runtime", "onnx") else proof


def test_a_proven_release_gets_a_page_and_a_digest(work, capsys):
    assert review(work) == 0
    found = document(work)
    out = capsys.readouterr().out
    assert found.digest in out
    assert str(work / "review.html") in out
    assert found.fault() is None
    assert {"plan.json", "source.json", "bundle-onnx.json", "certificate-onnx.json", "answers-dense.safetensors"} < set(
        found.uses
    )
    WorkFolder(work).check_chain(found, "review.json")
    for page in found.pages:
        assert file_sha256(work / page.path) == page.sha256
    assert found.digest in (work / "review.md").read_text()


def test_json_on_stdout_is_the_document(work, capsys):
    assert review(work, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((work / "review.json").read_text())


def test_the_command_of_the_page_prints_the_digest_with_sha256sum(work):
    assert review(work) == 0
    command = re.search(r"```\n(sha256sum .*?)\n```", (work / "review.md").read_text(), re.DOTALL).group(1)
    done = subprocess.run(["bash", "-c", command], cwd=work, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == document(work).digest


def test_another_folder_another_time_and_another_zone_give_equal_bytes(work, tmp_path):
    assert review(work) == 0
    other = tmp_path / "elsewhere" / "deep"
    shutil.copytree(work, other)
    (other / "review.json").unlink()
    env = {
        **os.environ,
        "TZ": "Asia/Kolkata",
        "PYTHONHASHSEED": "7",
        "LC_ALL": "C",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "release_tool", "--work", str(other), "--repo", str(other), "-q", "review"]
    subprocess.run(command, env=env, check=True, capture_output=True, cwd=tmp_path)
    for name in ("review.json", "review.md", "review.html"):
        assert (other / name).read_bytes() == (work / name).read_bytes()
        assert str(tmp_path).encode() not in (work / name).read_bytes()


def test_a_red_proof_leaves_a_page_that_says_so_and_no_digest(tmp_path, capsys):
    write_release(tmp_path, rings=GREEN, change_proof=red)
    assert review(tmp_path) == 6
    found = document(tmp_path)
    assert found.digest is None
    assert found.fault() is None
    assert "onnx: runtime ring: probe" in found.reasons[0]
    assert (tmp_path / "review.md").read_text().startswith("**NOT RELEASABLE")
    err = capsys.readouterr().err
    assert "NOT RELEASABLE" in err
    assert "review.html" in err
    assert "sha256sum" not in (tmp_path / "review.html").read_text()


def test_a_red_node_is_not_releasable_either(tmp_path):
    write_release(
        tmp_path, rings=GREEN, change_proof=lambda p: one_changed(p, 4, not_finite=3) if p.ring == "node" else p
    )
    assert review(tmp_path) == 6
    assert all("node ring" in reason for reason in document(tmp_path).reasons)


@pytest.mark.parametrize("rings", [(), ("node",)])
def test_without_a_proof_in_the_runtime_ring_there_is_no_digest(tmp_path, rings):
    write_release(tmp_path, rings=rings)
    assert review(tmp_path) == 6
    assert "it was not measured" in document(tmp_path).reasons[0]


def test_a_release_that_was_never_validated_gets_its_page(tmp_path):
    write_release(tmp_path, certified=False)
    assert review(tmp_path) == 6
    assert "never validated" in document(tmp_path).reasons[0]
    assert "Nothing was measured." in (tmp_path / "review.html").read_text()


def test_correcting_the_cause_gives_a_digest(tmp_path):
    write_release(tmp_path, rings=GREEN, change_proof=red)
    assert review(tmp_path) == 6
    write_release(tmp_path, rings=GREEN)
    assert review(tmp_path) == 0
    assert document(tmp_path).digest


FILES = (
    "plan.json", "source.json", "bundle-onnx.json", "bundle-torch_script.json", "certificate-onnx.json",
    "proof-node-onnx.json", "proof-runtime-torch_script.json", "answers-dense.safetensors",
    "archives/acme_tiny-1.0.0-onnx.zip", "archives/onnx.config.json", "archives/torch_script.config.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["byte", "cut", "gone"])
def test_any_file_that_is_not_what_it_was_is_noticed(work, name, how):
    """Every document is read strictly and every byte is hashed: nothing changed gets the old digest."""
    assert review(work) == 0
    before = document(work).digest
    path = work / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[:-1])
    else:
        at = len(data) // 2
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    code = review(work)
    if name.startswith("certificate"):
        # Nothing stands on a certificate but the digest itself.
        assert code in (6, 7) or document(work).digest != before
    else:
        assert code in (2, 7)
    if code == 7:
        assert document(work).digest == before  # the earlier review is untouched, and its own chain is broken


def test_a_proof_that_the_certificate_does_not_hold_is_refused(work, capsys):
    shutil.copy(work / "proof-node-onnx.json", work / "proof-legacy-onnx.json")
    assert review(work) == 7
    assert "proof-legacy-onnx.json" in capsys.readouterr().err


def test_a_bundle_that_names_a_file_elsewhere_is_refused_unread(tmp_path):
    secret = tmp_path / "secret.zip"
    secret.write_bytes(b"secret")

    def elsewhere(bundle):
        return replace(bundle, archive=replace(bundle.archive, path="../secret.zip"))

    write_release(tmp_path / "work", change_bundle=elsewhere)
    assert review(tmp_path / "work") == 7
    assert not (tmp_path / "work" / "review.json").exists()


def foreign(data):
    return data.replace(b'"name"', b'"url": "https://evil.example/a.zip",\n    "name"', 1)


def test_a_config_that_the_plan_does_not_make_is_refused_with_every_digest_right(tmp_path, capsys):
    write_release(tmp_path, rings=GREEN, change_config=foreign)
    assert review(tmp_path) == 7
    assert "it holds 'url'" in capsys.readouterr().err
    assert not (tmp_path / "review.json").exists()


def test_a_certificate_of_another_bundle_is_refused(work, capsys):
    other = (work / "certificate-onnx.json").read_text().replace('"fused"', '"fp32"')
    (work / "certificate-onnx.json").write_text(other)
    assert review(work) == 7
    assert "another plan, source or bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "step"), [("plan.json", "plan"), ("source.json", "fetch"), ("bundle-onnx.json", "trace")]
)
def test_a_step_that_has_not_run_is_named(work, capsys, name, step):
    for path in work.glob("*.json"):
        if path.name == name:
            path.unlink()
    assert review(work) == 2
    assert f"release-tool {step} first" in capsys.readouterr().err


def test_an_interrupted_review_leaves_no_old_digest_beside_a_new_page(work):
    """The page can't be written (its name is a folder here): review.json must not speak about another page."""
    assert review(work) == 0
    (work / "review.html").unlink()
    (work / "review.html").mkdir()
    assert review(work) != 0
    assert not (work / "review.json").exists()
    (work / "review.html").rmdir()
    assert review(work) == 0


def test_a_template_of_the_repository_wins_and_the_page_says_so(work, tmp_path):
    assert review(work) == 0
    digest = document(work).digest
    repo = tmp_path / "repo"
    (repo / "templates").mkdir(parents=True)
    (repo / "templates" / "review.md.j2").write_text("# Ours: {{ page.title }}\n{{ page.footer }}\n")
    assert review(work, repo=repo) == 0
    text = (work / "review.md").read_text()
    assert text.startswith("# Ours: acme/tiny 1.0.0\n")
    assert "repository's own review.md.j2" in text.replace("\\", "")
    assert "repository&#39;s own review.md.j2" in (work / "review.html").read_text()
    assert document(work).digest == digest, "the page is no part of what is approved"


@pytest.mark.parametrize(
    "template",
    [
        "{{ page.nothing }}",
        "{% for %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% include '/etc/hosts' %}",
        "{{ page.title + 1 }}",
        "{{ 1 // 0 }}",
        b"\xff",
    ],
)
def test_a_template_that_is_wrong_or_reaches_out_is_a_named_error(work, tmp_path, capsys, template):
    repo = tmp_path / "repo"
    (repo / "templates").mkdir(parents=True)
    path = repo / "templates" / "review.html.j2"
    path.write_bytes(template if isinstance(template, bytes) else template.encode())
    assert review(work, repo=repo) == 2
    assert "review.html.j2" in capsys.readouterr().err
    assert not (work / "review.json").exists()


def test_the_step_summary_gets_the_markdown(work, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert review(work) == 0
    assert summary.read_text().strip() == (work / "review.md").read_text().strip()


def test_a_page_that_github_would_not_show_begins_with_what_matters(work, tmp_path, monkeypatch, capsys):
    """A template of the repository's own may be long, and the step may have written before."""
    summary = tmp_path / "summary.md"
    before = "before\n" * 40_000
    summary.write_text(before)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    packaged = read_packaged("templates/review.md.j2").decode()
    (work / "templates").mkdir()
    (work / "templates" / "review.md.j2").write_text(packaged.replace("## Archives", "## Archives\n\n" + "ü" * 450_000))
    assert review(work) == 0
    page, text = (work / "review.md").read_text(), summary.read_text()
    assert summary.stat().st_size <= 1024 * 1024 < len((before + page).encode())
    kept, _, note = text.removeprefix(before).partition("\n**Cut here")
    assert page.startswith(kept)
    assert page[len(kept) :].startswith("## Archives")
    assert document(work).digest in kept
    assert "## Proofs" in kept
    assert "review.md" in note
    assert "too large for GitHub" in capsys.readouterr().err


def test_a_bundle_with_a_flood_of_warnings_is_refused(tmp_path, capsys):
    def flood(bundle):
        return replace(bundle, warnings=tuple(f"warning {number}" for number in range(201)))

    write_release(tmp_path, change_bundle=flood)
    assert review(tmp_path) == 7
    assert "holds 201 warnings" in capsys.readouterr().err


def test_a_certificate_with_more_proofs_than_rings_is_refused(work, capsys):
    data = json.loads((work / "certificate-onnx.json").read_text())
    data["proofs"] *= 2
    (work / "certificate-onnx.json").write_text(json.dumps(data))
    assert review(work) == 7
    assert "holds 4 proofs" in capsys.readouterr().err


def test_the_summary_of_a_red_release_is_written_too(tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    write_release(tmp_path / "work", rings=GREEN, change_proof=red)
    assert review(tmp_path / "work") == 6
    assert summary.read_text().startswith("**NOT RELEASABLE")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom release_tool.cli import run\n"
        "assert run(['review', '--help']) == 0 and run(['run', '--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'numpy', 'jinja2', 'markupsafe', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=env)
