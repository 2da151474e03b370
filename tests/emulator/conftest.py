"""One environment with the servers' versions for all workers, and a quiet console."""

from __future__ import annotations

import io

import pytest

from release_tool.console import Console
from release_tool.services.runtime_env import runtime_environment


@pytest.fixture(scope="session")
def quiet():
    return Console(stream=io.StringIO(), env={})


@pytest.fixture(scope="session")
def runtime_cache(tmp_path_factory):
    """Return a cache that the workers of one run share; the lock in it keeps them apart."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "runtime-cache"


@pytest.fixture(scope="session")
def environment(runtime_cache, quiet):
    return runtime_environment(runtime_cache, console=quiet)
