"""What other tables do to a model's figures: the same rows, predicted with its own tables and with these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from funnel.data.store import Shards
from funnel.evaluation.comparison import Compared, compare_probabilities
from funnel.evaluation.gather import gather
from funnel.evaluation.intervals import LEVEL
from funnel.evaluation.predict import Predictor
from funnel.evaluation.report import without_nan
from funnel.model.funnel_model import FunnelModel
from funnel.model.stored import Tables

FIGURES = ("auc", "log_loss", "predicted_over_observed")


@dataclass(frozen=True)
class Effect:
    """Figures with two sets of tables, on the same rows.

    Attributes:
        data: Where the rows are from.
        split: Which of them.
        rows: How many.
        probabilities: Every probability: its scores with the model's own tables, and with the others; and how far these differ.
    """

    data: str
    split: str
    rows: int
    probabilities: tuple[Compared, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: of each probability FIGURES `before` and `after`, and `change` with its interval; undefined ones null."""
        found = {"data": self.data, "split": self.split, "rows": self.rows, "level": LEVEL}
        return without_nan(found | {"probabilities": [_as_dict(one) for one in self.probabilities]})


def effect(model: FunnelModel, shards: Shards, tables: Tables, data: str, split: str, *, sampled: bool) -> Effect:
    """Measure it.

    Args:
        model: The model.
        shards: Rows with labels.
        tables: What it reads instead of its own tables.
        data: Where the rows are from.
        split: Which they are.
        sampled: Whether they were sampled as the schema says.
    """
    own, other = Predictor(model), Predictor(model, tables)
    size = model.schema.evaluate.batch_size
    found = [
        gather(model, shards, lambda star, by=by: by.logits(star, size), sampled=sampled).outcomes  # type: ignore[misc]
        for by in (own, other)
    ]
    names = {*model.schema.stage_names, *model.schema.conditional_names}
    return Effect(data, split, found[0].rows, compare_probabilities(found, names))


def _as_dict(one: Compared) -> dict[str, Any]:
    before, after = ({figure: getattr(scores, figure) for figure in FIGURES} for scores in one.scores)
    _, changes = one.changes
    change = {figure: asdict(found) if (found := changes.get(figure)) else None for figure in FIGURES}
    counted = {"rows": one.scores[0].rows, "positives": one.scores[0].positives}
    return {"name": one.name, "space": one.space, **counted, "before": before, "after": after, "change": change}
