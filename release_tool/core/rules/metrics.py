"""Rules about metrics correlation, which is executed and not predicted.

Source: ``MetricsCorrelation``, ``DLModelExecute``, ``MLRegisterModelInput`` and the settings of ML Commons, tag by tag;
a real 3.6.0 node registered, deployed and executed such archives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.verdicts import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.verdicts import Target

MORE_METRICS_SINCE = "3.5"


def executed(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """What an operator must know beyond the archive."""
    if facts.kind is not ModelKind.METRICS_CORRELATION:
        return
    yield Finding(
        rule="metrics-setting",
        severity=Severity.WARNING,
        what="Metrics correlation is switched off on a server as it is installed.",
        why="Executing is refused: This algorithm is not enabled from settings.",
        fix="Set plugins.ml_commons.enable_inhouse_python_model to true.",
    )
    yield Finding(
        rule="metrics-one",
        severity=Severity.NOTE,
        what="A cluster has one metrics correlation model.",
        why="execute takes the one that was deployed last; without one it registers the server's own from its makers.",
        fix="Delete the other one first, and deploy this one before anybody executes.",
    )
    yield Finding(
        rule="metrics-register",
        severity=Severity.WARNING,
        what="The register request can't travel from one node to another.",
        why="The receiving node reads model_config by another layout than the sending one writes.",
        fix="Register on a cluster with one ML node, or send the request to the node that does the task.",
    )
    if target.before(MORE_METRICS_SINCE):
        yield Finding(
            rule="metrics-shape",
            severity=Severity.NOTE,
            what="There must be fewer metrics than points in time.",
            why="The number of metrics to correlate must be smaller than the length of each time series.",
            fix=f"Ask with longer series, or serve it from {MORE_METRICS_SINCE} on.",
        )


RULES = (executed,)
