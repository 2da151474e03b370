"""A group below the command line whose commands stand in a table and are imported when they are asked for."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import click

from release_tool.global_options import take_anywhere

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Table = dict[str, tuple[str, str]]
"""Name → module that has ``command``, line of help."""


IDENT = re.compile(r"-[A-Za-z0-9_-]{19}")
"""An id as OpenSearch makes them, in the alphabet of URLs, that begins with a hyphen: one of 64 does."""


def take_ids(command: click.Command) -> None:
    """Let a command take an id that begins with a hyphen for what it is, and not for a row of short options."""
    make = command.make_parser

    def make_parser(ctx: click.Context) -> Any:
        parser: Any = make(ctx)
        process = parser._process_opts  # noqa: SLF001 - click has no public place for it

        def take(word: str, state: Any) -> None:
            if IDENT.fullmatch(word) and word not in parser._long_opt:  # noqa: SLF001
                state.largs.append(word)
            else:
                process(word, state)

        parser._process_opts = take  # noqa: SLF001
        return parser

    if not hasattr(command, "takes_ids"):
        command.make_parser = make_parser  # type: ignore[method-assign]
        command.takes_ids = True  # type: ignore[attr-defined]


class TableGroup(click.Group):
    """Shows its table, and imports one command to run it or to show its own help."""

    lazy = True
    """``take_anywhere`` leaves what is below alone: each command gets its options when it is imported."""

    def __init__(self, *args: Any, table: Table, **settings: Any) -> None:
        self.table = table
        super().__init__(*args, **settings)

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """All of them, imported: for who looks at everything."""
        return {name: found for name in self.table if (found := self._import(name)) is not None}

    @commands.setter
    def commands(self, _: Any) -> None:
        """Take none: the table has them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        return self._import(cmd_name)

    def _import(self, name: str) -> click.Command | None:
        entry = self.table.get(name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry[0]).command
        take_ids(command)
        return take_anywhere(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the closest command when there is none of that name."""
        name = args[0] if args else ""
        if name not in self.table and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, self.table, n=1)
            also = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{also}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])
