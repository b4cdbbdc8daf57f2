"""What is written is read again as it was meant."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from small_logs import log, written

import funnel
from funnel.proposal.yaml import MODELINE, scalar


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("no")
@example("1_000")
@example("0x1f")
@example("a: b # c")
@example("\u0085\u2028\ufeff")
@example("-")
@example("*.csv")
@example("./data/x y")
@example("1e3")
@example("~")
@example(".inf")
@example(".5")
@example("...")
def test_texts_stay_what_they_are(text: str) -> None:
    read = YAML(typ="safe", pure=True).load(io.StringIO(f"{{key: {scalar(text)}, next: [{scalar(text)}]}}  # end\n"))
    assert read == {"key": text, "next": [text]}


def test_columns_of_any_name_are_declared(tmp_path: Path) -> None:
    names = [
        "user: id",
        "größe #1",
        "on",
        "101_14",
        "a'b\"c",
        "{x}",
        "Last, first",
        "价格",
        "tab\there",
        "class",
        "line\nbreak",
        "-",
        "index",
    ]
    columns = {
        name: (pl.int_range(2000) * (7 + place) + place * pl.int_range(2000) ** 2) % (5 + place)
        for place, name in enumerate(names)
    }
    path = written(log(2000).with_columns(**columns), tmp_path / "a log [1].parquet")
    found = funnel.init(path, out=tmp_path / "s.yaml")
    schema = funnel.load_schema(tmp_path / "s.yaml")
    assert set(names) <= {feature.column_name for feature in schema.features}
    assert funnel.check(schema).ok
    assert len(found.text.splitlines()) < 60


def test_schemas_begin_with_what_editors_look_for(tmp_path: Path) -> None:
    found = funnel.init(written(log(), tmp_path / "log.csv"))
    assert found.text.splitlines()[0] == MODELINE
    assert Path(__file__).parents[2].joinpath("schemas", "kuairand.yaml").read_text(encoding="utf-8").startswith(MODELINE)
    assert str(found) == found.text


def test_texts_of_cells_and_names_do_not_break_out_of_comments(tmp_path: Path) -> None:
    frame = log().with_columns(
        pl.lit("x").alias("bad\nname: [1"),
        amount=pl.when(pl.int_range(4000) % 20 == 0)
        .then(pl.lit("n/a\nfeatures: []"))
        .otherwise((pl.int_range(4000) / 7).cast(pl.String)),
    )
    found = funnel.init(written(frame, tmp_path / "log.parquet"))
    assert "# - bad\\U0000000aname: [1: the same in every row" in found.text
    assert funnel.check(found.schema).ok


def test_a_share_is_the_test_where_no_file_is(tmp_path: Path) -> None:
    funnel.init(written(log(2000), tmp_path / "log.parquet"), out=tmp_path / "s.yaml")
    assert funnel.load_schema(tmp_path / "s.yaml").data.test.fraction == 0.2
    folder = tmp_path / "split"
    folder.mkdir()
    for split in ("train", "test"):
        written(log(2000), folder / f"{split}.parquet")
    funnel.init(folder, out=tmp_path / "files.yaml")
    assert funnel.load_schema(tmp_path / "files.yaml").data.test is None


def test_truth_values_in_text_are_labels(tmp_path: Path) -> None:
    rows = log(2000)
    labels = ["visit", "signup"]
    rows.with_columns(pl.col(labels).cast(pl.Boolean).cast(pl.String).str.to_titlecase()).write_csv(tmp_path / "log.csv")
    found = funnel.init(tmp_path / "log.csv", out=tmp_path / "s.yaml")
    assert [stage.label for stage in found.schema.stages] == labels
    assert found.checkup.ok
