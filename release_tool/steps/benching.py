"""Measure archives side by side, and write what was measured of those of the work folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from release_tool.core.speed import SLOWER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from release_tool.core.speed import Beside, Measured, Speed
    from release_tool.global_options import Context
    from release_tool.services.speed_ring import Lengths
    from release_tool.services.speed_rounds import Candidate, Found, Timed
    from release_tool.steps.bench_subjects import Subject
    from release_tool.steps.release_reading import Release

NODE, RUNTIME = "node", "runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for; null where nothing was said."""

    ring: str
    rounds: int
    lengths: tuple[int, ...] | None
    budgets: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One archive that was measured."""

    file_name: str
    sha256: str
    size: int
    measured: Measured
    first: Beside | None
    """Beside the first archive of the run, where nothing was named to be measured against; for people only."""
    budgets: dict[str, float]
    failures: tuple[str, ...]
    open: tuple[str, ...]
    """Lengths at which the rounds do not tell whether the budget is kept, in words."""
    against: bool
    """It is the archive that the others were measured against."""
    document: str | None


def parse_settings(
    ring: str | None, rounds: int | None, lengths: str | None, budgets: tuple[str, ...], against: Path | None
) -> Settings:
    """Read the flags.

    Raises:
        RequestError: every fault at once.
    """
    from release_tool.core.speed import DEFAULT_ROUNDS, RELATIVE
    from release_tool.core.speed_inputs import parse_budgets, parse_lengths, rounds_fault
    from release_tool.errors import Fault, RequestError

    allowed, faults = parse_budgets(budgets)
    wanted, more = parse_lengths(lengths)
    faults += more + rounds_fault(rounds)
    faults += [
        Fault("--budget", f"{name} is measured beside another archive", "name it with --against")
        for name in RELATIVE
        if name in allowed and against is None
    ]
    if faults:
        raise RequestError(tuple(faults))
    return Settings(ring=ring or RUNTIME, rounds=rounds or DEFAULT_ROUNDS, lengths=wanted, budgets=allowed)


def run_bench(
    context: Context, archives: tuple[Path, ...], against: Path | None, settings: Settings
) -> tuple[Result, ...]:
    """Measure every archive, write the documents of those of the work folder, and return a result each.

    Raises:
        UsageError: nothing to measure, archives of different kinds, or a length that one can't be asked.
        IntegrityError: bytes are not those that the documents name.
        ValidationFailed: the server would refuse an archive.
        ReleaseError: the ring can't work on this machine.
    """
    from release_tool.services.cache import cache_folder
    from release_tool.services.extras import require_trace_extra
    from release_tool.steps.bench_subjects import chosen

    require_trace_extra()
    release, subjects, other = chosen(context, archives, against)
    every = [*subjects, *([other] if other else [])]
    planned = {} if release is None else dict(release.plan.budgets or {})
    allowed = [_budgets(subject, other, planned, settings) for subject in every]
    doubt = partial(_is_open, [budgets.get(SLOWER) for budgets in allowed] if other is not None else [])
    timed = _timed(context, [one.candidate for one in every], settings, cache_folder(os.environ), doubt)
    results = []
    for place, subject in enumerate(every):
        base = len(every) - 1 if other is not None else 0
        compared = None if len(every) == 1 or place == base else _beside(every[base], timed[place], timed[base])
        measured = _measured(settings.ring, timed[place], compared if other else None)
        results.append(_result(context, release, subject, measured, compared, allowed[place], against=subject is other))
    return tuple(results)


def _budgets(
    subject: Subject, other: Subject | None, planned: dict[str, float], settings: Settings
) -> dict[str, float]:
    """Return what an archive may cost: the plan's own say, and in its place what a flag says; nothing of the other."""
    if subject is other:
        return {}
    return {**(planned if subject.bundle is not None else {}), **settings.budgets}


def _is_open(limits: list[float | None], found: Found) -> bool:
    """Tell whether the rounds leave it open if an archive is slower than it may be; the last one is the other."""
    from release_tool.core.speed_ratio import ratio_of, undecided

    return any(
        undecided([ratio_of(length, blocks, found[-1][length]) for length, blocks in rounds.items()], limit)
        for limit, rounds in zip(limits, found, strict=False)
        if limit is not None
    )


