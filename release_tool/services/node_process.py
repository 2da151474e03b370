"""How the real server is started: its folder, its settings, its user, and the words when it does not come up."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.documents import write_atomic
from release_tool.errors import MachineError
from release_tool.services.cache import share_tree
from release_tool.services.node_home import MIN_DISK_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.services.jdk import Jdk
    from release_tool.services.node_home import NodeHome

MARKER = "RELEASE_TOOL_NODE"
"""Environment variable of the server's process that names its folder: an orphan is found by it."""

NOBODY = 65534
"""The number of ``nobody`` on Linux where the name is not in the user table."""

HEAP_MEGABYTES = 1024
MAX_WORDS = 800

SETTINGS = """\
# Written by release-tool: one node that only this machine reaches, for proofs, with nothing worth keeping.
cluster.name: release-tool
node.name: release-tool
network.host: 127.0.0.1
# 0: the system gives free ports; the server writes them to logs/http.ports when it is up.
http.port: 0
transport.port: 0
node.portsfile: true
discovery.type: single-node
path.data: {data}
path.logs: {logs}
# A desk's disk is often fuller than 85 %, where the server would stop giving out shards.
cluster.routing.allocation.disk.threshold_enabled: false
plugins.ml_commons.only_run_on_ml_node: false
plugins.ml_commons.allow_registering_model_via_url: true
plugins.ml_commons.allow_registering_model_via_local_file: true
# Metrics correlation is executed only where this is on.
plugins.ml_commons.enable_inhouse_python_model: true
# Archives come from this machine and from nowhere else.
plugins.ml_commons.trusted_url_regex: '^http://127\\.0\\.0\\.1:[0-9]+/'
plugins.ml_commons.model_access_control_enabled: false
# The breakers are set for production machines; here they would refuse on any small one.
# The parent breaker counts garbage too and refused the second archive of 90 MB with a heap of 1 GB.
plugins.ml_commons.native_memory_threshold: 100
plugins.ml_commons.jvm_heap_memory_threshold: 100
indices.breaker.total.use_real_memory: false
plugins.ml_commons.disk_free_space_threshold: 1mb
plugins.ml_commons.max_model_on_node: 100
plugins.ml_commons.model_auto_redeploy.enable: false
"""


def run_parent(env: Mapping[str, str], cache: Path) -> Path:
    """Return the folder in which a start makes its own.

    The cache; for root a temporary folder that any user can pass, because the server runs as another user and root's
    home is closed to it.

    Raises:
        MachineError: no such folder with room.
    """
    if os.geteuid() != 0:
        return cache / "node"
    tried = []
    for name in (env.get("RELEASE_TOOL_NODE_DIR"), "/var/tmp", "/tmp", tempfile.gettempdir()):  # noqa: S108
        if not name or not Path(name).is_dir():
            continue
        place = Path(name).resolve()
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in (place, *place.parents)):
            tried.append(f"{place} is closed to other users")
        elif shutil.disk_usage(place).free < MIN_DISK_BYTES:
            tried.append(f"{place} has {shutil.disk_usage(place).free / 1e9:.1f} GB free")
        else:
            return place
    raise MachineError(
        f"Run as root, the server needs a folder with {MIN_DISK_BYTES / 1e9:.0f} GB that other users can enter: "
        f"{'; '.join(tried) or 'there is none'}.",
        hint="Name one in RELEASE_TOOL_NODE_DIR, or run as an ordinary user.",
    )


def server_user() -> tuple[int, int] | None:
    """Return (user, group) for the server, null when this process may start it as itself.

    The server refuses to run as root. No account is made: nobody, or its usual number.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return NOBODY, NOBODY
    return entry.pw_uid, entry.pw_gid


def make_folder(folder: Path, home: NodeHome, owner: tuple[int, int] | None) -> None:
    """Fill the folder of one start: links to the prepared server, and fresh config, data, logs and tmp.

    Raises:
        OSError: disk full, no permission.
    """
    server = folder / "server"
    share_tree(home.server, server)
    for name in ("config", "logs", "data", "tmp"):
        (server / name).mkdir(exist_ok=True)
    share_tree(home.natives, server / "data" / "ml_cache")
    # Own copies where the prepared file is a link and this start writes another text.
    config = server / "config"
    write_atomic(config / "opensearch.yml", SETTINGS.format(data=server / "data", logs=server / "logs"))
    heap = f"-Xms{HEAP_MEGABYTES}m\n-Xmx{HEAP_MEGABYTES}m\n-XX:-HeapDumpOnOutOfMemoryError\n"
    write_atomic(config / "jvm.options.d" / "release-tool.options", heap)
    if owner is not None:
        # Folders only: the files are shared with the cache and stay readable, not writable.
        for place in (folder, server, *_written(server)):
            os.chown(place, *owner)
        for name in ("opensearch.yml", "jvm.options.d/release-tool.options"):
            os.chown(config / name, *owner)


def _written(server: Path) -> list[Path]:
    return [Path(root) for name in ("config", "logs", "data", "tmp") for root, _, _ in os.walk(server / name)]


def spawn(folder: Path, jdk: Jdk, owner: tuple[int, int] | None, env: Mapping[str, str]) -> int:
    """Start the server in its folder and return the number of its process.

    It is a session of its own, so an interrupt of this tool does not reach it, and it may outlive this process.

    Raises:
        MachineError: the process can't be started as that user.
    """
    server = folder / "server"
    kept = {key: env[key] for key in ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH") if key in env}
    environment = {
        **kept,
        "HOME": str(folder),
        "OPENSEARCH_JAVA_HOME": str(jdk.home),
        "OPENSEARCH_TMPDIR": str(server / "tmp"),
        MARKER: str(folder),
    }
    try:
        with (folder / "output.log").open("wb") as output:
            process = subprocess.Popen(
                [str(server / "bin" / "opensearch")],
                cwd=server,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o027,
                user=None if owner is None else owner[0],
                group=None if owner is None else owner[1],
                extra_groups=None if owner is None else [],
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(
            f"The server can't be started{'' if owner is None else f' as user {owner[0]}'}: {error}.",
            hint="Run as an ordinary user; as root this needs the right to change the user (CAP_SETUID).",
        ) from error
    # Its end is watched over by number and start time; Popen would warn that it is left running.
    process.returncode = 0
    return process.pid


def http_port(folder: Path) -> int | None:
    """Return the port that the server wrote down, null while it is not up."""
    try:
        lines = (folder / "server" / "logs" / "http.ports").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if match := re.fullmatch(r"127\.0\.0\.1:(\d+)", line.strip()):
            return int(match[1])
    return None


def last_words(folder: Path) -> str:
    """Return what the server said last about its end: errors first, else the last lines."""
    try:
        text = (folder / "output.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "it left no log"
    lines = [line for line in text.splitlines() if line.strip()]
    bad = [line for line in lines if re.search(r"\b(ERROR|FATAL)\b|Exception\b|Error:", line)]
    # The first lines name what went wrong, the last one its cause.
    chosen = dict.fromkeys([*bad[:2], *bad[-1:]] or lines[-3:])
    return one_line(" | ".join(chosen))[:MAX_WORDS] or "it said nothing"
