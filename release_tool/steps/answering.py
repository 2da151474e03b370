"""The source's own answers: one process beside the export and the rings, waited for where they are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from release_tool.core.kinds import ModelKind
    from release_tool.global_options import Context
    from release_tool.workers import Worker


MODULE = "release_tool.models.oracle"


class Oracle:
    """The oracle's process, from its start in one step to its end in the same or a later one.

    It writes the answers of a kind whole or not at all; leaving the context ends it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._worker: Worker | None = None
        self._begun = False

    def __enter__(self) -> Self:
        """Return itself; nothing runs yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill the process if nobody waited for it."""
        if self._worker is not None:
            self._worker.stop()
            self._worker, self._begun = None, False

    @property
    def running(self) -> bool:
        """Whether somebody still has to wait for it."""
        return self._begun

    def prepare(self) -> None:
        """Let the process import its libraries while others still decide what it is to answer."""
        from release_tool.workers import start

        self._worker = start("oracle", MODULE, None, debug=self._context.debug)

    def start(self, work: Path, kinds: Sequence[ModelKind], probes: Path | None = None) -> None:
        """Start to answer the probes (the shipped ones unless a file is given) for these kinds."""
        from release_tool.workers import start

        arguments = ["--work", str(work), *(f"--kind={kind.value}" for kind in kinds)]
        if probes is not None:
            arguments.append(f"--probes={probes}")
        if self._worker is None:
            self._worker = start("oracle", MODULE, arguments, debug=self._context.debug)
        else:
            self._worker.begin(arguments)
        self._begun = True

    def wait(self, *, bar: bool = False) -> None:
        """Wait until the answers are written, with a bar of its own where nothing else draws one.

        Raises:
            ReleaseError: what the process reports.
        """
        worker = self._worker
        if worker is None or not self._begun:
            return
        console = self._context.console
        if bar:
            with console.progress("oracle", 1, "probes") as drawn:
                worker.wait(console, drawn.reach)
        else:
            worker.wait(console)
        worker.stop()
        self._worker, self._begun = None, False
