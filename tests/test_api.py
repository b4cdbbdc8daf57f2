import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.model._keras import tf, tfrs
from tests import shop
from tests.test_run import raw_columns


def declared(stages: int, given: dict[int, str] | None = None) -> dict[str, object]:
    names = [f"s{k}" for k in range(stages)]
    found = [
        {"name": name, "label": f"y{k}"} | ({"given": given[k]} if given and k in given else {}) for k, name in enumerate(names)
    ]
    return {
        "name": "sizes",
        "stages": found,
        "data": {"facts": {"format": "parquet", "train": "x"}},
        "features": [
            {"name": "a", "kind": "categorical", "buckets": 20},
            {"name": "n", "kind": "numeric", "transform": {"kind": "standardize", "mean": 0, "std": 1}},
        ],
        "model": {"embedding_dim": 2, "tower": {"units": [4], "activation": "prelu", "dropout": 0.1}, "body": {"units": [5]}},
    }


@pytest.mark.parametrize(("stages", "given"), [(1, None), (2, None), (4, None), (7, None), (4, {2: "s0", 3: "impression"})])
def test_a_model_from_the_schema_alone_trains_in_plain_keras(stages: int, given: dict[int, str] | None) -> None:
    model = funnel.build(declared(stages, given))
    assert isinstance(model, tfrs.Model)
    assert list(model.tasks) == [f"s{k}" for k in range(stages)]
    assert all(isinstance(task, tfrs.tasks.Ranking) for task in model.tasks.values())
    rng = np.random.default_rng(0)
    reached = np.cumprod(rng.random([64, stages]) < 0.6, axis=1)
    for stage, parent in enumerate(model.schema.parents):
        reached[:, stage] &= reached[:, parent] if parent >= 0 else 1
    rows = {"a": [str(x) for x in rng.integers(0, 9, 64)], "n": rng.normal(size=64).astype(np.float32)}
    labels = {f"s{k}": reached[:, k].astype(np.float32) for k in range(stages)}
    pairs = tf.data.Dataset.from_tensor_slices((rows, labels)).batch(20)
    history = model.fit(pairs, epochs=2, verbose=0)
    assert set(history.history) == {"loss", *(f"s{k}_loss" for k in range(stages))}
    mapping = tf.data.Dataset.from_tensor_slices(rows | labels).batch(20)
    assert model.evaluate(mapping, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(pairs, verbose=0, return_dict=True), rel=1e-5
    )
    found = model.predict(pairs, verbose=0)
    assert {name for name in found if "_given_" not in name} == {f"s{k}" for k in range(stages)}
    assert all(column.shape == (64,) for column in found.values())


def test_a_vocabulary_without_data_is_refused_with_what_is_needed() -> None:
    with pytest.raises(funnel.SchemaError, match=r"table 'user_id'.*feature 'age'"):
        funnel.build(shop.tree())


def test_star_batches_and_joined_raw_rows_give_the_same_loss_and_both_train() -> None:
    data = shop.frames()
    tree = shop.tree()
    tree["data"]["validation"] = None
    model = funnel.build(tree, data)
    star = funnel.dataset(tree, data)
    columns = {name: tf.constant(column) for name, column in raw_columns(data).items()}
    labels = {name: tf.constant(data["facts"][name].to_numpy().astype(np.float32)) for name in ("click", "buy")}
    joined = tf.data.Dataset.from_tensor_slices((columns, labels)).batch(128)
    first = model.evaluate(star, verbose=0, return_dict=True)
    assert first == pytest.approx(model.evaluate(joined, verbose=0, return_dict=True), rel=1e-5)
    model.fit(star, epochs=1, verbose=0)
    model.fit(joined, epochs=1, verbose=0)
    assert model.evaluate(joined, verbose=0, return_dict=True)["loss"] < first["loss"]


def test_towers_start_at_the_rates_of_the_training_rows() -> None:
    data = shop.frames()
    tree = shop.tree()
    tree["data"]["validation"] = None
    model = funnel.build(tree, data)
    rates = [float(np.asarray(tf.sigmoid(tower.logit.bias_initializer([1])))[0]) for tower in model.network.towers]
    facts = data["facts"]
    assert rates[0] == pytest.approx(facts["click"].mean(), abs=2e-3)
    assert rates[1] == pytest.approx(facts.filter(pl.col("click") == 1)["buy"].mean(), abs=2e-3)


def test_importing_funnel_or_asking_for_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, funnel, funnel.cli\n"
        "funnel.load_schema\n"
        "assert not {'tensorflow', 'polars', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_verb_is_a_python_call() -> None:
    for verb in ("check", "fit", "evaluate", "predict", "export", "simulate"):
        assert callable(getattr(funnel, verb))
    assert set(dir(funnel)) >= {"build", "dataset", "load", "load_schema", "FunnelError"}
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = funnel.fitt


@pytest.mark.slow
def test_kuairand_meets_its_bars(kuairand: Path) -> None:
    run = funnel.fit(Path(__file__).parents[1] / "schemas" / "kuairand.yaml", kuairand)
    assert len(run.history) <= 5
    test = run.metrics["test"]
    assert test["cumulative"]["click"]["auc"] >= 0.710
    assert test["cumulative"]["long_view"]["auc"] >= 0.708
    assert test["conditional"]["long_view"]["auc"] >= 0.612
    for scores in (*test["cumulative"].values(), *test["conditional"].values()):
        assert 0.90 <= scores["predicted_over_observed"] <= 1.10
