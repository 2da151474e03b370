"""Numbers as people read them: sizes with units, differences with an exponent, counts with separators.

Pure text; one rule for the page, the plots and the terminal, so that a number never looks different twice.
"""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
TIMES = "\N{MULTIPLICATION SIGN}"
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
PLAIN_FROM = 1e-2
PLAIN_TO = 1e5


def size_text(count: int) -> str:
    """Return bytes in decimal units with three digits: ``91.4 MB``; below 1 kB exactly."""
    for factor, unit in _UNITS:
        # 999,950 B would read "1000 kB": the larger unit is taken as soon as rounding reaches it.
        if count >= factor * 0.9995:
            value = count / factor
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{count} B"


def bytes_text(count: int) -> str:
    """Return the exact number of bytes: ``91,387,124 bytes``."""
    return f"{count:,} byte" + ("" if count == 1 else "s")


def number_text(value: float) -> str:
    """Return a small number with two digits and its power of ten; NaN and infinity by name."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if value == 0:
        return "0"
    if PLAIN_FROM <= abs(value) < PLAIN_TO:
        return f"{value:.2g}" if abs(value) < 1 else f"{value:,.4g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPT)
    mantissa = mantissa.removesuffix(".0")
    return f"10{power}" if mantissa == "1" else f"{mantissa}{TIMES}10{power}"


def power_text(exponent: int) -> str:
    """Return a power of ten for an axis: ``10⁻⁷``; 1 for the zeroth."""
    return "1" if exponent == 0 else "10" + str(exponent).translate(_SUPERSCRIPT)


def ratio_text(limit: float, value: float) -> str:
    """Say how far below a limit a value lies, as a factor, or how far above."""
    if value == 0:
        return "equal"
    if not math.isfinite(value) or limit <= 0:
        return "out of range"
    ratio = limit / value
    if ratio >= 1:
        return "just below" if ratio < 1.05 else f"{_times(ratio)}{TIMES} below"
    return f"{_times(value / limit)}{TIMES} over"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}" if ratio < 1e6 else number_text(ratio)


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return ``1 probe``, ``72 probes``."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def clip(text: str, limit: int = 300) -> str:
    """Return at most ``limit`` characters and say how many there were: nobody's name may bury a page."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
