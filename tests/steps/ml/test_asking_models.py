"""A real OpenSearch is asked, measured and looked at through the command line, every local kind of model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
import torch
from tokenizers import Tokenizer
from toys import WIDTH, example, exported, tokenizer, traced, zipped

from release_tool.cli import run
from release_tool.console import Console
from release_tool.core.ml import api, register
from release_tool.core.ml.clusters import of_url
from release_tool.core.ml.register import Wishes
from release_tool.documents import file_sha256
from release_tool.services.cluster import asking
from release_tool.services.cluster.registering import Desk, register_archive
from release_tool.services.cluster.transport import Cluster
from release_tool.services.cluster.undoing import remove_group, remove_model
from release_tool.steps.ml.deploying import deploy_model

pytestmark = pytest.mark.node

TOKENIZER = tokenizer()
VOCABULARY = Tokenizer.from_str(TOKENIZER)
MODEL = {"model_type": "bert", "embedding_dimension": WIDTH, "framework_type": "sentence_transformers"}
PREFIXES = {"query_prefix": "where ", "passage_prefix": "house "}


class Tokens(torch.nn.Module):
    """The tokens' own numbers as their vectors."""

    def forward(self, input_ids, attention_mask, token_type_ids):
        seen = (input_ids + token_type_ids * 0).float() * attention_mask.float()
        return seen.unsqueeze(-1) * torch.ones(WIDTH)


class Sparse(torch.nn.Module):
    """Each token that is there weighs its own number."""

    def forward(self, batch):
        ids = batch["input_ids"] * batch["attention_mask"]
        return {"output": torch.zeros(1, VOCABULARY.get_vocab_size()).scatter(1, ids, ids.float())}


class Similarity(torch.nn.Module):
    """The sum of the document's tokens."""

    def forward(self, ids, mask, types):
        return (ids * mask * types).sum(1, keepdim=True).float()


class Answering(torch.nn.Module):
    """The token with the largest number is the answer."""

    def forward(self, ids, mask):
        logits = (ids * mask).float()
        return logits, logits


def archives(folder):
    """Return kind → archive, config."""
    ids, mask, types = example(pair=True)
    dense = exported(Tokens(), example(), ["input_ids", "attention_mask", "token_type_ids"])
    members = {
        "dense": ({"model.onnx": dense}, "TEXT_EMBEDDING", "ONNX", {**MODEL, "pooling_mode": "mean"}),
        "asymmetric": (
            {"model.onnx": dense}, "TEXT_EMBEDDING", "ONNX", {**MODEL, "pooling_mode": "mean", **PREFIXES}
        ),
        "sparse": (
            {"model.pt": traced(Sparse(), ({"input_ids": ids, "attention_mask": mask},))},
            "SPARSE_ENCODING", "TORCH_SCRIPT", None,
        ),
        "tokens": ({"idf.json": '{"red": 2.5}'}, "SPARSE_TOKENIZE", "TORCH_SCRIPT", None),
        "similarity": (
            {"model.pt": traced(Similarity(), (ids, mask, types))}, "TEXT_SIMILARITY", "TORCH_SCRIPT",
            {"model_type": "bert", "framework_type": "huggingface_transformers", "embedding_dimension": 1},
        ),
        "answering": (
            {"model.pt": traced(Answering(), (ids, mask))}, "QUESTION_ANSWERING", "TORCH_SCRIPT",
            {"model_type": "bert", "framework_type": "huggingface_transformers"},
        ),
    }  # fmt: skip
    for name, (files, function, model_format, config) in members.items():
        archive = zipped(folder / f"{name}.zip", {**files, "tokenizer.json": TOKENIZER})
        said = {"function_name": function, "model_format": model_format}
        yield name, archive, {**said, **({"model_config": config} if config else {})}


@pytest.fixture(scope="module")
def cluster(node):
    with Cluster(of_url(node.url, has_user=False), {}) as found:
        yield found


