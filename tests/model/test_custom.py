"""Bodies that are a layer of the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funnel.errors import SchemaError
from funnel.model._keras import keras, tf
from funnel.schema.reader import load_schema
from tests.model.stars import batch_of, tree_of
from tests.model.test_network import FEATURES, clean, joined, logits, model_of, tensors

HERE = "tests.model.own_layers"


def custom(layer: str, **config: Any) -> dict[str, Any]:
    return {"kind": "custom", "layer": layer if ":" in layer else f"{HERE}:{layer}", "config": config}


def tree_with(body: Any) -> dict[str, Any]:
    return tree_of(FEATURES) | {"model": {"body": body, "tower": {"units": [4]}}}


def refused(body: Any) -> str:
    """What is said when the schema is read."""
    with pytest.raises(SchemaError) as caught:
        load_schema(tree_with(body))
    return str(caught.value)


def test_all_inputs_joined_enter_it() -> None:
    tree = tree_of(FEATURES)
    model = model_of(tree, body=custom("Plain", units=5))
    assert model.schema.model.body.config == {"units": 5}
    batch = clean(batch_of(tree, 3, 12, 4))
    entered: list[Any] = []
    (part,) = model.network.bottoms[0].body.parts
    inner = part.layer.call
    part.layer.call = lambda inputs: entered.append(inputs) or inner(inputs)
    found = logits(model, batch)
    (inputs,) = entered
    assert inputs.shape == (12, 14) == (12, sum(size for _, size in model.network.inputs.values()))
    np.testing.assert_array_equal(inputs[:, 5], batch["facts/price"])
    hidden = np.tanh(inputs.numpy() @ part.layer.kernel.numpy())
    tower = model.network.towers[0]
    np.testing.assert_allclose(found, tower.logit((tower.stack.dense[0]((hidden,)).numpy().clip(0),)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["Gated", "Forgetful"])
def test_training_reaches_it_and_the_layers_in_it_also_where_it_forgets_to_hand_it_on(layer: str) -> None:
    model = model_of(tree_of(FEATURES), body=custom(layer, units=5, rate=0.5))
    batch = tensors(clean(batch_of(tree_of(FEATURES), 3, 12, 4)))
    (part,) = model.network.bottoms[0].body.parts
    before = part.layer.norm.moving_mean.numpy()
    np.testing.assert_array_equal(model.logits(batch), model.logits(batch))
    np.testing.assert_array_equal(part.layer.norm.moving_mean, before)
    model.learn((batch, tf.constant(np.tile([[0.0], [1.0]], [6, 1]), tf.float32)))
    assert (part.layer.norm.moving_mean.numpy() != before).all()


@pytest.mark.parametrize("body", [custom("Plain", units=5), custom("stacked", widths=[4, 3]), custom("Gated", units=3)])
def test_its_first_weights_are_those_of_the_seed(body: dict[str, Any]) -> None:
    def first(seed: int) -> list[np.ndarray]:
        model = model_of(tree_of(FEATURES) | {"train": {"seed": seed}}, body=body)
        return [v.numpy() for v in model.network.bottoms[0].body.variables if "kernel" in v.name]

    one, again, other = first(0), first(0), first(1)
    assert one
    for mine, same, third in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(mine, same)
        assert not np.allclose(mine, third)


def test_towers_with_bodies_of_their_own_have_layers_of_their_own() -> None:
    tree = tree_of(FEATURES) | {"stages": [{"name": "a", "label": "a"}, {"name": "b", "label": "b"}]}
    model = model_of(tree, body=[custom("Plain", units=5), {"kind": "mmoe", "units": [3]}], share_embeddings=False)
    one, other = (bottom.body.parts[0].layer for bottom in model.network.bottoms)
    assert one is not other
    assert not np.allclose(one.kernel, other.kernel)


# Each: what the body names, where the message points, and what it says.
MISTAKES: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "no colon": ({"layer": "own_layers"}, ".layer", ("got 'own_layers'", "`package.module:Name`")),
    "no module": ({"layer": "tests.model.own_layrs:Plain"}, ".layer", ("'tests.model.own_layrs'", "'own_layers'?")),
    "no package": ({"layer": "tsts.model:Plain"}, ".layer", ("no module 'tsts'", "Did you mean 'tests'?")),
    "no file": ({"layer": "tests/model/own_layrs.py:Plain"}, ".layer", ("no such file", "Did you mean 'own_layers.py'?")),
    "no such class": ({"layer": f"{HERE}:Plan"}, ".layer", ("no 'Plan'", "Did you mean 'Plain'?")),
    "no layer": (custom("NoLayer"), ".layer", ("NoLayer is no layer", "tf_keras.layers.Layer")),
    "no class": (
        custom("HERE:x") | {"layer": "tests.model.stars:SOURCES"},
        ".layer",
        ("SOURCES is", "expected a layer's class"),
    ),
    "Keras 3": (custom("Third"), ".layer", ("Keras 3", "import tf_keras as keras")),
    "a wrong key": (custom("Plain", unit=3), ".config.unit", ("no such argument", "Did you mean 'units'?")),
    "a wrong key that a base would take": (custom("Gated", units=3, rat=0.1), ".config.rat", ("Did you mean 'rate'?",)),
    "a wrong key of a function": (custom("stacked", width=[3]), ".config.width", ("Did you mean 'widths'?",)),
    "a key that is missing": (custom("Plain"), ".config", ("needs 'units'",)),
    "no config": ({"layer": f"{HERE}:Plain", "config": 3}, ".config", ("got 3",)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_when_the_schema_is_read(mistake: str) -> None:
    body, path, parts = MISTAKES[mistake]
    message = refused({"kind": "custom"} | body)
    assert message.startswith(f"schema model.body{path}: "), message
    assert "\n" not in message
    for part in parts:
        assert part in message


BUILT = {
    "what a function returns": (custom("of_keras_3"), "Keras 3"),
    "rank": (custom("Fixed", what="no rank"), "gives float32 (3,) for 3 rows, expected float32 [3, U]"),
    "type": (custom("Fixed", what="half"), "gives float16 (3, 14)"),
    "several": (custom("Fixed", what="two"), "gives tuple, expected one tensor"),
    "rows": (custom("Fixed", what="one row"), "gives float32 (1, 14) for 3 rows"),
    "a width that depends on the rows": (custom("Fixed", what="unknown width"), "gives float32 (None, None)"),
    "Python's numbers": (custom("Fixed", what="python"), "failed on float32 [3, 14]"),
    "an error in its call": (custom("Fixed", what="?"), "ValueError: "),
    "an error in its constructor": (custom("stacked", widths=3), "stacked(widths=3) failed: TypeError: "),
    "losses of its own": (custom("regularized"), "got 1 losses of its own"),
}


@pytest.mark.parametrize("mistake", BUILT)
def test_what_only_the_call_shows_is_told_when_the_model_is_built(mistake: str) -> None:
    body, part = BUILT[mistake]
    with pytest.raises(SchemaError, match=re.escape(part)) as caught:
        model_of(tree_of(FEATURES), body=body)
    assert str(caught.value).startswith("model.body: tests.model.own_layers:")


CODE = """\
import tf_keras as keras
class Own(keras.layers.Dense):
    pass
