"""What holds for every test: who shares a process, and that nothing is skipped by mistake."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest

NODE_GROUP = "opensearch-node"
ALLOWED_SKIP = "node:"
"""A skip is allowed where its reason starts with this: the real OpenSearch can't run on this machine."""
S3_SKIP = "s3:"
"""The same for the S3 server, which Go builds."""
ACT_SKIP = "act:"
"""And for act, which runs workflows and which Go builds too."""


def pytest_addoption(parser):
    """Let a person accept what changed in the files of tests/golden."""
    parser.addoption("--update-goldens", action="store_true", help="Write the files of tests/golden anew.")


def pytest_configure(config):
    """Refuse to test the checkout where scripts/test says that the package was built and installed."""
    if os.environ.get("RELEASE_TOOL_TEST_INSTALLED"):
        import release_tool

        if not Path(release_tool.__file__).resolve().is_relative_to(Path(sys.prefix).resolve()):
            raise pytest.UsageError(f"The tests would see {release_tool.__file__}, which is not the installed package.")


@functools.cache
def uses_node(path):
    """Tell whether a test file uses the real OpenSearch, by its text: xdist's controller sees no markers."""
    return "pytest.mark.node" in Path(path).read_text(encoding="utf-8")


def pytest_collection_modifyitems(items):
    """Start with the files of the real node: they take longest, and all of them share one process."""
    items.sort(key=lambda item: not uses_node(item.path))


def pytest_runtest_setup(item):
    """Skip what needs the real node where scripts/test found that it can't run here; its words are the reason."""
    missing = os.environ.get("RELEASE_TOOL_NODE_MISSING")
    if missing and item.get_closest_marker("node"):
        pytest.skip(f"{ALLOWED_SKIP} {missing}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file in one process (its fixtures are made once), and all files of the real node together in one.

    xdist's own groups can't do it: they are written into an attribute that pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return NODE_GROUP if uses_node(config.rootpath / file) else file

    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Fail the run when a test was skipped for another reason than a server that is missing and not required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    required = {
        ALLOWED_SKIP: "RELEASE_TOOL_REQUIRE_NODE",
        S3_SKIP: "RELEASE_TOOL_REQUIRE_S3",
        ACT_SKIP: "RELEASE_TOOL_REQUIRE_ACT",
    }
    allowed = tuple(prefix for prefix, name in required.items() if not os.environ.get(name))
    wrong = [
        f"{report.nodeid}: {reason}"
        for report in reporter.stats.get("skipped", ())
        if (reason := skip_reason(report)) and not reason.startswith(allowed)
    ]
    if wrong:
        reporter.write_line("\nskipped by mistake:\n  " + "\n  ".join(wrong), red=True)
        if exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skip_reason(report):
    """Return why a test was skipped, as it was written."""
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def repository():
    """Return the checkout: where scripts, workflows and documents of the project lie."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Run a model hub on loopback and point huggingface_hub at it, with an empty home and no token."""
    import huggingface_hub
    from hub.server import Hub
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    # The library reads its environment once, at import.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf-home" / "token"))
    huggingface_hub.close_session()
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
        huggingface_hub.close_session()


@pytest.fixture(scope="session")
def node_machine():
    """Skip where the real OpenSearch can't run: no JDK, no Maven, another platform; fail there if it is required."""
    from release_tool.errors import MachineError
    from release_tool.services.jdk import find_jdk, find_maven
    from release_tool.services.node_home import check_platform
    from release_tool.services.node_pins import pins_of
    from release_tool.services.node_process import server_user

    pins = pins_of()[1]
    try:
        check_platform(pins)
        find_maven(os.environ)
        find_jdk(os.environ, minimum=pins.java, for_others=server_user() is not None)
    except MachineError as error:
        if os.environ.get("RELEASE_TOOL_REQUIRE_NODE"):
            pytest.fail(f"the real node is required: {error}")
        pytest.skip(f"{ALLOWED_SKIP} {error}")


@pytest.fixture(scope="session")
def node(node_machine):
    """Lend the real OpenSearch with ML Commons: started once a run, ended after it unless a person keeps it."""
    from release_tool.console import Console
    from release_tool.services.node import running_node

    with running_node(Console(), env=dict(os.environ)) as running:
        yield running


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """Run a real S3 server on loopback, once a run; skip where there is none, fail where it is required."""
    from s3.server import missing, running_server

    reason = missing()
    if reason:
        if os.environ.get("RELEASE_TOOL_REQUIRE_S3"):
            pytest.fail(f"the S3 server is required: {reason}")
        pytest.skip(f"{S3_SKIP} {reason}")
    with running_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@functools.cache
def s3_loader(_path=None):
    """Return botocore's reader of service descriptions, which keeps what it has read."""
    import botocore.loaders

    return botocore.loaders.Loader(include_default_search_paths=True)


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Lead every client that asks the environment to the S3 server, and to nobody's own account."""
    import botocore.loaders

    # The description of S3 is read once and not for every client.
    monkeypatch.setattr(botocore.loaders, "create_loader", s3_loader)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def act():
    """Skip where no workflow can be run; fail there if it is required."""
    from act.running import missing

    reason = missing()
    if reason:
        if os.environ.get("RELEASE_TOOL_REQUIRE_ACT"):
            pytest.fail(f"running the workflows is required: {reason}")
        pytest.skip(f"{ACT_SKIP} {reason}")


@pytest.fixture
def golden(request):
    """Return a check: the text must equal the file of tests/golden, which --update-goldens writes."""

    def check(name, text):
        path = Path(__file__).resolve().parent / "golden" / name
        if request.config.getoption("--update-goldens"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{name} is no golden yet: run pytest --update-goldens and look at it"
        assert text == path.read_text(encoding="utf-8"), f"{name} changed: run pytest --update-goldens and look at it"

    return check


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    """Run AWS's own services as far as their policies are evaluated, on loopback, once a run."""
    from aws.server import running_aws

    with running_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running
