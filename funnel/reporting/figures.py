"""Numbers and names as people read them: one way of writing each, on the page and in its charts."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence

UNDEFINED = "\u2013"  # a dash
TIMES = "\u00d7"
MINUS = "\u2212"
NBSP = "\u00a0"  # a number and its unit stay on one line
JOINERS = "\u200c\u200d"  # format characters that letters of many scripts, and emoji, are made with
WIDE = "mwMW@%�…"
Interval = Sequence[float] | None

# By figure: its title, and what it means in one line.
FIGURES = {
    "auc": ("AUC", "the chance that a positive is ranked above a negative; 0.5 is chance, 1 perfect"),
    "group_auc": ("group AUC", "the same among the rows of one {unit}, averaged over those with both classes"),
    "pr_auc": ("PR AUC", "mean precision over all thresholds; chance is the rate of positives"),
    "log_loss": ("log loss", "mean cross-entropy in nats; lower is better"),
    "normalized_entropy": ("normalised entropy", "log loss over that of the plain rate; 1 is no better than knowing the rate"),
    "predicted_over_observed": ("predicted / observed", "sum of the probabilities over the positives; 1 is calibrated"),
    "calibration_error": ("calibration error", "mean distance of predicted and observed over the bins, and by chance alone"),
}


def shown(text: str) -> str:
    """A text without characters that cannot be seen, which would break a file, or turn the order of what follows."""
    return "".join("�" if unicodedata.category(letter)[0] == "C" and letter not in JOINERS else letter for letter in text)


def cells(text: str) -> float:
    """How wide a text is, in small letters: capitals are wider, and Chinese and its like nearly take the room of two."""
    return sum(
        0 if unicodedata.combining(letter)
        else 1.7 if unicodedata.east_asian_width(letter) in "WF" or letter in WIDE
        else 1.25 if letter.isupper()
        else 1
        for letter in text
    )  # fmt: skip


def shorten(text: str, most: int) -> str:
    """A text that takes no more room than so many letters."""
    if cells(text) <= most:
        return text
    kept = ""
    for letter in text:
        if cells(kept + letter) > most - 1.7:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def count(number: float | None) -> str:
    """Rows: 9,999; of weighted rows, which are seldom whole, 184.2."""
    if number is None:
        return UNDEFINED
    return f"{number:,.0f}" if abs(number) >= 1000 or math.isclose(number, round(number), abs_tol=1e-9) else f"{number:,.1f}"


def counted(number: float, one: str, many: str | None = None) -> str:
    """1 row, 2 rows."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def small(number: float | None) -> str:
    """A figure that may be far below 1, with three significant digits."""
    return UNDEFINED if number is None else score(number, max(3, 2 - math.floor(math.log10(number))) if number > 0 else 3)


def score(number: float | None, digits: int = 3) -> str:
    """A figure around 1."""
    return UNDEFINED if number is None else f"{number:.{digits}f}"


def digits(interval: Interval, usual: int = 3) -> int:
    """How many digits after the point an interval bears."""
    width = interval[1] - interval[0] if interval else 0.0
    return usual if width <= 0 else max(2, min(5, 1 - math.floor(math.log10(2 * width))))


def below(number: float | None, interval: Interval, places: int | None = None) -> str:
    """A figure, and in the next line of its cell its interval."""
    places = digits(interval) if places is None else places
    return score(number, places) + (f"\n{span(interval, places)}" if interval is not None and number is not None else "")


def span(interval: Interval, places: int) -> str:
    """0.48 to 0.54."""
    return "" if interval is None else f"{score(interval[0], places)} to {score(interval[1], places)}"


def with_interval(number: float | None, interval: Interval, places: int | None = None) -> str:
    """0.51 (0.48 to 0.54)."""
    places = digits(interval) if places is None else places
    return score(number, places) + (f" ({span(interval, places)})" if interval is not None and number is not None else "")


def percent(share: float | None, significant: int = 3) -> str:
    """A share with so many significant digits: 20.0 %, 0.0184 %."""
    if share is None:
        return UNDEFINED
    number = 100 * share
    if number == 0:
        return f"0{NBSP}%"
    if abs(number) < 1e-6:
        return f"{number:.1e}{NBSP}%"
    places = max(0, significant - 1 - math.floor(math.log10(abs(number))))
    return f"{number:,.{places}f}{NBSP}%"


def plain_percent(share: float) -> str:
    """A share at a tick of an axis, as short as can be."""
    return f"{100 * share:.6g}{NBSP}%"


def ratio(factor: float) -> str:
    """How many times, with two significant digits or more: 0.042, 0.42, 1.82, 12."""
    if factor >= 10:
        return f"{factor:,.0f}"
    return f"{factor:.2f}" if factor >= 0.1 else f"{factor:.2g}"


def signed(number: float, places: int | None = None) -> str:
    """A difference, with its sign: +0.012."""
    text = f"{number:+.3g}" if places is None else f"{number:+.{places}f}"
    return ("0" if float(text) == 0 else text).replace("-", MINUS)


def difference(change: Mapping[str, float], places: int | None = None) -> str:
    """+0.012 (+0.004 to +0.020)."""
    value, low, high = change["value"], change["low"], change["high"]
    if places is None:
        places = max(3, min(6, 2 - math.floor(math.log10(2 * (high - low))))) if high > low else 3
    return f"{signed(value, places)} ({signed(low, places)} to {signed(high, places)})"
