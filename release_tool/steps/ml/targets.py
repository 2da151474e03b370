"""What register is told about a target beside its bytes: its config, its sha256, where it can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import minor
from release_tool.errors import Fault, RequestError, UsageError, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.ml.pretrained import Pretrained
    from release_tool.global_options import Context

LISTING = Path("model_listing/pretrained_models_all_versions.json")


def archive_config(context: Context, archive: Path, given: Path | None) -> dict[str, Any]:
    """Return the config.json of an archive: the one named, or the one beside it.

    Raises:
        UsageError: there is none, or it is no register request.
    """
    from release_tool.archives.reading import read_config
    from release_tool.steps.compat import find_config

    chosen = given if given is not None else find_config(archive)
    if chosen is None:
        raise UsageError(f"There is no config.json beside {archive.name}.", hint="Name it with --config.")
    context.console.debug(f"config: {chosen}")
    return _checked(read_config(chosen))


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config.json whose fields have the types that a register request can be made of.

    Raises:
        RequestError: they have not, or it describes a model without an archive.
    """
    faults = [
        Fault(f"config.json: {key}", "is no text")
        for key in ("name", "version", "description", "function_name", "model_format")
        if not isinstance(config.get(key), str | None)
    ]
    if not isinstance(config.get("model_config"), dict | None):
        faults.append(Fault("config.json: model_config", "is no object"))
    if str(config.get("function_name")).upper() == "REMOTE":
        faults.append(Fault("config.json: function_name", "is REMOTE, and such a model has no archive", "use --remote"))
    if faults:
        raise RequestError(tuple(faults))
    return config


def check_compat(context: Context, archive: Path, config: Mapping[str, Any], version: str, *, force: bool) -> None:
    """Refuse an archive that can't run on a server of this version, with the reason.

    Raises:
        ValidationFailed: it can't.
    """
    from dataclasses import replace

    from release_tool.archives.reading import operator_tables, read_archive
    from release_tool.core.compat import verdicts
    from release_tool.core.opensearch import KNOWN_VERSIONS
    from release_tool.core.verdicts import Basis, Severity

    asked = minor(version)
    if asked not in KNOWN_VERSIONS:
        context.console.warning(
            f"OpenSearch {version} is not known here; whether the archive runs on it is not judged."
        )
        return
    facts = replace(read_archive(archive), config=dict(config))
    (verdict,) = verdicts(facts, (asked,), tables=operator_tables())
    if verdict.deploys:
        return
    worst = next((one for one in verdict.findings if one.severity in (Severity.FATAL, Severity.UNKNOWN)), None)
    why = f"{worst.what} {worst.why}" if worst else "No rule covers it."
    if force or verdict.basis is Basis.UNKNOWN:
        context.console.warning(f"{archive.name} may not run on OpenSearch {asked}: {why}")
        return
    raise ValidationFailed(
        f"{archive.name} can't run on OpenSearch {asked}: {why}",
        hint=f"{worst.fix if worst else ''} --force sends it nevertheless.".strip(),
    )


def address_config(context: Context, url: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the config.json of an archive at an address, and the archive's sha256.

    Raises:
        UsageError: neither is to be had without a download that nobody consented to.
        Unreachable: the address does not answer.
    """
    from release_tool.archives.reading import read_config
    from release_tool.services.cluster.fetching import fetch_config, fetch_sha256

    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UsageError(
            "The address holds a user or a password, which the cluster would keep and show.",
            hint="Offer the archive at an address without, or register the file itself.",
        )
    config = read_config(given["config"]) if given["config"] else fetch_config(url)
    if config is None:
        raise UsageError("There is no config.json beside the archive at this address.", hint="Name one with --config.")
    sha256 = given["sha256"] or config.get("model_content_hash_value")
    if not sha256 and given["download"]:
        with context.console.step("Download, to know the sha256"):
            sha256 = fetch_sha256(url)
    if not sha256:
        raise UsageError(
            "Nobody says the sha256 of the archive at this address.",
            hint="Give it with --sha256, or let it be downloaded and hashed with --download.",
        )
    text = str(sha256).strip().lower()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise RequestError((Fault("--sha256", f"{text[:80]!r} is no sha256", "64 hexadecimal digits"),))
    return _checked(config), text


def table_of(context: Context, listing: Path | None = None) -> tuple[Pretrained, ...]:
    """Return the table of pretrained models, with what the listing has beyond it.

    Raises:
        UsageError: the listing can't be read.
    """
    from release_tool.core.ml.pretrained import refreshed

    path = listing if listing is not None else context.repo / LISTING
    if listing is None and not path.is_file():
        return refreshed(None)
    return refreshed(_read_listing(path))


def _read_listing(path: Path) -> dict[str, dict[str, list[str]]]:
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.core.codec import DocumentFault, parse_text

    try:
        data = parse_text(read_bounded(path).decode())
        return {
            str(entry["name"]): {
                str(version): [str(name) for name in said["format"]] for version, said in entry["versions"].items()
            }
            for entry in data
        }
    except (OSError, NotReadable, UnicodeDecodeError, DocumentFault, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no listing of models: {error}.", hint="Name another file.") from error


def listed(context: Context, name: str, version: str | None, fmt: str | None) -> tuple[Pretrained, str, str]:
    """Return a pretrained model with the version and the format that are meant.

    Raises:
        RequestError: there is none of that name, version or format; what there is is named.
    """
    from release_tool.core.ml.pretrained import find
    from release_tool.core.request import closest

    table = table_of(context)
    model = find(table, name)
    if model is None:
        near = closest(name, tuple(one.name for one in table))
        raise RequestError((Fault("NAME", f"{name[:120]!r} is no file and no pretrained model", near),))
    version = version or model.versions[0]
    fmt = fmt or model.formats[0]
    faults = []
    if version not in model.versions:
        faults.append(Fault("--version", f"{model.name} has no {version}", ", ".join(model.versions)))
    if fmt not in model.formats:
        faults.append(Fault("--format", f"{model.name} has no {fmt}", ", ".join(model.formats)))
    if faults:
        raise RequestError(tuple(faults))
    return model, version, fmt
