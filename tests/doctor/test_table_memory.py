"""What `funnel check` says of the tables' memory, by hand and against the variables that a model has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.data.packing import Packer
from funnel.doctor.memory import Memory, StepMemory, TableMemory, memory_of
from funnel.schema.learnt import declared_only
from funnel.schema.reader import load_schema
from tests import shop
from tests.test_readme import blocks

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")


def tree(**parts: Any) -> dict[str, Any]:
    made = shop.tree()
    made["features"][4:6] = [
        {"name": "item", "kind": "categorical", "min_count": 1, "compress": {"remainders": 5}, "dim": 6},
        {"name": "seen", "kind": "bag", "buckets": 30, "pooling": "mean", "dim": 6},
    ]
    del made["tables"]
    return made | parts


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("optimizer", ["adagrad", "rowwise_adagrad", "adam", "sgd", {"kind": "sgd", "momentum": 0.5}], ids=str)
def test_it_is_what_the_variables_of_a_model_take(optimizer: Any, shared: bool) -> None:
    declared = tree()
    declared["train"] |= {"optimizer": {"embedding": optimizer}}
    declared["model"] |= {"share_embeddings": shared}
    schema = load_schema(declared)
    store = funnel.prepare(schema, shop.frames())
    found = memory_of(schema, store.learnt, store)
    model = funnel.build(schema, store)
    model.create_variables()
    assert found.weights == sum(4 * int(np.prod(table.shape)) for table in model.network.tables)
    (of_tables, variables), _ = model.optimizer.parts()
    slots = [of_tables.get_slot(table, name) for table in variables() for name in of_tables.get_slot_names()]
    assert found.state == sum(4 * int(np.prod(slot.shape)) for slot in slots)
    assert found.tables["item"].ids == 25
    assert found.tables["item"].rows == 2 + 5 + 5
    batch, _ = next(iter(funnel.dataset(schema, store)))
    packed = Packer(schema, store.learnt)({key: value.numpy() for key, value in batch.items()})
    assert found.step is not None
    assert found.step.facts == 128
    assert found.step.rows == sum(len(packed[width.unique_key]) for width in model.network.widths)
    assert found.step.entries == sum(len(packed[width.entries_key]) for width in model.network.widths)


def test_by_hand() -> None:
    # 2 + 3 rows of 4 numbers, and 7 entries: a step that reads all five rows.
    found = Memory({"a": TableMemory(3, 5, 4, 80, 80), "b": TableMemory(1, 3, 2, 24, 12)}, StepMemory(2, 5, 7, 344))
    assert (found.weights, found.state) == (104, 92)
    assert found.as_dict() == {
        "tables": {
            "a": {"ids": 3, "rows": 5, "dim": 4, "weights": 80, "state": 80},
            "b": {"ids": 1, "rows": 3, "dim": 2, "weights": 24, "state": 12},
        },
        "step": {"facts": 2, "rows": 5, "entries": 7, "bytes": 344},
        "weights": 104,
        "state": 92,
    }
    import polars as pl  # noqa: PLC0415

    declared = {
        "name": "hand",
        "stages": [{"name": "click", "label": "click"}],
        "data": {"facts": {"format": "parquet", "train": "x"}, "validation": None},
        "features": [{"name": "a", "kind": "categorical", "min_count": 1, "dim": 4}],
    }
    store = funnel.prepare(declared, pl.DataFrame({"a": ["x", "y", "x"], "click": [0, 1, 0]}))
    found = memory_of(load_schema(declared), store.learnt, store)
    assert found.tables == {"a": TableMemory(2, 4, 4, 64, 64)}
    # Two rows with gradients and sums of squares, 3 x 4 numbers each; their numbers in the table; three lookups of 12 bytes.
    assert found.step == StepMemory(3, 2, 3, 2 * 3 * 4 * 4 + 2 * 4 + 3 * 12)


def test_check_shows_it(funnel: Any, tmp_path: Path) -> None:
    folder = shop.write(tmp_path / "a")
    code, said, _ = funnel("check", folder / "schema.yaml", "--data", folder)
    assert code in (0, 1)
    assert re.search(r"table +ids +rows +dim +MB +MB of state +MB in all", said)
    assert re.search(r"items +25 +27 +6 ", said)
    assert re.search(r"all tables +0\.\d+ +0\.\d+", said)
    assert re.search(r"a step of 128 rows reads \d+ rows of tables by [\d,]+ lookups: 0\.\d+ MB with their gradients", said)


def test_the_page_s_figures_are_those_of_its_schema() -> None:
    section = PAGE.partition("## Huge tables")[2].partition("\n## ")[0]
    (text,) = blocks(section, "yaml")
    from ruamel.yaml import YAML  # noqa: PLC0415

    (feature,) = YAML(typ="safe").load(text)["features"]
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,.]+) MB \| ([\d,.]+) MB \|$", section, re.MULTILINE)
    assert len(rows) == 4
    for said, *figures in rows:
        optimizer = re.search(r"`(adagrad|rowwise_adagrad)`", said)
        remainders = re.search(r"`remainders: ([\d_]+)`", said)
        own = {**feature, "compress": {"remainders": int(remainders[1])} if remainders else None}
        assert optimizer is not None
        schema = load_schema(
            {
                "name": "page",
                "stages": [{"name": "click", "label": "click"}],
                "data": {"facts": {"format": "parquet", "train": "x"}},
                "features": [own],
                "train": {"optimizer": {"embedding": optimizer[1]}},
            }
        )
        learnt, _ = declared_only(schema)
        assert learnt is not None
        found = memory_of(schema, learnt)
        (table,) = found.tables.values()
        assert figures == [f"{table.rows:,}", f"{found.weights / 1e6:,.1f}", f"{found.state / 1e6:,.1f}"]


def test_a_table_that_is_compressed_for_nothing_is_warned_of() -> None:
    made = tree()
    made["features"][4]["compress"] = {"remainders": 24}
    found = [one for one in funnel.check(made, shop.frames()).findings if one.about == "table item"]
    # 25 ids: 24 remainders and 2 quotients.
    assert [(one.level, one.message.partition(",")[0]) for one in found] == [("warning", "compressed")]
    assert "stores 28 rows for 25 ids" in found[0].message
    assert "5 makes it smallest" in found[0].message
    assert not [one for one in funnel.check(tree(), shop.frames()).findings if one.about == "table item"]
