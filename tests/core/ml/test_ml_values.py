"""What is sent and what is read, without a socket: paths of both generations, bodies, tasks, memory, clusters."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from release_tool.core.ml import api, register, searches
from release_tool.core.ml.api import Generation, generation_of, is_since
from release_tool.core.ml.clusters import Auth, ClusterAddress, of_url, parse_clusters
from release_tool.core.ml.export import curl, dev_tools
from release_tool.core.ml.memory import estimate, figures, lacking, read_nodes
from release_tool.core.ml.pretrained import SHIPPED, find, refreshed
from release_tool.core.ml.register import CHUNK_BYTES, RateLimiter, Wishes, chunks_of, too_new
from release_tool.core.ml.request import Request, segment
from release_tool.core.ml.tasks import model_state, read_task, read_undeploy
from release_tool.core.ml.words import explain

ML = "/_plugins/_ml"

# ---------------------------------------------------------------------------------------------------------------------
# The two generations. No server of 2.4 to 2.6 runs here: the shapes are those of the contract and of the 2.4 page.


@pytest.mark.parametrize(
    ("version", "generation"),
    [
        ("2.4.0", "upload"),
        ("2.6.1", "upload"),
        ("2.7.0", "register"),
        ("2.19.3", "register"),
        ("3.6.0-rc1", "register"),
    ],
)
def test_the_version_of_the_server_chooses_the_generation(version, generation):
    assert generation_of(version) == generation


def test_a_server_of_2_4_to_2_6_is_asked_by_the_old_names():
    old = Generation.UPLOAD
    assert api.register({}, generation=old).path == f"{ML}/models/_upload"
    assert api.register_meta({}, generation=old).path == f"{ML}/models/meta"
    assert api.upload_chunk("m", 3, b"x", generation=old).path == f"{ML}/models/m/chunk/3"
    assert api.deploy("m", ["n"], generation=old) == Request(
        method="POST", path=f"{ML}/models/m/_load", body={"node_ids": ["n"]}
    )
    assert api.undeploy(["m"], generation=old).path == f"{ML}/models/m/_unload"


def test_a_later_server_is_asked_by_the_new_names():
    assert api.register({}, deploy=True).target == f"{ML}/models/_register?deploy=true"
    assert api.register_meta({}).path == f"{ML}/models/_register_meta"
    assert api.upload_chunk("m", 0, b"x").path == f"{ML}/models/m/upload_chunk/0"
    assert api.deploy("m").path == f"{ML}/models/m/_deploy"
    assert api.undeploy(["a", "b"], ["n"]).body == {"model_ids": ["a", "b"], "node_ids": ["n"]}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a?b", "a#b", "ü", "%2e"])
def test_no_id_leads_to_another_path(name):
    assert "/" not in segment(name)
    path = api.get_model(name).path
    assert path.startswith(f"{ML}/models/")
    assert path.count("/") == 4
    assert not path.endswith(("/.", "/.."))
    assert "?" not in path
    assert "#" not in path


def test_a_chunk_is_sent_as_json_because_the_server_refuses_other_types():
    request = api.upload_chunk("m", 0, b"\x00\xff")
    assert request.payload() == b"\x00\xff"
    assert request.content_type == "application/json"
    assert request.repeatable


def test_only_what_changes_nothing_is_sent_twice():
    assert api.get_model("m").repeatable
    assert searches.chunks("m").repeatable
    assert not api.register({"name": "x"}).repeatable
    assert not api.deploy("m").repeatable


# ---------------------------------------------------------------------------------------------------------------------
# Tasks


def test_a_task_of_2_4_has_one_node_and_the_old_type():
    task = read_task("t", {"model_id": "m", "task_type": "LOAD_MODEL", "state": "COMPLETED", "worker_node": "n"})
    assert (task.kind, task.nodes, task.model_id) == ("DEPLOY_MODEL", ("n",), "m")


def test_a_task_of_today_has_a_list_of_nodes_and_an_error_of_each():
    error = '{"n1":"model content changed","n2":"no room"}'
    task = read_task("t", {"task_type": "DEPLOY_MODEL", "state": "FAILED", "worker_node": ["n1", "n2"], "error": error})
    assert task.errors == {"n1": "model content changed", "n2": "no room"}
    assert not task.is_running


@pytest.mark.parametrize("data", [None, [], {}, {"worker_node": None, "error": "plain"}, {"error": 5}])
def test_a_reply_that_is_no_task_is_one_of_unknown_state(data):
    assert read_task("t", data).state == "unknown"


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_reply_of_undeploy_or_of_a_task_breaks_the_readers(data):
    read_undeploy(data)
    read_task("t", data)
    model_state(data)


def test_undeploy_says_what_became_of_each_model_on_each_node():
    reply = {"s5JwjZRqTY6nOT0EvFwVdA": {"stats": {"MGqJhYMBbbh0ushjm8p_": "deleted"}}}
    assert read_undeploy(reply) == {"s5JwjZRqTY6nOT0EvFwVdA": {"MGqJhYMBbbh0ushjm8p_": "deleted"}}


def test_states_of_2_4_are_called_as_later_servers_do():
    assert model_state({"model_state": "LOADED"}) == "DEPLOYED"
    assert model_state({"model_state": "DEPLOYED"}) == "DEPLOYED"


# ---------------------------------------------------------------------------------------------------------------------
# Register bodies

SCHEMA = {
    "type": "object",
    "required": ["name", "version", "model_format", "function_name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "version": {"type": "string"},
        "description": {"type": "string"},
        "function_name": {"enum": [
            "TEXT_EMBEDDING", "SPARSE_ENCODING", "SPARSE_TOKENIZE", "TEXT_SIMILARITY", "QUESTION_ANSWERING",
            "METRICS_CORRELATION",
        ]},
        "model_format": {"enum": ["TORCH_SCRIPT", "ONNX"]},
        "model_content_hash_value": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "model_content_size_in_bytes": {"type": "integer", "minimum": 0, "exclusiveMaximum": 4 * 1024**3},
        "total_chunks": {"type": "integer", "minimum": 1},
        "url": {"type": "string"},
        "model_group_id": {"type": "string"},
        "access_mode": {"enum": ["public", "private", "restricted"]},
        "backend_roles": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "add_all_backend_roles": {"type": "boolean"},
        "is_enabled": {"type": "boolean"},
        "rate_limiter": {
            "type": "object", "required": ["limit", "unit"], "additionalProperties": False,
            "properties": {
                "limit": {"type": "string", "pattern": r"^[0-9.e+]+$"}, "unit": {"enum": list(register.UNITS)},
            },
        },
        "deploy_setting": {
            "type": "object", "minProperties": 1, "additionalProperties": False,
            "properties": {"is_auto_deploy_enabled": {"type": "boolean"}, "model_ttl_minutes": {"type": "integer"}},
        },
        "model_node_ids": {"type": "array", "items": {"type": "string"}},
        "interface": {"type": "object"},
        "guardrails": {"type": "object"},
        "model_config": {"type": "object", "minProperties": 1, "properties": {
            "model_type": {"type": "string"}, "embedding_dimension": {"type": "integer"},
            "framework_type": {"enum": ["sentence_transformers", "huggingface_transformers"]},
            "pooling_mode": {"enum": ["mean", "mean_sqrt_len", "max", "weighted_mean", "cls", "last_token", "none"]},
        }},
    },
    "allOf": [
        {"if": {"required": ["url"]}, "then": {"required": ["model_content_hash_value"]}},
        {"if": {"required": ["total_chunks"]}, "then": {
            "required": ["model_content_hash_value", "model_content_size_in_bytes"]}},
        {"if": {"required": ["url"], "properties": {"function_name": {"enum": ["TEXT_EMBEDDING"]}}},
         "then": {"required": ["model_config"]}},
        {"if": {"properties": {"function_name": {"enum": ["SPARSE_ENCODING", "SPARSE_TOKENIZE"]}}},
         "then": {"not": {"required": ["model_config"]}}},
    ],
}  # fmt: skip
"""What a server takes, by the contract: it is written from ML Commons' parsers and not from our builders."""

