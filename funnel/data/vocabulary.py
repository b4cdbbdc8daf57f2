"""The ids that training rows hold, by embedding table; in files, one id a line, that export takes as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.errors import DataError, RunError
from funnel.schema.learnt import FIRST, MISSING, OOV


@dataclass(frozen=True)
class Vocabulary:
    """The ids that have a row of their own.

    Attributes:
        terms: By table: text [ids], most frequent first, equals in the order of their text. Id i has row `FIRST + i`.
    """

    terms: dict[str, pl.Series]

    def encode(self, table: str, text: pl.Series) -> NDArray[np.int32]:
        """Rows of ids: MISSING for null, OOV for unknown ones. Text [n] -> int32 [n]."""
        terms = self.terms[table]
        known = pl.DataFrame({"text": terms, "row": np.arange(FIRST, FIRST + len(terms), dtype=np.int32)})
        found = text.rename("text").to_frame().join(known, on="text", how="left", maintain_order="left")["row"]
        rows: NDArray[np.int32] = found.fill_null(OOV).to_numpy(writable=True)
        rows[text.is_null().to_numpy()] = MISSING
        return rows

    def save(self, folder: Path) -> None:
        """Write `<table>.txt` for each table."""
        folder.mkdir(parents=True, exist_ok=True)
        for table, terms in self.terms.items():
            (folder / f"{table}.txt").write_text("".join(f"{term}\n" for term in terms), encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, folder: Path, tables: Iterable[str]) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            RunError: A file is missing.
        """
        terms = {}
        for table in tables:
            path = folder / f"{table}.txt"
            if not path.is_file():
                raise RunError(f"{path}: no such file, expected a vocabulary. The run is not whole: fit again.")
            # Not splitlines(), nor text mode: an id may hold characters that they take for line breaks.
            lines = path.read_bytes().decode("utf-8").split("\n")[:-1]
            terms[table] = pl.Series(table, lines, dtype=pl.String)
        return cls(terms)


def count_ids(ids: Iterable[tuple[pl.Series, NDArray[np.int64]]]) -> pl.DataFrame:
    """How often each id is seen.

    Args:
        ids: Text [n] (null is not counted), and how often each of them counts: int64 [n].

    Returns:
        `term` and `count`, most frequent first, equals in the order of their text; ids that count 0 are left out.
    """
    parts = [
        pl.DataFrame({"term": text.rename("term"), "count": counts})
        .drop_nulls("term")
        .group_by("term")
        .agg(pl.col("count").sum())
        for text, counts in ids
    ]
    counted = pl.concat(parts).group_by("term").agg(pl.col("count").sum()).filter(pl.col("count") > 0)
    return counted.sort("count", "term", descending=[True, False])


def choose_terms(counted: pl.DataFrame, table: str, min_count: int, max_rows: int | None) -> pl.Series:
    """The ids that get a row of their own.

    Raises:
        DataError: An id holds a line break.
    """
    chosen = counted.filter(pl.col("count") >= min_count)["term"]
    chosen = chosen if max_rows is None else chosen.head(max_rows)
    broken = chosen.str.contains("[\r\n]")
    if broken.any():
        found = chosen.filter(broken)[0]
        raise DataError(f"table {table!r}: the id {found!r} holds a line break, expected none. Clean the column.")
    return chosen.rename(table)
