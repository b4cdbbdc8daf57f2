from __future__ import annotations

import numpy as np
import pytest

from funnel.ablation.columns import columns_of, score
from funnel.ablation.rows import Rows
from funnel.data.labels import UNKNOWN
from funnel.data.stand_ins import stand_ins
from funnel.evaluation.cumulative import all_cumulative
from funnel.evaluation.metrics import auc, predicted_over_observed
from funnel.schema.reader import load_schema
from tests import shop


def made(n=400, *, truth=False, unknown=False, weights=False):
    random = np.random.default_rng(0)
    click = random.random(n) < 0.4
    labels = np.stack([click, click & (random.random(n) < 0.5)], axis=1).astype(np.uint8)
    if unknown:
        labels[random.random(n) < 0.2, 1] = UNKNOWN
    return Rows(
        labels,
        np.arange(n, dtype=np.int32),
        grouped=False,
        weights=random.exponential(size=n) if weights else None,
        truth=random.random([n, 2]) if truth else None,
    ), random.normal(0, 1, [n, 2]).astype(np.float32)


SCHEMA = load_schema(shop.tree())


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_the_columns_and_what_each_is_about() -> None:
    rows, _ = made(truth=True)
    clicks, buys = int(rows.labels[:, 0].sum()), int(rows.labels[:, 1].sum())
    found = [(column.title, column.space, column.rows, round(column.positives)) for column in columns_of(SCHEMA, rows)]
    expected = round(rows.truth[:, 1].sum())
    assert found == [
        ("click: AUC", "impression", 400, clicks),
        ("click: pred/obs", "impression", 400, clicks),
        ("buy: AUC", "impression", 400, buys),
        ("buy: pred/obs", "impression", 400, buys),
        ("buy_given_click: AUC", "click", clicks, buys),
        ("buy_given_click: pred/obs", "click", clicks, buys),
        ("buy_given_click over all rows (truth): AUC", "impression", 400, expected),
        ("buy_given_click over all rows (truth): pred/true", "impression", 400, expected),
    ]
    assert len(columns_of(SCHEMA, made()[0])) == 6


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("unknown", [False, True])
def test_scores_are_those_of_the_metrics_on_the_rows_that_are_known(weights, unknown) -> None:
    rows, logits = made(unknown=unknown, weights=weights)
    cumulative = all_cumulative(SCHEMA.topology, logits)
    np.testing.assert_allclose(sigmoid(cumulative[:, 1]), sigmoid(logits[:, 0]) * sigmoid(logits[:, 1]), rtol=1e-12)
    known = rows.labels[:, 1] != UNKNOWN
    clicked = known & (rows.labels[:, 0] == 1)
    columns = columns_of(SCHEMA, rows)
    assert [column.rows for column in columns] == [400, 400, known.sum(), known.sum(), clicked.sum(), clicked.sum()]
    for column, judged, of in zip(
        columns[::2], (np.ones(400, bool), known, clicked), (cumulative, cumulative, logits), strict=True
    ):
        weight = rows.weights
        if judged is known:
            weight = stand_ins(rows.labels, 1, SCHEMA.topology, weight)
        weight = weight[judged] if weight is not None else None
        labels, chosen = rows.labels[judged, column.stage], of[judged, column.stage].astype(np.float64)
        pair = columns[columns.index(column) + 1]
        value, influence = score(column, SCHEMA, rows, logits, cumulative)
        assert value == pytest.approx(auc(labels, chosen, weight), rel=1e-12)
        assert influence.shape == (400,)
        assert not influence[~judged].any()
        value, _ = score(pair, SCHEMA, rows, logits, cumulative)
        assert value == pytest.approx(predicted_over_observed(labels, sigmoid(chosen), weight), rel=1e-12)


def test_against_the_truth_each_row_is_a_positive_and_a_negative() -> None:
    rows, logits = made(truth=True)
    cumulative = all_cumulative(SCHEMA.topology, logits)
    area, ratio = (score(column, SCHEMA, rows, logits, cumulative)[0] for column in columns_of(SCHEMA, rows)[6:])
    q, z = rows.truth[:, 1], logits[:, 1].astype(np.float64)
    both = np.concatenate([np.ones(400), np.zeros(400)]), np.concatenate([z, z]), np.concatenate([q, 1 - q])
    assert area == pytest.approx(auc(*both), rel=1e-12)
    assert ratio == pytest.approx(sigmoid(z).sum() / q.sum(), rel=1e-12)


def test_a_stage_without_positives_is_undefined() -> None:
    rows, logits = made()
    rows.labels[:, 1] = 0
    found = [
        score(column, SCHEMA, rows, logits, all_cumulative(SCHEMA.topology, logits)) for column in columns_of(SCHEMA, rows)
    ]
    assert [np.isnan(value) for value, _ in found] == [False, False, True, True, True, True]
    assert not np.any([influence for _, influence in found[2:]])


def test_clusters_add_up() -> None:
    rows, logits = made()
    grouped = Rows(rows.labels, (np.arange(400) % 7).astype(np.int32), grouped=True, weights=None, truth=None)
    cumulative = all_cumulative(SCHEMA.topology, logits)
    for column in columns_of(SCHEMA, rows):
        each, together = (score(column, SCHEMA, one, logits, cumulative)[1] for one in (rows, grouped))
        np.testing.assert_allclose(together, [each[k::7].sum() for k in range(7)], atol=1e-12)