HASH = "ab" * 32
names = st.text(min_size=1, max_size=20)
configs = st.fixed_dictionaries(
    {
        "name": names,
        "model_format": st.sampled_from(["TORCH_SCRIPT", "ONNX", "onnx"]),
        "model_config": st.fixed_dictionaries(
            {
                "model_type": st.just("bert"),
                "embedding_dimension": st.integers(1, 4096),
                "framework_type": st.sampled_from(["sentence_transformers", "huggingface_transformers"]),
            }
        ),
    },
    optional={
        "version": names,
        "description": st.text(),
        "function_name": st.sampled_from(
            ["TEXT_EMBEDDING", "sparse_encoding", "SPARSE_TOKENIZE", "QUESTION_ANSWERING"]
        ),
        "created_time": st.integers(),
    },
)
wishes = st.builds(
    Wishes,
    name=st.none() | names,
    version=st.none() | names,
    description=st.none() | st.text(),
    group_id=st.none() | names,
    is_enabled=st.none() | st.booleans(),
    rate_limiter=st.none()
    | st.builds(RateLimiter, limit=st.floats(1e-3, 1e12, exclude_min=True), unit=st.sampled_from(register.UNITS)),
    auto_deploy=st.none() | st.booleans(),
    ttl_minutes=st.none() | st.integers(-1, 10**6),
    interface=st.none() | st.just({"input": {"type": "object"}}),
    access_mode=st.none() | st.sampled_from(["public", "private", "restricted"]),
    backend_roles=st.lists(names, max_size=2).map(tuple),
    add_all_backend_roles=st.none() | st.booleans(),
    model_config=st.just({}) | st.just({"pooling_mode": "cls"}),
)


