"""What a person asks for: every fault at once, and texts of forms and flags read alike."""

from __future__ import annotations

import json

import pytest
from factories import make_request
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.inputs import CHOSEN, NAMES, check_token_weights, event_inputs, flag_of, parse_inputs
from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.opensearch import DEFAULT_TARGETS
from release_tool.core.request import AS_DECLARED, VERSION_PATTERN, ReleaseRequest, check
from release_tool.core.variants import Variant
from release_tool.errors import UnsupportedModel, UsageError


def fields(faults):
    return [fault.field for fault in faults]


def test_a_right_request_has_no_fault():
    assert check(make_request(), is_folder=False) == ()


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"model": "noslash"}, "MODEL"),
        ({"model": "a/b/c"}, "MODEL"),
        ({"model": "../etc/passwd"}, "MODEL"),
        ({"model": "a/b\n"}, "MODEL"),
        ({"version": "v1"}, "--version"),
        ({"version": "1.0.0.0.0"}, "--version"),
        ({"version": "01.0"}, "--version"),
        ({"version": "1.0\n"}, "--version"),
        ({"version": "\u0661.\u0660"}, "--version"),
        ({"model_source": "a/b"}, "--model-source"),
        ({"name": "../x"}, "--name"),
        ({"prefix": ".hidden"}, "--prefix"),
        ({"prefix": ""}, "--prefix"),
        ({"revision": "-x"}, "--revision"),
        ({"accept_licence": "a b"}, "--accept-licence"),
        ({"description": "x" * 2001}, "--description"),
        ({"kinds": (ModelKind.DENSE, ModelKind.SPARSE)}, "--kind"),
        ({"kinds": (ModelKind.QUESTION_ANSWERING,), "formats": (Format.ONNX,)}, "--format"),
        ({"kinds": (ModelKind.DENSE,), "prune_ratio": 0.1}, "--prune-ratio"),
        ({"kinds": (ModelKind.DENSE,), "activation": Activation.L0}, "--activation"),
        ({"kinds": (ModelKind.SPARSE,), "idf": "0" * 64}, "--idf"),
        ({"kinds": (ModelKind.SPARSE,), "pooling_mode": PoolingMode.CLS}, "--pooling-mode"),
        ({"kinds": (ModelKind.CROSS_ENCODER,), "normalize_result": True}, "--normalize-result"),
        ({"kinds": (ModelKind.SPARSE,), "framework": Framework.HUGGINGFACE_TRANSFORMERS}, "--framework"),
        ({"embedding_dimension": 0}, "--embedding-dimension"),
        ({"embedding_dimension": 16001}, "--embedding-dimension"),
        ({"prune_ratio": 1.0}, "--prune-ratio"),
        ({"prune_ratio": float("nan")}, "--prune-ratio"),
        ({"target_versions": ("2.3",)}, "--target-versions"),
        ({"target_versions": ()}, "--target-versions"),
        ({"model_init_kwargs": {"trust_remote_code": True}}, "--model-init-kwargs"),
        ({"model_init_kwargs": {"revision": "main"}}, "--model-init-kwargs"),
    ],
)
def test_a_wrong_input_is_named_by_its_flag(over, field):
    assert fields(check(make_request(**over), is_folder=False)) == [field]


def test_all_faults_come_at_once():
    request = make_request(model="x", version="v", name="a b", target_versions=("1.0",), prune_ratio=2.0)
    found = fields(check(request, is_folder=False))
    assert found == ["MODEL", "--version", "--name", "--prune-ratio", "--target-versions"]


def test_a_folder_needs_no_id_and_has_no_revision():
    assert check(make_request(model="my model"), is_folder=True) == ()
    assert fields(check(make_request(model="m", revision="main"), is_folder=True)) == ["--revision"]


def test_a_misspelt_target_is_answered_with_the_closest():
    (fault,) = check(make_request(target_versions=("2.91",)), is_folder=False)
    assert "2.9" in fault.hint


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=4))
def test_every_version_of_one_to_four_numbers_is_taken(numbers):
    assert VERSION_PATTERN.fullmatch(".".join(map(str, numbers)))


