"""The contract of every topology with every objective: it trains, stays consistent, and comes back from disk as it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.batches import element
from funnel.data.store import Store
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.run import Run
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.objective import KINDS
from tests import shop
from tests.model.test_objectives import consistent
from tests.model.trees import TREES

ROWS, STEPS = 240, 12


def tree(topology: str, **more: Any) -> dict[str, Any]:
    made = shop.tree() | {"stages": TREES[topology], "features": shop.tree()["features"][:7]}
    made["data"]["validation"] = None
    made["train"] |= {"optimizer": {"dense": {"kind": "adam", "learning_rate": 0.01}}}
    return made | more


@cache
def rows_of(topology: str) -> tuple[dict[str, pl.DataFrame], Store]:
    """Labels that hang on a feature, a tenth of them null."""
    schema, data = funnel.load_schema(tree(topology)), shop.frames(rows=ROWS)
    labels = consistent(schema, np.random.default_rng(3), ROWS, 0.0)
    columns = {}
    for k, stage in enumerate(schema.stages):
        if stage.label is not None:
            seen = columns.get(stage.label, np.zeros(ROWS, int))
            columns[stage.label] = seen | labels[:, k].astype(int)
    data["facts"] = data["facts"].with_columns(**{name: pl.Series(column) for name, column in columns.items()})
    return data, funnel.prepare(schema, data)


PAIRS = [(kind, topology, True) for kind in KINDS for topology in TREES] + [(kind, "esm2", False) for kind in KINDS]
# Each objective with two stages, those with most to say also where branches join, which holds a chain; the default where most
# is declared; the others: --long.
FIRST = [
    *((kind, "two", True) for kind in KINDS),
    *((kind, "esm2", True) for kind in ("esmm", "dr", "division")),
    ("dcmt", "esm2", False),
    ("esmm", "seven", True),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "topology", "shared"),
    [pair if pair in FIRST else pytest.param(*pair, marks=pytest.mark.long) for pair in PAIRS],
)
def test_it_trains_stays_consistent_and_comes_back(kind: str, topology: str, shared: bool, tmp_path: Path) -> None:
    data, store = rows_of(topology)
    schema = funnel.load_schema(
        tree(topology, objective=kind, model={"embedding_dim": 4, "tower": {"units": [8]}, "share_embeddings": shared})
    )
    store = Store(store.path, schema, store.owner)
    model = model_of(schema, store)
    model.create_variables()
    batch, labels = element([(star := store.shards("train")[0], np.arange(star.rows))])
    losses = [float(model.learn((batch, labels)).loss) for _ in range(STEPS)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    run = Run(schema, store.learnt, store.vocabulary, model, [], {}, {})
    found = run.predict(data, "train")
    require_consistent(schema, found)
    loaded = funnel.load(run.save(tmp_path / "run"))
    for name, column in loaded.predict(data, "train").items():
        np.testing.assert_array_equal(column, found[name], name)
    if topology == "two":  # the graph is the same for all: it takes its time
        exported = tf.saved_model.load(str(loaded.export(tmp_path / "export")))
        assert set(exported.signatures["serving_default"].structured_outputs) == set(found)


def require_consistent(schema: FunnelSchema, found: dict[str, np.ndarray]) -> None:
    names = schema.stage_names
    for name, place in zip(names, schema.topology, strict=True):
        assert np.isfinite(found[name]).all()
        assert ((found[name] >= 0) & (found[name] <= 1)).all()
        above = found[names[place.parent]] if place.parent >= 0 else np.float32(1)
        assert (found[name] <= above).all()
        if place.excluded and not place.is_join:
            assert (found[name] + sum(found[names[other]] for other in place.excluded) <= above * (1 + 1e-6)).all()
    assert set(found) == {*names, *schema.conditional_names}


def test_every_objective_says_which_rows_each_loss_is_about() -> None:
    for kind in KINDS:
        spaces = funnel.load_schema(tree("esm2", objective=kind)).loss_spaces
        assert spaces["click"] == "all rows"
        assert "rows" in spaces["buy_other"]
        assert ("buy" in spaces) == (kind in ("esmm", "ips", "dr", "dcmt"))
    assert funnel.load_schema(tree("esm2", objective="parent_space")).loss_spaces["buy_other"] == "rows of click without direct"


BAD = {
    "a misspelt kind": ("esm", "objective: got `kind: esm`, expected one of these (have:"),
    "an option of another kind": ({"kind": "esmm", "clip": 0.1}, "objective.clip: got an unknown key"),
    "a clip of 0": ({"kind": "ips", "clip": 0}, "objective.clip: got 0, expected greater than 0"),
    "a factor below 1": ({"kind": "oversampling", "factor": 0.5}, "objective.factor: got 0.5"),
    "weights of no stage": ({"kind": "esmm", "weights": {"clik": 1}}, "'clik' is not a stage"),
    "other weights": (
        {"kind": "esmm", "weights": "learnt"},
        "objective.weights: got 'learnt', expected one of these (have: 'unc",
    ),
    "a propensity that nothing learns": (
        {"kind": "ips", "weights": {"click": 0}},
        "'ips' divides by P(rows of 'direct'), which",
    ),
    "a tower that nothing teaches": ({"kind": "parent_space", "weights": {"buy_other": 0}}, "nothing teaches 'buy_other'"),
    "the weight of a join without a loss": ({"kind": "division", "weights": {"buy": 1}}, "'buy' is a join, which has no loss"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_objective_that_makes_no_sense_is_refused_with_the_reason(name: str) -> None:
    objective, message = BAD[name]
    with pytest.raises(funnel.FunnelError) as error:
        funnel.load_schema(tree("esm2", objective=objective))
    assert message in str(error.value)


def test_a_branch_may_be_taught_by_what_it_leads_to() -> None:
    weights = {"buy_direct": 0, "buy_other": 0}
    assert funnel.load_schema(tree("esm2", objective={"weights": weights})).objective.weights == weights
    with pytest.raises(funnel.FunnelError, match="nothing teaches 'buy_direct'"):
        funnel.load_schema(tree("esm2", objective={"weights": weights | {"buy": 0, "again": 0}}))
