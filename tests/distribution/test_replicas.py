"""Replicas on the devices of one process: what they learn in step is what one learns from all of their rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import shop

# Three devices, before TensorFlow has any; a batch that three lanes do not share out evenly, and lanes that end apart.
FITS = """
import sys
import numpy as np
import funnel
from funnel.model._keras import tf
(device,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 3)
sys.path.insert(0, sys.argv[1])
from tests import sequences_shop, shop
shop = sequences_shop if sys.argv[5] == "sequences" else shop
tree = shop.tree()
tree["model"]["tower"]["activation"] = "prelu"
sgd = {"kind": "sgd", "learning_rate": 0.1}
tree["train"] |= {"batch_size": 50, "epochs": 2, "lanes": 3, "optimizer": {"embedding": eval(sys.argv[3]), "dense": sgd}}
tree["train"]["l2"] = {"embedding": 0.02, "dense": 0.001}
tree["objective"] = eval(sys.argv[2])
tree["model"] |= eval(sys.argv[4])
tree["features"][0]["compress"] = {"remainders": 8}
store = funnel.prepare(tree, shop.frames(rows=400))
runs = [funnel.fit(tree, store, overrides=[f"train.strategy={kind}"]) for kind in ("one_device", "mirrored")]
assert isinstance(runs[1].model.network.tables[0].values, tuple), "is not mirrored"
assert len(runs[1].model.network.tables[0].values) == 3
one, other = runs
for mine, theirs in zip(one.history, other.history, strict=True):
    assert mine["rows"] == theirs["rows"]
    assert mine["losses"].keys() == theirs["losses"].keys()
    for name, loss in mine["losses"].items():
        np.testing.assert_allclose(theirs["losses"][name], loss, rtol=1e-4, err_msg=name)
for mine, theirs in zip(one.model.network.variables, other.model.network.variables, strict=True):
    # Attention has a Dice, and replicas have moments of their own rows.
    atol = 2e-4 if "moving" in mine.name else 2e-5
    np.testing.assert_allclose(theirs.numpy(), mine.numpy(), atol=atol, err_msg=mine.name)
print("the same", sorted(one.history[0]["losses"]))
"""
OWN = '{"body": {"kind": "custom", "layer": "tests.model.own_layers:Plain", "config": {"units": 6}}}'
SGD, ADAGRAD = '{"kind": "sgd", "learning_rate": 0.1}', '{"kind": "adagrad"}'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "tables", "network", "features"),
    [
        ('{"kind": "esmm", "weights": "uncertainty"}', ADAGRAD, OWN, "sequences"),
        ('"division"', ADAGRAD, '{"domain": "city", "transfer": {"kind": "aitm", "calibrator": 3.0}}', "all"),
        pytest.param('"esmm"', ADAGRAD, '{"share_embeddings": False}', "sequences", marks=pytest.mark.long),
        pytest.param('{"kind": "dr", "self_normalize": True}', SGD, "{}", "all", marks=pytest.mark.long),
        pytest.param('{"kind": "unbias"}', SGD, "{}", "all", marks=pytest.mark.long),
        pytest.param('{"kind": "dcmt", "self_normalize": True}', ADAGRAD, "{}", "all", marks=pytest.mark.long),
        pytest.param('{"kind": "ips"}', '{"kind": "adam"}', "{}", "all", marks=pytest.mark.long),
        pytest.param('{"kind": "parent_space"}', '{"kind": "rowwise_adagrad"}', "{}", "all", marks=pytest.mark.long),
    ],
)
def test_three_replicas_learn_what_one_learns(objective: str, tables: str, network: str, features: str) -> None:
    root = str(Path(shop.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", FITS, root, objective, tables, network, features],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout
