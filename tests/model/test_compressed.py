"""Tables that are stored as smaller ones: by hand, against rows written out, and as fits, exports and warm starts have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from funnel.data.packing import Packer
from funnel.data.vocabulary import Vocabulary
from funnel.errors import RunError, SchemaError
from funnel.model._keras import tf
from funnel.schema.layout import layout
from funnel.schema.learnt import declared_only, stored_rows
from funnel.schema.reader import load_schema
from funnel.serving.compact import compact
from funnel.training.warm_start import take_over
from tests.model.stars import batch_of, tree_of
from tests.model.test_network import clean, joined, logits, model_of, tensors

COMPRESS = {"kind": "quotient_remainder", "remainders": 4}
FEATURES = [
    {"name": "item", "source": "facts", "kind": "categorical", "buckets": 11, "dim": 3, "compress": COMPRESS},
    {"name": "hour", "source": "facts", "kind": "categorical", "buckets": 2, "dim": 3},
    {"name": "seen", "source": "user", "kind": "bag", "table": "q", "pooling": "mean", "weighted": True, "weights": "w"},
    {"name": "liked", "source": "user", "kind": "bag", "table": "t", "pooling": "sum"},
]


def test_rows_by_hand() -> None:
    # 11 ids: remainders 0 to 3, and quotients 0, 1, 2.
    schema = load_schema(tree_of(FEATURES))
    learnt, _ = declared_only(schema)
    assert learnt is not None
    assert learnt.rows["item"] == 13
    assert stored_rows(schema, "item", 13) == 2 + 4 + 3
    assert stored_rows(schema, "item", 10) == 2 + 4 + 2
    assert stored_rows(schema, "hour", 4) == 4
    wide, narrow = layout(schema, learnt)
    assert wide.tables == {"item": (0, 9), "hour": (9, 4)}
    assert narrow.tables == {"q": (0, 2 + 3 + 4), "t": (9, 7)}
    assert wide.compressed == {"item"}
    batch = {
        "index/user": np.array([0, 0, 0, 0], np.int32), "index/item": np.zeros(4, np.int32),
        "facts/item": np.array([0, 1, 2, 12], np.int32), "facts/hour": np.array([0, 0, 3, 3], np.int32),
        "user/seen": np.zeros(0, np.int32), "user/seen/offsets": np.array([0, 0], np.int32),
        "user/seen/weights": np.zeros(0, np.float32), "user/liked": np.zeros(0, np.int32),
        "user/liked/offsets": np.array([0, 0], np.int32),
    }  # fmt: skip
    found = Packer(schema, learnt)(batch)
    # Id 2 is n = 0: remainder 0 (row 2) and quotient 0 (row 6); id 12 is n = 10: remainder 2 (row 4), quotient 2 (row 8).
    np.testing.assert_array_equal(found["lookups/3/unique"], [0, 1, 2, 4, 6, 8, 9, 12])
    uses = {
        (int(lookup), int(found["lookups/3/unique"][place])): float(weight)
        for (lookup, place), weight in zip(found["lookups/3/entries"], found["lookups/3/weights"], strict=True)
        if weight
    }
    assert uses == {
        (0, 0): 1, (2, 1): 1, (4, 2): 1, (4, 6): 1, (6, 4): 1, (6, 8): 1, (1, 9): 1, (3, 9): 1, (5, 12): 1, (7, 12): 1,
    }  # fmt: skip


def whole(model: Any, tree: dict[str, Any]) -> Any:
    """The same network with every row written out."""
    features = [{key: value for key, value in feature.items() if key != "compress"} for feature in tree["features"]]
    tables = {name: {key: value for key, value in table.items() if key != "compress"} for name, table in tree["tables"].items()}
    other = model_of(tree | {"features": features, "tables": tables}, tower={"units": [6], "activation": "tanh"})
    for mine, theirs in zip(other.network.widths, model.network.widths, strict=True):
        out = other.network.bottoms[0].embeddings.tables[str(mine.dim)]
        values, stored = np.zeros(out.shape, np.float32), model.network.bottoms[0].embeddings.tables[str(mine.dim)].numpy()
        for table, (begin, rows) in mine.tables.items():
            first = theirs.tables[table][0]
            remainders = {"item": 4, "q": 3}.get(table)
            for row in range(rows):
                if remainders is None or row < 2:
                    values[begin + row] = stored[first + row]
                else:
                    n = row - 2
                    values[begin + row] = stored[first + 2 + n % remainders] + stored[first + 2 + remainders + n // remainders]
        out.assign(values)
    for mine, theirs in zip(other.network.towers[0].variables, model.network.towers[0].variables, strict=True):
        mine.assign(theirs)
    return other


@pytest.mark.parametrize("seed", range(4))
def test_it_says_what_the_sums_written_out_say_on_star_and_joined_rows(seed: int) -> None:
    tree = tree_of(FEATURES)
    model = model_of(tree, tower={"units": [6], "activation": "tanh"})
    other = whole(model, tree)
    batch = clean(batch_of(tree, seed, 20, 5))
    np.testing.assert_allclose(logits(model, batch), logits(other, batch), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits(model, batch), logits(model, joined(tree, batch)), rtol=1e-4, atol=1e-5)
    packed_ahead = Packer(model.schema, model.learnt)(batch)
    np.testing.assert_allclose(model.logits(tensors(packed_ahead)), logits(model, batch), rtol=1e-5, atol=1e-6)


def test_a_step_moves_both_rows_of_the_ids_that_it_sees_and_no_others() -> None:
    tree = tree_of([FEATURES[0]])
    model = model_of(tree, tower={"units": []})
    (table,) = model.network.tables
    batch = {"index/user": np.zeros(2, np.int32), "index/item": np.zeros(2, np.int32)}
    before = table.numpy()
    model.learn((tensors(batch | {"facts/item": np.array([7, 1], np.int32)}), tf.ones([2, 1])))
    # n = 5: remainder 1 (row 3), quotient 1 (row 7); and the row of unknown ids.
    assert np.flatnonzero((table.numpy() != before).any(axis=1)).tolist() == [1, 3, 7]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.logits(tensors(batch | {"facts/item": np.array([7, 3], np.int32)})))
    gradient = tape.gradient(loss, table)
    assert isinstance(gradient, tf.IndexedSlices)
    # Of n = 5 and n = 1: they share remainder 1, which gets the sum of both.
    by_row = dict(zip(gradient.indices.numpy().tolist(), gradient.values.numpy(), strict=True))
    assert sorted(by_row) == [3, 6, 7]
    np.testing.assert_allclose(by_row[3], by_row[6] + by_row[7], rtol=1e-6)


def test_first_values_of_ids_are_as_large_as_those_of_another_table_and_special_rows_are_zero() -> None:
    features = [{"name": "item", "source": "facts", "kind": "categorical", "buckets": 90_000, "dim": 8}]
    for compress in (None, {"kind": "quotient_remainder", "remainders": 300}):
        schema = load_schema(tree_of([features[0] | ({"compress": compress} if compress else {})]))
        learnt, _ = declared_only(schema)
        from funnel.model.funnel_model import build_model  # noqa: PLC0415

        (table,) = build_model(schema, learnt, {}).network.tables
        assert (table.numpy()[:2] == 0).all()
        rows = table.numpy()[2:]
        ids = rows if compress is None else (rows[:300, None] + rows[None, 300:]).reshape(-1, 8)
        assert len(ids) == 90_000
        assert ids.std() == pytest.approx(0.01, rel=0.05)


WRONG = {
    "nothing saved": ({"buckets": 5, "compress": {"remainders": 5}}, "features[0].compress.remainders: got 5 for 5 buckets"),
    "one": ({"compress": {"remainders": 1}}, "features[0].compress.remainders: got 1"),
    "beside a table": ({"table": "t", "compress": {"remainders": 2}}, "features[0].compress: got `compress` beside `table: t`"),
    "unknown key": ({"compress": {"remainder": 3}}, "Did you mean 'remainders'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_declarations_that_are_wrong_are_refused(case: str) -> None:
    more, message = WRONG[case]
    with pytest.raises(SchemaError) as caught:
        load_schema(tree_of([{"name": "item", "kind": "categorical"} | more]))
    assert message in str(caught.value)


# A vocabulary of its own: what a warm start and an export make of it.
LEARNS = [{"name": "item", "kind": "categorical", "dim": 2, "compress": {"remainders": 3}}]


def of_ids(ids: list[str], seed: int, remainders: int | None = 3, counts: Any = None) -> tuple[Any, Vocabulary]:
    import polars as pl  # noqa: PLC0415

    from funnel.model.funnel_model import build_model  # noqa: PLC0415
    from funnel.schema.learnt import Learnt  # noqa: PLC0415

    schema = load_schema(tree_of([LEARNS[0] | {"compress": None if remainders is None else {"remainders": remainders}}]))
    model = build_model(schema, Learnt(rows={"item": 2 + len(ids)}, scales={}, priors=(0.1,)), {"item": ids})
    model.create_variables()
    (table,) = model.network.tables
    table.assign(np.random.default_rng(seed).normal(size=table.shape))
    return model, Vocabulary({"item": pl.Series(ids)}, {} if counts is None else {"item": counts})


IDS = [f"i{n}" for n in range(7)]


def row_of(model: Any, n: int) -> np.ndarray:
    rows, remainders = model.network.tables[0].numpy(), model.schema.feature("item").compress.remainders
    return rows[2 + n % remainders] + rows[2 + remainders + n // remainders]


def test_a_warm_start_takes_over_sums_that_are_the_same_two_rows() -> None:
    old, known = of_ids(IDS, 1)
    new, vocabulary = of_ids([*IDS, "x0", "x1", "x2", "x3"], 2)
    before = new.network.tables[0].numpy()
    told = take_over(new, vocabulary, old, known, accumulators=False)
    assert told.rows["item"] == (11, 7)
    for n in range(7):
        np.testing.assert_array_equal(row_of(new, n), row_of(old, n))
    np.testing.assert_array_equal(new.network.tables[0].numpy()[:2], old.network.tables[0].numpy()[:2])
    # Quotient 3 is of new ids alone.
    np.testing.assert_array_equal(new.network.tables[0].numpy()[8:], before[8:])
    assert len(before) == 2 + 3 + 4


@pytest.mark.parametrize(
    ("ids", "remainders"),
    [(IDS[::-1], 3), (IDS, 4), (IDS, None), ([*IDS[1:], "i0"], 3)],
    ids=["turned", "other", "whole", "moved"],
)
def test_sums_of_other_rows_start_anew(ids: list[str], remainders: int | None) -> None:
    old, known = of_ids(IDS, 1)
    new, vocabulary = of_ids(ids, 2, remainders)
    before = new.network.tables[0].numpy()
    told = take_over(new, vocabulary, old, known, accumulators=False)
    assert told.rows["item"] == (7, 0)
    np.testing.assert_array_equal(new.network.tables[0].numpy()[2:], before[2:])
    np.testing.assert_array_equal(new.network.tables[0].numpy()[:2], old.network.tables[0].numpy()[:2])
    told = take_over(old, known, new, vocabulary, accumulators=False)
    assert told.rows["item"] == (7, 0)


def test_an_export_stores_the_rows_as_they_are_and_prunes_none() -> None:
    model, vocabulary = of_ids(IDS, 1, counts=np.arange(7))
    found = compact(model, vocabulary, "float16")
    assert (found.sizes["item"].learnt, found.sizes["item"].rows) == (2 + 3 + 3, 2 + 3 + 3)
    assert found.sizes["item"].bytes == 8 * 2 * 2
    with pytest.raises(RunError, match="of compressed tables many ids share each row"):
        compact(model, vocabulary, "float32", 2)


def test_beside_it_another_table_is_pruned_and_both_are_stored_small() -> None:
    import polars as pl  # noqa: PLC0415

    from funnel.model.funnel_model import build_model  # noqa: PLC0415
    from funnel.schema.learnt import Learnt  # noqa: PLC0415

    features = [{"name": "shop", "kind": "categorical", "dim": 2}, LEARNS[0]]
    schema = load_schema(tree_of(features) | {"model": {"tower": {"units": [4], "activation": "tanh"}}})
    shops = [f"s{n}" for n in range(5)]
    model = build_model(schema, Learnt(rows={"shop": 7, "item": 9}, scales={}, priors=(0.1,)), {"shop": shops, "item": IDS})
    model.create_variables()
    (table,) = model.network.tables
    table.assign(np.random.default_rng(3).normal(size=table.shape))
    counts = {"shop": np.array([9, 1, 9, 1, 9]), "item": np.arange(7)}
    vocabulary = Vocabulary({"shop": pl.Series(shops), "item": pl.Series(IDS)}, counts)

    def said(shop: int, item: int, tables: Any) -> float:
        batch = {"index/user": [0], "index/item": [0], "facts/shop": [shop], "facts/item": [item]}
        return float(model.conditional({key: tf.constant(value) for key, value in batch.items()}, tables)[0, 0])

    for kind, close in (("float32", 0.0), ("float16", 0.01), ("int8", 0.1)):
        found = compact(model, vocabulary, kind, 2)
        assert (found.sizes["shop"].rows, found.sizes["item"].rows) == (5, 8)
        assert len(found.vocabulary.terms["item"]) == 7
        tables = found.in_place_of(model.network.widths)
        for shop in range(7):
            for item in range(9):
                expected = said(1 if shop in (3, 5) else shop, item, None)
                assert said(shop, item, tables) == pytest.approx(expected, abs=close + 1e-6)
