"""Raw rows: what a request would hold, against the frames themselves; and that the same rows are left out as from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from funnel.data.origin import Origin
from funnel.data.raw_rows import RawRows, raw_rows, unencoded
from funnel.errors import DataError
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from tests import shop
from tests.serving.exports import columns_of, frames


def joined(schema: FunnelSchema, raw: RawRows) -> dict[str, list[Any]]:
    """By input, of each fact in the order of the files: what is sent, lists without padding."""
    found: dict[str, list[Any]] = {}
    order = np.argsort(raw.position)
    for feature in schema.inputs:
        source, column = schema.source_of(feature), raw.columns[feature.name]
        rows = (raw.index[source] if source != FACTS else np.arange(len(raw.position)))[order]
        if isinstance(feature, Numeric):
            found[feature.name] = column[rows].tolist()
        elif isinstance(feature, Bag):
            texts, offsets = raw.texts[feature.name].to_list(), raw.columns[f"{feature.name}/offsets"]
            found[feature.name] = [[texts[place] for place in column[offsets[r] : offsets[r + 1]]] for r in rows]
            if feature.weighted:
                weights = raw.columns[f"{feature.name}/weights"]
                found[f"{feature.name}_weights"] = [weights[offsets[r] : offsets[r + 1]].tolist() for r in rows]
        else:
            texts = raw.texts[feature.name].to_list()
            found[feature.name] = [texts[place] for place in column[rows]]
    return found


def read(tree: dict[str, Any], data: dict[str, pl.DataFrame]) -> tuple[FunnelSchema, RawRows]:
    schema = load_schema(tree)
    (raw,) = raw_rows(schema, Origin(frames={source: data[source] for source in schema.sources}), "train")
    return schema, raw


def test_they_are_what_the_frames_hold() -> None:
    data = frames(3, 400)
    schema, raw = read(shop.tree(), data)
    found, expected = joined(schema, raw), columns_of(schema, data)
    assert sorted(raw.position) == list(range(400))
    assert set(found) == set(expected)
    for name, column in expected.items():
        if name.endswith("_weights"):
            lengths = [len([one for one in ids if one]) for ids in expected[name.removesuffix("_weights")]]
            cut = [weights[:length] for weights, length in zip(column, lengths, strict=True)]
            assert found[name] == [np.float32(weights).tolist() for weights in cut]
        elif isinstance(column[0], list):
            assert found[name] == [[one for one in ids if one] for ids in column]
        elif isinstance(column[0], float):
            np.testing.assert_array_equal(found[name], np.array(column, np.float32))
        else:
            assert found[name] == column


def test_ids_are_spelt_as_vocabularies_spell_them() -> None:
    tree = {
        "name": "ids",
        "stages": [{"name": "click", "label": "click"}],
        "data": {"facts": {"format": "parquet", "train": "x"}},
        "features": [
            {"name": "whole", "kind": "categorical", "buckets": 3},
            {"name": "text", "kind": "categorical", "missing": {"fill": "none"}},
            {"name": "truth", "kind": "categorical", "missing": "oov"},
            {"name": "many", "kind": "bag", "weighted": True, "weights": "much"},
            {"name": "number", "kind": "numeric", "missing": {"fill": 7}},
        ],
    }
    data = pl.DataFrame(
        {
            "click": [0, 1, 0, 1],
            "whole": [-5, None, 9_007_199_254_740_993, 0],
            "text": ["007", "", None, "é\x00 \n"],
            "truth": [True, False, None, True],
            "many": [["b", None, "", "a"], None, [], ["a"]],
            "much": [[1.0, 2.0, 3.0, 0.1], None, [], [-2.0]],
            "number": [None, float("nan"), 0.1, -1e30],
        }
    )
    schema, raw = read(tree, {FACTS: data})
    found = joined(schema, raw)
    assert found["whole"] == ["-5", "", "9007199254740993", "0"]
    assert found["text"] == ["007", "", "", "é\x00 \n"]  # the export puts what is declared
    assert found["truth"] == ["1", "0", "", "1"]
    assert found["many"] == [["b", "a"], [], [], ["a"]]
    assert found["many_weights"] == [[1.0, pytest.approx(0.1)], [], [], [-2.0]]
    np.testing.assert_array_equal(found["number"], np.float32([np.nan, np.nan, 0.1, -1e30]))
    assert raw.lacks(schema.feature("text")).tolist() == [False, True, True, False]
    assert raw.lacks(schema.feature("number")).tolist() == [True, True, False, False]


def test_what_is_missing_of_a_dimension_is_missing_of_its_facts() -> None:
    schema, raw = read(shop.tree(), frames(3, 400))
    expected = columns_of(schema, frames(3, 400))
    order = np.argsort(raw.position)
    assert raw.lacks(schema.feature("city"))[order].tolist() == [text == "" for text in expected["city"]]
    assert raw.lacks(schema.feature("age"))[order].tolist() == [bool(np.isnan(age)) for age in expected["age"]]


def test_the_same_rows_are_left_out_as_from_a_store() -> None:
    data = frames(3, 400)
    lost = data["user"].filter(pl.col("user_id") != "u3")
    kept = data["facts"].with_row_index().filter(pl.col("user_id") != "u3")["index"].to_list()
    tree = shop.tree()
    with pytest.raises(DataError, match="'u3', which the dimension 'user' lacks"):
        read(tree, data | {"user": lost})
    _, raw = read(tree | {"data": tree["data"] | {"bad_rows": {"kind": "skip", "max_share": 0.5}}}, data | {"user": lost})
    assert sorted(raw.position.tolist()) == kept


def test_missing_values_that_are_errors_stay_errors() -> None:
    tree = shop.tree()
    tree["features"] = [feature | ({"missing": "error"} if feature["name"] == "item" else {}) for feature in tree["features"]]
    with pytest.raises(DataError, match="no value for the feature 'item'"):
        read(tree, frames(3, 400))


def test_it_reads_in_pieces(tmp_path: Path) -> None:
    tree = shop.tree()
    schema = load_schema(tree | {"data": tree["data"] | {"shard_rows": 300}})
    whole = read(tree, frames(3, 400))
    data = frames(3, 400)
    pieces = list(raw_rows(schema, Origin(frames={source: data[source] for source in schema.sources}), "train"))
    assert len(pieces) > 3
    expected = joined(*whole)
    position = np.sort(np.concatenate([piece.position for piece in pieces]))
    assert position.tolist() == list(range(400))
    for piece in pieces:
        # All facts of a user stand together.
        assert np.count_nonzero(np.diff(piece.index["user"])) == len(np.unique(piece.index["user"])) - 1
        for name, column in joined(schema, piece).items():
            np.testing.assert_equal(column, [expected[name][place] for place in np.sort(piece.position)])


def test_reading_plainly_changes_no_other_part() -> None:
    schema = load_schema(shop.tree())
    plain = unencoded(schema)
    assert plain.tables == {}
    assert [feature.name for feature in plain.features] == [feature.name for feature in schema.inputs]
    assert plain.data == schema.data
    assert schema.feature("hour").buckets == 13
