"""The process of a local model that writes queries; the models are random, so only what surrounds them is tested."""

from __future__ import annotations

import json

import pytest
from tiny_writers import answers_of, make_gpt2, make_t5

from release_tool.core.finetune.writing_job import ToWrite, WriteJob, Written
from release_tool.errors import UnsupportedModel
from release_tool.models.finetune.writer import Writer, write
from release_tool.part_files import part_path, write_part

CHAT = "{% for one in messages %}{{ one['role'] }} {{ one['content'] }} {% endfor %}what is"


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return make_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


def job_of(model, folder, rows=5, **keys):
    for number in range(2):
        write_part(
            part_path(folder, ToWrite.STEM, number),
            [
                ToWrite(
                    id=f"{number}{row}",
                    system="the of",
                    prompt=f"Write {'water ' * row}",
                    text=f"river {'bank ' * row}",
                )
                for row in range(rows)
            ],
        )
    keys = {"n": 3, "temperature": 0.7, "max_tokens": 16, "seed": 1, "is_prompted": False} | keys
    return WriteJob(model=str(model), folder=str(folder), **keys)


@pytest.mark.parametrize("n", [1, 4])
def test_a_model_of_pairs_is_sampled_as_often_as_asked(t5, tmp_path, n):
    write(job_of(t5, tmp_path, n=n))
    rows = answers_of(tmp_path)
    assert [row["id"] for row in rows] == [f"{part}{row}" for part in range(2) for row in range(5)]
    assert all(len(json.loads(row["raw"])["queries"]) == n for row in rows)
    assert len({row["raw"] for row in rows}) > 1


def test_the_same_job_gives_the_same_bytes_whichever_parts_were_there(t5, tmp_path):
    once, again = tmp_path / "once", tmp_path / "again"
    write(job_of(t5, once))
    job = job_of(t5, again)
    whole = part_path(once, Written.STEM, 0)
    part_path(again, Written.STEM, 0).write_bytes(whole.read_bytes())
    write(job)
    assert answers_of(once) == answers_of(again)
    other = tmp_path / "other"
    write(job_of(t5, other, seed=2))
    assert answers_of(other) != answers_of(once)


def test_a_finished_part_is_not_written_again(t5, tmp_path):
    job = job_of(t5, tmp_path)
    for number in range(2):
        write_part(part_path(tmp_path, Written.STEM, number), [Written(id="kept", raw="", tokens_in=0, tokens_out=0)])
    write(WriteJob(**{name: getattr(job, name) for name in WriteJob.__slots__} | {"model": "no folder"}))
    assert [row["id"] for row in answers_of(tmp_path)] == ["kept", "kept"]


def test_without_chance_queries_still_differ(t5, tmp_path):
    write(job_of(t5, tmp_path, temperature=0.0))
    queries = json.loads(answers_of(tmp_path)[0]["raw"])["queries"]
    assert len(queries) == 3
    assert len(set(queries)) > 1


def test_a_model_of_pairs_reads_the_document_or_the_prompt_where_one_is_given(t5, tmp_path):
    document, prompted = (Writer(job_of(t5, tmp_path, is_prompted=flag)) for flag in (False, True))
    row = ToWrite(id="1", system="the of", prompt="Write water", text="river bank")
    assert document.tokenizer.decode(document._input(row)) == "river bank"
    assert prompted.tokenizer.decode(prompted._input(row)) == "the of Write water"


def test_a_causal_model_reads_the_prompt_and_gives_one_raw_answer(gpt2, tmp_path):
    write(job_of(gpt2, tmp_path, max_tokens=7))
    rows = answers_of(tmp_path)
    assert len(rows) == 10
    assert all(0 < row["tokens_out"] <= 7 for row in rows)


def test_a_chat_template_is_used(tmp_path):
    writer = Writer(job_of(make_gpt2(tmp_path / "chat", template=CHAT), tmp_path))
    tokens = writer._input(ToWrite(id="1", system="the of", prompt="Write water", text=""))
    assert writer.tokenizer.decode(tokens).endswith("Write water what is")


def test_a_prompt_that_is_too_long_is_cut_at_its_beginning(tmp_path):
    model = make_gpt2(tmp_path / "short", length=32)
    writer = Writer(job_of(model, tmp_path, max_tokens=16))
    long = ToWrite(id="1", system="the of", prompt="water " * 99 + "Write", text="")
    assert [row.tokens_in for row in writer.part([long])] == [16]
    assert writer.tokenizer.decode(writer._input(long)).endswith("Write")


def test_a_folder_without_a_model_that_writes_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnsupportedModel, match="No model in this folder can write"):
        write(job_of(tmp_path / "model", tmp_path))
