"""What a column holds: counted over all rows, piece by piece.

Letters: n rows of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from funnel.data.label_numbers import label_numbers

CONSOLIDATE = 1 << 21  # counts kept before equal values are added up
WHOLE = r"^-?\d{1,18}$"
FEW = 5
PADDED = r"^-?0\d"


@dataclass
class Counts:
    """How often each value comes, by its hash: exact, but for hashes that collide (one in 10^19 / n^2)."""

    _parts: list[pl.DataFrame] = field(default_factory=list)
    _kept: int = 0

    def see(self, values: pl.Series) -> None:
        """Some values, null among them."""
        hashes = values.drop_nulls().hash(1)
        self._parts.append(hashes.alias("hash").value_counts(name="count"))
        self._kept += self._parts[-1].height
        if self._kept > CONSOLIDATE:
            self._parts = [self._all()]
            self._kept = self._parts[0].height // 2

    def _all(self) -> pl.DataFrame:
        return pl.concat(self._parts).group_by("hash").agg(pl.col("count").sum())

    def result(self) -> tuple[int, int, int]:
        """How many different values there are, how many of them come once, and the rows of those that come rarely."""
        if not self._parts:
            return 0, 0, 0
        counts = self._all()["count"]
        return len(counts), int((counts == 1).sum()), int(counts.filter(counts < FEW).sum())


@dataclass
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: What its type can hold: `text`, `whole`, `real`, `yes_no`, `list`, `time`, or `other`.
        typed: Whether the file says so itself; in text files everything is text.
        rows: All rows.
        missing: Rows without a value: null, NaN, or an empty text.
        numbers: Values that are numbers, or texts of finite ones.
        wholes: Values that are whole numbers, or texts of them.
        padded: Texts of digits that begin with a zero: 007 is no number.
        binary: Values that are 0 or 1, or true or false.
        broken: Texts with line breaks.
        ones: Values that are 1.
        zeros: Values that are 0.
        low: The least number.
        high: The greatest number.
        odd: A text that is no number, where there is one.
        distinct: Different values.
        once: Values that come once.
        rare: Rows of values that come less than 5 times.
        digest: The same for columns of equal values in equal order.
    """

    name: str
    kind: str
    typed: bool
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    wholes: int = 0
    padded: int = 0
    binary: int = 0
    broken: int = 0
    ones: int = 0
    zeros: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    odd: str | None = None
    distinct: int = 0
    once: int = 0
    rare: int = 0
    digest: int = 0
    _counts: Counts = field(default_factory=Counts)

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def numeric(self) -> bool:
        """Whether every value is a number."""
        return self.known > 0 and self.numbers == self.known

    @property
    def whole(self) -> bool:
        """Whether every value is a whole number."""
        return self.known > 0 and self.wholes == self.known

    @property
    def is_label(self) -> bool:
        """Whether every value is 0 or 1, and there are both."""
        return self.known > 0 and self.binary == self.known and 0 < self.ones < self.known

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.rows > 1 and self.missing == 0 and self.distinct == self.rows

    def see(self, series: pl.Series) -> None:
        """The values of a piece: [n]."""
        values = bare(series)
        text = as_text(values)
        self._counts.see(text)
        place = np.arange(self.rows, self.rows + len(values), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        hashes = text.hash(2).to_numpy().astype(np.uint64)
        self.digest = (self.digest + int((hashes * place).sum(dtype=np.uint64))) % (1 << 64)
        self.rows += len(values)
        self.missing += values.null_count()
        if self.kind in ("text", "whole", "real", "yes_no"):
            self._see_numbers(values)

    def _see_numbers(self, values: pl.Series) -> None:
        numbers = numbers_of(values)
        self.numbers += len(numbers) - numbers.null_count()
        if self.kind == "text":
            stripped = values.str.strip_chars()
            self.wholes += int(stripped.str.contains(WHOLE).sum())
            self.padded += int(stripped.str.contains(PADDED).sum())
            self.broken += int(values.str.contains(r"[\r\n]").sum())
            if self.odd is None and numbers.null_count() > values.null_count():
                self.odd = str(values.filter(numbers.is_null() & values.is_not_null())[0])
        else:
            self.wholes += int((numbers == numbers.floor()).sum())
        labels = label_numbers(values)
        self.zeros += int((labels == 0).sum())
        self.ones += int((labels == 1).sum())
        self.binary = self.zeros + self.ones
        if len(numbers) > numbers.null_count():
            low, high = numbers.min(), numbers.max()
            self.low, self.high = min(self.low, float(low)), max(self.high, float(high))  # type: ignore[arg-type]

    def settle(self) -> None:
        """All rows were seen."""
        self.distinct, self.once, self.rare = self._counts.result()
        self._counts = Counts()


def kind_of(dtype: Any) -> str:
    """What a column of a type can hold."""
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype.is_integer():
        return "whole"
    if dtype.is_float() or dtype.is_decimal():
        return "real"
    if dtype == pl.Boolean or dtype.base_type() in (pl.Date, pl.Datetime):
        return "yes_no" if dtype == pl.Boolean else "time"
    if dtype.base_type() in (pl.List, pl.Array) and kind_of(dtype.inner) in ("text", "whole", "real"):
        return "list"
    return "other"


def bare(series: pl.Series) -> pl.Series:
    """Values as a schema reads them: categories are text; NaN and empty texts are null."""
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        return series.replace("", None)
    return series.fill_nan(None) if series.dtype.is_float() else series


def as_text(values: pl.Series) -> pl.Series:
    """One text for each value, equal for equal values."""
    kind = kind_of(values.dtype)
    if kind == "list":
        inner = (
            values.cast(pl.List(pl.String))
            if values.dtype.base_type() == pl.List
            else values.arr.to_list().cast(pl.List(pl.String))
        )
        return inner.list.join("\x1f", ignore_nulls=True)
    if kind == "yes_no":
        values = values.cast(pl.Int8)
    if kind == "other":
        return pl.Series(values.name, [None if one is None else repr(one) for one in values.to_list()], pl.String)
    return values.cast(pl.String)


def numbers_of(values: pl.Series) -> pl.Series:
    """Finite numbers, null for everything else: float64 [n]."""
    if values.dtype == pl.String:
        values = values.str.strip_chars()
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(value=True), None)


def share(rows: pl.Series) -> float:
    """Of how many rows something is true: bool [n], null counts as no."""
    return int(rows.sum()) / max(1, len(rows))
