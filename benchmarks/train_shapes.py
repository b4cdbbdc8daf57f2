"""What training is measured on: fields, towers and data of each shape, as a schema and a store that one process may read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aliccp import ROOT, simulate
from ruamel.yaml import YAML

SCHEMA = ROOT / "schemas/aliccp.yaml"
IMPRESSIONS = {57.9: 1_000_000, 10.0: 400_000, 2.3: 150_000}
# As many fields, and as many entries of lists (about 200), as the public ESMM notebooks have.
NOTEBOOK = (
    "user_id", "user_group", "gender", "age", "past_categories", "past_intentions", "item_id", "item_category", "item_shop",
    "item_brand", "item_intentions", "scenario",
)  # fmt: skip
# Ids of the real data by field, where there are more than a thousand; hashed into so many rows for each of them.
IDS = {
    "user_id": 444_836, "past_categories": 12_223, "past_shops": 2_977_346, "past_brands": 426_102, "past_intentions": 99_226,
    "item_id": 4_349_000, "item_category": 8_627, "item_shop": 700_000, "item_intentions": 98_714, "item_brand": 231_207,
    "user_category": 8_627, "user_shop": 440_000, "user_brand": 190_000, "user_intentions": 101_084,
}  # fmt: skip
SHARE = 0.8  # of rows to ids, where a shape does not say how many rows there are in all


@dataclass(frozen=True)
class Shape:
    """One network on one kind of data.

    Attributes:
        name: Of its files.
        shared: Impressions for each common row.
        units: Of the towers' layers.
        fields: Those that are used; None for all.
        rows: Of all hashed tables together; None for a share of the ids that there are.
        most: Rows of a hashed table, at most; None for any number.
        impressions: To train on; None for as many as usual.
        test: Impressions to test with.
        activation: Of the towers.
    """

    name: str
    shared: float
    units: tuple[int, ...] = (200, 80)
    fields: tuple[str, ...] | None = None
    rows: int | None = None
    most: int | None = None
    impressions: int | None = None
    test: int = 2_000

    def made(self, work: Path) -> tuple[Path, Path]:
        """Write its schema and prepare its store, or take those of an earlier run."""
        data = simulate(work, self.impressions or IMPRESSIONS[self.shared], self.shared, self.test)
        path, store = work / f"{self.name}.yaml", work / f"{self.name}.store"
        with path.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(self.tree(data), file)
        if not store.is_dir():
            program = str(Path(sys.executable).with_name("funnel"))
            subprocess.run([program, "prepare", path, "--json", "--out", store], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return path, store

    def tree(self, data: Path) -> dict[str, Any]:
        """Its schema."""
        tree: dict[str, Any] = YAML(typ="safe").load(SCHEMA)
        wanted = self.fields or [feature["name"] for feature in tree["features"]]
        ids = sum(number for name, number in IDS.items() if name in wanted)
        share = SHARE if self.rows is None else self.rows / ids
        tree["features"] = [feature for feature in tree["features"] if feature["name"] in wanted]
        for feature in tree["features"]:
            if feature["name"] in IDS:
                feature["buckets"] = min(max(2, int(IDS[feature["name"]] * share)), self.most or sys.maxsize)
        tree["data"]["root"] = str(data)
        tree["model"] = {"embedding_dim": 18, "tower": {"units": list(self.units), "activation": "prelu"}}
        embedding = {"kind": "adagrad", "learning_rate": 0.01}
        tree["train"] = {"batch_size": 4096, "shuffle": "group", "early_stopping": None, "optimizer": {"embedding": embedding}}
        return tree
