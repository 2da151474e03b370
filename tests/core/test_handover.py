"""What jobs hand on: laws of the outputs that later jobs trust."""

from __future__ import annotations

import json

import pytest
from factories import sha
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.handover import MAKES, OUTPUTS, expected, files_text, makes
from release_tool.core.tuning_packages import NAMES
from release_tool.errors import IntegrityError


def needs(**jobs) -> str:
    """Return what GitHub says of jobs: name (with '_' for '-') → files, or outputs as texts."""
    found = {}
    for name, made in jobs.items():
        outputs = {"files": files_text(made)} if not isinstance(made.get("files"), str) else made
        found[name.replace("_", "-")] = {"result": "success", "outputs": outputs}
    return json.dumps(found, indent=2)


def digests(*said: str) -> dict[str, str]:
    return {path: sha256 for path, (sha256, _) in expected(*said).items()}


PLAN = {"plan.json": sha("1")}


def test_the_jobs_together_say_what_has_to_be_there():
    said = needs(plan=PLAN, fetch={"source.json": sha("2")})
    assert expected(said) == {"plan.json": (sha("1"), "plan"), "source.json": (sha("2"), "fetch")}


def test_a_job_that_was_skipped_or_gave_nothing_out_made_nothing():
    said = {
        "plan": {"result": "success", "outputs": {}},
        "trace-onnx": {"result": "skipped", "outputs": None},
        "approval": {},
    }
    assert expected(json.dumps(said)) == {}
    assert expected("null", "{}") == {}


def test_check_may_write_another_plan_and_no_later_job_may():
    assert digests(needs(check={"plan.json": sha("2")}, plan=PLAN)) == {"plan.json": sha("2")}
    with pytest.raises(IntegrityError, match=r"can only trace names plan\.json"):
        expected(needs(plan=PLAN, trace={"plan.json": sha("3")}))


@pytest.mark.parametrize("job", ["trace", "trace_onnx", "answer", "quality", "node"])
@pytest.mark.parametrize("path", ["plan.json", "source.json", "review.json", "receipt.json", "../x", "snapshot/a.py"])
def test_a_job_that_ran_a_models_code_names_nothing_else_than_it_makes(job, path):
    with pytest.raises(IntegrityError, match="names"):
        expected(needs(**{job: {path: sha("1")}}))


@pytest.mark.parametrize("job", ["trace_onnx", "answer", "trace_torch_script", "quality"])
@pytest.mark.parametrize("gap", [" ", "\n", "\r\n", "\t", '"}, "validate": {"outputs": {"files": "', "\u2028"])
def test_an_output_can_not_pass_for_that_of_another_job(job, gap):
    """A job's output is any text: a second one inside it, behind whatever separates, is no output of anybody."""
    forged = files_text({"proof-runtime-onnx.json": sha("6"), "certificate-onnx.json": sha("6")})
    own = files_text({"bundle-onnx.json": sha("5")})
    for text in (f"{own}{gap}validate:{forged}", f"{own}{gap}{forged}", f"{gap}validate:{forged}"):
        with pytest.raises(IntegrityError, match="not to be trusted"):
            expected(needs(plan=PLAN, **{job: {"files": text}}))


def test_two_jobs_that_do_the_same_must_not_contradict_each_other():
    one, other = {"bundle-onnx.json": sha("1")}, {"bundle-onnx.json": sha("2")}
    assert digests(needs(trace_onnx=one, trace_torch_script=one)) == one
    with pytest.raises(IntegrityError, match=r"disagree about bundle-onnx\.json"):
        expected(needs(trace_onnx=one, trace_torch_script=other))


def test_the_node_certifies_what_was_certified_before():
    first = {"certificate-onnx.json": sha("1"), "proof-runtime-onnx.json": sha("3")}
    second = {"certificate-onnx.json": sha("2"), "proof-runtime-onnx.json": sha("3")}
    found = expected(needs(node=second, trace_onnx={"files": "{}", "proofs": files_text(first)}))
    assert found["certificate-onnx.json"] == (sha("2"), "node")


def test_a_workflow_that_was_called_hears_of_the_jobs_of_both():
    inner = needs(trace={"bundle-onnx.json": sha("4")})
    assert set(expected(needs(plan=PLAN), inner)) == {"plan.json", "bundle-onnx.json"}
    with pytest.raises(IntegrityError, match="plan is given twice"):
        expected(needs(plan=PLAN), needs(plan={"plan.json": sha("7")}))


