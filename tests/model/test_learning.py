"""What is learnt is what a plain network over joined rows learns, by whichever way the batches come."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.batches import labels_of, star_batch
from funnel.data.lanes import Lanes
from funnel.data.packing import Packer
from funnel.fitting import model_of
from funnel.model._keras import tf
from funnel.training.feed import Feed
from tests import shop
from tests.model.plain import Plain, join
from tests.test_run import raw_columns

STEPS = 50
FOUR = {
    "chain": [("click", None), ("buy", "click"), ("pay", "buy"), ("keep", "pay")],
    "tree": [("click", None), ("buy", "click"), ("pay", "click"), ("keep", None)],
}
NETWORKS = {
    "prelu towers": {"tower": {"units": [12, 6], "activation": "prelu"}},
    "a body, then linear towers": {"body": {"units": [10], "activation": "prelu"}, "tower": {"units": []}},
    "body and towers": {"body": {"units": [10], "activation": "tanh"}, "tower": {"units": [8], "activation": "prelu"}},
}


def frames(rows: int) -> dict[str, pl.DataFrame]:
    data, rng = shop.frames(rows=rows), np.random.default_rng(5)
    buy = data["facts"]["buy"].to_numpy()
    pay = buy & (rng.random(rows) < 0.7)
    more = {"pay": pay.astype(int), "keep": (pay & (rng.random(rows) < 0.5)).astype(int)}
    return data | {"facts": data["facts"].with_columns(**{name: pl.Series(values) for name, values in more.items()})}


def tree(network: dict[str, Any], stages: list[tuple[str, str | None]] | None = None) -> dict[str, Any]:
    made = shop.tree()
    made["data"]["validation"] = None
    made["model"] |= {"tower": {"units": [8]}} | network
    made["train"] |= {"batch_size": 64, "shuffle": "row"}
    weighted = {"kind": "bag", "source": "user", "column": "liked", "weighted": True, "weights": "liked_much"}
    made["features"].append({"name": "liked_mean", "pooling": "mean", "dim": 3} | weighted)
    if stages:
        made["stages"] = [{"name": name, "label": name} | ({"given": given} if given else {}) for name, given in stages]
        made["stages"] = [s | ({"given": "impression"} if "given" not in s and k else {}) for k, s in enumerate(made["stages"])]
    return made


@pytest.mark.parametrize(
    ("network", "stages"),
    [
        ("prelu towers", None),
        pytest.param("prelu towers", "tree", marks=pytest.mark.long),
        pytest.param("a body, then linear towers", None, marks=pytest.mark.long),
        pytest.param("body and towers", "chain", marks=pytest.mark.long),
    ],
)
def test_after_fifty_steps_all_weights_and_losses_are_those_of_the_plain_network(network: str, stages: str | None) -> None:
    schema = funnel.load_schema(tree(NETWORKS[network], FOUR[stages] if stages else None))
    store = funnel.prepare(schema, frames(700))
    model = model_of(schema, store)
    model.create_variables()
    plain, feed, losses = Plain(model), Feed(Packer(schema, store.learnt)), []
    first = [mine.numpy() for mine, _ in plain.pairs]
    step = tf.function(model.learn, autograph=False, reduce_retracing=True)
    for epoch in range(10):
        order = Lanes.of(store.shards("train"), schema.train.model_copy(update={"batch_size": 64, "seed": 0}), epoch, 1)
        for number, (element,) in enumerate(feed(order)):
            if len(losses) == STEPS:
                continue
            parts = [(order.shards[shard], rows) for shard, rows in order.step(number)]
            joined, labels = join(schema, store.learnt.scales, star_batch(parts)), tf.constant(labels_of(parts))
            losses.append((float(step(element).loss), float(plain.step(joined, labels))))
    ours, theirs = np.array(losses).T
    assert len(ours) == STEPS
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert max(plain.differences()) < 1e-5
    # And it has learnt: all kernels and tables have moved further than that.
    moved = [np.abs(mine.numpy() - before).max() for (mine, _), before in zip(plain.pairs, first, strict=True)]
    assert min(moved) > 1e-3


def raw(data: dict[str, pl.DataFrame]) -> tuple[dict[str, tf.Tensor], np.ndarray]:
    columns = {name: tf.constant(column) for name, column in raw_columns(data).items()}
    return columns, data["facts"].select("click", "buy").to_numpy().astype(np.float32)


def test_fit_of_keras_on_star_or_raw_batches_learns_what_the_engine_learns_on_the_same_batches() -> None:
    made = shop.tree()
    made["data"]["validation"] = None
    made["train"] |= {"batch_size": 64, "shuffle": "row"}
    schema, data = funnel.load_schema(made), shop.frames(rows=300)
    store = funnel.prepare(schema, data)
    order = Lanes.of(store.shards("train"), schema.train.model_copy(update={"batch_size": 64}), 0, 1)
    engine, star, joined = (model_of(schema, store) for _ in range(3))
    feed = Feed(Packer(schema, store.learnt))
    losses = [float(engine.learn(element).loss) * len(element[1]) for (element,) in feed(order)]
    columns, labels = raw(data)

    def batches() -> Any:
        for number in range(order.steps):
            places = np.concatenate([order.shards[shard].position[rows] for shard, rows in order.step(number)]).astype(int)
            yield {name: tf.gather(column, places) for name, column in columns.items()}, labels[places]

    fitted = star.fit(funnel.dataset(schema, store), epochs=1, verbose=0).history["loss"]
    shapes = ({k: tf.TensorSpec([None, *c.shape[1:]], c.dtype) for k, c in columns.items()}, tf.TensorSpec([None, 2]))
    other = joined.fit(tf.data.Dataset.from_generator(batches, output_signature=shapes), epochs=1, verbose=0).history["loss"]
    assert fitted == other == pytest.approx([sum(losses) / 300], rel=1e-5)
    for mine, one, two in zip(engine.trainable_variables, star.trainable_variables, joined.trainable_variables, strict=True):
        np.testing.assert_allclose(one, mine, atol=1e-5)
        np.testing.assert_allclose(two, mine, atol=1e-5)
    rows = tf.data.Dataset.from_tensor_slices(columns).batch(77)
    found = star.predict(rows, verbose=0)
    assert found.keys() == {"click", "buy", "buy_given_click"}
    for name, column in joined.predict(rows, verbose=0).items():
        np.testing.assert_allclose(found[name], column, atol=1e-5)


def test_weights_of_rows_and_unknown_labels_come_through_keras_too() -> None:
    made = shop.tree()
    made["data"]["validation"] = None
    schema, data = funnel.load_schema(made), shop.frames(rows=60)
    store = funnel.prepare(schema, data)
    model = model_of(schema, store)
    columns, labels = raw(data)

    def loss(rows: Any, weights: Any, given: Any) -> float:
        some = {name: tf.gather(column, rows) for name, column in columns.items()}
        inputs = (some, given[rows]) if weights is None else (some, given[rows], tf.constant(weights, tf.float32))
        return float(model.compute_loss(inputs))

    # A row of weight 0 is as good as absent, one of weight 2 as good as twice there.
    weighed = loss(np.arange(60), np.repeat([0.0, 2.0], [20, 40]), labels)
    assert weighed == pytest.approx(2 * 40 / 60 * loss(np.arange(20, 60), None, labels), rel=1e-5)
    lost = labels.copy()
    lost[:20, 1] = np.where(labels[:20, 0] == 1, np.nan, 0)  # of rows without a click it is known that they were not bought
    p = model.predict(tf.data.Dataset.from_tensors(columns), verbose=0)["buy"].astype(float)
    errors = -np.log(np.where(labels[:, 1] == 1, p, 1 - p))[np.isnan(lost[:, 1])]
    assert len(errors) > 3
    every = loss(np.arange(60), None, labels)
    assert loss(np.arange(60), None, lost) == pytest.approx(every - errors.sum() / 60, rel=1e-5)
    dataset = tf.data.Dataset.from_tensors((columns, labels, np.ones(60, np.float32)))
    assert np.isfinite(model.fit(dataset, epochs=1, verbose=0).history["loss"]).all()
