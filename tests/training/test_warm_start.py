from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.training.events import Epoch
from funnel.training.warm_start import WarmStart, take_over
from tests import shop


def tree(**model: Any) -> dict[str, Any]:
    made = shop.tree()
    made["train"] |= {"epochs": 2}
    made["model"] |= model
    return made


def renamed(data: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The next day: item 3 is gone, and items from 100 on are new."""
    facts = data["facts"].with_columns(
        item=pl.when(pl.col("item") == 3).then(104).when(pl.col("item") == 5).then(100).otherwise(pl.col("item"))
    )
    return {"facts": facts, "user": data["user"]}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return funnel.fit(tree(), shop.frames(), out=tmp_path_factory.mktemp("old") / "run")


def started(old: Any, made: dict[str, Any], data: Any) -> tuple[Any, Any, WarmStart]:
    """A new model that has taken over, before its first step; and its vocabulary."""
    schema = funnel.load_schema(made)
    store = funnel.prepare(schema, data, base=old.base_for(schema))
    model = funnel.build(schema, store)
    model.create_variables()
    told = take_over(model, store.vocabulary, old.model, old.vocabulary, accumulators=old.read_optimizer_state())
    return model, store.vocabulary, told


def row_of(model: Any, vocabulary: Any, table: str, term: str) -> np.ndarray:
    (width,) = (width for width in model.network.widths if table in width.tables)
    row = width.tables[table][0] + 2 + vocabulary.terms[table].to_list().index(term)
    return model.network.bottoms[0].embeddings.tables[str(width.dim)].numpy()[row]


def test_known_ids_keep_their_rows_also_where_they_are_gone_and_new_ones_are_fresh(old: Any) -> None:
    model, vocabulary, told = started(old, tree(), renamed(shop.frames()))
    for term in old.vocabulary.terms["items"]:
        np.testing.assert_array_equal(
            row_of(model, vocabulary, "items", term), row_of(old.model, old.vocabulary, "items", term)
        )
    count = len(old.vocabulary.terms["items"])
    assert vocabulary.terms["items"].to_list()[count:] == ["100", "104"] or set(vocabulary.terms["items"][count:]) == {
        "100",
        "104",
    }
    assert told.rows["items"] == (count + 2, count)
    assert told.rows["hour"] == (13, 13)
    assert told.fresh == ()


def test_before_any_step_it_predicts_what_the_old_run_does(old: Any) -> None:
    model, _, _ = started(old, tree(), shop.frames())
    batch, _ = next(iter(funnel.dataset(tree(), shop.frames())))
    np.testing.assert_allclose(model.logits(batch), old.model.logits(batch), rtol=1e-4, atol=1e-5)


def test_sums_of_squared_gradients_come_with_the_rows(old: Any) -> None:
    model, _, _ = started(old, tree(), shop.frames())
    for dim, table in model.network.bottoms[0].embeddings.tables.items():
        mine = model.optimizer.parts()[0][0].get_slot(table, "accumulator").numpy()
        other = old.model.network.bottoms[0].embeddings.tables[dim]
        theirs = old.model.optimizer.parts()[0][0].get_slot(other, "accumulator").numpy()
        np.testing.assert_array_equal(mine, theirs)
        assert (mine > 0.1).any()


def test_a_new_feature_another_width_and_another_tower_start_anew_and_the_rest_is_kept(old: Any) -> None:
    made = tree(tower={"units": [8]})
    made["features"].append({"name": "price_again", "kind": "numeric", "column": "price", "transform": "standardize"})
    made["tables"]["items"]["dim"] = 5
    model, _, told = started(old, made, shop.frames())
    assert told.rows["items"][1] == 0
    assert told.rows["user_id"][1] == told.rows["user_id"][0] > 0
    assert told.fresh == ()
    (place, size), (before, same) = model.network.inputs["user_id"], old.model.network.inputs["user_id"]
    assert size == same
    kernel, other = (m.network.towers[0].stack.dense[0].kernel.numpy() for m in (model, old.model))
    np.testing.assert_array_equal(kernel[place : place + size], other[before : before + size])
    wider, _, told = started(old, tree(tower={"units": [9]}), shop.frames())
    assert {"click/dense_0", "click/logit", "buy/dense_0", "buy/logit"} == set(told.fresh)
    assert wider.network.towers[0].stack.dense[0].kernel.shape[1] == 9


def test_a_fit_from_a_run_tells_what_it_took_over_and_goes_on(old: Any, tmp_path: Path) -> None:
    events: list[Any] = []
    run = funnel.fit(tree(), renamed(shop.frames(7)), warm_start=old.path, out=tmp_path / "next", watch=events.append)
    (told,) = [event for event in events if isinstance(event, WarmStart)]
    assert run.manifest["warm_start"] == told.as_dict()
    first = next(event for event in events if isinstance(event, Epoch))
    assert first.losses["loss"] < old.history[0]["losses"]["loss"]
    again = funnel.load(tmp_path / "next")
    assert again.vocabulary.terms["items"].to_list() == run.vocabulary.terms["items"].to_list()


def test_stages_with_tables_of_their_own_start_from_shared_ones_and_the_other_way_round(old: Any) -> None:
    apart, _, told = started(old, tree(share_embeddings=False), shop.frames())
    assert not told.fresh
    for bottom in apart.network.bottoms:
        for dim, table in bottom.embeddings.tables.items():
            np.testing.assert_array_equal(table, old.model.network.bottoms[0].embeddings.tables[dim])
    fitted = funnel.fit(tree(share_embeddings=False), shop.frames())
    click, buy = fitted.model.network.bottoms
    assert (click.embeddings.tables["6"].numpy() != buy.embeddings.tables["6"].numpy()).any()
    again, _, _ = started(fitted, tree(share_embeddings=False), shop.frames())
    one, _, _ = started(fitted, tree(), shop.frames())
    for dim, table in click.embeddings.tables.items():
        np.testing.assert_array_equal(again.network.bottoms[0].embeddings.tables[dim], table)
        np.testing.assert_array_equal(again.network.bottoms[1].embeddings.tables[dim], buy.embeddings.tables[dim])
        # All rows have taught the first stage.
        np.testing.assert_array_equal(one.network.bottoms[0].embeddings.tables[dim], table)


def test_another_objective_goes_on_with_the_towers_that_it_has(old: Any) -> None:
    made = tree() | {"objective": "dcmt"}
    model, _, told = started(old, made, shop.frames())
    assert told.fresh == ("buy.twin/dense_0", "buy.twin/logit")
    np.testing.assert_array_equal(model.network.towers[1].logit.kernel, old.model.network.towers[1].logit.kernel)


BINS = {"kind": "piecewise_linear", "bins": 4}


def with_numbers(bins: Any, embedded: Any, wave: Any) -> dict[str, Any]:
    made = tree()
    price = {"kind": "numeric", "column": "price"}
    made["features"] += [
        {"name": "bins", "transform": bins} | price,
        {"name": "binned", "transform": embedded} | price,
        {"name": "wave", "transform": wave} | price,
    ]
    return made


def test_weights_of_a_number_go_on_where_they_mean_the_same() -> None:
    waves = {"kind": "periodic", "frequencies": 3, "dim": 2}
    fitted = funnel.fit(with_numbers(BINS, BINS | {"dim": 3}, waves), shop.frames())
    same, _, told = started(fitted, with_numbers(BINS, BINS | {"dim": 3}, waves), shop.frames(7))
    assert told.fresh == ()
    assert same.learnt.scales == fitted.learnt.scales  # of other rows, they would be others
    for name, layer in same.network.bottoms[0].numbers.items():
        for mine, theirs in zip(layer.variables, fitted.model.network.bottoms[0].numbers[name].variables, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    batch, _ = next(iter(funnel.dataset(fitted.schema, shop.frames())))
    np.testing.assert_allclose(same.logits(batch), fitted.model.logits(batch), rtol=1e-4, atol=1e-5)

    other = {"kind": "piecewise_linear", "boundaries": [0, 1, 2, 3, 4]}
    moved, _, told = started(fitted, with_numbers(other, other | {"dim": 3}, waves | {"mean": 1.0, "std": 2.0}), shop.frames())
    assert set(told.fresh) == {"body/numeric_binned", "body/numeric_wave"}
    # As many bins, but other ones: the rows of the kernel that they enter by start anew, and no others.
    kernel, before = (m.network.towers[0].stack.dense[0].kernel.numpy() for m in (moved, fitted.model))
    kept = {
        name
        for name, (begin, size) in moved.network.inputs.items()
        if (kernel[begin : begin + size] == before[slice(*_place(fitted, name))]).all()
    }
    assert set(moved.network.inputs) - kept == {"bins"}


def _place(run: Any, name: str) -> tuple[int, int]:
    begin, size = run.model.network.inputs[name]
    return begin, begin + size