def _timed(
    context: Context, candidates: list[Candidate], settings: Settings, cache: Path, is_open: Callable[[Found], bool]
) -> list[Timed]:
    from release_tool.core.speed import DEFAULT_LENGTHS
    from release_tool.services.speed_ring import choose_lengths, open_ring

    wanted = settings.lengths or DEFAULT_LENGTHS
    with open_ring(cache, context.console) as ring:
        prepared = [ring.lengths(place, candidate, wanted) for place, candidate in enumerate(candidates)]
        lengths = choose_lengths(prepared, wanted, named=settings.lengths is not None)
        words = f"{len(candidates)} archives, {settings.rounds} rounds, {', '.join(map(str, lengths))} tokens"
        with context.console.step(f"Measure {words}"):
            if settings.ring == NODE:
                return _on_node(context, prepared, lengths, settings.rounds, is_open)
            return ring.time(prepared, lengths, settings.rounds, is_open)


def _on_node(
    context: Context,
    prepared: list[Lengths],
    lengths: tuple[int, ...],
    rounds: int,
    is_open: Callable[[Found], bool],
) -> list[Timed]:
    from release_tool.services.node import running_node
    from release_tool.services.speed_node import time_on_node

    with running_node(context.console, env=os.environ) as node:
        return time_on_node(node, prepared, lengths, rounds, is_open, console=context.console)


def _measured(ring: str, timed: Timed, beside: Beside | None) -> Measured:
    from release_tool.core.speed import Measured, times_of
    from release_tool.services.processor import processor_words

    return Measured(
        ring=ring,
        times=tuple(times_of(length, rounds) for length, rounds in sorted(timed.rounds.items())),
        load_seconds=timed.load_seconds,
        loaded_bytes=timed.loaded_bytes,
        peak_bytes=timed.peak_bytes,
        rounds=len(next(iter(timed.rounds.values()))),
        starts=timed.starts,
        versions=timed.versions,
        pinned=timed.pinned,
        note=timed.note,
        machine=processor_words(),
        beside=beside,
    )


def _beside(other: Subject, ours: Timed, others: Timed) -> Beside:
    from release_tool.core.speed import Beside, times_of
    from release_tool.core.speed_ratio import ratio_of

    return Beside(
        file_name=other.candidate.archive.name,
        sha256=other.sha256,
        size=other.size,
        times=tuple(times_of(length, rounds) for length, rounds in sorted(others.rounds.items())),
        ratios=tuple(ratio_of(length, ours.rounds[length], others.rounds[length]) for length in sorted(ours.rounds)),
    )


def _result(
    context: Context,
    release: Release | None,
    subject: Subject,
    measured: Measured,
    compared: Beside | None,
    budgets: dict[str, float],
    *,
    against: bool,
) -> Result:
    from release_tool.core.speed import over, over_size, speed_name

    document = None
    failures = (*over_size(subject.size, budgets), *over(measured, subject.size, budgets))
    if release is not None and subject.bundle is not None and not against:
        speed = _written(context, release, subject, measured, budgets)
        document, failures = speed_name(speed.artifact), speed.failures()
        for name in speed.not_judged():
            context.console.warning(f"{speed.artifact}: the budget {name} was not judged; name --against.")
    limit = budgets.get(SLOWER)
    doubtful = [] if limit is None or measured.beside is None else measured.beside.ratios
    return Result(
        file_name=subject.candidate.archive.name,
        sha256=subject.sha256,
        size=subject.size,
        measured=measured,
        first=compared,
        budgets=budgets,
        failures=failures,
        open=tuple(f"{ratio.tokens} tokens" for ratio in doubtful if limit is not None and ratio.is_open(limit)),
        against=against,
        document=document,
    )


def _written(
    context: Context, release: Release, subject: Subject, measured: Measured, budgets: dict[str, float]
) -> Speed:
    """Write the document, what was measured in the other ring kept, and the certificate that it belongs to."""
    from release_tool.core.certificate import certificate_name
    from release_tool.core.speed import Speed, speed_name
    from release_tool.steps.certifying import certify_again, current_speed, measured_uses

    bundle = subject.bundle
    if bundle is None:
        raise AssertionError(subject)
    before = current_speed(release.work, bundle)
    kept = () if before is None else tuple(one for one in before.measured if one.ring != measured.ring)
    speed = Speed(
        uses=measured_uses(release.work, bundle),
        artifact=bundle.artifact,
        kind=bundle.kind,
        variant=release.plan.artifact(bundle.artifact).variant,
        archive_sha256=bundle.archive.sha256,
        size=bundle.archive.size,
        budgets=budgets,
        measured=tuple(sorted((*kept, measured), key=lambda one: one.ring)),
    )
    release.work.write(speed_name(bundle.artifact), speed)
    if not certify_again(context, release, bundle):
        context.console.info(f"{certificate_name(bundle.artifact)} will hold it when validate has run.")
    return speed
