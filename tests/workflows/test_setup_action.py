"""The setup action itself, once: the hashed lock and the package go into .venv, and the program is on the path after.

Everywhere else where workflows are run a stand-in puts the program of the tests on the path.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from act.running import Runner

from release_tool import __version__

FLOW = """name: Set up
on: {workflow_dispatch: {}}
permissions: {}
jobs:
  use:
    runs-on: ubuntu-24.04
    outputs:
      version: ${{ steps.version.outputs.version }}
      place: ${{ steps.version.outputs.place }}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
      - uses: ./.github/actions/setup
      - id: version
        run: |
          echo "version=$(release-tool --version)" >>"$GITHUB_OUTPUT"
          echo "place=$(command -v release-tool)" >>"$GITHUB_OUTPUT"
"""
INSTALLERS = ("PIP_", "UV_", "SSL_", "REQUESTS_CA_BUNDLE")
"""What leads an installer to the index that this machine is set to."""


@pytest.mark.slow
def test_the_setup_action_installs_a_lock_and_puts_the_program_on_the_path(act, repository, tmp_path):
    settings = {name: value for name, value in os.environ.items() if name.startswith(INSTALLERS)}
    for path in (Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf")):
        if path.expanduser().is_file():
            settings.setdefault("PIP_CONFIG_FILE", str(path.expanduser()))
    runner = Runner(folder=tmp_path / "run", checkout=repository, environment=settings, setup=False)

    def change(copy):
        (copy / ".github" / "workflows" / "set-up.yml").write_text(FLOW, encoding="utf-8")

    run = runner.run("set-up.yml", change=change)
    assert run.code == 0, run.log[-4000:]
    assert __version__ in run.outputs("use")["version"]
    assert run.outputs("use")["place"].endswith("/.venv/bin/release-tool")
    assert not run.calls, "no stand-in was called"
