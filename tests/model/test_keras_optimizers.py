from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.model._keras import keras, tf

KINDS = sorted(
    name
    for name, kind in vars(keras.optimizers).items()
    if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer) and name != "Optimizer"
)


def declared(**dense: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "stages": [{"name": "click", "label": "clicked"}, {"name": "buy", "label": "bought"}],
        "data": {"facts": {"format": "parquet", "train": "x"}},
        "features": [
            {"name": "a", "kind": "categorical", "buckets": 20},
            {"name": "n", "kind": "numeric", "transform": "none"},
        ],
        "model": {"embedding_dim": 3, "tower": {"units": [4], "activation": "prelu"}},
        "train": {"optimizer": {"dense": {"kind": "keras", "learning_rate": 0.01} | dense}},
    }


def built(**dense: Any) -> Any:
    model = funnel.build(declared(**dense))
    model.create_variables()
    return model


def batch(seed: int) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    rng = np.random.default_rng(seed)
    click = rng.integers(0, 2, [16, 1])
    labels = np.concatenate([click, click * rng.integers(0, 2, [16, 1])], axis=1)
    rows = {"facts/a": rng.integers(0, 22, 16).astype(np.int32), "facts/n": rng.normal(size=16).astype(np.float32)}
    return {key: tf.constant(array) for key, array in rows.items()}, tf.constant(labels, tf.float32)


def values(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in [*model.trainable_variables, *model.optimizer.variables()]]


def test_keras_has_the_optimisers_that_the_documentation_names() -> None:
    assert set(KINDS) >= {"AdamW", "Lion", "Nadam", "RMSprop", "Adafactor"}


FIRST = ("Adam", "AdamW", "Adafactor", "Ftrl", "SGD")  # with moments, decay, factors, a rule of its own, and nothing


@pytest.mark.parametrize("name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.long) for name in KINDS])
def test_every_optimiser_of_keras_learns_and_goes_on_from_a_checkpoint_as_if_not_stopped(name: str, tmp_path: Path) -> None:
    model, again = built(name=name), built(name=name)
    # As the engine steps: run eagerly, Keras' Nadam counts in a Python number that no checkpoint holds.
    step, other = (tf.function(one.train_step, autograph=False) for one in (model, again))
    before = values(model)
    first = float(model.compute_loss(batch(0)))
    for _ in range(4):
        step(batch(0))
    assert all((one != now).any() for one, now in zip(before, values(model), strict=True) if one.ndim == 2)
    assert float(model.compute_loss(batch(0))) < first
    path = tf.train.Checkpoint(network=model.network, optimizer=model.optimizer).write(str(tmp_path / "saved"))
    tf.train.Checkpoint(network=again.network, optimizer=again.optimizer).read(path).assert_existing_objects_matched()
    assert model.steps == again.steps == 4
    step(batch(1))
    other(batch(1))
    for mine, theirs in zip(values(again), values(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_state_of_a_keras_optimiser_is_among_the_weights_of_the_optimiser() -> None:
    model = built(name="RMSprop")
    kept = [tuple(variable.shape) for variable in model.optimizer.weights]
    assert kept.count((4, 1)) == 2  # of the towers' last kernels
    assert kept.count((22, 3)) == 1  # of the table
    before = [variable.numpy() for variable in model.optimizer.weights]
    model.train_step(batch(0))
    assert all((one != now.numpy()).any() for one, now in zip(before, model.optimizer.weights, strict=True) if one.ndim == 2)


def test_options_reach_the_optimiser() -> None:
    options = {"weight_decay": 0.25, "amsgrad": True}
    _, (optimizer, _) = built(name="AdamW", learning_rate=0.5, options=options).optimizer.parts()
    assert isinstance(optimizer, keras.optimizers.AdamW)
    config = optimizer.get_config()
    assert (float(config["learning_rate"]), config["weight_decay"], config["amsgrad"]) == (0.5, 0.25, True)


@pytest.mark.parametrize(
    ("dense", "said"),
    [
        ({"name": "AdamV"}, r"optimizer\.dense\.name: 'AdamV' is no optimiser of Keras \(have: .*'SGD'\)\. Did you mean 'Adam"),
        ({"name": "Optimizer"}, r"name: 'Optimizer' is no optimiser of Keras"),
        ({"name": "legacy"}, r"name: 'legacy' is no optimiser of Keras"),
        (
            {"name": "AdamW", "options": {"weight_decoy": 1}},
            r"dense\.options\.weight_decoy: AdamW takes no such option \(have: .*\)\. Did you mean 'weight_decay'\?",
        ),
        ({"name": "Adam", "options": {"lr": 1}}, r"options\.lr: Adam takes no such option"),
        ({"name": "Adam", "options": {"use_ema": True}}, r"options\.use_ema: Adam takes no such option"),
        ({"name": "adam"}, r"dense\.name: 'adam' is no optimiser of Keras .*\. Did you mean 'Adam'\?"),
        ({"name": "Adam", "options": {"learning_rate": 1}}, r"options\.learning_rate: Adam takes no such option"),
        ({"name": "SGD", "options": {"momentum": 2}}, r"optimizer\.dense\.options: SGD does not take them: .*momentum"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, [value["name"], *value.get("options", {})])),
)
def test_what_keras_has_not_is_refused_with_what_it_has(dense: dict[str, Any], said: str) -> None:
    with pytest.raises(funnel.SchemaError, match=said):
        funnel.build(declared(**dense))


REPLICAS = """
import numpy as np
from funnel.model._keras import tf
from funnel.model.optimizers import LazyAdam, RowAdagrad, RowSgd, RowWiseAdagradOptimizer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rows = tf.constant([[1, 2], [2, 3]])
gradients = tf.constant([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
whole = tf.IndexedSlices(tf.constant([[1.0, 2.0], [8.0, 10.0], [7.0, 8.0]]), tf.constant([1, 2, 3]), tf.constant([4, 2]))
for kind, option in [(RowAdagrad, 0.05), (RowWiseAdagradOptimizer, 0.05), (LazyAdam, 0.9), (RowSgd, 0.5)]:
    with strategy.scope():
        table, optimizer = tf.Variable(tf.ones([4, 2])), kind(0.1, option)
        optimizer._create_all_weights([table])

    @tf.function
    def step():
        mine = tf.distribute.get_replica_context().replica_id_in_sync_group
        slices = tf.IndexedSlices(tf.gather(gradients, mine), tf.gather(rows, mine), tf.constant([4, 2]))
        optimizer.apply_gradients([(slices, table)])

    alone, plain = tf.Variable(tf.ones([4, 2])), kind(0.1, option)
    for _ in range(3):
        strategy.run(step)
        plain.apply_gradients([(whole, alone)])
    for copy in strategy.experimental_local_results(table):
        np.testing.assert_allclose(copy, alone, rtol=1e-6)
    for name in plain._state:
        np.testing.assert_allclose(optimizer.get_slot(table, name), plain.get_slot(alone, name), rtol=1e-6)
print("done")
"""


def test_rows_that_replicas_share_are_added_up_before_the_step() -> None:
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("done\n")
