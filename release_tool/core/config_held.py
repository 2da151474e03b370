"""Hold a config.json against plan and bundle.

The job that writes it runs a model's own code, and what it writes is registered by everybody who serves the model.
Everything in it follows from the plan, from the archive's bytes and from the dimension that the bundle states (which
the proofs measure on the archive itself): so it is made again here, and has to be the same to the byte. Of the model's
own config.json, which it carries, the plan holds the digest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import DocumentFault, parse_text
from release_tool.core.config import WITH_MODEL_CONFIG, config_text, register_request
from release_tool.core.digest import sha256_bytes
from release_tool.core.escape import one_line
from release_tool.core.kinds import ModelKind
from release_tool.core.quantity import clip

if TYPE_CHECKING:
    from release_tool.core.bundle import Bundle
    from release_tool.core.plan import PlannedArtifact, ReleasePlan

MAX_SHOWN = 120


def config_fault(plan: ReleasePlan, artifact: PlannedArtifact, bundle: Bundle, data: bytes) -> str | None:
    """Say what in a config.json does not follow from plan and bundle; null when all of it does.

    Args:
        plan: of the release.
        artifact: of the plan.
        bundle: of this artifact; its archive has the digest that it states.
        data: the bytes of config.json.
    """
    try:
        given = parse_text(data.decode())
    except (UnicodeDecodeError, DocumentFault) as error:
        return f"it is no JSON ({_shown(str(error))})"
    if not isinstance(given, dict):
        return "it is no object"
    stated, asked = bundle.embedding_dimension, plan.request.embedding_dimension
    if artifact.kind is ModelKind.DENSE and (stated is None or asked not in (None, stated)):
        return f"the bundle states {_shown(stated)} dimensions, the plan asks for {_shown(asked)}"
    model_config: dict[str, Any] = {}
    if artifact.kind in WITH_MODEL_CONFIG:
        inner = given.get("model_config")
        text = inner.get("all_config") if isinstance(inner, dict) else None
        wanted = plan.source.model.config_sha256
        if not isinstance(text, str) or wanted is None or sha256_bytes(text.encode()) != wanted:
            return "its all_config is not the config.json of the planned model"
        model_config = json.loads(text)  # the planner has read the same text as an object
    expected = register_request(
        plan,
        artifact,
        model_config=model_config,
        similarity=plan.source.model.similarity,
        embedding_dimension=stated,
        size=bundle.archive.size,
        sha256=bundle.archive.sha256,
    )
    if config_text(expected).encode() == data:
        return None
    return _difference(given, expected, "") or "it is not written as release-tool writes it"


def _difference(given: dict[str, Any], wanted: dict[str, Any], place: str) -> str | None:
    """Return the first difference in words; null where only order or white space differs."""
    for key, value in given.items():
        name = _shown(f"{place}{key}")
        if key not in wanted:
            return f"it holds {name!r}, which does not belong there"
        right = wanted[key]
        if isinstance(value, dict) and isinstance(right, dict):
            inner = _difference(value, right, f"{place}{key}.")
            if inner:
                return inner
        elif json.dumps(value) != json.dumps(right):
            return f"{name!r} is {_shown(value)!r} where plan and archive say {_shown(right)!r}"
    missing = next((key for key in wanted if key not in given), None)
    return None if missing is None else f"it lacks {place}{missing}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clip(one_line(text), MAX_SHOWN)
