"""What jobs hand on: laws of the outputs that later jobs trust."""

from __future__ import annotations

import pytest
from factories import sha
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.handover import MAKES, expected, files_text
from release_tool.errors import IntegrityError


def output(maker: str, **files: str) -> str:
    return f"{maker}:{files_text({path.replace('__', '.'): sha256 for path, sha256 in files.items()})}"


def test_the_jobs_together_say_what_has_to_be_there():
    found = expected([output("plan", plan__json=sha("1")), output("fetch", source__json=sha("2")), "trace:"])
    assert found == {"plan.json": sha("1"), "source.json": sha("2")}


def test_check_may_write_another_plan_and_no_later_job_may():
    jobs = [output("plan", plan__json=sha("1")), output("check", plan__json=sha("2"))]
    assert expected(jobs) == {"plan.json": sha("2")}
    with pytest.raises(IntegrityError, match=r"can only trace names plan\.json"):
        expected([*jobs, output("trace", plan__json=sha("3"))])


@pytest.mark.parametrize("maker", ["trace", "validate", "answer", "node"])
@pytest.mark.parametrize("path", ["plan.json", "source.json", "review.json", "receipt.json", "../x", "snapshot/a.py"])
def test_a_job_that_ran_a_models_code_names_nothing_else_than_it_makes(maker, path):
    with pytest.raises(IntegrityError, match="names"):
        expected([f"{maker}:{files_text({path: sha('1')})}"])


def test_two_jobs_that_do_the_same_must_not_contradict_each_other():
    one = f"trace:{files_text({'bundle-onnx.json': sha('1')})}"
    other = f"trace:{files_text({'bundle-onnx.json': sha('2')})}"
    assert expected([one, one]) == {"bundle-onnx.json": sha("1")}
    with pytest.raises(IntegrityError, match=r"disagree about bundle-onnx\.json"):
        expected([one, other])


def test_the_node_certifies_what_was_certified_before():
    first = f"validate:{files_text({'certificate-onnx.json': sha('1'), 'proof-runtime-onnx.json': sha('3')})}"
    second = f"node:{files_text({'certificate-onnx.json': sha('2'), 'proof-runtime-onnx.json': sha('3')})}"
    assert expected([first, second])["certificate-onnx.json"] == sha("2")


@pytest.mark.parametrize(
    "text", ["publisher:{}", "plan:[]", "plan:{", 'plan:{"plan.json":1}', 'plan:{"plan.json":"ABC"}', "{}", "plan:1"]
)
def test_an_output_that_is_none_is_refused(text):
    with pytest.raises(IntegrityError, match="not to be trusted"):
        expected([text])


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from([sha("1"), sha("2")])))
def test_what_is_written_is_read_again(digests):
    files = {f"proof-runtime-{name}.json": sha256 for name, sha256 in digests.items()}
    text = f"validate:{files_text(files)}"
    assert len(text.split()) == 1
    assert expected([text]) == files


def test_every_maker_is_a_command_or_the_later_validate():
    from release_tool.cli import COMMANDS

    assert set(MAKES) - {"node"} <= set(COMMANDS)
