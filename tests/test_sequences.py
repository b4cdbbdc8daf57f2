"""Sequences from rows to answers: a fit, its folder, an export that is verified, requests, Keras, simulated rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.evaluation.predict import Predictor
from funnel.model._keras import tf
from funnel.training.warm_start import take_over
from tests import sequences_shop as shop

Refused = tf.errors.InvalidArgumentError


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("sequences")
    run = funnel.fit(shop.tree(), shop.frames(), out=folder / "run")
    funnel.export(folder / "run", folder / "export")
    return run, folder


def test_a_fit_comes_back_from_its_folder_and_its_export_says_the_same(fitted: tuple[Any, Path]) -> None:
    run, folder = fitted
    rows = shop.frames(1, 300)
    expected = run.predict(rows)
    again = funnel.load(folder / "run").predict(rows)
    assert expected.keys() == again.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], again[name])
    assert len({round(float(value), 4) for value in expected["buy"]}) > 100
    found = funnel.verify(folder / "export", folder / "run", rows)
    assert found.passed, found
    assert {one.signature for one in found.differences} == {"examples", "predict", "rank", "serving_default"}
    assert found.rows == 300
    history = [epoch["losses"]["loss"] for epoch in run.history]
    assert history[-1] < history[0]


@pytest.mark.long
def test_smaller_tables_are_those_of_sequences_too(fitted: tuple[Any, Path], tmp_path: Path) -> None:
    _, folder = fitted
    funnel.export(folder / "run", tmp_path / "small", tables="int8", min_count=20)
    assert funnel.verify(tmp_path / "small", folder / "run", shop.frames(1, 300), tolerance=0.05).passed


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100])
def test_a_row_is_predicted_the_same_whatever_is_beside_it(fitted: tuple[Any, Path], batch_size: int) -> None:
    run, _ = fitted
    star = funnel.prepare(run.schema, shop.frames(1, 150)).shards("train")[0]
    predictor = Predictor(run.model)
    whole = predictor.logits(star, 16_384)
    np.testing.assert_array_equal(predictor.logits(star, batch_size), whole)


def test_another_run_starts_from_its_layers(fitted: tuple[Any, Path]) -> None:
    old, _ = fitted
    schema = funnel.load_schema(shop.tree())
    store = funnel.prepare(schema, shop.frames(), base=old.base_for(schema))
    model = funnel.build(schema, store)
    model.create_variables()
    told = take_over(model, store.vocabulary, old.model, old.vocabulary, accumulators=False)
    assert not told.fresh
    assert {"body/sequences/viewed/positions", "body/sequences/viewed/weight", "body/sequences/read/gru"} <= set(told.kept)


def raw(rows: dict[str, pl.DataFrame], fields: tuple[str, ...]) -> dict[str, Any]:
    """By feature: its column, joined; lists with "" where there is no id."""
    joined = rows["facts"].join(rows["user"], on="user_id", how="left", maintain_order="left")
    found: dict[str, Any] = {}
    columns = {"read": "seen", "trail": "seen", "liked_weights": "liked_much", "viewed_times": "viewed_ago"}
    for name in fields:
        column = joined[columns.get(name, name)]
        if column.dtype == pl.List:
            number = name.endswith(("_weights", "_times"))
            found[name] = [[x if number else "" if x is None else str(x) for x in one or []] for one in column.to_list()]
        elif name == "price":
            found[name] = column.cast(pl.Float32).fill_null(float("nan")).to_numpy()
        else:
            found[name] = np.array(["" if one is None else str(one) for one in column.to_list()])
    return found


FIELDS = ("user_id", "liked", "liked_weights", "item", "price")
LISTED = ("viewed", "viewed_times", "viewed_in", "read", "trail")


def padded(lists: list[list[Any]]) -> Any:
    filler: Any = "" if any(isinstance(x, str) for one in lists for x in one) else 0.0
    longest = max(map(len, lists))
    return tf.constant([[*one, *[filler] * (longest - len(one))] for one in lists])


def as_inputs(columns: dict[str, Any], way: str) -> dict[str, Any]:
    found = {}
    for name, column in columns.items():
        if not isinstance(column, list):
            found[name] = tf.constant(column)
        elif way == "padded":
            found[name] = padded(column)
        else:
            text = any(isinstance(x, str) for one in column for x in one)
            ragged = tf.ragged.constant(column, tf.string if text else tf.float32, ragged_rank=1)
            found[name] = ragged if way == "ragged" else ragged.to_sparse()
    return found


@pytest.mark.parametrize("way", ["padded", "ragged", "sparse"])
def test_raw_rows_of_keras_are_those_of_the_store(fitted: tuple[Any, Path], way: str) -> None:
    run, _ = fitted
    rows = shop.frames(1, 40)
    found = run.model(as_inputs(raw(rows, FIELDS + LISTED), way))
    expected = run.predict(rows)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_keras_trains_on_joined_rows() -> None:
    tree = shop.tree()
    tree["data"] = tree["data"] | {"validation": None}
    data = shop.frames(0, 300)
    model = funnel.build(tree, data)
    joined = as_inputs(raw(data, FIELDS + LISTED), "padded")
    labels = {name: tf.constant(data["facts"][name].to_numpy().astype(np.float32)) for name in ("click", "buy")}
    batches = tf.data.Dataset.from_tensor_slices((joined, labels)).batch(60)
    first = model.evaluate(funnel.dataset(tree, data), verbose=0, return_dict=True)
    assert first == pytest.approx(model.evaluate(batches, verbose=0, return_dict=True), rel=1e-4)
    model.fit(batches, epochs=1, verbose=0)
    assert model.evaluate(batches, verbose=0, return_dict=True)["loss"] < first["loss"]


def test_a_request_whose_lists_are_not_as_long_is_refused(fitted: tuple[Any, Path]) -> None:
    run, folder = fitted
    columns = raw(shop.frames(1, 6), FIELDS + LISTED)
    served = tf.saved_model.load(str(folder / "export" / "1")).signatures["predict"]
    given = as_inputs(columns, "padded")
    assert np.isfinite(served(**given)["buy"]).all()
    with pytest.raises(Refused, match=r"sequences: got lists not as long as those they are beside.*viewed_in"):
        served(**given | {"viewed_in": given["viewed_in"][:, 1:]})
    with pytest.raises(Refused, match=r"weights: got another number than there are ids.*viewed_times"):
        served(**given | {"viewed_times": given["viewed_times"][:, 1:]})
    with pytest.raises(Refused, match=r"batch\['viewed_in'\]: got lists that are not as long as those of 'viewed'"):
        run.model(given | {"viewed_in": given["viewed_in"][:, 1:]})


def test_the_doctor_looks_at_sequences_as_at_bags() -> None:
    """An entry that says the label is found out, whatever stands beside it."""
    data = shop.frames(0, 400)
    told = pl.Series([[x, 99] if click else [x] for x, click in zip(range(400), data["facts"]["click"], strict=True)])
    tree = shop.tree()
    assert not [one for one in funnel.check(tree, data).findings if one.level == "error"]
    leaks = funnel.check(tree, data | {"facts": data["facts"].with_columns(seen=told)}).findings
    assert [one.about for one in leaks if "read" in one.about]


def test_rows_are_simulated_with_sequences(tmp_path: Path) -> None:
    tree = shop.tree()
    entries = {"format": "feature_list", "columns": ["key", "list"], "list": "list", "files": "lists.txt", "key": "key"}
    tree["data"]["dimensions"] = [*tree["data"]["dimensions"], entries | {"name": "session"}]
    tree["features"] += [
        {"name": "steps", "kind": "sequence", "source": "session", "times": "steps", "pooling": "gru", "min_count": 1},
        {"name": "pages", "kind": "sequence", "source": "session", "beside": "steps", "min_count": 1},
    ]
    funnel.simulate(tree, tmp_path, 400, seed=1)
    run = funnel.fit(tree, tmp_path, out=tmp_path / "run")
    assert np.isfinite(run.history[-1]["losses"]["loss"])
    users = pl.read_parquet(tmp_path / "users.parquet")
    assert (users["viewed"].list.len().fill_null(0) == users["viewed_in"].list.len().fill_null(0)).all()
