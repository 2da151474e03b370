"""Documents come in whole, what can't be used is told line by line, and what is alike is never on both sides."""

from __future__ import annotations

import signal

import pytest
from corpus_projects import plain_rows, similar_rows
from killed_stages import killed_at

from release_tool.core.finetune.document_rows import RowFault
from release_tool.core.finetune.raw_rows import RawRow
from release_tool.core.finetune.records import Document, Rejected
from release_tool.core.finetune.stages import Stage
from release_tool.part_files import parts, read_rows
from release_tool.steps.finetune import corpus_grouping, corpus_reading

# ---------------------------------------------------------------------------------------------------------------------
# Rows


def test_every_row_that_can_not_be_used_is_named_with_its_file_its_line_and_the_reason(project):
    project.put([{"id": 1, "text": "one"}, b"\n", b"{bad\n", {"id": "x", "text": " "}, {"id": "1", "text": "again"}])
    project.put([{"id": 1, "text": "in another file"}, b'{"text": "a\xff"}\n', {"text": "two", "id": 2}], "b.jsonl.gz")
    project.write('path = "docs"\nmax_rejected = 0.9')
    assert project.go() == 0
    assert [document.id for document in project.documents] == ["1", "2"]
    assert project.rejects == [
        ("a.jsonl", 3, "is no JSON", None),
        ("a.jsonl", 4, "has a blank text", "x"),
        ("a.jsonl", 5, "has an id that a row before it has", "1"),
        ("b.jsonl.gz", 1, "has an id that a row before it has", "1"),
        ("b.jsonl.gz", 2, "is not UTF-8", None),
    ]
    counts = project.counts(Stage.CORPUS)
    assert (counts["rows"], counts["rejected"], counts["documents"], counts["left_out"]) == (7, 5, 2, 0)


def test_more_of_them_than_the_recipe_allows_end_it_with_the_first_reasons(project, capfd):
    name = "x\x1b[31m\n::error::y.jsonl"
    project.put([*plain_rows(90), *[b"{bad\n"] * 9, {"id": "i\x07d", "text": ""}], name)
    project.write('path = "docs"\nmax_rejected = 0.09')
    assert project.go() == 2
    said = capfd.readouterr().err
    assert "10 of 100 rows can't be used" in said
    assert "line 91: is no JSON" in said
    assert "and 5 more" in said
    assert "\x1b[31m" not in said
    assert "\n::error" not in said
    assert not project.documents
    assert len(project.rejects) == 10
    project.write('path = "docs"\nmax_rejected = 0.1')
    assert project.go() == 0
    assert len(project.documents) == 90


def test_documents_without_ids_may_come_twice_and_no_share_of_them_ends_it(project):
    one = {"text": "one"}
    project.put([one, one, {"text": "one", "title": "another"}, {"text": "two"}, one])
    project.write('path = "docs"\nmax_rejected = 0')
    assert project.go() == 0
    assert [document.text for document in project.documents] == ["one", "one", "two"]
    reason = "has the title and the text of a row before it, and no id"
    assert [(line, why) for _, line, why, _ in project.rejects] == [(2, reason), (5, reason)]
    project.put([{"text": "one", "id": 1}, {"text": "one", "id": 1}])
    project.write('path = "docs"\nmax_rejected = 0')
    assert project.go() == 2


def test_a_corpus_without_a_document_is_refused(project, capfd):
    project.put([])
    assert project.go() == 2
    assert "There is no document in the corpus" in capfd.readouterr().err


def test_plan_names_the_file_of_a_folder_that_can_not_be_read_and_counts_an_empty_one(project, capfd):
    project.put([])
    project.write('path = "docs"')
    assert project.go("plan") == 0
    estimates = project.state.plan().estimates
    assert estimates["bytes"] == estimates["documents"] == 0
    project.put([{"text": "one"}], "b.jsonl")
    (project.folder / "docs" / "c.jsonl").symlink_to("nowhere")
    assert project.go("plan") == 2
    assert "corpus.path: names a folder with c.jsonl, which can't be read: No such file" in capfd.readouterr().err


def test_files_that_changed_since_the_plan_are_refused(project, capfd):
    project.put(plain_rows(5))
    assert project.go("plan") == 0
    project.put(plain_rows(6))
    assert project.go("corpus") == 7
    assert "not what it was when the run was planned" in capfd.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# The sample


@pytest.mark.usefixtures("_small_parts")
def test_a_sample_is_drawn_by_the_seed_and_not_by_the_order(project):
    project.put(plain_rows(300))
    project.write('path = "docs"\nmax_documents = 90')
    assert project.go() == 0
    first = [document.id for document in project.documents]
    assert len(first) == 90
    assert first == sorted(first, key=int)
    assert sum(int(ident) < 150 for ident in first) == pytest.approx(45, abs=20)
    assert project.counts(Stage.CORPUS)["left_out"] == 210
    project.put(reversed(plain_rows(300)))
    assert project.go() == 0
    assert [document.id for document in project.documents] == first[::-1]
    project.write('path = "docs"\nmax_documents = 90', model="seed = 7")
    assert project.go() == 0
    assert len(set(first) & {document.id for document in project.documents}) < 60


