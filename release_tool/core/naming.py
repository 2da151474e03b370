"""Names of a release: object keys and file names, and the check that ML Commons will derive the same.

ML Commons builds the address of a pretrained archive from the registered name
(``MLEngine``): everything after the first ``/`` of the name, ``/`` turned into ``_``, then version and format. A
release whose file is called otherwise can never be found (opensearch-py-ml #402, #413).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from release_tool.core.kinds import Format

ROOT = "ml-models"
"""First part of every object key."""

CONFIG_FILE = "config.json"
TOKENIZER_SUFFIX = "-tokenizer"
"""Of a tokenizer that is released together with its encoder, so that both can bear the same version."""

MAX_KEY_BYTES = 1024
"""Bytes: the longest object key that S3 takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Every name of one archive."""

    registered_name: str
    file_name: str
    key: str
    config_key: str


def name_archive(*, model_source: str, prefix: str, model_name: str, version: str, fmt: Format) -> Names:
    """Return the names of one archive.

    Args:
        model_source: first part of the registered name (``huggingface``).
        prefix: second part; empty for models that have none (``amazon/metrics_correlation``).
        model_name: last part.
        version: of the release.
        fmt: format, as it stands in keys.
    """
    parts = [part for part in (prefix, model_name) if part]
    registered = "/".join((model_source, *parts))
    folder = f"{ROOT}/{registered}/{version}/{fmt.value}"
    file_name = f"{'_'.join(parts)}-{version}-{fmt.value}.zip"
    return Names(
        registered_name=registered,
        file_name=file_name,
        key=f"{folder}/{file_name}",
        config_key=f"{folder}/{CONFIG_FILE}",
    )


def derived_key(registered_name: str, version: str, fmt: Format) -> str:
    """Return the key that ML Commons asks for when a pretrained model of this name is registered."""
    after_first = registered_name.partition("/")[2]
    stem = after_first.replace("/", "_")
    return f"{ROOT}/{registered_name}/{version}/{fmt.value}/{stem}-{version}-{fmt.value}.zip"


def default_prefix(model_id: str) -> str:
    """Return the organisation of ``org/name``; ``local`` for a folder, whose id starts with it; empty without one."""
    return model_id.partition("/")[0] if "/" in model_id else ""


def default_name(model_id: str) -> str:
    """Return the last part of a model id."""
    return model_id.rpartition("/")[2]
