"""The transport shows who one is, follows nobody elsewhere, and tells a refusal from a lack and from silence."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import ssl

import pytest
from aws.certificates import builder, make_certificates
from aws.certificates import name as subject_of
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_double import AnswersAll, Double

from release_tool.core.ml import api
from release_tool.core.ml.clusters import Auth, ClusterAddress, of_url
from release_tool.core.ml.request import Request
from release_tool.errors import Refused, RemoteFailed, ServiceUnable, Unreachable, UsageError
from release_tool.services.cluster.transport import Cluster
from release_tool.services.cluster.waiting import wait

SECRET = "MARKED-pässword-7Qx"
USER = {"RELEASE_TOOL_CLUSTER_USER": "ann", "RELEASE_TOOL_CLUSTER_PASSWORD": SECRET}
ROOT = {"version": {"number": "3.6.0", "distribution": "opensearch"}}


class Handler(AnswersAll):
    def answer(self):
        self.double.got.append((self.command, self.path, dict(self.headers.items()), self.body()))
        status, data = self.double.replies.pop(0) if len(self.double.replies) > 1 else self.double.replies[0]
        if status == 0:
            self.cut()
            return
        payload = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        self.send(status, payload, "application/json", self.double.headers)


class Server(Double):
    """Gives the replies in their order, the last one for ever; status 0 cuts the connection."""

    def __init__(self):
        super().__init__(Handler)
        self.got, self.replies, self.headers = [], [(200, {})], {}


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def opened():
    """Return a function that opens a cluster and closes it after the test."""
    with contextlib.ExitStack() as stack:

        def of(address, environment=None, **options):
            cluster = Cluster(address, environment or {}, **{"pauses": (), **options})
            return stack.enter_context(cluster)

        yield of


def plain(server):
    return of_url(server.address, has_user=False)


def test_a_password_of_any_letters_is_sent_as_utf_8_and_stands_in_no_error(server, opened):
    server.replies = [(403, {"error": {"reason": "no permissions for [x]"}})]
    cluster = opened(of_url(server.address, has_user=True), USER)
    with pytest.raises(Refused) as caught:
        cluster.send(api.root())
    shown = server.got[0][2]["authorization"]
    assert base64.b64decode(shown.removeprefix("Basic ")).decode() == f"ann:{SECRET}"
    for text in (str(caught.value), repr(caught.value), caught.value.hint, repr(cluster.__dict__.get("cluster"))):
        assert SECRET not in text
        assert shown not in text
    assert caught.value.status == 403


def test_a_missing_password_is_told_by_the_name_of_its_variable(server, opened):
    with pytest.raises(UsageError, match="RELEASE_TOOL_CLUSTER_PASSWORD"):
        opened(of_url(server.address, has_user=True), {"RELEASE_TOOL_CLUSTER_USER": "ann"})


def test_nothing_shows_who_one_is_where_nobody_said_so(server, opened):
    opened(plain(server), USER).send(api.root())
    assert "authorization" not in {name.lower() for name in server.got[0][2]}


@pytest.mark.parametrize("service", ["es", "aoss"])
def test_a_request_to_aws_is_signed_with_its_body_and_without_a_secret_in_it(server, opened, monkeypatch, service):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDMARKED",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "tok",
    }.items():
        monkeypatch.setenv(name, value)
    address = ClusterAddress(url=server.address, auth=Auth.SIGV4, region="eu-central-1", service=service)
    opened(address).send(api.predict("m", {"text_docs": ["x"]}))
    _, _, headers, body = server.got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert f"/eu-central-1/{service}/aws4_request" in headers["authorization"]
    assert "AKIDMARKED" in headers["authorization"]
    assert headers["x-amz-security-token"] == "tok"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert SECRET not in str(headers)


def test_aws_without_credentials_is_refused_before_anything_is_sent(server, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    address = ClusterAddress(url=server.address, auth=Auth.SIGV4, region="eu-central-1")
    with pytest.raises(UsageError, match="no credentials of AWS"):
        opened(address)
    assert server.got == []


# ---------------------------------------------------------------------------------------------------------------------
# Certificates


@pytest.fixture
def secure(tmp_path):
    """Run the server behind TLS; it asks for a client's certificate of the same authority."""
    certificates = make_certificates(tmp_path)
    with Server() as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        running.context, running.certificates = context, certificates
        running.server.socket = context.wrap_socket(running.server.socket, server_side=True)
        yield running