@given(configs, wishes, st.integers(1, 4 * 1024**3 - 1))
def test_any_body_that_can_be_built_is_one_that_the_contract_takes(config, wished, size):
    validator = Draft202012Validator(SCHEMA)
    for body in (
        register.by_url(config, "https://x/y.zip", HASH, wished),
        register.by_chunks(config, size, HASH, wished),
        register.pretrained("a/b/c", "1.0.0", "onnx", "TEXT_EMBEDDING", wished),
    ):
        assert [error.message for error in validator.iter_errors(body)] == []
        keys = list(body)
        if "model_config" in body:
            assert keys.index("function_name") < keys.index("model_config")
        assert ("url" in body) + ("total_chunks" in body) <= 1


def test_the_schema_of_the_contract_refuses_what_servers_refuse():
    validator = Draft202012Validator(SCHEMA)
    good = register.by_url(
        {"name": "x", "model_format": "ONNX", "model_config": {"model_type": "bert"}}, "u", HASH, Wishes()
    )
    assert validator.is_valid(good)
    for wrong in ({"model_format": "onnx"}, {"function_name": "DENSE"}, {"model_content_hash_value": "AB"}, {"x": 1}):
        assert not validator.is_valid({**good, **wrong})
    assert not validator.is_valid({key: value for key, value in good.items() if key != "model_content_hash_value"})


