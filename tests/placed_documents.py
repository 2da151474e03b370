"""Documents of an index whose ids are their places."""

from __future__ import annotations


class Documents:
    """Ids that are places."""

    def id(self, place):
        return f"d{place}"

    def place(self, wanted):
        return int(wanted[1:]) if wanted.startswith("d") else None
