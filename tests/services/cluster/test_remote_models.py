"""A real OpenSearch asks models that are served elsewhere: by every blueprint, within interfaces and guardrails."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from model_server.server import ACCESS_KEY, KEY, SECRET_KEY, ModelServer, vector

from release_tool.console import Console
from release_tool.core.ml import api, connector
from release_tool.core.ml.blueprints import BLUEPRINTS, blueprint, fill
from release_tool.core.ml.clusters import of_url
from release_tool.core.ml.connector import read_connector
from release_tool.core.ml.predict import Function, Wanted, read_row
from release_tool.core.ml.register import RateLimiter, Wishes
from release_tool.core.ml.request import Request
from release_tool.core.ml.trusted import PRIVATE_IP, SETTING, trusted_of
from release_tool.errors import Refused, RemoteFailed, RequestError, ServiceUnable, UsageError
from release_tool.services.cluster.connectors import create, ensure_trust, update
from release_tool.services.cluster.registering import Desk
from release_tool.services.cluster.remote import Remote, register_remote
from release_tool.services.cluster.transport import Cluster
from release_tool.services.cluster.undoing import remove_model

pytestmark = pytest.mark.node

SECRETS = {
    "OPENAI_KEY": KEY, "COHERE_KEY": KEY, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "WRONG_KEY": "MARKED-wrong-key-2Hd8",
}  # fmt: skip
CHAT = {"parameters": {"messages": [{"role": "user", "content": "How is the weather?"}]}}


@pytest.fixture(scope="module")
def models():
    with ModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def cluster(node):
    """Return the node; afterwards its settings are those of before."""
    with Cluster(of_url(node.url, has_user=False), SECRETS, pauses=()) as found:
        set_settings(found, {PRIVATE_IP: True})
        yield found
        set_settings(found, {PRIVATE_IP: None, SETTING: None})


def set_settings(cluster, values):
    cluster.send(Request(method="PUT", path="/_cluster/settings", body={"persistent": values}))


@pytest.fixture
def desk(tmp_path):
    return Desk(console=Console(verbosity=-1), work=tmp_path)


@pytest.fixture(scope="module")
def made(cluster):
    """Collect what was registered; all of it is taken away at once at the end, which takes a moment a model."""
    found = []
    yield found
    kept = {one.registered.model_id: cluster.send(api.get_model(one.registered.model_id)) for one in found}
    if len(kept) > 1:
        cluster.send(api.undeploy(list(kept)))
    for model_id in kept:
        remove_model(cluster, model_id)
    for source in kept.values():
        cluster.send(api.delete_group(source["model_group_id"]))
    for ident in {one.connector_id for one in found} - {None}:
        cluster.send(connector.delete(ident))


@pytest.fixture
def registered(cluster, desk, made):
    """Return a function that registers a remote model."""

    def register(data, *, internal=False, **wishes):
        remote = Remote(connector=data, trust=True, internal=internal)
        wishes = Wishes(name=f"remote model {uuid.uuid4()}", **wishes)
        done = register_remote(cluster, remote, wishes, desk)
        made.append(done)
        return done

    return register


def of_blueprint(name, models, **values):
    """Return a connector of a blueprint that leads to our server instead of the service's own."""
    chosen = blueprint(name)
    names = {one.name for one in chosen.variables}
    needed = {"region": "us-east-1", "endpoint": "sparse" if "sparse" in name else "dense"}
    if "base_url" in names:
        return fill(chosen, {"base_url": f"{models.address}/v1", **values})
    data = fill(chosen, {key: value for key, value in needed.items() if key in names} | values)
    path = urlsplit(data["actions"][0]["url"].replace("${", "{")).path.replace("{", "${")
    data["actions"][0]["url"] = models.address + (path or f"/{name.split('-')[0]}")
    return data


def ask(cluster, model_id, question):
    """Return the first output of an answer."""
    wanted = Wanted(function=Function.REMOTE)
    row = read_row(json.dumps(question), 1, wanted)
    reply = cluster.send(row.request(model_id, wanted))
    return reply["inference_results"][0]["output"]


