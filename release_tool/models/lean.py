"""Import torch and transformers without what only compiling, distributing and training need.

Model code of transformers imports torch's compiler (and with it sympy, inductor and Python's half of triton),
torch.distributed's tensors and scipy, for features that a forward pass on one CPU never reaches. They are half of the
time of the import and a quarter of the memory. Nothing that computes is replaced:

- ``torch._dynamo`` is imported when it is first asked for more than its marks, which tell a compiler what to leave
  alone and return the function that they mark;
- ``torch.distributed`` says that it is not available, as in builds of torch without it;
- transformers takes scipy for absent; only losses ask for it. scipy itself stays for everybody else.

Only the export works like this. The oracle imports the libraries as their authors mean them, and what the export wrote
is held against it.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

COMPILER = "torch._dynamo"
MARKS = frozenset({"allow_in_graph", "assume_constant_result", "disable"})
"""Decorators of functions that only a compiler looks at; without arguments they take the function itself."""


def lean_imports() -> None:
    """Set the process up; to be called before transformers is imported, by a process that only runs models."""
    if COMPILER not in sys.modules:
        sys.meta_path.insert(0, _Compiler())
    import torch.distributed
    import transformers.utils

    torch.distributed.is_available = _no
    transformers.utils.is_scipy_available = _no


def _no() -> bool:
    return False


def _mark(function: Any = None, *_: Any, **__: Any) -> Any:
    return function if function is not None else lambda marked: marked


class _Deferred(ModuleType):
    """The compiler before anybody needs it: its submodules can be imported, its marks be used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in MARKS:
            return _mark
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader = getattr(self.__spec__, "loader", None)
        if isinstance(loader, _Later):
            loader.now.exec_module(self)
        return getattr(self, name)


class _Later(Loader):
    """Makes the module and leaves its code for later."""

    def __init__(self, now: Any) -> None:
        self.now = now

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the empty module."""
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing yet."""


class _Compiler(MetaPathFinder):
    """Finds the compiler where it lies, and defers it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Return the compiler's spec with a loader that waits; nothing for any other module."""
        if fullname != COMPILER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Later(spec.loader)
        return spec
