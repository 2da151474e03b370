"""Run versitygw, an S3 server over a folder, on loopback: its conditions, checksums and signatures are real."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass

PROGRAM = "versitygw"
WHY_MISSING = "RELEASE_TOOL_S3_MISSING"
"""Where scripts/test says what stopped it from building the program."""
ACCESS, SECRET = "test-access", "test-secret"
REGION = "us-east-1"
START_SECONDS = 30
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """A running server."""

    endpoint: str

    def environment(self, endpoint=None):
        """Return the variables that lead a client here, and to nobody's own settings."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def client(self, endpoint=None):
        """Return a client of its own, past the package."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )

    def make_bucket(self, *, versions=False):
        """Make an empty bucket and return its name."""
        name = f"bucket-{next(NUMBERS)}"
        client = self.client()
        client.create_bucket(Bucket=name)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def missing():
    """Say why no server can be started here; empty where one can."""
    return os.environ.get(WHY_MISSING) or ("" if shutil.which(PROGRAM) else f"{PROGRAM} is not on PATH")


@contextmanager
def running_server(folder, *options):
    """Start a server whose objects lie below a folder, with options of its own, and end it."""
    port = free_port()
    data, versions = folder / "objects", folder / "kept-versions"
    data.mkdir(parents=True)
    versions.mkdir()
    log = folder / "server.log"
    command = [
        shutil.which(PROGRAM), "--access", ACCESS, "--secret", SECRET, "--region", REGION,
        "--port", f"127.0.0.1:{port}", "--quiet", *options, "posix", "--versioning-dir", str(versions), str(data),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
    try:
        wait_for(port, process, log)
        yield Server(endpoint=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    """Return a port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, log):
    """Wait until the server answers; its own words where it does not."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, f"{PROGRAM} ended: {log.read_text(errors='replace')}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{PROGRAM} does not answer: {log.read_text(errors='replace')}")