@given(st.text(max_size=12))
def test_no_other_text_is_a_version(text):
    right = bool(VERSION_PATTERN.fullmatch(text))
    parts = text.split(".")
    plain = 1 <= len(parts) <= 4 and all(part.isascii() and part.isdigit() and str(int(part)) == part for part in parts)
    assert right == plain


# --- texts ------------------------------------------------------------------------------------------------------------


def test_blank_inputs_are_inputs_left_out():
    blank, faults = parse_inputs({"model": "a/b", "version": "1", **dict.fromkeys(NAMES[3:], "")})
    assert faults == []
    assert blank == ReleaseRequest(model="a/b", version="1")


def test_every_input_reaches_the_request():
    inputs = {
        "model": "a/b", "model_source": "amazon", "version": "2.1", "revision": "dev", "name": "n", "prefix": "p",
        "description": "d", "accept_licence": "mit", "kind": "sparse,sparse-tokenizer", "target_versions": "3.6, 3.5",
        "model_id": "c/d",
        "normalize_result": "true", "allow_pickle": "TRUE", "trust_remote_code": "yes", "format": "ONNX",
        "embedding_dimension": "384", "pooling_mode": "CLS", "prune_ratio": "0.1", "activation": "l0",
        "model_init_kwargs": '{"a": 1}', "idf": "idf.json", "framework": "huggingface_transformers",
        "remote_code": "e" * 40, "overwrite": "true", "upload_target": "staging", "tune_run_id": "17",
        "variant": "int8, fp32", "cpu_only": "true", "budget": "slower=1.05, bytes=90000000",
    }  # fmt: skip
    assert set(inputs) == set(NAMES)
    request, faults = parse_inputs(inputs, idf_sha256="f" * 64)
    assert faults == []
    assert request == ReleaseRequest(
        model="a/b", model_source="amazon", version="2.1", revision="dev", name="n", prefix="p", description="d",
        model_id="c/d",
        accept_licence="mit", kinds=(ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER), target_versions=("3.6", "3.5"),
        normalize_result=True, allow_pickle=True, trust_remote_code=True, formats=(Format.ONNX,),
        embedding_dimension=384, pooling_mode=PoolingMode.CLS, prune_ratio=0.1, activation=Activation.L0,
        model_init_kwargs={"a": 1}, idf="f" * 64, framework=Framework.HUGGINGFACE_TRANSFORMERS,
        remote_code=("e" * 40,), overwrite=True, upload_target="staging", tune_run_id="17",
        variants=(Variant.FP32, Variant.INT8), cpu_only=True, budgets={"slower": 1.05, "bytes": 90_000_000.0},
    )  # fmt: skip


def test_both_and_auto_mean_nothing_was_chosen():
    request, faults = parse_inputs({"model": "a/b", "version": "1", "format": "both", "kind": "auto"})
    assert (request.formats, request.kinds, request.target_versions, faults) == ((), (), DEFAULT_TARGETS, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("variant", "int4"), ("variant", "eager"), ("cpu_only", "perhaps"),
        ("budget", "slower"), ("budget", "faster=2"), ("budget", "slower=0"), ("budget", "slower=nan"),
        ("budget", "bytes=1.5"), ("budget", "memory=1e400"), ("budget", "slower=1.1,slower=1.2"),
        ("kind", "dens"), ("kind", ("dense", "spares")), ("format", "pt"), ("pooling_mode", "weightedmean"),
        ("activation", "gelu"), ("framework", "torch"), ("embedding_dimension", "4e2"), ("prune_ratio", "10%"),
        ("normalize_result", "maybe"), ("model_init_kwargs", "[]"), ("model_init_kwargs", '{"a":1,"a":2}'),
        ("model_init_kwargs", "{"), ("model_init_kwargs", '{"a": NaN}'), ("model_init_kwargs", '{"a": 1e999}'),
        ("description", "\udc80"),
        ("embedding_dimension", "9" * 5000),
    ],
)  # fmt: skip
def test_what_can_not_be_parsed_is_a_fault_of_that_input(name, value):
    _, faults = parse_inputs({"model": "a/b", "version": "1", name: value})
    assert fields(faults) == [flag_of(name)]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20)))
