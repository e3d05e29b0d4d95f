"""Numbers as people write them, each held together by no-break spaces."""

__all__ = ["count", "duration", "milliseconds", "percent", "points", "ratio", "relative", "with_error"]

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def count(number: float) -> str:
    """A count with three significant digits: ``12.5 M``, ``0.27 M``, ``9.5 k``, ``1.2 G``, ``640``.

    Millions are the unit from ten thousand to a billion, so that two networks are read on one scale.
    """
    if number < 1_000:
        return f"{number:.0f}"
    scale, unit = (1e9, "G") if number >= 999.5e6 else (1e6, "M") if number >= 10_000 else (1e3, "k")
    value = number / scale
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.0995 else 3
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text}{SPACE}{unit}"


def duration(seconds: float | None) -> str:
    """A time in its two largest units: ``3 min 12 s``, ``1 h 05 min``, ``2 d 03 h``, ``0.8 s``; None is a dash."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return SPACE.join([str(whole // 60), "min", f"{whole % 60:02d}", "s"])
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return SPACE.join([str(minutes // 60), "h", f"{minutes % 60:02d}", "min"])
    hours = round(seconds / 3600)
    return SPACE.join([str(hours // 24), "d", f"{hours % 24:02d}", "h"])


def milliseconds(value: float) -> str:
    """A latency with three significant digits: ``4.21 ms``, ``120 ms``."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}{SPACE}ms"


def percent(rate: float) -> str:
    """A rate from 0 to 1 as a percentage with one decimal: ``71.3%``."""
    return f"{_hundredfold(rate):.1f}%"


def points(difference: float) -> str:
    """A difference of two rates in percentage points, with its sign: ``+3.2``, ``−0.4``, ``0.0``."""
    return _signed(f"{_hundredfold(difference):+.1f}")


def ratio(value: float) -> str:
    """How many times as large something is, with four significant digits or more: ``1.5``, ``12.35``, ``12,346``."""
    return f"{value:,.0f}" if value >= 999.95 else f"{value:.4g}"


def relative(value: float, reference: float) -> str:
    """How far ``value`` is from a positive ``reference``, in percent of it: ``−69%``, ``+4%``, ``0%``."""
    return _signed(f"{100 * (value / reference - 1):+.0f}") + "%"


def with_error(text: str, error: float) -> str:
    """A rate or a difference of rates, already written, with its standard error: ``71.3% ± 1.1``."""
    return f"{text}{SPACE}±{SPACE}{100 * error:.1f}"


def _hundredfold(share: float) -> float:
    """Without the last digits of binary fractions: else equal rates that were added up in other ways round apart."""
    return round(100 * share, 9)


def _signed(text: str) -> str:
    return text.replace("-", MINUS) if float(text) else text[1:]
