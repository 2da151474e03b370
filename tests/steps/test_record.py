"""``release-tool record``: what was published goes into the files of the repository, once, whatever comes between."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from factories import make_facts, make_plan, make_request
from killed_writes import KILLED_AT_A_WRITE
from ledger_rows import old_file, own_row
from publications import notify, reviewed

from release_tool.cli import run
from release_tool.core import ledger_columns as column
from release_tool.core.changelog import MARKER
from release_tool.core.codec import decode_text
from release_tool.core.kinds import ModelKind, PoolingMode
from release_tool.core.receipt import Receipt

FILES = (
    "supported_models.json",
    "MODEL_UPLOAD_HISTORY.md",
    "model_listing/pretrained_models_all_versions.json",
    "model_listing/pre_trained_models.json",
    "CHANGELOG.md",
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a work folder whose release lies in a folder bucket; copied by who changes it."""
    place = tmp_path_factory.mktemp("published")
    digest = reviewed(place / "work")
    to = (place / "bucket").as_uri()
    assert run(["--work", str(place / "work"), "-q", "publish", "--approved", digest, "--to", to]) == 0
    return place / "work"


@pytest.fixture
def work(published, tmp_path):
    shutil.copytree(published, tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def repo(tmp_path):
    """Return a repository in the manner of the catalogue that is carried on."""
    place = tmp_path / "repo"
    place.mkdir()
    (place / "supported_models.json").write_bytes(old_file())
    (place / "CHANGELOG.md").write_bytes(
        b"# CHANGELOG\r\n\r\n## [Unreleased]\r\n\r\n### Changed\r\n- c1\r\n\r\n## [1.0.0]"
    )
    return place


def record(work, repo, *more):
    return run(["--work", str(work), "--repo", str(repo), "record", *more])


def files(repo):
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def own_rows(repo):
    rows = json.loads((repo / "supported_models.json").read_bytes())
    return [row for row in rows if column.APPROVED in row]


def publish_another(folder, bucket, *, name="two", version="1.0.0", kind=ModelKind.DENSE, **over):
    """Publish a release of another name or version, and return its work folder."""
    plan = make_plan(kind, **over)
    artifacts = tuple(
        replace(
            artifact,
            key=artifact.key.replace("tiny", name).replace("1.0.0", version),
            config_key=artifact.config_key.replace("tiny", name).replace("1.0.0", version),
            registered_name=artifact.registered_name.replace("tiny", name),
        )
        for artifact in plan.artifacts
    )
    request = replace(plan.request, version=version)
    source = replace(plan.source, model_id=f"acme/{name}")
    digest = reviewed(folder, kind=kind, plan=replace(plan, artifacts=artifacts, request=request, source=source))
    assert run(["--work", str(folder), "-q", "publish", "--approved", digest, "--to", bucket.as_uri()]) == 0
    return folder


def test_every_file_says_what_was_released(work, repo, capsys):
    before = files(repo)
    assert record(work, repo, "--uploader", "octocat", "--run-url", "https://github.example/a/b/actions/runs/17") == 0
    after = files(repo)
    receipt = decode_text(Receipt, (work / "receipt.json").read_text())
    assert capsys.readouterr().out.splitlines() == [
        f"recorded  acme/tiny 1.0.0  {receipt.approved}", *(f"changed   {name}" for name in FILES),
    ]  # fmt: skip
    assert set(after) == set(FILES)

    assert after["supported_models.json"].startswith(before["supported_models.json"].removesuffix(b"\n]"))
    first, second = own_rows(repo)
    assert {key: first[key] for key in column.FIRST} == {
        "Model Uploader": "@octocat",
        "Upload Time": receipt.released_at.replace("T", " "),
        "Model ID": "acme/tiny",
        "Model Version": "1.0.0",
        "Model Format": "ONNX",
        "Embedding Dimension": "32",
        "Pooling Mode": "MEAN",
        "Workflow Run ID": "17",
    }
    assert list(first) == [*column.FIRST, *column.OURS]
    assert second["Model Format"] == "TORCH_SCRIPT"
    there = {item.key: item.sha256 for item in receipt.objects}
    for row in (first, second):
        assert row[column.ARCHIVE] == there[row[column.KEY]]
        assert row[column.APPROVED] == receipt.approved
        assert {row[column.CERTIFICATE], row[column.RECEIPT]} <= set(there)

    page = after["MODEL_UPLOAD_HISTORY.md"].decode()
    assert page.count("\n| ") == 1 + 40
    assert f"| @octocat | `acme/tiny` | 1.0.0 | ONNX | 32 | MEAN | 17 | dense | `{'c' * 12}` |" in page

    line = f"- `acme/tiny` 1.0.0 (dense: onnx, torch_script), released {receipt.released_at[:10]} by @octocat, "
    line += f"digest `{receipt.approved[:12]}`.\r\n"
    assert after["CHANGELOG.md"] == before["CHANGELOG.md"].replace(b"- c1\r\n", b"- c1\r\n" + line.encode())

    formats = ["onnx", "torch_script"]
    name = "huggingface/acme/tiny"
    assert json.loads(after[FILES[2]]) == [
        {"name": name, "versions": {"1.0.0": {"format": formats, "description": "A tiny model."}}}
    ]
    assert json.loads(after[FILES[3]]) == [{"name": name, "version": ["1.0.0"], "format": formats}]


def test_twice_is_once_and_writes_nothing(work, repo, capsys):
    assert record(work, repo, "--uploader", "@octocat") == 0
    before = {name: (repo / name).stat().st_mtime_ns for name in FILES}
    assert record(work, repo) == 0
    assert {name: (repo / name).stat().st_mtime_ns for name in FILES} == before
    assert "unchanged" in capsys.readouterr().out
    assert sorted(path.name for path in repo.iterdir()) == [
        "CHANGELOG.md", "MODEL_UPLOAD_HISTORY.md", "model_listing", "supported_models.json",
    ]  # fmt: skip


def test_the_outcome_of_the_build_is_added_by_another_run(work, repo):
    assert record(work, repo, "--uploader", "octocat") == 0
    before = files(repo)
    notify(work, "FAILURE")
    assert record(work, repo) == 0
    after = files(repo)
    assert {name for name in after if after[name] != before[name]} == set(FILES[:2])
    for row in own_rows(repo):
        assert (row[column.BUILD_RESULT], row[column.BUILD_NUMBER]) == ("FAILURE", 17)
        assert row[column.UPLOADER] == "@octocat"
    assert after["MODEL_UPLOAD_HISTORY.md"].count(b"| FAILURE | released |") == 2
    notify(work, "SUCCESS")
    assert record(work, repo) == 0
    assert {row[column.BUILD_RESULT] for row in own_rows(repo)} == {"SUCCESS"}


def test_a_build_that_still_runs_says_nothing(work, repo):
    notify(work, None)
    assert record(work, repo) == 0
    assert {row[column.BUILD_RESULT] for row in own_rows(repo)} == {None}


def test_two_records_on_different_bases_both_survive_in_either_order(work, repo, tmp_path):
    other = publish_another(tmp_path / "two", tmp_path / "bucket-of-two")
    bases = {}
    for order in ((work, other), (other, work)):
        base = tmp_path / order[0].name / "base"
        shutil.copytree(repo, base)
        for folder in order:
            assert record(folder, base) == 0
        bases[order[0].name] = files(base)
    one, two = bases.values()
    for name in set(FILES) - {"CHANGELOG.md"}:
        assert one[name] == two[name]
    assert sorted(one["CHANGELOG.md"].splitlines()) == sorted(two["CHANGELOG.md"].splitlines())


def test_facts_are_those_that_were_measured_and_not_those_that_were_asked_for(tmp_path, repo):
    """A request that claims what the certificate does not hold changes no row; for a sparse one nothing is made up."""
    request = make_request(kinds=(ModelKind.SPARSE,), embedding_dimension=999, pooling_mode=PoolingMode.CLS)
    work = publish_another(tmp_path / "work", tmp_path / "bucket", kind=ModelKind.SPARSE, request=request)
    assert record(work, repo) == 0
    for row in own_rows(repo):
        assert (row[column.DIMENSION], row[column.POOLING]) == (None, None)
    assert b"999" not in (repo / "supported_models.json").read_bytes()
    assert b"| N/A | N/A | N/A | sparse |" in (repo / "MODEL_UPLOAD_HISTORY.md").read_bytes()


def test_into_an_empty_repository_everything_is_made(work, tmp_path, capsys):
    repo = tmp_path / "empty"
    repo.mkdir()
    assert record(work, repo) == 0
    assert set(files(repo)) == set(FILES)
    assert MARKER in (repo / "CHANGELOG.md").read_text()
    assert run(["--repo", str(repo), "record", "--check"]) == 0
    assert "agree" in capsys.readouterr().out


def test_this_repository_takes_a_record(work, tmp_path, repository):
    repo = tmp_path / "ours"
    repo.mkdir()
    for name in ("CHANGELOG.md", "MODEL_UPLOAD_HISTORY.md", "supported_models.json"):
        shutil.copy(repository / name, repo / name)
    assert run(["--repo", str(repo), "record", "--check"]) == 0
    assert record(work, repo) == 0
    old, new = (repository / "CHANGELOG.md").read_text(), (repo / "CHANGELOG.md").read_text()
    assert new.replace(new.partition(f"{MARKER}\n")[2].partition("\n")[0] + "\n", "", 1) == old
    assert run(["--repo", str(repo), "record", "--check"]) == 0


def test_a_draft_shows_the_difference_and_changes_nothing(work, repo, tmp_path, capsys):
    before = files(repo)
    assert record(work, repo, "--draft", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["diff"]
    assert record(work, repo, "--draft") == 0
    assert capsys.readouterr().out.replace("\r", "").rstrip("\n") == shown.replace("\r", "").rstrip("\n")
    assert files(repo) == before
    assert record(work, repo) == 0
    (tmp_path / "draft.patch").write_bytes(shown.encode())
    for name, data in before.items():
        (tmp_path / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "base" / name).write_bytes(data)
    line = ["git", "apply", "--whitespace=nowarn", str(tmp_path / "draft.patch")]
    subprocess.run(line, cwd=tmp_path / "base", capture_output=True, check=True)
    assert files(tmp_path / "base") == files(repo)
    capsys.readouterr()
    assert record(work, repo, "--draft") == 0
    assert capsys.readouterr().out == "nothing would change\n"


def test_json_holds_rows_and_changed_files(work, repo, capsys):
    assert record(work, repo, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"] == list(FILES)
    assert found["rows"] == own_rows(repo)
    assert found["schema"] == "release-tool/record@1"


def broken(work, name, change):
    path = work / name
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize("name", ["plan.json", "review.json", "bundle-onnx.json", "certificate-torch_script.json"])
def test_a_document_that_is_not_the_approved_one_is_refused(work, repo, name):
    before = files(repo)
    broken(
        work,
        name,
        lambda text: text.replace("acme/tiny", "acme/tidy") if "acme/tiny" in text else text.replace("0", "1", 1),
    )
    assert record(work, repo) == 7
    assert files(repo) == before


def test_a_receipt_of_another_release_is_refused(work, repo, capsys):
    broken(work, "receipt.json", lambda text: text.replace('"review.json"', '"plan.json"'))
    assert record(work, repo) == 7
    assert "does not name the review" in capsys.readouterr().err


def test_a_receipt_whose_archive_has_other_bytes_is_refused(work, repo, capsys):
    def change(text):
        data = json.loads(text)
        next(item for item in data["objects"] if item["key"].endswith(".zip"))["sha256"] = "0" * 64
        return json.dumps(data)

    broken(work, "receipt.json", change)
    assert record(work, repo) == 7
    assert "0" * 64 in capsys.readouterr().err


def test_a_receipt_of_another_digest_is_refused(work, repo):
    approved = json.loads((work / "receipt.json").read_text())["approved"]
    broken(work, "receipt.json", lambda text: text.replace(f'"approved": "{approved}"', f'"approved": "{"e" * 64}"'))
    assert record(work, repo) == 7


def test_a_notice_of_another_receipt_is_refused(work, repo):
    notify(work, "SUCCESS", uses={"receipt.json": "0" * 64})
    assert record(work, repo) == 7


def test_without_a_receipt_it_names_publish(work, repo, capsys):
    (work / "receipt.json").unlink()
    assert record(work, repo) == 2
    assert "release-tool publish" in capsys.readouterr().err


def test_a_ledger_that_is_broken_is_named_and_nothing_is_written(work, repo, capsys):
    path = repo / "supported_models.json"
    path.write_bytes(path.read_bytes().replace(b"    },\n    {", b"    },\n<<<<<<< main\n    {", 1))
    before = files(repo)
    assert record(work, repo) == 9
    assert "supported_models.json, row 2 (line 12)" in capsys.readouterr().err
    assert files(repo) == before


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (("--uploader", "a b"), "--uploader"),
        (("--uploader", "$(id)"), "--uploader"),
        (("--run-id", "1|2"), "--run-id"),
        (("--run-id", "abc", "--run-url", "https://x.example/runs/17"), "which is 17"),
        (("--run-id", "18", "--run-url", "https://x.example/runs/17"), "which is 17"),
        (("--run-id", "017", "--run-url", "https://x.example/runs/17/attempts/2"), "which is 17"),
        (("--run-id", "1", "--run-url", "https://x.example/runs/17?pr=1"), "which is 17"),
        (("--run-id", "nightly", "--run-url", "https://x.example/job/nightly"), "'nightly' is no number"),
        (("--run-id", "nightly", "--run-url", "javascript:alert(1)"), "--run-url"),
        (("--run-url", "javascript:alert(1)"), "--run-url"),
        (("--run-url", "https://user:secret@x.example/runs/1"), "--run-url"),
        (("--run-url", "https://x.example/a b"), "--run-url"),
    ],
)
def test_who_and_where_can_not_be_anything(work, repo, more, field, capsys):
    before = files(repo)
    assert record(work, repo, *more) == 2
    assert field in capsys.readouterr().err
    assert files(repo) == before


@pytest.mark.parametrize(
    ("more", "run_id"),
    [
        (("--run-id", "17", "--run-url", "https://x.example/runs/17/attempts/2"), "17"),
        (("--run-id", "17", "--run-url", "https://x.example/job/nightly"), "17"),
        (("--run-id", "nightly_2"), "nightly_2"),
        (("--run-url", "https://x.example/runs/17"), "17"),
        (("--run-url", "https://x.example/runs/17#step"), "17"),
        (("--run-url", "https://x.example/job/nightly"), None),
    ],
)
def test_the_run_is_that_of_its_address(work, repo, more, run_id):
    assert record(work, repo, *more) == 0
    assert {row[column.RUN_ID] for row in own_rows(repo)} == {run_id}


def test_a_folder_that_is_none_is_a_usage_error(work, tmp_path):
    assert record(work, tmp_path / "nowhere") == 2
    assert not (tmp_path / "nowhere").exists()


def test_check_says_where_the_files_disagree(work, repo, capsys):
    assert record(work, repo) == 0
    assert run(["--repo", str(repo), "record", "--check"]) == 0
    page = repo / "MODEL_UPLOAD_HISTORY.md"
    page.write_text(page.read_text().replace("@person-1", "@person-9", 1))
    (repo / "model_listing" / "pre_trained_models.json").unlink()
    capsys.readouterr()
    assert run(["--repo", str(repo), "--json", "record", "--check"]) == 9
    done = capsys.readouterr()
    found = json.loads(done.out)["disagreements"]
    assert [line.partition(",")[0].partition(":")[0] for line in found] == [FILES[1], FILES[3], FILES[3]]
    assert all(line in done.err for line in found)
    assert record(work, repo) == 0
    assert run(["--repo", str(repo), "record", "--check"]) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Killed in between, and two at a time


@pytest.mark.parametrize("writes", range(5))
def test_killed_between_two_files_another_run_repairs_it(work, repo, tmp_path, writes):
    whole = tmp_path / "whole"
    shutil.copytree(repo, whole)
    assert record(work, whole) == 0
    line = ["--work", str(work), "--repo", str(repo), "-q", "record"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_A_WRITE, str(writes), *line], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert files(repo) != files(whole)
    assert record(work, repo) == 0
    assert files(repo) == files(whole)


def test_two_at_a_time_do_not_write_into_one_repository(work, repo, capsys):
    from release_tool.lock import REPOSITORY, hold

    with hold(repo, "record", named=REPOSITORY):
        assert record(work, repo) == 2
        assert "--repo" in capsys.readouterr().err
        assert record(work, repo, "--draft") == 0
    assert record(work, repo) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Hostile text, and templates

HOSTILE = (
    "$(touch x)`id`|<script>alert(1)</script>\n::set-output name=a::b\r\n# Heading\n"
    "@everyone [a](javascript:b) www.x.example"
)


def test_the_run_whose_weights_were_released_is_kept(tmp_path, repo):
    bucket = tmp_path / "bucket"
    tuned = publish_another(tmp_path / "tuned", bucket, name="tuned", request=make_request(tune_run_id="4712"))
    hub = publish_another(tmp_path / "hub", bucket, name="of-the-hub")
    assert record(tuned, repo) == record(hub, repo) == 0
    runs = {(row[column.MODEL_ID], row[column.TUNING_RUN]) for row in own_rows(repo)}
    assert runs == {("acme/tuned", "4712"), ("acme/of-the-hub", None)}


def test_hostile_text_is_text_wherever_it_stands(tmp_path, repo):
    plan = make_plan(description=HOSTILE, source=make_facts(description=HOSTILE))
    lineage = {"base": HOSTILE}
    work = tmp_path / "work"
    digest = reviewed(work, plan=replace(plan, lineage=lineage))
    assert run(["--work", str(work), "-q", "publish", "--approved", digest]) == 0
    assert record(work, repo) == 0
    path = repo / "supported_models.json"
    row = {**own_row("evil"), column.MODEL_ID: HOSTILE, column.KIND: HOSTILE, column.BUILD_RESULT: "a | b"}
    rows = [*json.loads(path.read_bytes()), row]
    path.write_text(json.dumps(rows, indent=4))
    assert record(work, repo) == 0  # the page is made anew of all rows
    page = (repo / "MODEL_UPLOAD_HISTORY.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    prose = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", page.replace("\\`", ""))  # what does not stand in code
    assert "script" in prose
    assert not re.search(r"(?<!\\)[<\[]", prose.replace("<!-- -->", ""))
    assert "\n::" not in page
    assert not re.search(r"www\.|(?<!\\):(?=[a-z])", prose)
    assert own_rows(repo)[0][column.LINEAGE] == lineage
    assert json.loads((repo / FILES[2]).read_bytes())[0]["versions"]["1.0.0"]["description"] == HOSTILE


def test_templates_of_the_repository_win(work, repo):
    (repo / "templates").mkdir()
    (repo / "templates" / "history.md.j2").write_text("{% for row in history.rows %}{{ row[2] }};{% endfor %}")
    (repo / "templates" / "changelog_entry.md.j2").write_text("- ours: {{ entry.names | code }} {{ entry.digest }}\n")
    assert record(work, repo) == 0
    assert (repo / "MODEL_UPLOAD_HISTORY.md").read_text().endswith("acme/tiny;acme/tiny;\n")
    assert "- ours: `huggingface/acme/tiny` " in (repo / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "text", ["- no digest", "{{ entry.nothing }}", "- {{ entry.digest }}\n- two", "{% include 'x' %}"]
)
def test_a_template_that_does_not_do_is_named_and_nothing_is_written(work, repo, text, capsys):
    (repo / "templates").mkdir()
    (repo / "templates" / "changelog_entry.md.j2").write_text(text)
    before = files(repo)
    assert record(work, repo) == 2
    assert "changelog_entry.md.j2" in capsys.readouterr().err
    assert files(repo) == before


def test_a_yanked_version_is_recorded_and_not_listed(work, repo, capsys):
    assert record(work, repo) == 0
    assert run(["--repo", str(repo), "models", "yank", "acme/tiny@1.0.0", "--reason", "R"]) == 0
    notify(work, "SUCCESS")
    capsys.readouterr()
    assert record(work, repo) == 0
    assert "yanked" in capsys.readouterr().err
    assert json.loads((repo / FILES[3]).read_bytes()) == []
    assert run(["--repo", str(repo), "record", "--check"]) == 0


def test_record_needs_no_archive(work, repo):
    shutil.rmtree(work / "archives")
    assert record(work, repo) == 0
    assert len(own_rows(repo)) == 2