@pytest.mark.parametrize(
    ("size", "chunks"), [(1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (91_789_778, 10), (4 * 1024**3 - 1, 430)]
)
def test_an_archive_has_as_many_chunks_as_the_server_counts(size, chunks):
    assert chunks_of(size) == chunks


def test_what_a_server_would_skip_in_silence_is_a_fault():
    body = Wishes(is_enabled=False, group_id="g", ttl_minutes=5).body()
    assert [fault.field for fault in too_new(body, "2.7.0")] == ["model_group_id", "is_enabled", "deploy_setting"]
    assert [fault.field for fault in too_new(body, "2.13.0")] == ["deploy_setting.model_ttl_minutes"]
    assert too_new(body, "2.14.0") == ()


# ---------------------------------------------------------------------------------------------------------------------
# Memory


def stats(**over):
    node = {
        "name": "one", "roles": ["data"],
        "os": {"mem": {"total_in_bytes": 8_000, "free_in_bytes": 100}, "cgroup": {"memory": {"limit_in_bytes": "max"}}},
        "jvm": {"mem": {"heap_max_in_bytes": 2_000}},
    }  # fmt: skip
    return {"nodes": {"n1": {**node, **over}}}


def test_a_node_has_what_its_cache_would_give_back_less_heap_and_models():
    profile = {"nodes": {"n1": {"models": {"m": {"memory_size_estimation_cpu": 1_000}}}}}
    (node,) = read_nodes(stats(), profile)
    assert (node.free, node.room, node.available) == (100, 5_000, 5_000)
    assert lacking(5_001, (node,)) == (node,)
    assert lacking(5_000, (node,)) == ()
    assert "one has 0.01 MB" in figures(6_000, (node,))


def test_a_control_group_limits_a_node():
    limited = {
        "mem": {"total_in_bytes": 8_000, "free_in_bytes": 7_000},
        "cgroup": {"memory": {"limit_in_bytes": "3000"}},
    }
    (node,) = read_nodes(stats(os=limited))
    assert (node.free, node.room) == (3_000, 1_000)


def test_nodes_without_a_wanted_role_run_no_models():
    assert read_nodes(stats(), roles=("ml",)) == ()
    assert len(read_nodes(stats(roles=["ml"]), roles=("ml",))) == 1


def test_the_estimate_is_the_servers_own():
    assert estimate(100, "TORCH_SCRIPT") == 120
    assert estimate(100, "onnx") == 150


# ---------------------------------------------------------------------------------------------------------------------
# Clusters


def wrong(problem):
    return ValueError(problem)


def test_an_address_of_aws_is_signed_for_and_a_user_wins_over_it():
    found = of_url("https://search-x.eu-central-1.es.amazonaws.com/", has_user=False)
    assert (found.auth, found.region, found.service) == (Auth.SIGV4, "eu-central-1", "es")
    assert of_url("https://abc.us-east-1.aoss.amazonaws.com", has_user=False).is_serverless
    assert of_url("https://search-x.eu-central-1.es.amazonaws.com", has_user=True).auth is Auth.BASIC
    assert of_url("https://es.amazonaws.com.example.org", has_user=False).auth is Auth.NONE


def test_a_password_in_the_clear_is_told_but_not_on_this_machine():
    assert of_url("http://search.example.org:9200", has_user=True).is_in_clear
    assert not of_url("http://127.0.0.1:9200", has_user=True).is_in_clear


@pytest.mark.parametrize("url", ["https://user:secret@host", "ftp://x", "https://x/?a=b", "nonsense"])
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="it ") as caught:
        of_url(url, has_user=False)
    assert "secret" not in str(caught.value)


def test_the_settings_name_clusters():
    first, second = parse_clusters(
        {
            "b": {"url": "https://b.example.org/", "auth": "certificate", "certificate": "c.pem", "key": "k.pem"},
            "a": {"url": "https://x.eu-west-1.aoss.amazonaws.com", "auth": "sigv4"},
        },
        wrong,
    )
    assert (first.name, first.region, first.service) == ("a", "eu-west-1", "aoss")
    assert (second.url, second.certificate, second.key) == ("https://b.example.org", "c.pem", "k.pem")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"url": "https://x", "password": "y"}, "password"),
        ({"url": "https://x", "auth": "kerberos"}, "auth"),
        ({"url": "https://x", "auth": "sigv4"}, "region"),
        ({"url": "https://x", "auth": "sigv4", "region": "eu-west-1", "service": "s3"}, "es nor aoss"),
        ({"url": "https://x", "auth": "certificate"}, "certificate"),
        ({"url": "http://x", "ca": "ca.pem"}, "not https"),
        ({"url": 5}, "no text"),
        ({}, "no address"),
        ("x", "no table"),
    ],
)
def test_a_cluster_of_the_settings_that_can_not_be_is_refused(table, words):
    with pytest.raises(ValueError, match=words):
        parse_clusters({"one": table}, wrong)