ANSWERS = {
    "openai-chat": lambda output: output[0]["dataAsMap"]["choices"][0]["message"]["content"] == "It is sunny.",
    "openai-completion": lambda output: output[0]["dataAsMap"]["choices"][0]["text"] == "It is sunny.",
    "cohere-chat": lambda output: output[0]["dataAsMap"]["asked"] == "How is the weather?",
    "cohere-rerank": lambda output: [one["data"] for one in output] == [[0.1], [0.0]],
    "sagemaker-sparse": lambda output: output[0]["dataAsMap"]["response"] == [{"is": 2, "sunny": 5, "today": 5}],
    "bedrock-claude-3": lambda output: output[0]["dataAsMap"] == {"response": "It is sunny."},
    "bedrock-claude-2": lambda output: output[0]["dataAsMap"]["stop"] == "\n\nHuman: ",
    "bedrock-ai21-j2": lambda output: output[0]["dataAsMap"] == {"response": "It is sunny."},
    "comprehend-language": lambda output: output[0]["dataAsMap"]["Languages"][0]["LanguageCode"] == "en",
    "textract-text": lambda output: output[0]["dataAsMap"]["Blocks"][0]["Text"] == "12",
}


@pytest.mark.parametrize("name", [one.name for one in BLUEPRINTS])
def test_a_model_of_every_blueprint_answers_on_the_node(cluster, models, registered, name):
    done = registered(of_blueprint(name, models))
    output = ask(cluster, done.registered.model_id, blueprint(name).ask)
    expected = ANSWERS.get(name, lambda found: found[0]["data"] == vector("today is sunny"))
    assert expected(output), output


def test_a_connector_inside_of_the_model_gets_its_key_and_shows_it_to_nobody(cluster, models, registered):
    done = registered(of_blueprint("openai-chat", models), internal=True)
    assert done.connector_id is None
    assert ask(cluster, done.registered.model_id, CHAT)
    assert models.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(cluster.send(api.get_model(done.registered.model_id)))


def test_a_second_run_of_the_same_register_uses_what_is_there(cluster, models, registered, desk):
    data = of_blueprint("openai-chat", models)
    first = registered(data)
    name = cluster.send(api.get_model(first.registered.model_id))["name"]
    cluster.send(Request(method="POST", path="/.plugins-ml-model*,.plugins-ml-connector*/_refresh"))
    again = register_remote(cluster, Remote(connector=data), Wishes(name=name), desk)
    assert again.registered.reused
    assert again.registered.model_id == first.registered.model_id
    assert (again.connector_id, again.connector_made) == (first.connector_id, False)


def test_trust_is_added_to_the_list_and_nothing_of_it_is_lost(cluster, models):
    set_settings(cluster, {SETTING: ["^https://our\\.own/.*$"]})
    with pytest.raises(UsageError, match="does not trust http://127") as caught:
        ensure_trust(cluster, (f"{models.address}/v1/chat",), trust=False)
    assert "--trust" in caught.value.hint
    added = ensure_trust(cluster, (f"{models.address}/v1/chat",), trust=True)
    assert trusted_of(cluster.send(api.get_settings())).expressions == ("^https://our\\.own/.*$", *added)
    assert ensure_trust(cluster, (f"{models.address}/v1/other",), trust=False) == ()
    set_settings(cluster, {SETTING: None})
    before = trusted_of(cluster.send(api.get_settings()))
    assert before.source == "defaults"
    ensure_trust(cluster, (f"{models.address}/v1/chat",), trust=True)
    now = trusted_of(cluster.send(api.get_settings())).expressions
    assert now[:-1] == before.expressions
    assert len(before.expressions) > 10


def test_a_failed_register_takes_the_connector_that_it_made_away_again(cluster, models, desk, monkeypatch):
    data = {**of_blueprint("openai-chat", models), "name": "connector of a register that fails"}

    def refuse(*_):
        raise RemoteFailed("refused in the middle")

    monkeypatch.setattr("release_tool.services.cluster.remote.register_body", refuse)
    with pytest.raises(RemoteFailed, match="in the middle"):
        register_remote(cluster, Remote(connector=data, trust=True), Wishes(name="never"), desk)
    found = cluster.send(connector.find("connector of a register that fails"))["hits"]["hits"]
    assert [hit for hit in found if hit["_source"]["name"] == data["name"]] == []