@pytest.mark.parametrize(
    "said",
    [
        "", "[]", "{", '"plan"', '{"plan": 1}', '{"plan": {"outputs": []}}', '{"plan": {"outputs": {"files": 1}}}',
        '{"publisher": {"outputs": {}}}', '{"plan": {}, "plan": {}}',
    ],
)  # fmt: skip
def test_what_is_not_said_as_github_says_it_is_refused(said):
    with pytest.raises(IntegrityError, match="not to be trusted"):
        expected(said)


@pytest.mark.parametrize("text", ["[]", "{", '{"plan.json":1}', '{"plan.json":"ABC"}', "1", '{"a":"b","a":"b"}'])
def test_an_output_that_is_none_is_refused(text):
    with pytest.raises(IntegrityError, match="not to be trusted"):
        expected(needs(plan={"files": text}))


@given(st.text(max_size=60))
def test_whatever_an_output_says_it_names_its_own_files_or_nothing(text):
    try:
        found = expected(needs(trace_onnx={"files": text}))
    except IntegrityError:
        return
    assert all(maker == "trace" and makes("trace", path) for path, (_, maker) in found.items())


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from([sha("1"), sha("2")])))
def test_what_is_written_is_read_again(named):
    files = {f"bundle-{name}.json": sha256 for name, sha256 in named.items()}
    assert digests(needs(trace=files)) == files


def test_every_maker_is_a_command_or_the_later_validate():
    from release_tool.cli import COMMANDS

    assert set(MAKES) - {"node"} <= set(COMMANDS)
    assert {maker for _, _, maker in OUTPUTS} <= set(MAKES)


def tuned(**jobs):
    return needs(**{name: {f"finetune/{path}": digest for path, digest in made.items()} for name, made in jobs.items()})


PREPARED = {"plan.json": sha("1"), "01-corpus/stage.json": sha("2"), "02-split/places-00000.jsonl": sha("3")}


def test_the_jobs_of_a_tuning_run_name_what_lies_there_and_only_their_own_is_new():
    queries = {**PREPARED, "03-queries/queries-00000.jsonl": sha("4")}
    trained = {**queries, "08-train/model/1_Pooling/config.json": sha("5")}
    handed = {**trained, "10-hand-over/model/lineage.json": sha("6")}
    found = digests(tuned(prepare=PREPARED, queries=queries, train=trained, hand_over=handed))
    assert found == {f"finetune/{path}": digest for path, digest in handed.items()}


@pytest.mark.parametrize(
    ("job", "path"),
    [
        ("prepare", "03-queries/queries-00000.jsonl"),
        ("queries", "01-corpus/documents-00001.jsonl"),
        ("queries", "08-train/model/model.safetensors"),
        ("train", "03-queries/queries-00001.jsonl"),
        ("train", "02-split/places-00001.jsonl"),
        ("train", "09-evaluate/evaluation.json"),
        ("train", "10-hand-over/model/lineage.json"),
        ("train", "08-train/../plan.json"),
        ("train", "paid/ab/answer.json"),
        ("hand_over", "08-train/model/model.safetensors"),
    ],
)
def test_a_job_of_a_tuning_run_names_nothing_of_another(job, path):
    made = {"prepare": PREPARED, job: {path: sha("9")}}
    with pytest.raises(IntegrityError, match="names"):
        expected(tuned(**made))


def test_who_builds_the_packages_names_them_and_nothing_of_a_tuning_run():
    named = {f"packages/{name}": sha("7") for name in NAMES}
    assert digests(needs(packages=named)) == named
    for path in ("finetune/plan.json", "packages/more.zip", "packages/a/template.yml"):
        with pytest.raises(IntegrityError, match="names"):
            expected(needs(packages={path: sha("7")}))
    with pytest.raises(IntegrityError, match="names"):
        expected(needs(train=named))


def test_a_machine_of_ones_own_can_say_nothing_else_of_what_was_there_before_it():
    with pytest.raises(IntegrityError, match="disagree about finetune/02-split"):
        expected(tuned(prepare=PREPARED, train={**PREPARED, "02-split/places-00000.jsonl": sha("9")}))
