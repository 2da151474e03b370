"""The function that registers an endpoint in OpenSearch: a connector and a remote model, by this tool's own client.

The list of addresses that the cluster trusts is merged, never replaced; what a failed try has made is taken back.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from release_tool.cli import run
from release_tool.core.ml.blueprints import blueprint, fill

UNREACHABLE = 11


class Unreachable(Exception):
    """What the workflow tries again; the name is that of its rule."""


class RegisterFailed(Exception):
    """The cluster refused."""


def register(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the ids of the model and of its connector, deployed.

    Args:
        event: ``endpoint``, ``model``, ``cluster``, ``kind`` and ``dimension``.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "connector.json")
        file.write_text(json.dumps(connector(event)), encoding="utf-8")
        arguments = [
            "--json", "--work", folder, "--repo", folder, "ml", "register", "--remote", str(file),
            "--name", event["model"], "--trust", "--deploy", "--cluster", event["cluster"],
        ]  # fmt: skip
        said = io.StringIO()
        with redirect_stdout(said):
            code = run(arguments)
    if code:
        raise (Unreachable if code == UNREACHABLE else RegisterFailed)(f"exit code {code}; the log says why")
    answer = json.loads(said.getvalue())
    return {name: answer.get(name) for name in ("model_id", "connector_id")}


def connector(event: dict[str, Any]) -> dict[str, Any]:
    """Return the connector of an endpoint; OpenSearch takes a role to ask it."""
    kind = "sparse" if event["kind"] == "sparse" else "embedding"
    values = {"name": event["endpoint"], "region": os.environ["AWS_REGION"], "endpoint": event["endpoint"]}
    return fill(blueprint(f"sagemaker-{kind}"), values, {"roleArn": os.environ["CONNECTOR_ROLE"]})
