"""Names in AWS keep the limits of every service, whatever a model is called."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune import naming

MODEL = st.from_regex(r"[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,39}", fullmatch=True)
ACCOUNT = st.from_regex(r"[0-9]{12}", fullmatch=True)
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
SAGEMAKER = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}")


@given(MODEL, ACCOUNT)
def test_a_bucket_is_legal(model, account):
    found = naming.bucket_name(model, account)
    assert BUCKET.fullmatch(found)
    assert "--" not in found
    assert found.endswith(f"-{account}")


@given(MODEL, st.sampled_from(["batch", "jobs", "lambda", "workflow", "endpoint", "connector"]))
def test_a_role_is_legal(model, purpose):
    found = naming.role_name(model, purpose)
    assert re.fullmatch(r"[\w+=,.@-]{1,64}", found)
    assert found.endswith(f"-{purpose}")


@given(MODEL, st.text())
def test_every_job_and_endpoint_of_a_run_has_a_legal_name(model, execution):
    found = naming.run_name(model, execution)
    assert SAGEMAKER.fullmatch(f"hand-over-{found}-0123abcd")
    assert found != naming.run_name(model, execution + "x")


@given(MODEL)
def test_a_stack_is_legal(model):
    assert re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", naming.stack_name(model))


@given(MODEL, MODEL, ACCOUNT)
def test_two_models_share_nothing(one, other, account):
    if one != other:
        assert naming.bucket_name(one, account) != naming.bucket_name(other, account)
        assert naming.role_name(one, "jobs") != naming.role_name(other, "jobs")
        assert naming.stack_name(one) != naming.stack_name(other)


def test_a_short_name_in_lower_case_is_kept():
    assert naming.bucket_name("acme-search", "123456789012") == "opensearch-finetune-acme-search-123456789012"


def test_names_that_differ_in_case_or_in_their_last_sign_have_two_buckets():
    longest = "a" * 39
    names = ("Acme", "acme", longest + "b", longest + "c", (longest + "c").upper())
    assert len({naming.bucket_name(name, "123456789012") for name in names}) == len(names)