# ---------------------------------------------------------------------------------------------------------------------
# Elsewhere


def test_documents_in_s3_give_what_the_same_files_give_and_a_new_object_runs_it_again(project, s3):
    rows = similar_rows(4, 60)
    project.put(rows[:30], "a.jsonl")
    project.put(rows[30:], "b.jsonl.gz")
    assert project.go() == 0
    local = project.documents, project.groups, project.places
    bucket, client = s3.make_bucket(), s3.client()
    for path in project.docs.iterdir():
        client.upload_file(str(path), bucket, f"c/{path.name}")
    project.write(f'source = "s3"\ns3_path = "s3://{bucket}/c"')
    assert project.go() == 0
    assert (project.documents, project.groups, project.places) == local
    before = project.state.plan().pins["corpus"]
    client.put_object(Bucket=bucket, Key="c/c.jsonl", Body=b'{"id": "new", "text": "one more"}\n')
    assert project.go("corpus") == 0  # it is done, whatever is there now
    assert project.go() == 0
    assert project.state.plan().pins["corpus"] != before
    assert project.documents[-1].id == "new"


def test_an_object_that_is_not_there_is_refused_by_plan(project, s3, capfd):
    project.write(f'source = "s3"\ns3_path = "s3://{s3.make_bucket()}/c"')
    assert project.go("plan") == 4
    assert "names no object" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("no-such-name", "corpus.endpoint 'no-such-name' is neither an address nor a cluster"),
        ("ftp://x", "corpus.endpoint: it is neither http:// nor https://"),
    ],
)
def test_a_cluster_that_nobody_knows_is_refused_by_the_name_of_its_key(project, capfd, endpoint, says):
    project.write(f'source = "opensearch"\nendpoint = "{endpoint}"\nindex = "i"')
    assert project.go("plan") == 2
    assert says in capfd.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# Killed


def test_what_was_read_to_its_end_is_not_read_again(project, monkeypatch):
    project.put(plain_rows(50))
    project.go("plan")
    whole = corpus_grouping.group_corpus

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus_grouping, "group_corpus", interrupted)
    assert project.go("corpus") == 130
    monkeypatch.setattr(corpus_grouping, "group_corpus", whole)
    (project.docs / "a.jsonl").unlink()
    assert project.go("corpus") == 0
    assert len(project.documents) == 50


@pytest.mark.parametrize("sample", ["", "\nmax_documents = 30"], ids=["all of them", "a sample"])
def test_killed_at_any_moment_it_ends_with_the_same_files(project, tmp_path, sample):
    rows = similar_rows(5, 50)
    project.put([*rows[:30], b"{bad\n", *rows[30:], b"{bad\n"])
    project.write(f'path = "docs"\nmax_rejected = 0.5{sample}')
    project.docs.rename(tmp_path / "start-docs")
    start = tmp_path / "start"
    start.mkdir()
    for name in ("recipe.toml", "base", "start-docs"):
        (tmp_path / name).rename(start / name.removeprefix("start-"))
    command = ["-q", "--work", "{place}/work", "finetune", "run", "--recipe", "{place}/recipe.toml", "--to", "split"]
    modules = ["rensa", "release_tool.steps.finetune.corpus_grouping", "release_tool.steps.finetune.corpus_reading",
               "release_tool.steps.finetune.split", "release_tool.services.finetune.file_documents"]  # fmt: skip
    said = killed_at(
        command, command, tmp_path / "runs", points=[*range(6, 150, 9), 999], start=start, part_rows=20, imports=modules
    )
    whole = said[-1]
    assert whole["codes"] == [0]
    assert set(whole["digests"]) == {"corpus", "split"}
    assert len(said) > 6
    for one in said[:-1]:
        assert one["codes"] == [-signal.SIGKILL, 0], one
        assert one["digests"] == whole["digests"], one


@pytest.mark.usefixtures("_small_parts")
def test_what_is_left_of_a_run_that_was_killed_while_it_read_is_nobodys(tmp_path):
    limits = corpus_reading.Limits(max_documents=1000, max_rejected=1, seed=1)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def read(count, *, dies=False):
        for number in range(count):
            document = Document(id=str(number), text="x") if number % 2 else RowFault("is no JSON")
            yield RawRow(where="index", line=0, read=document, size=1)
        if dies:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpus_reading.read_corpus(read(300, dies=True), tmp_path, scratch, limits, lambda _: None)
    assert len(parts(scratch, Document.STEM)) == len(parts(tmp_path, Rejected.STEM)) == 3
    corpus_reading.read_corpus(read(90), tmp_path, scratch, limits, lambda _: None)
    assert corpus_reading.settle(tmp_path, scratch, 1) == {"rows": 90, "rejected": 45}
    assert len(list(read_rows(tmp_path, Document))) == len(list(read_rows(tmp_path, Rejected))) == 45
