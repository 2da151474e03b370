"""Start a process of this ring: ``python -m release_tool.models.starting [--lean] [--ahead] MODULE ARGUMENT...``.

One that is started ahead of its work imports the module and reads its arguments, a list in one line of JSON, from
stdin; where none come before stdin ends, it ends too.

Importing torch and transformers makes hundreds of thousands of objects that stay; looking for garbage among them takes
a sixth of the time of the import, and taking them apart at the end as long again. So the collector rests until the
module is there, and again while a model is loaded; and when the work is done the process ends at once.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def no_collection() -> Iterator[None]:
    """Leave the garbage collector out while objects are made that stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def main(argv: Sequence[str] | None = None) -> int:
    """Import the module of the first argument and run its ``main`` with the others."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with no_collection():
        if arguments[0] == "--lean":
            from release_tool.models.lean import lean_imports

            lean_imports()
            del arguments[0]
        ahead = arguments[0] == "--ahead"
        module = import_module(arguments[int(ahead)])
    if ahead:
        line = sys.stdin.readline()
        if not line:
            return 0
        arguments = [arguments[1], *json.loads(line)]
    code: int = module.main(arguments[1:])
    return code


def end_now(code: int) -> NoReturn:
    """End this process without taking apart what it has imported; what was written to a stream is sent."""
    with suppress(OSError):  # whoever read them is gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    end_now(main())