# ---------------------------------------------------------------------------------------------------------------------
# Words, export, pretrained


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("model content changed", "sha256"),
        ("To upload custom model user needs to enable allow_registering_model_via_url settings.", "doctor"),
        ("URL can't match trusted url regex", "trusted_url_regex"),
        ("Model cannot be deleted in deploying or deployed state. Try undeploy model first then delete", "undeploy"),
        ("Failed to find model with the provided model id: x", "ml search"),
        ("Don't allow custom deployment plan", "allow_custom_deployment_plan"),
        ("Model group not found", "group search"),
    ],
)
def test_a_reason_of_the_server_has_plain_words_and_a_fix(said, fix):
    found = explain(said)
    assert found is not None
    assert fix in found.fix
    assert "Exception" not in found.what


def test_a_reason_that_is_not_known_is_left_as_it_is():
    assert explain("something entirely new") is None


def test_a_request_for_curl_is_one_that_a_shell_takes_apart_into_the_same_words():
    cluster = ClusterAddress(url="https://search.example.org", auth=Auth.BASIC)
    body = {"name": "it's", "model_group_id": "${env.MODEL_GROUP_ID}", "x": '$HOME `id` "'}
    text = curl(api.register(body), cluster)
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:4] == ["curl", "-sS", "-X", "POST"]
    assert "$RELEASE_TOOL_CLUSTER_USER:$RELEASE_TOOL_CLUSTER_PASSWORD" in words
    echoed = subprocess.run(
        ["bash", "-c", "curl() { printf '%s\\0' \"$@\"; }\n" + text],
        env={"MODEL_GROUP_ID": "g1", "PATH": "/usr/bin:/bin", "RELEASE_TOOL_CLUSTER_USER": "u"},
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    assert '{"name": "it\'s", "model_group_id": "g1", "x": "$HOME `id` \\""}' in echoed


def test_a_chunk_for_curl_is_cut_out_of_the_archive():
    cluster = ClusterAddress(url="http://localhost:9200")
    text = curl(api.upload_chunk("m", 2, b""), cluster, archive="a b.zip")
    assert text.startswith("tail -c +20000001 'a b.zip' | head -c 10000000 | curl")
    assert dev_tools(api.upload_chunk("m", 2, b"")).startswith("#")


def test_the_dev_tools_get_method_path_and_json():
    assert dev_tools(api.deploy("m", ["n"])) == f'POST {ML}/models/m/_deploy\n{{\n  "node_ids": [\n    "n"\n  ]\n}}'


def test_a_pretrained_model_is_found_by_its_last_part_and_a_listing_adds_versions():
    assert find(SHIPPED, "all-MiniLM-L6-v2").function_name == "TEXT_EMBEDDING"
    assert find(SHIPPED, "no-such-model") is None
    name = "huggingface/sentence-transformers/all-MiniLM-L6-v2"
    table = refreshed(
        {
            name: {"1.0.10": ["onnx"]},
            "amazon/neural-sparse/opensearch-neural-sparse-tokenizer-v9": {"1.0.0": ["torch_script"]},
        }
    )
    assert find(table, name).versions == ("1.0.10", "1.0.2", "1.0.1")
    assert find(table, "opensearch-neural-sparse-tokenizer-v9").function_name == "SPARSE_TOKENIZE"


def test_every_shipped_model_has_a_function_that_its_first_server_knows():
    first = {"TEXT_EMBEDDING": "2.6", "SPARSE_ENCODING": "2.11", "SPARSE_TOKENIZE": "2.11", "TEXT_SIMILARITY": "2.12"}
    for one in SHIPPED:
        assert is_since(one.since, first.get(one.function_name, "2.13")), one.name
