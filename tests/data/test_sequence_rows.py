"""Sequences are read in their order, cut to the newest, and as long as those beside them: from every format, into batches."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.batches import in_order
from funnel.data.columns import OFFSETS, WEIGHTS
from funnel.errors import DataError

VIEWS = [["i3", "i1", "i3"], [], ["i2"], ["i9", "i8", "i7", "i6"], None, ["i1", "i2"]]
SHOPS = [["a", "b", "c"], [], [None], ["b", "b", None, "a"], None, ["c", "a"]]
AGES = [[9.0, 4.0, 0.5], [], [2.0], [8.0, 4.0, 2.0, 1.0], None, [7.0, 7.0]]


def tree(files: dict[str, Any], **more: Any) -> dict[str, Any]:
    views = {"name": "views", "kind": "sequence", "min_count": 1, "times": "ages"} | more
    shops = {"name": "shops", "kind": "sequence", "min_count": 1, "beside": "views"}
    return {
        "name": "views",
        "stages": [{"name": "click", "label": "click"}],
        "data": {"facts": files, "validation": None},
        "features": [views, shops],
    }


def frame(views: Any = VIEWS, shops: Any = SHOPS, ages: Any = AGES) -> pl.DataFrame:
    kinds = {"views": pl.List(pl.String), "shops": pl.List(pl.String), "ages": pl.List(pl.Float64), "click": pl.Int64}
    return pl.DataFrame({"views": views, "shops": shops, "ages": ages, "click": [0, 1] * 3}, schema=kinds)


def lists_of(batch: dict[str, np.ndarray], store: Any, name: str) -> list[list[str | None]]:
    """The lists of a batch, as ids; None for a missing one."""
    key = f"facts/{name}"
    ids = [None, "?", *store.vocabulary.terms[name]]
    bounds = batch[key + OFFSETS]
    return [[ids[row] for row in batch[key][a:b]] for a, b in pairwise(bounds)]


def ages_of(batch: dict[str, np.ndarray]) -> list[list[float]]:
    bounds = batch["facts/views" + OFFSETS]
    return [batch["facts/views" + WEIGHTS][a:b].tolist() for a, b in pairwise(bounds)]


def read(declared: dict[str, Any], data: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Views, shops and ages as a batch has them, all rows in it."""
    store = funnel.prepare(funnel.load_schema(declared), data)
    (batch,) = in_order(store.shards("train")[0], 100)
    position = np.argsort(store.shards("train")[0].position)
    found = lists_of(batch, store, "views"), lists_of(batch, store, "shops"), ages_of(batch)
    assert batch["facts/views" + OFFSETS].tolist() == batch["facts/shops" + OFFSETS].tolist()
    return tuple([one[row] for row in position] for one in found)  # type: ignore[return-value]


def empty_for_none(lists: list[Any]) -> list[Any]:
    return [one or [] for one in lists]


def written(folder: Path, kind: str) -> tuple[dict[str, Any], Any]:
    rows = frame()
    if kind == "frame":
        return {"format": "parquet", "train": "x.parquet"}, rows
    if kind == "parquet":
        rows.write_parquet(folder / "x.parquet")
        return {"format": "parquet", "train": "x.parquet"}, folder
    joined = rows.with_columns(pl.col("views", "shops").list.eval(pl.element().fill_null("")).list.join("|"))
    joined = joined.with_columns(pl.col("ages").cast(pl.List(pl.String)).list.join("|"))
    joined.write_csv(folder / "x.csv")
    return {"format": "csv", "train": "x.csv"}, folder


@pytest.mark.parametrize("kind", ["frame", "parquet", "csv"])
def test_entries_keep_their_order_and_their_ages_and_shops(tmp_path: Path, kind: str) -> None:
    files, data = written(tmp_path, kind)
    declared = tree(files)
    if kind == "csv":
        # Of one entry without a text nothing is left in CSV: a list of none.
        rows = pl.read_csv(tmp_path / "x.csv", schema_overrides={"ages": pl.String})
        rows = rows.with_columns(pl.Series("shops", ["a|b|c", "", "d", "b|b||a", None, "c|a"]))
        rows.write_csv(tmp_path / "x.csv")
        declared["features"] = [feature | {"separator": "|"} for feature in declared["features"]]
    views, shops, ages = read(declared, data)
    assert views == empty_for_none(VIEWS)
    assert shops == ([["a", "b", "c"], [], ["d"], *SHOPS[3:4], [], ["c", "a"]] if kind == "csv" else empty_for_none(SHOPS))
    assert ages == empty_for_none(AGES)


