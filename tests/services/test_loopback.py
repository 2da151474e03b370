"""What goes over loopback: the archive to the node, requests and errors back."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from release_tool.errors import RemoteFailed, Unreachable
from release_tool.services.archive_server import serve_file
from release_tool.services.mlcommons import MAX_WORDS, Client, words_of


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
