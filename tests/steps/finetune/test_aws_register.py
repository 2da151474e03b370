"""The function that registers an endpoint, on a real node."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.node
FILE = Path(__file__).resolve().parents[3] / "templates" / "aws" / "finetune" / "finetune_register.py"


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_an_endpoint_is_registered_and_deployed(node, monkeypatch, kind):
    spec = importlib.util.spec_from_file_location("finetune_register", FILE)
    register = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(register)
    for name in ("CONNECTOR_ROLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "arn:aws:iam::123456789012:role/connector")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    made = register.connector
    # OpenSearch outside of AWS takes keys only; a role is taken by the service.
    keys = {"access_key": "${env.AWS_ACCESS_KEY_ID}", "secret_key": "${env.AWS_SECRET_ACCESS_KEY}"}
    monkeypatch.setattr(register, "connector", lambda event: {**made(event), "credential": keys})
    event = {"endpoint": f"acme-{kind}", "model": f"acme-{kind}", "cluster": node.url, "kind": kind, "dimension": 3}
    try:
        found = register.register(event, None)
    except register.RegisterFailed:  # the workflow tries again, too: ML Commons meets itself in a model group
        found = register.register(event, None)
    assert found["model_id"]
    assert found["connector_id"]


def test_the_doctor_looks_at_the_index_and_the_cluster(node, tmp_path, capsys):
    import json

    import requests

    from release_tool.cli import run

    def looked(index, *options):
        recipe = tmp_path / "recipe.toml"
        text = f'[model]\nname = "a"\n[corpus]\nsource = "opensearch"\nendpoint = "{node.url}"\nindex = "{index}"\n'
        recipe.write_text(text, encoding="utf-8")
        code = run(["--json", "finetune", "doctor", "--recipe", str(recipe), *options])
        return code, {one["what"]: one for one in json.loads(capsys.readouterr().out)}

    written = requests.put(f"{node.url}/doctors-index/_doc/1?refresh=true", json={"content": "a text"}, timeout=60)
    assert written.status_code in {200, 201}
    code, found = looked("doctors-index")
    assert code == 0
    assert found["index"]["why"] == "1 document can be read"
    assert node.version in found["cluster"]["why"]
    code, found = looked("no-such-index")
    assert code == 12
    assert found["index"]["state"] == "MISSING"
    assert "no-such-index" in found["index"]["why"]
