"""Smaller tables for an export: fewer bytes a number, and no rows for ids that were seen too seldom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.vocabulary import Vocabulary
from funnel.errors import RunError, listed
from funnel.model.funnel_model import FunnelModel
from funnel.model.stored import KINDS, Elsewhere, Float, Int8, Kind, Tables, stored
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import Width, layout
from funnel.schema.learnt import FIRST, OOV, dim_of, remainders_of, stored_rows, table_of, vocabulary_tables

BYTES = {"float32": (4, 0), "float16": (2, 0), "int8": (1, 2)}  # of a number, and of a row beside its numbers


@dataclass(frozen=True)
class Sizes:
    """How large one table is, in an export and as it was learnt.

    Attributes:
        dim: Numbers per row.
        learnt: Rows as it was learnt.
        rows: Rows in the export.
        learnt_bytes: As it was learnt, float32; of all towers' own, where they do not share.
        bytes: In the export; likewise.
    """

    dim: int
    learnt: int
    rows: int
    learnt_bytes: int
    bytes: int


@dataclass(frozen=True)
class Compact:
    """The tables of an export.

    Attributes:
        kind: What their numbers are.
        min_count: Ids seen less often have no row; None drops none.
        vocabulary: The ids that have a row.
        sizes: By table.
        tables: What the exported network reads; None where that is as it was learnt.
        places: By width: where each row of the network's own table is now, int32 [rows]; those that were dropped are where
            unknown ids are. Empty where all rows stay.
    """

    kind: Kind
    min_count: int | None
    vocabulary: Vocabulary
    sizes: dict[str, Sizes]
    tables: Tables | None
    places: Mapping[str, NDArray[np.int32]]

    def in_place_of(self, widths: tuple[Width, ...]) -> Tables | None:
        """The tables for a network that counts rows as it has learnt them, and so for rows encoded for it."""
        if self.tables is None or not self.places:
            return self.tables
        moved = [{dim: Elsewhere(table, self.places[dim]) for dim, table in own.items()} for own in self.tables.by_bottom]
        return Tables(widths, tuple(moved))


def compact(model: FunnelModel, vocabulary: Vocabulary, kind: Kind = "float32", min_count: int | None = None) -> Compact:
    """A fitted model's tables for an export.

    Ids with too few training rows share the row of unknown ids. Rows of tables without a vocabulary all stay: which ids share a
    bucket is not known, so neither is which were never trained. So do those of compressed tables, each of which many ids share.

    Args:
        model: The model.
        vocabulary: Its ids, and how often each was seen.
        kind: `float32`, `float16`, or `int8` with a float16 scale a row.
        min_count: Ids seen less often lose their row; None keeps all.

    Raises:
        RunError: Another kind; a count below 1; how often ids were seen is not known, or there are none; a table holds numbers
            that the kind cannot.
    """
    if kind not in KINDS:
        raise RunError(f"tables: got {kind!r}, expected one of {listed(KINDS)}. Correct it.")
    schema, network = model.schema, model.network
    kept = _kept(schema, vocabulary, min_count)
    learnt = model.learnt.model_copy(update={"rows": model.learnt.rows | {name: len(rows) for name, rows in kept.items()}})
    widths = layout(schema, learnt)
    bottoms = len(network.bottoms)
    sizes = {
        table: _sizes(
            dim_of(schema, table),
            stored_rows(schema, table, model.learnt.rows[table]),
            stored_rows(schema, table, learnt.rows[table]),
            kind,
            bottoms,
        )
        for table in model.learnt.rows
    }
    tables, places = None, {}
    if kind != "float32" or min_count is not None:
        wanted = {str(width.dim): _rows(width, kept) for width in network.widths}
        tables = Tables(widths, tuple(_tables(bottom.embeddings.tables, wanted, kind) for bottom in network.bottoms))
        if min_count is not None:
            places = {
                str(old.dim): _places(old, new, wanted[str(old.dim)]) for old, new in zip(network.widths, widths, strict=True)
            }
    return Compact(kind, min_count, _only(vocabulary, kept), sizes, tables, places)


def _kept(schema: FunnelSchema, vocabulary: Vocabulary, min_count: int | None) -> dict[str, NDArray[np.int64]]:
    """By table with a vocabulary: the rows that stay, in their order; nothing where all do."""
    if min_count is None:
        return {}
    if min_count < 1:
        raise RunError(f"min_count: got {min_count}, expected 1 or more. Correct it.")
    # Rows of a compressed table are of many ids each: none would be saved.
    tables = [table for table in vocabulary_tables(schema) if remainders_of(schema, table) is None]
    if not tables:
        raise RunError(
            f"min_count: got {min_count}, and no table has a vocabulary with a row for each id: hashed ids have no "
            "counts, and of compressed tables many ids share each row. Leave it out."
        )
    if unknown := [table for table in tables if table not in vocabulary.counts]:
        raise RunError(
            f"min_count: got {min_count}, but the run does not say how often ids of {listed(unknown)} were seen: it, or the "
            "run that it started from, is of an earlier version. Fit again, or export without it."
        )
    special = np.arange(FIRST)
    # Without its row a domain would be an unknown one.
    domain = table_of(schema.feature(schema.domain_feature)) if schema.domain_feature else None
    return {
        table: np.append(special, FIRST + np.flatnonzero(vocabulary.counts[table] >= (0 if table == domain else min_count)))
        for table in tables
    }


def _only(vocabulary: Vocabulary, kept: Mapping[str, NDArray[np.int64]]) -> Vocabulary:
    """The ids whose rows stay."""
    own = {table: rows[FIRST:] - FIRST for table, rows in kept.items()}
    terms = {table: ids.gather(own[table]) if table in own else ids for table, ids in vocabulary.terms.items()}
    return Vocabulary(terms)


def _rows(width: Width, kept: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The rows of a width's variable that stay, in their order."""
    return np.concatenate([begin + kept.get(table, np.arange(count)) for table, (begin, count) in width.tables.items()])


def _places(old: Width, new: Width, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    found = np.empty(old.rows, np.int32)
    for table, (begin, count) in old.tables.items():
        found[begin : begin + count] = new.tables[table][0] + OOV
    found[rows] = np.arange(len(rows))
    return found


def _tables(variables: Mapping[str, Any], rows: Mapping[str, NDArray[np.int64]], kind: Kind) -> dict[str, Float | Int8]:
    found = {}
    for dim, wanted in rows.items():
        try:
            found[dim] = stored(variables[dim], wanted, kind)
        except ValueError as error:
            raise RunError(f"tables: got {kind}, but a table of width {dim} {error}. Export it as float32.") from None
    return found


def _sizes(dim: int, learnt: int, rows: int, kind: Kind, bottoms: int) -> Sizes:
    number, row = BYTES[kind]
    return Sizes(dim, learnt, rows, 4 * dim * learnt * bottoms, (number * dim + row) * rows * bottoms)
