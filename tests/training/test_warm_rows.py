"""What a warm start takes over, table by table, against a slow oracle that goes by the meaning of each row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.training.warm_start import WarmStart, take_over
from tests import shop

Data = dict[str, pl.DataFrame]


def tree(embedding: str = "adagrad") -> dict[str, Any]:
    made = shop.tree()
    made["train"] |= {"epochs": 1, "optimizer": {"embedding": embedding}}
    return made


@pytest.fixture(scope="module", params=["adagrad", "rowwise_adagrad"])
def old(request, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return funnel.fit(tree(request.param), shop.frames(), out=tmp_path_factory.mktemp("old") / "run")


def fresh(made: dict[str, Any], data: Data, old: Any) -> tuple[Any, Any]:
    """A model that has learnt nothing, for rows that are encoded as a warm start has them."""
    schema = funnel.load_schema(made)
    store = funnel.prepare(schema, data, base=old.base_for(schema))
    model = funnel.build(schema, store)
    model.create_variables()
    return model, store


def alone(made: dict[str, Any], data: Data) -> tuple[Any, Any]:
    """Likewise, encoded as if there had been no run: its ids stand elsewhere."""
    schema = funnel.load_schema(made)
    store = funnel.prepare(schema, data)
    model = funnel.build(schema, store)
    model.create_variables()
    return model, store


def tables(model: Any, terms: Any, *, slot: bool = False) -> dict[str, dict[Any, np.ndarray]]:
    """By table and meaning of the row: an id, or the number of a bucket, or what all tables have."""
    found: dict[str, dict[Any, np.ndarray]] = {}
    for width in model.network.widths:
        variable = model.network.bottoms[0].embeddings.tables[str(width.dim)]
        values = (model.optimizer.parts()[0][0].get_slot(variable, "accumulator") if slot else variable).numpy()
        for table, (begin, count) in width.tables.items():
            names = terms[table].to_list() if table in terms else list(range(count - 2))
            found[table] = dict(zip(["missing", "unknown", *names], values[begin : begin + count], strict=True))
            assert len(found[table]) == count
    return found


def with_items(change: Callable[[pl.Expr], pl.Expr]) -> Data:
    data = shop.frames()
    facts = data["facts"].with_columns(item=change(pl.col("item")))
    return {"facts": facts, "user": data["user"]}


CHANGES: dict[str, Data] = {
    "the same rows": shop.frames(),
    "other rows": shop.frames(5, 500),
    "ids that are gone and new": with_items(lambda item: pl.when(item < 9).then(item + 100).otherwise(item)),
    "most ids are new": with_items(lambda item: item * 7 + 1),
}


@pytest.mark.parametrize("build", [fresh, alone], ids=["ids behind the old ones", "ids in an order of their own"])
@pytest.mark.parametrize("change", CHANGES)
def test_each_row_is_that_of_its_id_or_stays_as_it_was_and_is_counted(old: Any, change: str, build: Any) -> None:
    made = old.schema.model_dump(mode="json", exclude_unset=True)
    model, store = build(made, CHANGES[change], old) if build is fresh else build(made, CHANGES[change])
    accumulators = old.read_optimizer_state()
    before = [tables(model, store.vocabulary.terms, slot=slot) for slot in (False, True)]
    told = take_over(model, store.vocabulary, old.model, old.vocabulary, accumulators=accumulators)
    assert accumulators
    # Boundaries of buckets that were learnt from other rows mean something else.
    moved = {
        table
        for table in before[0]
        if table == "price_band" and store.learnt.scales["price_band"] != old.learnt.scales["price_band"]
    }
    for slot in (False, True):
        known = tables(old.model, old.vocabulary.terms, slot=slot)
        now = tables(model, store.vocabulary.terms, slot=slot)
        for table, rows in now.items():
            for name, values in rows.items():
                taken = name in known[table] and (table not in moved or name in {"missing", "unknown"})
                expected = known[table][name] if taken else before[slot][table][name]
                np.testing.assert_array_equal(values, expected, err_msg=f"{table} {name}")
            names = [name for name in rows if name not in {"missing", "unknown"}]
            count = 0 if table in moved else sum(name in known[table] for name in names)
            assert told.rows[table] == (len(names), count), table


def started(old: Any, made: dict[str, Any], data: Data | None = None) -> tuple[Any, WarmStart]:
    model, store = fresh(made, shop.frames() if data is None else data, old)
    told = take_over(model, store.vocabulary, old.model, old.vocabulary, accumulators=old.read_optimizer_state())
    return model, told


def kernel(model: Any, feature: str, tower: int = 0) -> np.ndarray:
    begin, size = model.network.inputs[feature]
    return model.network.towers[tower].stack.dense[0].kernel.numpy()[begin : begin + size]


def same_predictions(model: Any, old: Any) -> None:
    batch, _ = next(iter(funnel.dataset(old.schema, shop.frames())))
    np.testing.assert_allclose(model.logits(batch), old.model.logits(batch), rtol=1e-4, atol=1e-5)


def test_before_any_step_the_old_rows_are_predicted_as_the_old_run_does(old: Any) -> None:
    model, told = started(old, tree())
    assert told.fresh == ()
    same_predictions(model, old)


def test_that_holds_also_for_a_run_that_kept_no_checkpoint(tmp_path: Path) -> None:
    old = funnel.fit(tree() | {"train": tree()["train"] | {"checkpoint": None}}, shop.frames(), out=tmp_path / "run")
    assert not old.read_optimizer_state()
    model, _ = started(old, tree())
    same_predictions(model, old)
    for rows in tables(model, old.vocabulary.terms, slot=True).values():
        assert all((values == np.float32(0.1)).all() for values in rows.values())


def test_a_feature_that_is_gone_takes_only_its_own_inputs_along(old: Any) -> None:
    made = tree()
    made["features"] = [feature for feature in made["features"] if feature["name"] not in ("age", "also_seen")]
    model, told = started(old, made)
    assert told.fresh == ()
    assert "also_seen" not in told.rows
    for feature in model.network.inputs:
        for tower in (0, 1):
            np.testing.assert_array_equal(kernel(model, feature, tower), kernel(old.model, feature, tower))


def test_a_new_feature_starts_with_inputs_of_its_own(old: Any) -> None:
    made = tree()
    made["features"].insert(0, {"name": "hour_again", "kind": "categorical", "column": "hour", "buckets": 7})
    model, told = started(old, made)
    assert told.rows["hour_again"] == (7, 0)
    np.testing.assert_array_equal(kernel(model, "hour_again"), kernel(fresh(made, shop.frames(), old)[0], "hour_again"))
    for feature in old.model.network.inputs:
        np.testing.assert_array_equal(kernel(model, feature), kernel(old.model, feature))


def test_a_renamed_feature_starts_anew_but_a_table_that_another_one_reads_is_known(old: Any) -> None:
    made = tree()
    for feature in made["features"]:
        if feature["name"] in ("item", "hour"):
            feature |= {"name": f"the_{feature['name']}", "column": feature["name"]}
        if feature["name"] == "city_item":
            feature["of"] = ["city", "the_item"]
    model, told = started(old, made)
    assert told.rows["items"] == (len(old.vocabulary.terms["items"]),) * 2  # by `seen`
    assert told.rows["the_hour"] == (13, 0)
    assert told.rows["city_item"] == (50, 0)  # crossed of something else
    np.testing.assert_array_equal(kernel(model, "seen"), kernel(old.model, "seen"))
    assert not (kernel(model, "the_item") == kernel(old.model, "item")).any()


@pytest.mark.parametrize(
    ("name", "change"), [("hour", {"buckets": 14}), ("price_band", {"transform": {"kind": "bucketize", "buckets": 6}})]
)
def test_other_buckets_start_anew_all_but_the_missing_and_the_unknown(old: Any, name: str, change: dict[str, Any]) -> None:
    made = tree()
    next(feature for feature in made["features"] if feature["name"] == name).update(change)
    model, told = started(old, made)
    assert told.rows[name][1] == 0
    now, known = (
        tables(model, old.vocabulary.terms)[name],
        tables(old.model, old.vocabulary.terms)[name],
    )
    np.testing.assert_array_equal(now["missing"], known["missing"])
    assert not (now[0] == known[0]).any()


def test_a_table_of_another_width_starts_anew_with_its_inputs(old: Any) -> None:
    made = tree()
    made["tables"]["items"]["dim"] = 4
    model, told = started(old, made)
    assert told.rows["items"][1] == 0
    assert told.rows["user_id"][1] == told.rows["user_id"][0]
    assert not (kernel(model, "seen") == kernel(old.model, "seen")[:4]).any()
    np.testing.assert_array_equal(kernel(model, "city"), kernel(old.model, "city"))


def test_a_new_stage_gets_a_tower_and_the_others_keep_theirs(old: Any) -> None:
    made, data = tree(), shop.frames()
    made["stages"].append({"name": "again", "label": "again"})
    data["facts"] = data["facts"].with_columns(again=(pl.col("buy") * (pl.int_range(pl.len()) % 2)).cast(pl.Int64))
    model, told = started(old, made, data)
    assert set(told.fresh) == {"again/dense_0", "again/logit"}
    for tower in (0, 1):
        for one, other in zip(model.network.towers[tower].variables, old.model.network.towers[tower].variables, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_body_makes_the_towers_new_and_keeps_the_tables(old: Any) -> None:
    made = tree()
    made["model"]["body"] = {"kind": "shared_bottom", "units": [8]}
    _, told = started(old, made)
    assert {"body/dense_0", "click/dense_0", "buy/dense_0"} <= set(told.fresh)
    assert told.rows["hour"] == (13, 13)


def test_optimisers_of_another_kind_do_not_inherit_sums(old: Any) -> None:
    made = tree("adam")
    model, _ = started(old, made)
    same_predictions(model, old)
    assert not model.optimizer.parts()[0][0].get_slot(model.network.bottoms[0].embeddings.tables["6"], "v").numpy().any()
