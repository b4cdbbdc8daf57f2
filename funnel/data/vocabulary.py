"""The ids that training rows hold, by embedding table; in files, one id a line, that export takes as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import NO_TEXTS, CollisionError, codes_of, spelt
from funnel.data.keyed import Keyed, parts_of
from funnel.data.lookup import Lookup
from funnel.errors import DataError, RunError
from funnel.schema.learnt import FIRST, MISSING, OOV


@dataclass(frozen=True)
class Vocabulary:
    """The ids that have a row of their own.

    Attributes:
        terms: By table: text [ids], most frequent first, equals in the order of their text. Id i has row `FIRST + i`.
        counts: By table: how often each was seen in training rows, int64 [ids]; not there where that is not known.
    """

    terms: dict[str, pl.Series]
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def only(self, tables: Iterable[str]) -> Vocabulary:
        """That of some tables; of those it has."""
        wanted = set(tables)
        terms = {table: terms for table, terms in self.terms.items() if table in wanted}
        return Vocabulary(terms, {table: counts for table, counts in self.counts.items() if table in wanted})

    def encode(self, table: str, text: pl.Series) -> NDArray[np.int32]:
        """Rows of ids: MISSING for null, OOV for unknown ones. Text [n] -> int32 [n]."""
        terms = self.terms[table]
        known = pl.DataFrame({"text": terms, "row": np.arange(FIRST, FIRST + len(terms), dtype=np.int32)})
        found = text.rename("text").to_frame().join(known, on="text", how="left", maintain_order="left")["row"]
        rows: NDArray[np.int32] = found.fill_null(OOV).to_numpy(writable=True)
        rows[text.is_null().to_numpy()] = MISSING
        return rows

    def lookup(self, table: str, seed: int) -> Lookup:
        """How to find the rows of a table's ids by their codes.

        Raises:
            CollisionError: Two ids have one code.
        """
        codes, texts = codes_of(self.terms[table], seed)
        order = np.argsort(codes)
        if (np.diff(codes[order]) == 0).any():
            raise CollisionError
        return Lookup(codes[order], (order + FIRST).astype(np.int32), texts)

    def save(self, folder: Path) -> None:
        """Write `<table>.txt` for each table, and `<table>.counts.npy` where its counts are known."""
        folder.mkdir(parents=True, exist_ok=True)
        for table, counts in self.counts.items():
            np.save(_counts_file(folder, table), counts)
        for table, terms in self.terms.items():
            with (folder / f"{table}.txt").open("wb") as file:
                terms.to_frame().write_csv(file, include_header=False, quote_style="never")

    @classmethod
    def load(cls, folder: Path, tables: Iterable[str]) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            RunError: A file is missing.
        """
        terms, counts = {}, {}
        for table in tables:
            path = folder / f"{table}.txt"
            if not path.is_file():
                raise RunError(f"{path}: no such file, expected a vocabulary. The run is not whole: fit again.")
            # Not splitlines(), nor text mode: an id may hold characters that they take for line breaks.
            lines = path.read_bytes().decode("utf-8").split("\n")[:-1]
            terms[table] = pl.Series(table, lines, dtype=pl.String)
            if (counted := _counts_file(folder, table)).is_file():
                counts[table] = np.load(counted)
        return cls(terms, counts)


def _counts_file(folder: Path, table: str) -> Path:
    return folder / f"{table}.counts.npy"


def choose_terms(
    counts: Keyed, texts: Keyed, table: str, min_count: int, max_rows: int | None
) -> tuple[pl.Series, NDArray[np.int64]]:
    """The ids that get a row of their own, and how often each was seen: most frequent first, equals in the order of their text.

    Args:
        counts: `code` and `count`.
        texts: `code` and `text` of those that are not their own codes.
        table: Its name.
        min_count: Seen less often, an id gets none.
        max_rows: So many at most.

    Raises:
        DataError: An id holds a line break.
    """
    chosen = [pl.DataFrame(schema={"code": pl.Int64, "count": pl.Int64})]
    spellings = [NO_TEXTS]
    for part, spelling in parts_of(counts, texts):
        # Only ids seen often enough are held in memory, as their rows in the network will be.
        if part.height:
            chosen.append(part.filter(pl.col("count") >= max(1, min_count)).select("code", "count"))
            spellings.append((spelling if spelling.width else NO_TEXTS).join(chosen[-1], on="code", how="semi"))
    ordered = _in_order(pl.concat(chosen), pl.concat(spellings))
    ordered = ordered if max_rows is None else ordered.head(max_rows)
    terms = ordered["text"]
    broken = terms.str.contains("[\r\n]")
    if broken.any():
        found = terms.filter(broken)[0]
        raise DataError(f"table {table!r}: the id {found!r} holds a line break, expected none. Clean the column.")
    return terms.rename(table), ordered["count"].to_numpy()


def grown(known: pl.Series, terms: pl.Series, max_rows: int | None) -> pl.Series:
    """Known ids in their order, then those of the others that are new: known ones keep their rows.

    Args:
        known: Text.
        terms: Text.
        max_rows: No new one comes where there are so many.
    """
    new = terms.filter(~terms.is_in(known.implode()))
    room = len(new) if max_rows is None else max(0, max_rows - len(known))
    return pl.concat([known, new.head(room)]).rename(terms.name)


def added(terms: pl.Series, *seen: tuple[pl.Series, NDArray[np.int64]]) -> NDArray[np.int64]:
    """How often ids were seen in several logs: int64 [ids].

    Args:
        terms: The ids.
        seen: By log: ids, each once, and how often each was seen; one that it lacks was not.
    """
    total = np.zeros(len(terms), np.int64)
    for ids, counts in seen:
        known = pl.DataFrame({"text": ids, "count": counts})
        found = terms.rename("text").to_frame().join(known, on="text", how="left", maintain_order="left")["count"]
        total += found.fill_null(0).to_numpy()
    return total


def _in_order(chosen: pl.DataFrame, spellings: pl.DataFrame) -> pl.DataFrame:
    """`text` and `count` of ids, by descending count, then by text."""
    codes = chosen["code"].to_numpy()
    if spellings.height:
        return (
            chosen.with_columns(text=spelt(codes, spellings))
            .sort("count", "text", descending=[True, False])
            .select("text", "count")
        )
    # The order of decimal texts without making them: by their digits from the left, and the shorter first where these are
    # equal.
    digits = np.maximum(np.searchsorted(_POWERS, codes, side="right"), 1)
    aligned = codes.astype(np.uint64) * _POWERS[19 - digits].astype(np.uint64)
    keys = chosen.with_columns(aligned=pl.Series(aligned), digits=pl.Series(digits))
    ordered = keys.sort("count", "aligned", "digits", descending=[True, False, False])
    return ordered.select(text=pl.col("code").cast(pl.String), count="count")


_POWERS = np.concatenate([[1], 10 ** np.arange(1, 19)])  # of ten, as far as int64 holds them
