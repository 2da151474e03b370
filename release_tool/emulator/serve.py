"""Start the emulator from its file path: ``python -P serve.py REQUEST.json``.

The folder is loaded as a package of its own name, so that neither it nor release_tool has to be importable, and no
file of this folder can shadow a module of the environment.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

NAME = "serving_emulator"


def load() -> None:
    """Make the package of this folder importable as ``serving_emulator``."""
    here = Path(__file__).resolve().parent
    spec = spec_from_file_location(NAME, here / "__init__.py", submodule_search_locations=[str(here)])
    if spec is None or spec.loader is None:
        raise ImportError(here)
    package = module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load()
    from importlib import import_module

    code = import_module(f"{NAME}.program").main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking torch apart takes a third of the time of its import
