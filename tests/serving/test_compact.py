"""Exports with smaller tables: what they hold, what they say, and what they cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.vocabulary import Vocabulary
from funnel.model._keras import tf
from funnel.model.funnel_model import build_model
from funnel.model.stored import rounded
from funnel.run import Run
from funnel.serving.compact import compact
from tests import shop
from tests.serving.exports import ESM2, answer, columns_of, frames, ranked, repeated, run_of, serialised, signatures

Data = dict[str, pl.DataFrame]
FIRST = 2
TREES = {
    "chain": shop.tree(),
    "branches that join": shop.tree() | {"stages": ESM2},
    "no shared embeddings": shop.tree() | {"model": {"share_embeddings": False, "embedding_dim": 3, "body": {"units": [6]}}},
}
ALONE = """
import json, sys
sys.modules |= dict.fromkeys(["tf_keras", "keras", "tensorflow_recommenders", "funnel"])  # as if they were not installed
import numpy as np
import tensorflow as tf
columns, folder, out = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
loaded = tf.saved_model.load(folder)
serve = loaded.signatures["predict"]
kinds = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
answer = serve(**{name: tf.constant(column, kinds[name]) for name, column in columns.items()})
np.savez(out, **{name: value.numpy() for name, value in answer.items()})
"""


@pytest.fixture(
    scope="module",
    params=["chain", *(pytest.param(n, marks=pytest.mark.long) for n in ("no shared embeddings", "branches that join"))],
)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(TREES[request.param])


@pytest.fixture(scope="module")
def chain() -> Run:
    return run_of(shop.tree())


def rows_of(run: Run, seed: int = 1, rows: int = 200) -> Data:
    data = frames(seed, rows)
    return {source: data[source] for source in run.schema.sources}


def with_tables(run: Run, change: Callable[[np.ndarray, Any], np.ndarray]) -> Run:
    """The same run with other numbers in its tables: [rows, dim] and their width in, [rows, dim] out."""
    made = build_model(run.schema, run.learnt, {t: ids.to_list() for t, ids in run.vocabulary.terms.items()})
    made.create_variables()
    for variable, other in zip(made.network.variables, run.model.network.variables, strict=True):
        variable.assign(other)
    for bottom in made.network.bottoms:
        for width in made.network.widths:
            table = bottom.embeddings.tables[str(width.dim)]
            table.assign(change(table.numpy(), width))
    return replace(run, model=made)


def as_bytes(numbers: np.ndarray, _: Any) -> np.ndarray:
    values, scales = rounded(numbers)
    return values.astype(np.float32) * scales.astype(np.float32)[:, None]


def as_halves(numbers: np.ndarray, _: Any) -> np.ndarray:
    return numbers.astype(np.float16).astype(np.float32)


def without_rare(run: Run, min_count: int) -> Callable[[np.ndarray, Any], np.ndarray]:
    """Rows of rare ids as that of unknown ones."""

    def change(numbers: np.ndarray, width: Any) -> np.ndarray:
        made = numbers.copy()
        for table, (begin, _) in width.tables.items():
            for number, count in enumerate(run.vocabulary.counts.get(table, [])):
                if count < min_count:
                    made[begin + FIRST + number] = numbers[begin + 1]
        return made

    return change


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("kind", "change"), [("int8", as_bytes), pytest.param("float16", as_halves, marks=pytest.mark.long)])
def test_every_signature_says_what_a_network_with_rounded_tables_says(run: Run, kind: Any, change: Any, tmp_path: Path) -> None:
    data = rows_of(run)
    loaded = signatures(run.export(tmp_path / "m", tables=kind))
    rows = columns_of(run.schema, data)
    expected = with_tables(run, change).predict(data)
    assert_same(answer(loaded["predict"], rows), expected)
    assert_same(
        {n: v.numpy() for n, v in loaded["examples"](examples=tf.constant(serialised(run.schema, rows))).items()}, expected
    )
    assert_same(answer(loaded["rank"], ranked(run.schema, rows)), answer(loaded["predict"], repeated(run.schema, rows)))
    own = run.predict(data)
    assert any(np.abs(own[name] - expected[name]).max() > 1e-6 for name in own)  # else nothing was rounded


@pytest.mark.parametrize("kind", ["int8", pytest.param("float32", marks=pytest.mark.long)])
def test_rare_ids_are_served_as_unknown_ones(run: Run, kind: Any, tmp_path: Path) -> None:
    counts = run.vocabulary.counts["items"]
    least = int(np.median(counts)) + 1
    data = rows_of(run)
    folder = run.export(tmp_path / "m", tables=kind, min_count=least)
    loaded = signatures(folder)
    rare = without_rare(run, least)
    expected = with_tables(run, rare if kind == "float32" else lambda numbers, width: as_bytes(rare(numbers, width), width))
    assert_same(answer(loaded["predict"], columns_of(run.schema, data)), expected.predict(data))
    frequent = run.vocabulary.terms["items"].filter(pl.Series(counts >= least)).to_list()
    assert 3 < len(frequent) < len(counts) - 3
    assert (folder / "assets" / "items.txt").read_text().split() == frequent


def test_an_id_without_row_is_unknown_bit_for_bit(tmp_path: Path) -> None:
    tree = shop.tree()
    # Without the cross, which hashes the ids themselves and so tells them apart.
    tree["features"] = [feature for feature in tree["features"] if feature["kind"] != "cross"]
    run = run_of(tree)
    counts, terms = run.vocabulary.counts["items"], run.vocabulary.terms["items"]
    least = int(np.median(counts)) + 1
    predict = signatures(run.export(tmp_path / "m", tables="int8", min_count=least))["predict"]
    rows = columns_of(run.schema, rows_of(run))
    unknown = answer(predict, rows | {"item": ["never seen"] * 200})
    for number, (term, count) in enumerate(zip(terms, counts, strict=True)):
        if number % 6 == 0 or count in (least, least - 1):
            found = answer(predict, rows | {"item": [term] * 200})
            assert all(np.array_equal(found[name], unknown[name]) for name in unknown) == (count < least), (term, count)


def test_files_hold_bytes_and_no_floats_of_tables(chain: Run, tmp_path: Path) -> None:
    paths = {kind: chain.export(tmp_path / kind, tables=kind) for kind in ("float32", "float16", "int8")}
    rows = sum(chain.learnt.rows.values())
    dtypes = {kind: {} for kind in paths}
    for kind, path in paths.items():
        for name, shape in tf.train.list_variables(str(path / "variables" / "variables")):
            if shape and shape[0] * 2 > rows and len(shape) == 2:
                dtypes[kind][name] = tf.train.load_variable(str(path / "variables" / "variables"), name).dtype
    assert set(dtypes["int8"].values()) == {np.dtype("int8")}
    assert set(dtypes["float16"].values()) == {np.dtype("float16")}
    assert set(dtypes["float32"].values()) == {np.dtype("float32")}
    found = {kind: json.loads((path / "assets.extra" / "export.json").read_text()) for kind, path in paths.items()}
    disk = {kind: (path / "variables" / "variables.data-00000-of-00001").stat().st_size for kind, path in paths.items()}
    for kind in ("float16", "int8"):
        saved = found["float32"]["bytes"]["tables"] - found[kind]["bytes"]["tables"]
        # The rest of the file names its variables.
        assert disk["float32"] - disk[kind] == pytest.approx(saved, abs=1500)
    for table, one in found["int8"]["by_table"].items():
        dim = 6 if table == "items" else 4
        assert (one["rows"], one["learnt"]) == (chain.learnt.rows[table], chain.learnt.rows[table])
        assert (one["bytes"], one["learnt_bytes"]) == ((dim + 2) * one["rows"], 4 * dim * one["rows"])
    assert found["float32"]["effect"] is None
    assert "as they were learnt" in found["float32"]["no_effect_because"]


def test_tables_of_their_own_count_for_each_tower(tmp_path: Path) -> None:
    shared, own = (
        compact(run_of(tree).model, Vocabulary({}), "float16").sizes["items"]
        for tree in (TREES["chain"], TREES["no shared embeddings"])
    )
    assert own.bytes == 2 * shared.bytes


def test_bytes_load_where_only_tensorflow_is(chain: Run, tmp_path: Path) -> None:
    data = rows_of(chain)
    rows = columns_of(chain.schema, data)
    folder = chain.export(tmp_path / "m", tables="int8", min_count=20)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    arguments = [str(tmp_path / "rows.json"), str(folder), str(tmp_path / "answer.npz")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same(dict(np.load(tmp_path / "answer.npz")), answer(signatures(folder)["predict"], rows))


def test_what_it_costs_is_measured_on_the_stored_tables(chain: Run, tmp_path: Path) -> None:
    data, least = rows_of(chain, rows=300), 40
    folder = chain.export(tmp_path / "m", tables="int8", min_count=least, data=data)
    found = json.loads((folder / "assets.extra" / "export.json").read_text())["effect"]
    assert (found["rows"], found["split"]) == (300, "test")
    smaller = with_tables(chain, lambda numbers, width: as_bytes(without_rare(chain, least)(numbers, width), width))
    before, after = chain.evaluate(data), smaller.evaluate(data)
    assert [one["name"] for one in found["probabilities"]] == ["click", "buy", "buy_given_click"]
    for one in found["probabilities"]:
        kind, stage = ("conditional", "buy") if one["name"] == "buy_given_click" else ("cumulative", one["name"])
        for figure in ("auc", "log_loss", "predicted_over_observed"):
            assert one["before"][figure] == pytest.approx(getattr(getattr(before, kind)[stage], figure), abs=1e-6)
            assert one["after"][figure] == pytest.approx(getattr(getattr(after, kind)[stage], figure), abs=1e-6)
            change = one["change"][figure]
            assert change["value"] == pytest.approx(one["after"][figure] - one["before"][figure], abs=1e-9)
            assert change["low"] <= change["value"] <= change["high"]
    page = (folder / "assets.extra" / "export.md").read_text()
    assert "On 300 rows (test" in page
    assert f"less often than {least} times" in page
    assert page.count("| predicted / observed |") == 3


@pytest.mark.long
def test_without_rows_only_sizes_are_told(chain: Run, tmp_path: Path) -> None:
    for run in (
        chain,
        replace(chain, manifest={"data": str(tmp_path / "gone")}),
        replace(chain, manifest={"data": str(tmp_path)}),
    ):
        folder = run.export(tmp_path / "m", tables="int8")
        found = json.loads((folder / "assets.extra" / "export.json").read_text())
        assert found["effect"] is None
        assert "no rows to measure on" in found["no_effect_because"]
        assert found["bytes"]["tables"] < found["bytes"]["tables_as_float32"]
        assert "was not measured: there are no rows" in (folder / "assets.extra" / "export.md").read_text()


def test_rows_that_were_asked_for_must_be_there(chain: Run, tmp_path: Path) -> None:
    with pytest.raises(funnel.DataError):
        chain.export(tmp_path / "m", tables="int8", data=tmp_path)
    assert not (tmp_path / "m").exists()


def test_what_cannot_be_is_refused_with_a_reason(chain: Run, tmp_path: Path) -> None:
    hashed = shop.tree()
    hashed["tables"] = {"items": {"dim": 6, "buckets": 9}}
    for feature in hashed["features"]:
        if feature["kind"] in ("categorical", "bag") and "table" not in feature:
            feature["buckets"] = 7
    older = replace(chain, vocabulary=Vocabulary(chain.vocabulary.terms))
    huge = with_tables(chain, lambda numbers, _: numbers + np.float32(7e4))
    cases: list[tuple[Run, dict[str, Any], str]] = [
        (chain, {"tables": "int4"}, "tables: got 'int4', expected one of 'float32', 'float16', 'int8'"),
        (chain, {"min_count": 0}, "min_count: got 0, expected 1 or more"),
        (run_of(hashed), {"min_count": 2}, "min_count: got 2, and no table has a vocabulary"),
        (older, {"min_count": 2}, "does not say how often ids of .*'items'.* were seen.*Fit again, or export without it"),
        (huge, {"tables": "float16"}, "got float16, but a table of width 4 holds numbers .* beyond 6.55e.04"),
    ]
    for run, asked, message in cases:
        with pytest.raises(funnel.RunError, match=message):
            run.export(tmp_path / "m", **asked)
    assert not (tmp_path / "m").exists()


def test_hashed_tables_keep_all_rows(chain: Run) -> None:
    found = compact(chain.model, chain.vocabulary, "float32", 10**6)
    sizes = {table: (one.learnt, one.rows) for table, one in found.sizes.items()}
    assert sizes["hour"] == (15, 15)
    assert sizes["city_item"] == (52, 52)
    assert sizes["price_band"][0] == sizes["price_band"][1]
    assert sizes["items"] == (chain.learnt.rows["items"], FIRST)
    assert found.vocabulary.terms["items"].to_list() == []


def test_a_warm_start_adds_what_it_sees_to_what_was_seen(tmp_path: Path) -> None:
    tree = shop.tree() | {"train": {"batch_size": 128, "epochs": 1}}
    old = funnel.fit(tree, shop.frames(), out=tmp_path / "old")
    new = funnel.fit(tree, shop.frames(3), warm_start=tmp_path / "old")
    seen = [
        dict(zip(run.vocabulary.terms["items"], run.vocabulary.counts["items"].tolist(), strict=True)) for run in (old, new)
    ]
    alone = funnel.prepare(tree, shop.frames(3)).vocabulary
    added = dict(zip(alone.terms["items"], alone.counts["items"].tolist(), strict=True))
    assert seen[1] == {term: seen[0].get(term, 0) + added.get(term, 0) for term in seen[1]}
    assert Run.load(tmp_path / "old").vocabulary.counts["items"].tolist() == list(seen[0].values())


@pytest.mark.long
def test_the_command_says_what_it_did(funnel: Callable[..., Any], tmp_path: Path) -> None:
    shop.write(tmp_path)
    assert (
        funnel("fit", tmp_path / "schema.yaml", "--data", tmp_path, "--out", tmp_path / "run", "--set", "train.epochs=1")[0]
        == 0
    )
    code, out, _ = funnel("export", tmp_path / "run", "--out", tmp_path / "m", "--tables", "int8", "--min-count", 30)
    assert code == 0
    assert "tables: int8, " in out
    assert f"on 300 test rows of {tmp_path}" in out
    assert "buy_given_click: AUC " in out
    assert funnel("export", tmp_path / "run", "--out", tmp_path / "m", "--tables", "int7")[0] == 2
    code, _, error = funnel("export", tmp_path / "run", "--out", tmp_path / "m", "--min-count", "-1")
    assert code == 1
    assert "min_count: got -1" in error