def test_entries_of_a_feature_list_keep_their_order_and_carry_their_times(tmp_path: Path) -> None:
    # Fields among each other, as logs write them.
    lines = ["1,0,v:3:9;s:7:1;v:1:4;s:6:1;v:3:0.5;s:7:1", "2,1,", "3,0,s:6:1;v:2:2"]
    (tmp_path / "x.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {"format": "feature_list", "train": "x.txt", "columns": ["id", "click", "list"], "list": "list", "separator": ","}
    files |= {"entry_separator": ";", "field_separator": ":", "value_separator": ":"}
    declared = tree(files, column="v", times="v")
    declared["data"]["facts"]["field_separator"] = "="
    text = "\n".join(line.replace("v:", "v=").replace("s:", "s=") for line in lines)
    (tmp_path / "x.txt").write_text(text + "\n", encoding="utf-8")
    declared["features"][1] |= {"column": "s"}
    views, shops, ages = read(declared, tmp_path)
    assert views == [["3", "1", "3"], [], ["2"]]
    assert shops == [["7", "6", "7"], [], ["6"]]
    assert ages == [[9.0, 4.0, 0.5], [], [2.0]]


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_only_the_newest_entries_are_read(last: int) -> None:
    views, shops, ages = read(tree({"format": "parquet", "train": "x"}, last=last), {"facts": frame()})
    for found, given in ((views, VIEWS), (shops, SHOPS), (ages, AGES)):
        assert found == [(one or [])[-last:] for one in given]


def test_an_entry_without_an_id_is_none_here_nor_beside_it_and_the_newest_are_those_that_are_left() -> None:
    views = [["i3", None, "i1"], [None], ["", "i2"], [None, "i4", "i5", None], None, ["i1"]]
    shops = [["a", "b", None], ["c"], ["d", "e"], ["a", "b", "c", "d"], None, ["f"]]
    ages = [[3.0, 2.0, 1.0], [1.0], [2.0, 1.0], [4.0, 3.0, 2.0, 1.0], None, [1.0]]
    found = read(tree({"format": "parquet", "train": "x"}, last=1), {"facts": frame(views, shops, ages)})
    assert found == (
        [["i1"], [], ["i2"], ["i5"], [], ["i1"]],
        [[None], [], ["e"], ["c"], [], ["f"]],
        [[1], [], [1], [2], [], [1]],
    )


def test_lists_of_other_lengths_are_refused_with_their_row() -> None:
    shops = [*SHOPS[:3], ["b", "b", "a"], *SHOPS[4:]]
    with pytest.raises(DataError, match=r"row 4.* column 'shops': got 3 entries beside 4 of 'views', expected as many"):
        read(tree({"format": "parquet", "train": "x"}), {"facts": frame(shops=shops)})
    ages = [*AGES[:5], [1.0]]
    with pytest.raises(DataError, match=r"row 6.* column 'ages': got 1 times for 2 ids, expected as many"):
        read(tree({"format": "parquet", "train": "x"}), {"facts": frame(ages=ages)})


def test_rows_whose_lists_differ_are_left_out_and_the_others_stay_parallel() -> None:
    declared = tree({"format": "parquet", "train": "x"})
    declared["data"]["bad_rows"] = {"kind": "skip", "max_share": 0.9}
    shops = [["a"], *SHOPS[1:3], ["b", "b", "a"], *SHOPS[4:]]
    views, found, ages = read(declared, {"facts": frame(shops=shops)})
    kept = [1, 2, 4, 5]
    assert views == [VIEWS[row] or [] for row in kept]
    assert found == [SHOPS[row] or [] for row in kept]
    assert ages == [AGES[row] or [] for row in kept]
