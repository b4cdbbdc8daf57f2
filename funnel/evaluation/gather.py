"""What a model says of the rows of shards, gathered: the way from stars to outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.sampling import keep_rates
from funnel.data.star import Star
from funnel.errors import DataError
from funnel.evaluation.bootstrap import clusters_of
from funnel.evaluation.cumulative import cumulative
from funnel.evaluation.metrics import numbered
from funnel.evaluation.outcomes import Outcomes, names_of
from funnel.evaluation.predict import absent_stages, columns
from funnel.evaluation.slices import column_of
from funnel.model.funnel_model import FunnelModel


@dataclass(frozen=True)
class Gathered:
    """Rows in the order of their shards.

    Attributes:
        outcomes: What was predicted, and what happened.
        position: Where each stood in the files: int64 [rows].
        columns: By feature that was asked for: what it says of each row, [rows].
    """

    outcomes: Outcomes
    position: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


def gather(
    model: FunnelModel,
    stars: Iterable[Star],
    logits: Callable[[Star], NDArray[Any]],
    *,
    sampled: bool = False,
    features: Sequence[str] = (),
    brief: bool = False,
) -> Gathered:
    """Predict rows with labels.

    Args:
        model: The model.
        stars: The rows.
        logits: Its conditional logits of a star's facts.
        sampled: Whether rows were sampled as the schema says: each then counts for all that it stands for.
        features: Whose columns are wanted.
        brief: Nothing for intervals.

    Raises:
        DataError: There are no labels.
    """
    schema = model.schema
    conditional, labels, groups, position = [], [], [], []
    chances: dict[str, list[Any]] = {}
    wanted: dict[str, list[Any]] = {name: [] for name in features}
    for star in stars:
        if star.labels is None:
            raise DataError("got rows without labels, expected some. Read them with their labels.")
        conditional.append(logits(star))
        labels.append(star.labels)
        groups.append(star.fact_groups)
        position.append(star.position)
        for name, values in columns(model, conditional[-1], absent_stages(model, star)).items():
            chances.setdefault(name, []).append(values)
        for name, parts in wanted.items():
            parts.append(column_of(schema, star, name))
    label = np.concatenate(labels)
    given = [one for one in groups if one is not None]
    group = numbered(np.concatenate(given)) if given else None
    outcomes = Outcomes(
        names=names_of(schema),
        labels=label,
        logits=np.concatenate(conditional),
        to_cumulative=partial(cumulative, schema.topology),
        chances={name: np.concatenate(parts) for name, parts in chances.items()},
        weights=1 / keep_rates(schema, label) if sampled else None,
        groups=group,
        clusters=None if brief else clusters_of(len(label), group),
    )
    return Gathered(outcomes, np.concatenate(position), {name: np.concatenate(parts) for name, parts in wanted.items()})
