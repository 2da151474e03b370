"""What goes over loopback: the archive to the node, requests and errors back."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from release_tool.errors import RemoteFailed, ServiceUnable, Unreachable
from release_tool.services.archive_server import serve_file
from release_tool.services.mlcommons import Client
from release_tool.services.server_words import MAX_WORDS, words_of


def ask(url: str, method: str = "GET", path: str | None = None) -> tuple[int, bytes, str | None]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(method, parts.path if path is None else path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Content-Length")
    finally:
        connection.close()


def test_the_file_is_served_whole_under_its_own_address(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "a.zip").write_bytes(data)
    with serve_file(tmp_path / "a.zip") as url:
        assert url.startswith("http://127.0.0.1:")
        assert ask(url) == (200, data, str(len(data)))
        assert ask(url, "HEAD") == (200, b"", str(len(data)))


@pytest.mark.parametrize("path", ["/", "/archive.zip", "/../secret", "/%2e%2e/secret", "//"])
def test_nothing_else_is_served(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.zip").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"secret")
    with serve_file(tmp_path / "a.zip") as url:
        status, body, _ = ask(url, path=path)
        assert status == 404
        assert b"secret" not in body
        assert ask(url, path=urlsplit(url).path + "?x")[0] == 404
        assert ask(url, "POST")[0] == 501


def test_the_address_is_gone_afterwards_even_with_a_client_that_stalls(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"x" * 50_000_000)
    with serve_file(tmp_path / "a.zip") as url:
        parts = urlsplit(url)
        stalled = socket.create_connection((parts.hostname, parts.port))
        stalled.sendall(f"GET {parts.path} HTTP/1.1\r\n\r\n".encode())
    with pytest.raises(OSError, match=r"refused|reset"):
        ask(url)
    stalled.close()


def test_a_missing_file_is_said_before_the_node_is_told_of_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), serve_file(tmp_path / "none.zip"):
        raise AssertionError


class Forgetful(BaseHTTPRequestHandler):
    """Closes every connection after its answer without saying so, as a server with a short idle time does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = {"/text": b"<html>", "/broken": b'{"error":{"reason":"it \x1b[31mbroke"}}'}.get(self.path, b'{"a": 1}')
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forgetful():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with Client("127.0.0.1", server.server_address[1]) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(forgetful: Client) -> None:
    assert [forgetful.request("GET", "/") for _ in range(3)] == [{"a": 1}] * 3


def test_an_error_carries_the_servers_words_without_its_escapes(forgetful: Client) -> None:
    with pytest.raises(RemoteFailed, match=r"refused \(500\): it .*broke") as raised:
        forgetful.request("GET", "/broken")
    assert "\x1b" not in str(raised.value)


def test_an_answer_that_is_no_json_is_not_taken_for_one(forgetful: Client) -> None:
    with pytest.raises(Unreachable):
        forgetful.request("GET", "/text")


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Client("127.0.0.1", port) as client:
        with pytest.raises(Unreachable, match="did not answer GET /"):
            client.request("GET", "/")
        assert not client.is_healthy()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            '{"node-1": "model content changed", "node-2": "no memory"}',
            "node-1: model content changed; node-2: no memory",
        ),
        ({"error": {"reason": "outer", "caused_by": {"reason": "inner"}}}, "outer: inner"),
        ({"error": {"reason": "same", "caused_by": {"reason": "same"}}}, "same"),
        ({"error": "only words"}, "only words"),
        ("plain\nwords", "plain words"),
        ([1], "[1]"),
    ],
)
def test_a_servers_error_is_one_line_with_every_nodes_words(data: object, words: str) -> None:
    assert words_of(data) == words


def test_a_stack_trace_is_cut() -> None:
    assert len(words_of("x" * 10_000)) == MAX_WORDS + 1


# --- a server that can't now --------------------------------------------------------------------------------------

BREAKER = (429, b'{"error": {"reason": "Memory Circuit Breaker is open, please check your resources!"}, "status": 429}')
BUSY = (503, b'{"error": {"reason": "all shards failed"}}')
CUT = None
FINE = (200, b'{"inference_results": [{"output": []}]}')
MODELS_OWN = (500, b'{"error": {"reason": "index out of range in self"}}')


class Scripted(BaseHTTPRequestHandler):
    """Gives the answers of a list in order, and the last one for ever; None cuts the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(self.path)
        script = self.server.script
        answer = script.pop(0) if len(script) > 1 else script[0]
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_POST  # noqa: N815 - the base class names it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(Client, "pauses", (0.01, 0.01, 0.01))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with Client("127.0.0.1", server.server_address[1]) as client:
        yield server, client
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("unable", [BREAKER, BUSY, CUT], ids=["breaker", "unavailable", "cut"])
def test_a_node_that_could_not_answer_for_a_moment_is_asked_again(scripted, unable) -> None:
    server, client = scripted
    server.script = [unable, unable, FINE]
    assert client.predict("id", {}) == [{"output": []}]
    assert len(server.asked) >= 3


@pytest.mark.parametrize(
    ("unable", "error", "hint"),
    [(BREAKER, ServiceUnable, "lacks memory"), (BUSY, ServiceUnable, "run again"), (CUT, Unreachable, "node status")],
    ids=["breaker", "unavailable", "cut"],
)
def test_a_node_that_stays_unable_is_an_error_of_its_own_and_no_refusal(scripted, unable, error, hint) -> None:
    server, client = scripted
    server.script = [unable]
    with pytest.raises(error) as raised:
        client.predict("id", {})
    assert not isinstance(raised.value, RemoteFailed)
    assert hint in raised.value.hint
    assert len(server.asked) >= 1 + len(Client.pauses)


def test_what_the_model_itself_can_not_do_is_a_refusal_and_is_asked_once(scripted) -> None:
    server, client = scripted
    server.script = [MODELS_OWN]
    with pytest.raises(RemoteFailed, match="index out of range"):
        client.predict("id", {})
    assert len(server.asked) == 1


def test_a_model_is_not_registered_twice_after_a_lost_connection(scripted) -> None:
    server, client = scripted
    server.script = [CUT, FINE]
    with pytest.raises(Unreachable):
        client.register({"name": "once"})
    assert len(server.asked) == 1


def test_a_deployment_that_the_nodes_memory_stopped_is_tried_again(scripted) -> None:
    server, client = scripted
    begun = (200, b'{"task_id": "t"}')
    stopped = (200, rb'{"state": "FAILED", "error": "{\"n\": \"Memory Circuit Breaker is open, please check\"}"}')
    server.script = [begun, stopped, begun, (200, b'{"state": "COMPLETED"}')]
    client.deploy("id")
    assert [path.rsplit("/", 1)[-1] for path in server.asked] == ["_deploy", "t", "_deploy", "t"]
    server.script = [begun, (200, b'{"state": "FAILED", "error": "not a TorchScript file"}')]
    with pytest.raises(RemoteFailed, match="not a TorchScript file"):
        client.deploy("id")