def https(server, **over):
    return ClusterAddress(url=server.address.replace("http://", "https://"), **over)


def test_an_authority_of_ones_own_is_named_and_without_it_the_server_is_not_believed(secure, opened):
    assert opened(https(secure, ca=str(secure.certificates.authority))).send(api.root()) == {}
    with pytest.raises(Unreachable) as caught:
        opened(https(secure)).send(api.root())
    assert "prove who it is" in str(caught.value)
    assert "ca under" in caught.value.hint
    assert len(secure.got) == 1


@pytest.fixture
def client(tmp_path):
    """Return the paths of a certificate of a client's own and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject_of("client of the tests")
    certificate = builder(subject, subject, key.public_key(), key, authority=False).sign(key, hashes.SHA256())
    paths = tmp_path / "client.pem", tmp_path / "client.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(*forms))
    return paths


def test_a_client_shows_its_certificate_to_a_cluster_that_lets_nobody_in_without(secure, client, opened):
    secure.context.verify_mode = ssl.CERT_REQUIRED
    secure.context.load_verify_locations(client[0])
    known = {"ca": str(secure.certificates.authority)}
    shown = https(secure, auth=Auth.CERTIFICATE, certificate=str(client[0]), key=str(client[1]), **known)
    assert opened(shown).send(api.root()) == {}
    with pytest.raises(Unreachable) as caught:
        opened(https(secure, **known)).send(api.root())
    assert "certificate" in caught.value.hint


@pytest.mark.parametrize("which", ["ca", "certificate", "key"])
def test_a_certificate_that_is_not_there_is_named(which, opened):
    files = {"certificate": __file__, "key": __file__, which: "/no/such.pem"}
    with pytest.raises(UsageError, match=r"/no/such\.pem"):
        opened(ClusterAddress(url="https://127.0.0.1:1", auth=Auth.CERTIFICATE, **files))


# ---------------------------------------------------------------------------------------------------------------------
# What comes back


def test_a_redirect_is_not_followed(server, opened):
    server.replies, server.headers = [(307, {})], {"Location": f"{server.address}/elsewhere"}
    with pytest.raises(Refused, match="not followed"):
        opened(plain(server)).send(api.root())
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((429, {"error": {"reason": "Request is throttled at model level."}}), ServiceUnable),
        ((503, {"error": "x"}), ServiceUnable),
        ((500, {"error": {"reason": "Memory Circuit Breaker is open, please check your resources!"}}), ServiceUnable),
        ((502, "<html>"), Unreachable),
        ((200, "<html>"), Unreachable),
        ((404, {"error": {"reason": "Failed to find model"}}), Refused),
        ((0, ""), Unreachable),
    ],
)
def test_a_refusal_a_lack_and_silence_are_told_apart(server, opened, reply, error):
    server.replies = [reply]
    with pytest.raises((RemoteFailed, Unreachable)) as caught:
        opened(plain(server)).send(api.get_model("m"))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "request_", [api.update_group("g", {}), api.get_model("m"), api.get_task("t")], ids=["group", "model", "task"]
)
def test_an_id_that_nobody_has_is_told_with_where_ids_are_listed(server, opened, request_):
    server.replies = [(404, {"error": {"reason": "nothing that words.py explains"}})]
    with pytest.raises(Refused) as caught:
        opened(plain(server)).send(request_)
    assert "ml search" in caught.value.hint


def test_a_cluster_that_can_not_now_is_asked_again(server, opened):
    server.replies = [(503, {}), (429, {}), (200, {"a": 1})]
    assert opened(plain(server), pauses=(0, 0)).send(api.root()) == {"a": 1}


def test_a_lost_connection_is_tried_again_only_where_twice_does_no_harm(server, opened):
    server.replies = [(0, ""), (200, {"a": 1})]
    assert opened(plain(server), pauses=(0,)).send(api.get_model("m")) == {"a": 1}
    server.got.clear()
    server.replies = [(0, ""), (200, {"a": 1})]
    with pytest.raises(Unreachable):
        opened(plain(server), pauses=(0,)).send(api.register({"name": "x"}))
    assert len(server.got) == 1


def test_nobody_listening_is_told_at_once(opened):
    with pytest.raises(Unreachable, match="did not answer"):
        opened(of_url("http://127.0.0.1:9", has_user=False), pauses=(30,)).send(api.root())


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"version": {"number": "8.1.0"}}, "no OpenSearch"),
        ({"version": {"number": "2.3.0", "distribution": "opensearch"}}, "from 2.4 on"),
        ({"version": {"number": "7.10.2", "distribution": "opensearch"}}, "7.10"),
        ({}, "no OpenSearch"),
    ],
)
def test_a_server_that_serves_no_models_is_refused_by_its_version(server, opened, reply, words):
    server.replies = [(200, reply)]
    with pytest.raises(RemoteFailed, match=words):
        opened(plain(server)).version  # noqa: B018 - asks


def test_a_path_before_the_interface_is_kept(server, opened):
    opened(of_url(f"{server.address}/search/", has_user=False)).send(api.root())
    assert server.got[0][1] == "/search/"


def test_a_bulk_is_lines_of_json(server, opened):
    request = Request(method="POST", path="/_bulk", lines=({"index": {}}, {"a": "ü"}))
    opened(plain(server)).send(request)
    assert server.got[0][3] == '{"index": {}}\n{"a": "ü"}\n'.encode()
    assert server.got[0][2]["content-type"] == "application/x-ndjson"


# ---------------------------------------------------------------------------------------------------------------------
# Tasks: replies as a cluster of several nodes gives them, which none is here


def task(state, **over):
    return (200, {"state": state, "task_type": "DEPLOY_MODEL", "worker_node": ["n1", "n2", "n3"], **over})


def waited(server, opened, replies, **options):
    server.replies = replies
    return wait(opened(plain(server)), "t", "deploy", model_id="m", **{"limit": 5.0, **options})


def test_a_task_is_waited_for_and_its_states_are_told(server, opened):
    said = []
    done = waited(server, opened, [task("CREATED"), task("RUNNING"), task("COMPLETED")], tell=said.append)
    assert done.nodes == ("n1", "n2", "n3")
    assert said == ["deploy is created on 3 nodes", "deploy is running on 3 nodes", "deploy is completed on 3 nodes"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (task("FAILED", error='{"n1":"model content changed","n2":"model content changed"}'), "n1, n2: model content"),
        (task("COMPLETED_WITH_ERROR", error='{"n2":"boom"}'), "on 2 of 3 nodes: n2: boom"),
        (task("CANCELLED"), "cancelled"),
        (task("EXPIRED"), "longer"),
        (task("UNREACHABLE"), "left the cluster"),
    ],
)
def test_each_end_of_a_task_is_told_apart(server, opened, reply, words):
    with pytest.raises(RemoteFailed, match=words):
        waited(server, opened, [reply])


def test_a_task_that_failed_for_want_of_memory_says_nothing_about_the_model(server, opened):
    with pytest.raises(ServiceUnable):
        waited(server, opened, [task("FAILED", error='{"n1":"Memory Circuit Breaker is open"}')])


def test_a_task_that_vanished_is_done_where_the_model_says_so(server, opened):
    gone = (404, {"error": {"reason": "Fail to find task"}})
    assert waited(server, opened, [gone, (200, {"model_state": "LOADED"})]).model_id == "m"
    with pytest.raises(RemoteFailed, match=r"vanished; the model is REGISTERED"):
        waited(server, opened, [gone, (200, {"model_state": "REGISTERED"})])


def test_a_task_that_does_not_end_in_time_says_how_far_it_is(server, opened):
    model = (200, {"current_worker_node_count": 1, "planning_worker_node_count": 3})
    with pytest.raises(Unreachable, match="RUNNING, on 1 of 3 nodes"):
        waited(server, opened, [task("RUNNING", model_id="m"), model], limit=-1.0)


def test_a_server_without_tls_is_not_called_untrusted(server, opened):
    with pytest.raises(Unreachable, match="speaks no TLS") as caught:
        opened(of_url(server.address.replace("http://", "https://"), has_user=False)).send(api.root())
    assert "http://" in caught.value.hint
