"""What everything that asks a cluster needs of it: the transport is one, what only prints requests is another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from release_tool.core.ml.api import Generation
    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.core.ml.request import Request


class Sender(Protocol):
    """Sends requests to one cluster; see ``transport.Cluster`` for what each promises."""

    cluster: ClusterAddress

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def send(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request, again while the cluster can't answer now."""

    def once(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request exactly once."""

    @property
    def version(self) -> str:
        """The server's version."""

    @property
    def generation(self) -> Generation:
        """How the server calls what is done with a model."""