@pytest.fixture(scope="module")
def models(cluster, tmp_path_factory):
    """Return kind → id of a deployed model; all of them are taken away at once."""
    folder = tmp_path_factory.mktemp("kinds")
    desk = Desk(console=Console(verbosity=-1), work=folder)
    found = {}
    try:
        for kind, archive, said in archives(folder):
            wishes = Wishes(name=f"asking {kind} {uuid.uuid4()}")
            body = register.by_chunks(said, archive.stat().st_size, file_sha256(archive), wishes)
            done = register_archive(cluster, archive, body, desk)
            found[kind] = done.model_id
            deploy_model(cluster, done.model_id, desk.console)
        yield found
    finally:
        groups = [cluster.send(api.get_model(one)).get("model_group_id") for one in found.values()]
        cluster.send(api.undeploy(list(found.values())))
        for model_id in found.values():
            remove_model(cluster, model_id)
        for group in filter(None, groups):
            remove_group(cluster, group)


@pytest.fixture
def ml(node, monkeypatch, capsys):
    """Return a function that runs a command on the node and returns its exit code, stdout and stderr."""
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER", node.url)

    def call(*words):
        code = run(["ml", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def outputs(text):
    """Return the outputs of the only answer."""
    (answer,) = json.loads(text)
    (result,) = answer["inference_results"]
    return result.get("output", [])


def mean_of(text):
    ids = VOCABULARY.encode(text).ids
    return sum(ids) / len(ids)


# --- predict ----------------------------------------------------------------------------------------------------------


def test_an_embedding_comes_with_its_name_type_and_shape(ml, models):
    code, out, _ = ml("predict", models["dense"], "the red house", "--json", "--target-response", "sentence_embedding")
    (output,) = outputs(out)
    assert code == 0
    assert (output["name"], output["data_type"], output["shape"]) == ("sentence_embedding", "FLOAT32", [WIDTH])
    assert output["data"] == pytest.approx([mean_of("the red house")] * WIDTH, rel=1e-6)


def test_both_paths_answer_the_same_and_numbers_can_be_left_out(ml, models):
    by_model = ml("predict", models["dense"], "a", "--json")[1]
    assert outputs(ml("predict", models["dense"], "a", "--json", "--by-algorithm")[1]) == outputs(by_model)
    (output,) = outputs(ml("predict", models["dense"], "a", "--json", "--no-number")[1])
    assert "data" not in output
    assert outputs(ml("predict", models["dense"], "a", "--json", "--target-response", "nothing")[1]) == []
    (placed,) = outputs(ml("predict", models["dense"], "a", "--json", "--target-position", "0")[1])
    assert placed == outputs(by_model)[0]


def test_an_asymmetric_model_is_told_what_a_text_is_by_option_and_by_line(ml, models, tmp_path):
    for kind, prefix in (("query", "where "), ("passage", "house ")):
        (output,) = outputs(ml("predict", models["asymmetric"], "red", "--content-type", kind, "--json")[1])
        assert output["data"][0] == pytest.approx(mean_of(prefix + "red"), rel=1e-6)
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"text": "red", "content_type": "query"}\n"red"\n', encoding="utf-8")
    _, out, _ = ml("predict", models["asymmetric"], "--input", lines, "--content-type", "passage")
    values = [json.loads(line)["inference_results"][0]["output"][0]["data"][0] for line in out.splitlines()]
    assert values == pytest.approx([mean_of("where red"), mean_of("house red")], rel=1e-6)
    code, _, err = ml("predict", models["asymmetric"], "red")
    assert (code, "--content-type query" in err) == (10, True)
    code, _, err = ml("predict", models["dense"], "red", "--content-type", "query")
    assert (code, "registered without prefixes" in err) == (10, True)


@pytest.mark.parametrize(("kind", "weight"), [("tokens", 2.5), ("sparse", float(VOCABULARY.token_to_id("red")))])
def test_sparse_models_name_their_tokens_by_word_and_by_number(ml, models, kind, weight):
    number = str(VOCABULARY.token_to_id("red"))
    for form, token in ((None, "red"), ("word", "red"), ("token_id", number)):
        options = ("--sparse-format", form) if form else ()
        (output,) = outputs(ml("predict", models[kind], "red", "--json", *options)[1])
        (found,) = output["dataAsMap"]["response"]
        assert found[token] == weight
    code, out, _ = ml("predict", models[kind], "red", "--by-algorithm")
    assert code == 0
    assert f"red {weight:.3g}" in out


def test_documents_are_compared_with_a_query_and_a_question_is_answered_from_a_context(ml, models):
    code, out, _ = ml("predict", models["similarity"], "--query", "where", "red", "blue sea", "--json")
    assert code == 0
    (answer,) = json.loads(out)
    scores = [result["output"][0]["data"][0] for result in answer["inference_results"]]
    wanted = [VOCABULARY.encode("where", text) for text in ("red", "blue sea")]
    assert scores == [float(sum(a * b for a, b in zip(one.ids, one.type_ids, strict=True))) for one in wanted]
    code, out, _ = ml("predict", models["answering"], "--query", "where is the ferry", "the blue sea")
    assert code == 0
    assert out.splitlines()[1].endswith("blue")


def test_bad_rows_are_told_by_their_line_and_lose_none_of_the_others(ml, models, tmp_path):
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(
        b'"red"\n{"txt": 1}\n\n\xff\n{"id": 7, "text": "blue", "parameters": {"content_type": "query"}}\n"sea"'
    )
    answers = tmp_path / "answers.jsonl"
    code, _, err = ml("predict", models["dense"], "--input", lines, "--output", answers, "--parallel", 2)
    found = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert code == 10
    assert "3 of 5 questions got no answer (line 2, 4, 5)" in err
    assert [one["line"] for one in found] == [1, 2, 4, 5, 6]
    assert ["error" in one for one in found] == [False, True, True, True, False]
    assert (found[3]["id"], found[3]["error"]["status"]) == (7, 500)
    assert found[4]["inference_results"][0]["output"][0]["data"][0] == pytest.approx(mean_of("sea"), rel=1e-6)


def test_lines_of_text_come_from_stdin_and_answers_go_to_stdout(node, models):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "release_tool", "ml", "predict", models["dense"], "--input", "-", "--plain"],
        input=b"red\nblue sea\n", capture_output=True, check=True, env={**os.environ, "RELEASE_TOOL_CLUSTER": node.url},
    )  # fmt: skip
    values = [json.loads(line)["inference_results"][0]["output"][0]["data"][0] for line in done.stdout.splitlines()]
    assert values == pytest.approx([mean_of("red"), mean_of("blue sea")], rel=1e-6)


