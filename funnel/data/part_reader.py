"""The first pass over a portion of a split, on one of several machines: what its rows' files tell, to be put together later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.data.codes import Codes
from funnel.data.faults import Faults
from funnel.data.keyed import Keyed, texts
from funnel.data.spill import DimensionSpill
from funnel.data.split_reader import Reader
from funnel.data.wanted import key_role
from funnel.schema.data import FeatureList, RefuseBadRows


@dataclass
class PartReader(Reader):
    """Reads a portion of the facts, and of each dimension: those alone are in what it gives.

    Facts are checked against all keys of a dimension: of its other rows nothing but the key is read, unless these may be left
    out for whatever is wrong with them. All goes to disk. The positions of facts begin at 0; rows of dimensions are numbered
    as in one reading of all.

    Attributes:
        keys: By role: the texts of all keys of a dimension.
        repeats: By dimension: the rows whose key was there before, of all rows.
        moments: What validation by time compares, and the positions of the facts that have it: piece by piece.
    """

    keys: dict[str, Keyed] = field(default_factory=dict)
    repeats: dict[str, Faults] = field(default_factory=dict)
    moments: list[tuple[NDArray[np.int64], pl.Series]] = field(default_factory=list)

    def _dimension(self, name: str) -> None:
        role = key_role(name)
        self.keys[role] = texts(self.folder / f"all texts of {role}")
        index = self.lookups[name] = DimensionSpill(self.folder / f"keys of {name}", role)
        for place, found in self._normalised(name, None, features=not self._key_says_all(name)):
            for frame in found.texts.get(role, ()):
                self.keys[role].add(frame)
            index.add_piece(found.rows, {role: found.columns[role]}, place, found.places)
        index.finish()
        own = self.reading.dimensions[name] = DimensionSpill(self.folder / name, role)
        for place, found in self._pieces(name, self.portion):
            own.add_piece(found.rows, found.columns, place, found.places)
        own.finish(to_disk=True)
        self.repeats[name] = self._repeated(name)

    def _key_says_all(self, name: str) -> bool:
        """Whether a row with a good key is a good row, since whoever reads the rest of it refuses it otherwise."""
        files = self.schema.files_of(name)
        in_list = isinstance(files, FeatureList) and self.schema.dimension(name).key not in files.columns
        return isinstance(self.schema.data.bad_rows, RefuseBadRows) and not in_list

    def _spellings(self, role: str) -> list[Keyed]:
        return [*super()._spellings(role), self.keys[role]]

    def _see(self, keys: Mapping[str, Codes], position: NDArray[np.int64], moments: pl.Series | None) -> None:  # noqa: ARG002
        if moments is not None:
            self.moments.append((position, moments))

    def _finish(self) -> None:
        self.reading.facts.finish(to_disk=True)