def test_an_update_that_leaves_the_credential_keeps_it_and_a_new_one_takes_its_place(cluster, models):
    made = create(cluster, read_connector(of_blueprint("openai-chat", models)), trust=True)
    body = {"name": "asked for its key", "function_name": "remote", "connector_id": made.connector_id}
    model_id = cluster.once(api.register(body))["model_id"]
    other = read_connector({"description": "other words"}, update=True)
    wrong = read_connector({"credential": {"openAI_key": "${env.WRONG_KEY}"}}, update=True)
    try:
        wait_deployed(cluster, model_id)
        with pytest.raises(RemoteFailed, match="undeploy the models first"):
            update(cluster, made.connector_id, other)
        changed(cluster, model_id, made.connector_id, other)
        assert ask(cluster, model_id, CHAT)
        assert models.asked[-1].headers["authorization"] == f"Bearer {KEY}"
        changed(cluster, model_id, made.connector_id, wrong)
        with pytest.raises(RemoteFailed, match="Incorrect API key"):
            ask(cluster, model_id, CHAT)
        with pytest.raises(RemoteFailed, match="still using this connector"):
            cluster.send(connector.delete(made.connector_id))
    finally:
        remove_model(cluster, model_id)
        cluster.send(connector.delete(made.connector_id))


def changed(cluster, model_id, connector_id, checked):
    """Change a connector whose model is deployed, and deploy that again."""
    cluster.send(api.undeploy([model_id]))
    assert soon(lambda: update(cluster, connector_id, checked) is None)
    wait_deployed(cluster, model_id)


def test_what_does_not_fit_the_interface_is_refused_on_its_way_in_and_on_its_way_out(cluster, models, registered):
    interface = {
        "input": {"properties": {"parameters": {"required": ["messages"]}}},
        "output": {
            "properties": {"inference_results": {"items": {"properties": {"output": {"items": {"properties": {
                "dataAsMap": {"required": ["choices"]}
            }}}}}}}
        },
    }  # fmt: skip
    done = registered(of_blueprint("openai-chat", models), interface=interface)
    model_id = done.registered.model_id
    assert ask(cluster, model_id, CHAT)
    with pytest.raises(Refused, match=r"input schema.*messages"):
        ask(cluster, model_id, {"parameters": {"prompt": "How?"}})
    models.said.whole = {"error": "none"}
    try:
        with pytest.raises(Refused, match=r"output schema.*choices"):
            ask(cluster, model_id, CHAT)
    finally:
        models.said.whole = None


def test_words_and_patterns_stop_what_goes_in_and_what_comes_out(cluster, models, registered):
    index = "stop-words-of-a-test"
    fields = {"title": {"type": "text"}, "query": {"type": "percolator"}}
    cluster.send(Request(method="PUT", path=f"/{index}", body={"mappings": {"properties": fields}}))
    try:
        word = {"title": "gallows", "query": {"match": {"title": "gallows"}}}
        put = Request(method="POST", path=f"/{index}/_doc", body=word, query={"refresh": "true"})
        cluster.once(put)
        words = [{"index_name": index, "source_fields": ["title"]}]
        guardrails = {
            "type": "local_regex",
            "input_guardrail": {"stop_words": words, "regex": ["(?s).*password.*"]},
            "output_guardrail": {"stop_words": words, "regex": ["(?s).*very secret.*"]},
        }
        done = registered(of_blueprint("openai-chat", models), guardrails=guardrails)
        assert not [note for note in done.notes if "guardrail" in note]
        model_id = done.registered.model_id
        assert ask(cluster, model_id, CHAT)
        count = len(models.asked)
        for said in ("Tell me a password.", "Build a gallows."):
            with pytest.raises(Refused, match="guardrails triggered for user input"):
                ask(cluster, model_id, {"parameters": {"messages": [{"role": "user", "content": said}]}})
        assert len(models.asked) == count
        for said in ("This is very secret.", "A gallows stands there."):
            models.said.text = said
            with pytest.raises(Refused, match="guardrails triggered for LLM output"):
                ask(cluster, model_id, CHAT)
    finally:
        models.said.text = "It is sunny."
        cluster.send(Request(method="DELETE", path=f"/{index}"))


def test_a_pattern_without_room_around_it_stops_nothing_which_is_said_before(cluster, models, registered):
    guardrails = {"type": "local_regex", "input_guardrail": {"regex": ["password"]}}
    done = registered(of_blueprint("openai-chat", models), guardrails=guardrails)
    assert any("(?s).*password.*" in note for note in done.notes)
    assert ask(cluster, done.registered.model_id, {"parameters": {"messages": [{"content": "the password"}]}})