"""


def test_a_file_is_found_beside_the_schema_and_one_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funnel.schema.reader import dump_schema  # noqa: PLC0415

    (tmp_path / "deep").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "deep" / "own.py").write_text(CODE)
    body = {"kind": "custom", "layer": "own.py:Own", "config": {"units": 3}}
    (tmp_path / "deep" / "a.yaml").write_text(dump_schema(load_schema(tree_with(body), layers=False)))
    monkeypatch.chdir(tmp_path / "elsewhere")
    schema = load_schema(tmp_path / "deep" / "a.yaml")
    assert load_schema(schema, ["model.body.config.units=4"]).model.body.config == {"units": 4}
    with pytest.raises(SchemaError, match=r"a\.yaml:\d+ model\.body\.config\.unit: Own takes no such argument"):
        load_schema(tmp_path / "deep" / "a.yaml", ["model.body.config={unit: 4}"])
    (tmp_path / "deep" / "own.py").write_text(CODE.replace("Own", "Other"))
    with pytest.raises(SchemaError, match=r"own\.py has no 'Own' \(have: 'Other'\)"):
        load_schema(tmp_path / "deep" / "a.yaml")
    (tmp_path / "deep" / "own.py").write_text("import tf_keras\nx = tf_keras.layrs.Dense\n")
    with pytest.raises(SchemaError, match=r"importing own\.py failed: AttributeError: .*layrs.* \(.*own\.py:2\)"):
        load_schema(tmp_path / "deep" / "a.yaml")


def test_a_module_beside_the_schema_is_not_taken_for_another_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funnel.schema.reader import dump_schema  # noqa: PLC0415

    body = {"kind": "custom", "layer": "its_layers:Own", "config": {"units": 3}}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "its_layers.py").write_text(CODE)
        (tmp_path / name / "a.yaml").write_text(dump_schema(load_schema(tree_with(body), layers=False)))
    load_schema(tmp_path / "one" / "a.yaml")
    with pytest.raises(SchemaError, match=r"Python takes 'its_layers' from .*one.its_layers\.py, and there is another one in"):
        load_schema(tmp_path / "two" / "a.yaml")


def test_it_is_of_the_keras_that_the_network_is_of() -> None:
    model = model_of(tree_of(FEATURES), body=custom("Plain", units=5))
    assert isinstance(model.network.bottoms[0].body.parts[0].layer, keras.layers.Layer)


def test_an_error_is_told_without_what_keras_says_around_it() -> None:
    with pytest.raises(SchemaError) as caught:
        model_of(tree_of(FEATURES), body=custom("Fixed", what="?"))
    assert str(caught.value) == (
        "model.body: tests.model.own_layers:Fixed: failed on float32 [3, 14], expected it to take all inputs joined: "
        "ValueError: what: ?. Mend the layer."
    )
