"""Prompts and examples of one's own: used, pinned, and refused by the plan where they are none."""

from __future__ import annotations

import pytest
from query_projects import openai


def test_an_own_prompt_is_used_and_examples_stand_in_it(project, service):
    (project.folder / "prompt.txt").write_text("Write {n} like\n{examples}\nof {document} as {{}}")
    (project.folder / "examples.jsonl").write_text('{"query": "how hot is it"}\n\n{"anchor": "why so hot"}\n')
    assert project.run(openai(service, prompt="prompt.txt", examples="examples.jsonl")) == 0
    assert all("- how hot is it\n- why so hot" in prompt and prompt.endswith("as {}") for prompt in service.prompts())


def test_a_prompt_and_examples_may_lie_in_s3_and_are_pinned_there(project, service, s3, capsys):
    bucket = s3.make_bucket()
    s3.client().put_object(Bucket=bucket, Key="in/p.txt", Body=b"Write {n} like {examples} of {document}")
    s3.client().put_object(Bucket=bucket, Key="in/e.jsonl", Body=b'{"text": "how hot is it"}\n')
    recipe = openai(service, prompt=f"s3://{bucket}/in/p.txt", examples=f"s3://{bucket}/in/e.jsonl")
    assert project.run(recipe) == 0
    assert all("- how hot is it" in prompt for prompt in service.prompts())
    s3.client().put_object(Bucket=bucket, Key="in/e.jsonl", Body=b'{"text": "how cold is it"}\n')
    assert project.finetune("queries", "--again") == 7
    assert "is not what it was when the run was planned" in capsys.readouterr().err
    assert project.run(openai(service, prompt=f"s3://{bucket}/in/none.txt")) == 10
    assert project.run(openai(service, prompt=f"s3://{bucket}/")) == 2


@pytest.mark.parametrize(
    ("prompt", "examples", "said"),
    [
        ("{n}", "", "does not hold {document}"),
        ("{n} {document} {examlpes}", "", "did you mean examples?"),
        ("{n} {document}", '{"text": "a query"}\n', "would go nowhere"),
        ("{n} {document} {examples}", "no json\n", "examples.jsonl, line 1: it is no JSON object"),
        ("{n} {document} {examples}", "\n\n", "holds no query"),
    ],
)
def test_a_wrong_prompt_is_refused_by_the_plan(project, service, capsys, prompt, examples, said):
    (project.folder / "prompt.txt").write_text(prompt)
    (project.folder / "examples.jsonl").write_text(examples)
    keys = {"prompt": "prompt.txt"} | ({"examples": "examples.jsonl"} if examples else {})
    recipe = project.recipe(openai(service, **keys))
    assert project.finetune("plan", "--recipe", str(recipe)) == 2
    assert said in capsys.readouterr().err


def test_a_prompt_that_was_changed_after_the_plan_is_refused(project, service, capsys):
    (project.folder / "prompt.txt").write_text("Write {n} of {document}")
    assert (
        project.finetune("run", "--recipe", str(project.recipe(openai(service, prompt="prompt.txt"))), "--to", "split")
        == 0
    )
    (project.folder / "prompt.txt").write_text("Write {n} more of {document}")
    assert project.finetune("queries") == 7
    assert "is not what it was when the run was planned" in capsys.readouterr().err
    assert service.asked == []
