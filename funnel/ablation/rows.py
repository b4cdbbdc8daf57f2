"""The test rows as the table needs them: what happened, whose they are, and, where they were simulated, with what chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from funnel.data.sampling import is_sampled, keep_rates
from funnel.data.store import Store
from funnel.errors import DataError
from funnel.evaluation.bootstrap import clusters_of
from funnel.evaluation.metrics import numbered
from funnel.evaluation.truth import read_truth
from funnel.locations.location import Location
from funnel.schema.funnel_schema import FunnelSchema

TRUTH = Path("truth") / "test.parquet"  # what `funnel simulate` writes beside its rows


@dataclass(frozen=True)
class Rows:
    """Test rows in the order of the files.

    Attributes:
        labels: uint8 [rows, stages].
        clusters: What the bootstrap draws together: int32 [rows].
        grouped: Whether these are groups of rows, and not rows.
        weights: How many rows each stands for, float64 [rows]; None where each stands for itself.
        truth: The true probability of each stage's conditional: float64 [rows, stages]; None where it is not known.
        remarks: Why there is no truth, where a file of it was found.
    """

    labels: NDArray[np.uint8]
    clusters: NDArray[np.int32]
    grouped: bool
    weights: NDArray[np.float64] | None
    truth: NDArray[np.float64] | None
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and stages."""
        return self.labels.shape[0], self.labels.shape[1]


def read_rows(schema: FunnelSchema, store: Store, root: Location | None) -> Rows:
    """The test rows of a store.

    Args:
        schema: The declaration.
        store: With test rows.
        root: The folder that the test rows are from; None for frames.

    Raises:
        DataError: The rows have no labels.
    """
    labels, positions, groups = [], [], []
    for star in store.shards("test").once():
        if star.labels is None:
            raise DataError(f"{store}: its test rows have no labels, expected some. Prepare them again.")
        labels.append(np.array(star.labels))
        positions.append(np.array(star.position))
        if (own := star.fact_groups) is not None:
            groups.append(np.array(own))
    position = np.concatenate(positions)
    order = np.argsort(position, kind="stable")
    ordered = np.concatenate(labels)[order]
    of_group = np.concatenate(groups)[order] if groups else None
    truth, remarks = _truth(schema, root, position[order], store.manifest["splits"]["test"]["read"])
    clusters = clusters_of(len(order), None if of_group is None else numbered(of_group))
    return Rows(ordered, clusters, of_group is not None, _weights(schema, ordered, store), truth, remarks)


def _weights(schema: FunnelSchema, labels: NDArray[np.uint8], store: Store) -> NDArray[np.float64] | None:
    return 1 / keep_rates(schema, labels) if is_sampled(schema, "test", store.manifest) else None


def _truth(
    schema: FunnelSchema, root: Location | None, position: NDArray[np.int64], read: int
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """The true conditionals of the rows that were kept, where a simulation wrote them down."""
    if root is None or not (root / TRUTH).is_file():
        return None, ()
    path = root / TRUTH
    try:
        return read_truth(path, schema.conditional_names, position, read), ()
    except DataError as error:
        return None, (f"{str(error).rpartition(' Give ')[0]} The columns about the truth are left out.",)