def test_guardrails_that_could_not_look_are_refused_and_nothing_is_registered(cluster, models, desk):
    plain = "no-percolator-of-a-test"
    cluster.send(
        Request(method="PUT", path=f"/{plain}", body={"mappings": {"properties": {"title": {"type": "text"}}}})
    )
    words = [
        {"index_name": "not-there-at-all", "source_fields": ["title"]},
        {"index_name": plain, "source_fields": ["titel"]},
    ]
    wishes = Wishes(name="unguarded", guardrails={"input_guardrail": {"stop_words": words}})
    try:
        with pytest.raises(RequestError) as caught:
            register_remote(cluster, Remote(connector=of_blueprint("openai-chat", models), trust=True), wishes, desk)
    finally:
        cluster.send(Request(method="DELETE", path=f"/{plain}"))
    said = str(caught.value)
    assert "not-there-at-all, which is not there" in said
    assert "no field query of type percolator" in said
    assert "did you mean title?" in said
    judge = {"type": "model", "input_guardrail": {"model_id": "nobody", "response_validation_regex": '"yes"'}}
    with pytest.raises(RequestError, match="names nobody, which is not there"):
        register_remote(
            cluster, Remote(connector=of_blueprint("openai-chat", models), trust=True),
            Wishes(name="unguarded", guardrails=judge), desk,
        )  # fmt: skip


def test_a_guardrail_model_judges_the_question_and_the_answer(cluster, models, registered):
    judge_connector = of_blueprint("openai-completion", models)
    action = judge_connector["actions"][0]
    action["request_body"] = action["request_body"].replace("parameters.prompt", "parameters.question")
    judge_connector["parameters"]["response_filter"] = "$.choices[0].text"
    judge = registered(judge_connector).registered.model_id
    wait_deployed(cluster, judge)
    asked = of_blueprint("cohere-chat", models)
    asked["actions"][0]["request_body"] = asked["actions"][0]["request_body"].replace("message}", "question}")
    side = {"model_id": judge, "response_validation_regex": '^"accept"$'}
    done = registered(asked, guardrails={"type": "model", "input_guardrail": side})
    question = {"parameters": {"question": "How is the weather?"}}
    try:
        models.said.text = "accept"
        assert ask(cluster, done.registered.model_id, question)
        models.said.text = "reject"
        with pytest.raises(Refused, match="guardrails triggered for user input"):
            ask(cluster, done.registered.model_id, question)
    finally:
        models.said.text = "It is sunny."
    kept = cluster.send(api.get_model(done.registered.model_id))["guardrails"]["input_guardrail"]
    assert kept["response_filter"] == ""


def wait_deployed(cluster, model_id):
    from release_tool.services.cluster.waiting import wait

    # Right after an undeploy two of the server's own writers may meet: it answers with a version conflict.
    task = soon(lambda: cluster.once(api.deploy(model_id)))
    wait(cluster, task["task_id"], "deploy", model_id=model_id)
    assert soon(lambda: cluster.send(api.get_model(model_id))["model_state"] == "DEPLOYED")


def test_how_often_and_whether_it_may_be_asked_changes_while_it_is_deployed(cluster, models, registered):
    limit = RateLimiter(limit=2, unit="MINUTES")
    done = registered(of_blueprint("openai-chat", models), rate_limiter=limit)
    model_id = done.registered.model_id
    wait_deployed(cluster, model_id)
    for _ in range(2):
        ask(cluster, model_id, CHAT)
    with pytest.raises(ServiceUnable, match="throttled"):
        ask(cluster, model_id, CHAT)
    cluster.send(api.update_model(model_id, {"rate_limiter": {"limit": "1000", "unit": "SECONDS"}}))
    assert soon(lambda: ask(cluster, model_id, CHAT))
    for _ in range(4):
        ask(cluster, model_id, CHAT)
    cluster.send(api.update_model(model_id, {"is_enabled": False}))
    assert soon(lambda: "disabled" in refusal_of(cluster, model_id))
    cluster.send(api.update_model(model_id, {"is_enabled": True}))
    assert soon(lambda: ask(cluster, model_id, CHAT))


def soon(look):
    """Return what is found once it is something: the nodes hear of an update a moment after it was answered."""
    for _ in range(50):
        with suppress(Refused, ServiceUnable):
            if found := look():
                return found
        time.sleep(0.1)
    return look()


def refusal_of(cluster, model_id):
    try:
        ask(cluster, model_id, CHAT)
    except Refused as error:
        return str(error)
    return ""


def test_what_the_service_says_when_it_is_out_of_order_reaches_the_person(cluster, models, registered):
    done = registered(of_blueprint("openai-chat", models))
    models.fault("chat/completions", status=500)
    with pytest.raises((Refused, ServiceUnable), match="out of order"):
        ask(cluster, done.registered.model_id, CHAT)
    assert ask(cluster, done.registered.model_id, CHAT)