def test_a_killed_run_goes_on_where_it_stopped(node, ml, models, tmp_path):
    texts = [f"the {word} house {number}" for number in range(400) for word in ("red", "old", "open")]
    lines, answers = tmp_path / "lines.jsonl", tmp_path / "answers.jsonl"
    lines.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    part = tmp_path / "answers.jsonl.part"
    words = ["predict", models["dense"], "--input", str(lines), "--output", str(answers), "--parallel", "2"]
    killed = subprocess.Popen(
        [sys.executable, "-P", "-m", "release_tool", "ml", *words],
        env={**os.environ, "RELEASE_TOOL_CLUSTER": node.url}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while killed.poll() is None and not (part.exists() and part.stat().st_size > 20_000):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    kept = part.read_bytes().count(b"\n")
    assert 0 < kept < len(texts)
    assert not answers.exists()
    other = ml("predict", models["asymmetric"], "--content-type", "query", *words[2:])
    assert (other[0], "other questions" in other[2]) == (2, True)
    code, _, err = ml(*words)
    assert (code, f"{kept:,} answers of a run before this one are kept" in err) == (0, True)
    found = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [one["line"] for one in found] == list(range(1, len(texts) + 1))
    values = [one["inference_results"][0]["output"][0]["data"][0] for one in found]
    assert values == pytest.approx([mean_of(text) for text in texts], rel=1e-6)
    assert ml(*words)[0] == 2  # it is there


def test_a_model_that_throttles_answers_every_question_at_last(cluster, ml, models, tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.05)
    lines = tmp_path / "lines.jsonl"
    lines.write_text('"red"\n' * 30, encoding="utf-8")
    model = models["dense"]
    refused = []
    once = Cluster.once

    def noted(self, request, **options):
        try:
            return once(self, request, **options)
        except Exception as error:
            refused.append(str(error))
            raise

    monkeypatch.setattr(Cluster, "once", noted)
    cluster.send(api.update_model(model, {"rate_limiter": {"limit": "10", "unit": "SECONDS"}}))
    try:
        code, out, err = ml("predict", model, "--input", lines, "--parallel", 8)
    finally:
        cluster.send(api.update_model(model, {"rate_limiter": {"limit": "1000000", "unit": "SECONDS"}}))
    assert code == 0
    assert [json.loads(line)["line"] for line in out.splitlines()] == list(range(1, 31))
    assert any("429" in one for one in refused)
    assert err.count("asked again for 300 s") == 1


def test_a_model_that_is_not_deployed_is_told_at_once_and_nobody_waits_for_it(cluster, ml, models):
    cluster.send(api.undeploy([models["tokens"]]))
    try:
        started = time.monotonic()
        code, _, err = ml("predict", models["tokens"], "red")
        assert (code, "ml deploy" in err) == (10, True)
        assert time.monotonic() - started < 10
    finally:
        deploy_model(cluster, models["tokens"], Console(verbosity=-1))
    assert ml("predict", models["tokens"], "red")[0] == 0


def test_undeploy_names_the_ids_that_are_no_models_and_undeploys_nothing(ml, models):
    code, _, err = ml("undeploy", models["tokens"], "nosuchmodel", "nor-this")
    assert (code, "nosuchmodel, nor-this" in err) == (10, True)
    assert ml("predict", models["tokens"], "red")[0] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "nothing to ask"),
        (("a", "--input", "x"), "stands for texts"),
        (("a", "--output", "x"), "--output is about --input"),
        (("a", "--query", "b"), "takes no query"),
        (("a", "--sparse-format", "word"), "names no tokens"),
        (("--parameter", "x=1"), "takes no parameters"),
        (("--input", "nowhere.jsonl"), "can't be read"),
        (("--input", __file__, "--output", __file__, "--overwrite"), "are one file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_model_is_asked(ml, models, words, why):
    code, out, err = ml("predict", models["dense"], *words)
    assert (code, out) == (2, "")
    assert why in err


# --- bench ------------------------------------------------------------------------------------------------------------


def test_two_models_are_measured_beside_each_other(ml, models):
    words = ("--concurrency", 1, "--concurrency", 3, "--words", 4, "--requests", 20, "--rounds", 8, "--json")
    code, out, _ = ml("bench", models["dense"], models["tokens"], *words)
    found = json.loads(out)
    assert code == 0
    assert [(one["model"], one["concurrency"], one["requests"]) for one in found["timed"]] == [
        (models["dense"], 1, 64), (models["tokens"], 1, 64), (models["dense"], 3, 192), (models["tokens"], 3, 192)
    ]  # fmt: skip
    for one in found["timed"]:
        assert 0 < one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"]
        assert one["per_second"] <= one["concurrency"] * 1000 / (one["p50_ms"] / 2)
    assert [one["rounds"] for one in found["compared"]] == [8, 8]
    assert all(0 < one["low"] <= one["ratio"] <= one["high"] for one in found["compared"])
    code, _, err = ml("bench", models["dense"], models["tokens"], "--rounds", 7)
    assert (code, "7 rounds say nothing of two models" in err) == (2, True)


def test_a_model_whose_answers_would_mix_is_measured_one_at_a_time_and_questions_may_be_ones_own(ml, models, tmp_path):
    lines = tmp_path / "questions.jsonl"
    lines.write_text('{"question": "where", "context": "the sea"}\n', encoding="utf-8")
    code, out, err = ml("bench", models["answering"], "--input", lines, "--requests", 4, "--rounds", 1)
    assert code == 0
    assert "one at a time" in err
    assert [line.split()[1:4] for line in out.splitlines()[1:]] == [["1", "own", "8"]]
    lines.write_text('"where"\n', encoding="utf-8")
    assert ml("bench", models["answering"], "--input", lines)[0] == 2


# --- doctor -----------------------------------------------------------------------------------------------------------


def levels(text):
    return {one["what"]: one["level"] for one in json.loads(text)["findings"]}


def test_the_doctor_sees_what_the_node_refuses_and_sets_what_it_is_told(ml, cluster):
    code, out, _ = ml("doctor", "--json")
    found = json.loads(out)
    assert (code, found["version"]) == (0, cluster.version)
    assert "opensearch-ml" in found["plugins"]
    assert found["nodes"][0]["memory"] > 1e9
    assert levels(out)["register by address"] == "ok"
    try:
        off = ml("doctor", "--apply", "allow_registering_model_via_url=false", "--apply", "max_model_on_node=0")
        assert off[0] == 0
        found = levels(ml("doctor", "--json")[1])
        assert (found["register by address"], found["deploy local models"]) == ("blocked", "blocked")
        code, out, _ = ml("doctor", "--apply", "allow_registering_model_via_url", "--dry-run")
        assert (code, out.split()[-3:]) == (0, ["allow_registering_model_via_url", "false", "true"])
        assert levels(ml("doctor", "--json")[1])["register by address"] == "blocked"
        assert ml("doctor", "--apply", "allow_registering_model_via_url")[0] == 0
        assert levels(ml("doctor", "--json")[1])["register by address"] == "ok"
    finally:
        for name in ("allow_registering_model_via_url", "max_model_on_node"):
            assert ml("doctor", "--apply", f"{name}=default")[0] == 0
    assert not [key for key in cluster.send(api.get_settings())["transient"] if "ml_commons" in key]


def test_the_doctor_adds_addresses_to_those_that_are_trusted_and_takes_none_away(ml, cluster):
    url = "https://models.example.org/tiny.zip"
    before = levels(ml("doctor", "--url", url, "--json")[1])
    assert (before[f"archives from {url}"], before[f"connectors to {url}"]) == ("blocked", "blocked")
    names = ("trusted_url_regex", "trusted_connector_endpoints_regex")
    endpoints = json.loads(ml("doctor", "--json")[1])
    (builtin,) = (one["value"] for one in endpoints["settings"] if one["name"] == names[1])
    try:
        for name in names:
            code, out, _ = ml("doctor", "--apply", f"{name}={url}")
            assert code == 0
            assert r"//models\.example\.org" in out  # the last of a list that is longer than a line
        after = levels(ml("doctor", "--url", url, "--json")[1])
        assert (after[f"archives from {url}"], after[f"connectors to {url}"]) == ("ok", "ok")
        assert levels(ml("doctor", "--url", "http://127.0.0.1:99/x", "--json")[1])[
            "archives from http://127.0.0.1:99/x"
        ] == "ok"  # fmt: skip
        settings = json.loads(ml("doctor", "--json")[1])["settings"]
        (now,) = (one["value"] for one in settings if one["name"] == names[1])
        assert now[: len(builtin)] == builtin
        code, out, _ = ml("doctor", "--apply", f"trusted_url_regex={url}")
        assert (code, out.rstrip().endswith("is so already")) == (0, True)
    finally:
        for name in names:
            ml("doctor", "--apply", f"{name}=default")


def test_a_transient_value_that_would_hide_the_new_one_is_told_before_anything_is_written(ml, cluster):
    from release_tool.core.ml.request import Request

    key = "plugins.ml_commons.max_model_on_node"

    def transient(value):
        cluster.send(Request(method="PUT", path="/_cluster/settings", body={"transient": {key: value}}))

    transient(50)
    try:
        code, _, err = ml("doctor", "--apply", "max_model_on_node=60", "--apply", "allow_custom_deployment_plan")
        assert (code, "hides what would be written" in err) == (2, True)
        written = cluster.send(api.get_settings())["persistent"]
        assert not {key, "plugins.ml_commons.allow_custom_deployment_plan"} & set(written)
        assert "max_model_on_node" in ml("doctor")[1]
    finally:
        transient(None)


def test_a_name_that_is_none_and_a_value_that_is_none_are_both_told(ml):
    code, _, err = ml("doctor", "--apply", "max_model_on_nod=1", "--apply", "max_model_on_node=x")
    assert code == 2
    assert "did you mean max_model_on_node" in err
    assert "a whole number" in err