def test_no_text_ends_in_a_traceback(inputs):
    request, faults = parse_inputs(inputs)
    assert all(fault.problem for fault in (*faults, *check(request, is_folder=False)))


# --- events -----------------------------------------------------------------------------------------------------------


def event(inputs) -> bytes:
    return json.dumps({"inputs": inputs, "ref": "refs/heads/main"}).encode()


def test_an_event_gives_the_inputs_of_the_form():
    found = event_inputs(event({"model": "a/b", "version": "1.0", "kind": "", "format": None}), "event.json")
    assert found == {"model": "a/b", "version": "1.0"}


def test_auto_is_a_choice_that_was_not_made_and_a_name_elsewhere():
    choices = dict.fromkeys(CHOSEN, "auto")
    assert event_inputs(event({"name": "auto", **choices}), "event.json") == {"name": "auto"}


def test_a_yes_to_the_licence_is_that_of_who_filled_the_form():
    def accepting(word, **more):
        data = json.dumps({"inputs": {"accept_licence": word}, **more}).encode()
        return parse_inputs(event_inputs(data, "event.json"))[0]

    octocat = {"sender": {"login": "octocat"}}
    said = accepting("yes", **octocat)
    assert (said.accept_licence, said.accepted_by) == (AS_DECLARED, "octocat")
    assert accepting("no", **octocat).accept_licence is None
    assert accepting("mit", **octocat).accept_licence == "mit"
    nobody = accepting("yes")
    assert "names nobody" in next(fault.problem for fault in check(nobody, is_folder=False) if "licence" in fault.field)


def test_naming_the_commit_of_the_code_allows_it_to_run():
    request, faults = parse_inputs({"model": "a/b", "version": "1", "remote_code": f"{'e' * 40}, {'d' * 40}"})
    assert faults == []
    assert request.trust_remote_code
    assert request.remote_code == ("e" * 40, "d" * 40)
    wrong, _ = parse_inputs({"model": "a/b", "version": "1", "remote_code": "main"})
    assert fields(list(check(wrong, is_folder=False))) == ["--remote-code"]


def test_a_run_that_tuned_a_model_belongs_to_a_folder():
    request, _ = parse_inputs({"model": "a/b", "version": "1", "tune_run_id": "17"})
    assert fields(list(check(request, is_folder=False))) == ["--tune-run-id"]
    assert check(request, is_folder=True) == ()
    wrong, _ = parse_inputs({"model": "a/b", "version": "1", "tune_run_id": "17; id"})
    assert fields(list(check(wrong, is_folder=True))) == ["--tune-run-id"]


def test_a_tuned_model_may_be_pinned_to_the_revision_that_its_run_showed():
    digest = "sha256:" + "a" * 64
    request, _ = parse_inputs({"model": "a/b", "version": "1", "tune_run_id": "17", "revision": digest})
    assert check(request, is_folder=True) == ()
    for revision in ("main", "sha256:", digest[:-1], digest.upper(), digest + "a"):
        wrong, _ = parse_inputs({"model": "a/b", "version": "1", "tune_run_id": "17", "revision": revision})
        assert fields(list(check(wrong, is_folder=True))) == ["--revision"]
    other, _ = parse_inputs({"model": "a/b", "version": "1", "revision": digest})
    assert fields(list(check(other, is_folder=True))) == ["--revision"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "holds no inputs"),
        (b'{"inputs": null}', "holds no inputs"),
        (event({"modle": "a/b"}), "did you mean model"),
        (event({"kind": ["dense"]}), "no text"),
    ],
)
def test_an_event_that_is_none_is_a_usage_error(data, words):
    with pytest.raises(UsageError, match=words):
        event_inputs(data, "event.json")


# --- token weights ----------------------------------------------------------------------------------------------------


def test_token_weights_are_a_flat_map_of_finite_numbers():
    assert check_token_weights(b'{"a": 1, "b": 0.5, "c": -1}', "idf.json") == 3


@pytest.mark.parametrize("data", [b"[]", b'{"a": "1"}', b'{"a": null}', b'{"a": {}}', b'{"a": 1e999}', b'{"a": true}'])
def test_anything_else_is_refused(data):
    with pytest.raises(UnsupportedModel, match=r"idf\.json"):
        check_token_weights(data, "idf.json")
