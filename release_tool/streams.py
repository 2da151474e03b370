"""What a program is given by its shell: streams that may be closed or cut off, and encodings that may be too small."""

from __future__ import annotations

import io
import os
import select
import sys

from release_tool.errors import MachineError

CUT_OFF = 141
"""Exit code when nobody reads on: 128 and SIGPIPE, what a shell reports of programs that die of it."""


def prepare() -> None:
    """Open what is closed, so that no file of ours gets its number, and let no text fail for its encoding."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does always


def _nowhere() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - it lives as long as the process


def is_cut_off() -> bool:
    """Tell whether nobody reads stdout or stderr any more, without writing to them."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def let_go() -> None:
    """Send what is still in the buffers nowhere: the interpreter's own last flush would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def check_names() -> None:
    """Refuse to work where file names of models can't be written.

    Raises:
        MachineError: Python writes file names in another encoding than UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.replace("-", "").lower() != "utf8":
        raise MachineError(
            f"File names are written as {encoding} here; a model may have any UTF-8 name.",
            hint="Set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8.",
        )


def carries(text: str) -> bool:
    """Tell whether stdout can show a text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
