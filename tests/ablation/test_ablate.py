"""A whole ablation, as a Python call."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel
import funnel.ablation.variants as module
from funnel.ablation.ablate import ablate
from funnel.ablation.events import FitBegun, FitEnded, Planned
from funnel.data.prepare import prepare
from funnel.errors import DataError, DivergedError, RunError, SchemaError
from funnel.evaluation.metrics import auc
from funnel.model._keras import tf
from funnel.schema.reader import load_schema
from funnel.simulation import simulate
from tests.ablation import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a schema, and a whole ablation of two seeds, as `whole`."""
    folder = small.write(tmp_path_factory.mktemp("shop"))
    ablate(folder / "schema.yaml", folder, objectives=small.NAMES, repeats=2, out=folder / "whole", store=folder / "store")
    return folder


def again(folder: Path, out: Path, **changed):
    events = []
    options = {"objectives": small.NAMES, "repeats": 2, "store": folder / "store", "watch": events.append} | changed
    made = ablate(folder / "schema.yaml", folder, out=out, **options)
    return made, events


def test_the_fits_are_those_of_funnel_fit(folder: Path) -> None:
    for number, name in enumerate(small.NAMES):
        kind = name.removesuffix("-ns")
        overrides = [f"objective={kind}", f"model.share_embeddings={'false' if name != kind else 'true'}", "train.seed=1"]
        run = funnel.fit(folder / "schema.yaml", folder, store=folder / "store", overrides=overrides)
        kept = json.loads((folder / "whole" / "fits" / name / "seed-1" / "metrics.json").read_text())
        for kind in ("cumulative", "conditional"):
            for stage, scores in run.metrics["test"][kind].items():
                assert kept["test"][kind][stage] == scores | {"intervals": {}}
        assert (kept["variant"], kept["seed"], kept["steps"], kept["epochs"]) == (name, 1, run.manifest["steps"], 2)
        # In the order of the files' rows, as predictions are.
        logits = np.load(folder / "whole" / "fits" / name / "seed-1" / "logits.npy")
        assert logits.dtype == np.float32
        predicted = run.predict(folder)
        np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 1])), predicted["buy_given_click"], rtol=1e-5)
        # And so are the table's scores.
        cells = small.result(folder / "whole")["rows"][number]["cells"]
        test = run.metrics["test"]
        scores = [test["cumulative"]["click"], test["cumulative"]["buy"], test["conditional"]["buy"]]
        for place, one in enumerate(scores):
            assert cells[2 * place]["values"][1] == pytest.approx(one["auc"], rel=1e-9)
            assert cells[2 * place + 1]["values"][1] == pytest.approx(one["predicted_over_observed"], rel=1e-6)


def test_what_is_in_the_json(folder: Path) -> None:
    found = small.result(folder / "whole")
    assert (found["schema"], found["seeds"], found["test_rows"]) == ("shop", [0, 1], 300)
    assert found["interval"] == {
        "level": 0.95, "kind": "paired bootstrap, percentile", "drawn": ["rows", "seeds"], "resamples": 4000,
    }  # fmt: skip
    assert [column["title"] for column in found["columns"]][-2:] == ["buy_given_click: AUC", "buy_given_click: pred/obs"]
    base, esmm = found["rows"]
    assert (base["name"], base["paper"], base["share_embeddings"], base["objective"]["kind"]) == (
        "parent_space-ns", "BASE", False, "parent_space",
    )  # fmt: skip
    assert (esmm["name"], esmm["paper"], esmm["share_embeddings"]) == ("esmm", "ESMM", True)
    for first, other in zip(base["cells"], esmm["cells"], strict=True):
        assert first["difference"] is first["low"] is first["high"] is None
        assert other["mean"] == pytest.approx(np.mean(other["values"]))
        assert other["deviation"] == pytest.approx(np.std(other["values"], ddof=1))
        assert other["difference"] == pytest.approx(other["mean"] - first["mean"], abs=1e-12)
        assert other["low"] <= other["difference"] <= other["high"]


def test_what_is_in_the_markdown(folder: Path) -> None:
    text = (folder / "whole" / "ablation.md").read_text()
    head, _, base, esmm = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert head.startswith("|  | click: AUC | click: pred/obs | buy: AUC |")
    cells = small.result(folder / "whole")["rows"]
    for line, row in ((base, cells[0]), (esmm, cells[1])):
        assert f"| {row['cells'][0]['mean']:.4f} ± {row['cells'][0]['deviation']:.4f} |" in line
    first = cells[1]["cells"][2]
    assert f"{first['difference']:+.4f}" in text
    assert f"[{first['low']:+.4f}, {first['high']:+.4f}]" in text
    for part in (
        "## Less BASE (parent_space-ns)",
        "paired bootstrap over rows and seeds together",
        "![The differences](ablation.svg)",
        "| buy_given_click | click |",
        "`parent_space` | own",
        "`esmm` | shared",
        "2 seeds (0 to 1)",
    ):
        assert part in text


def test_the_plot_is_there_and_the_same_for_the_same_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Others may have imported it in this process, Keras 3 among them.
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    png, svg = (folder / "whole" / f"ablation.{ending}" for ending in ("png", "svg"))
    assert png.read_bytes().startswith(b"\x89PNG")
    before = png.read_bytes(), svg.read_bytes()
    again(folder, folder / "whole")
    assert (png.read_bytes(), svg.read_bytes()) == before


@pytest.mark.long
def test_more_seeds_and_more_objectives_add_to_what_is_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "more"
    shutil.copytree(folder / "whole", out)
    before = small.logits(out)
    _, events = again(folder, out, repeats=3)
    assert [(e.variant, e.seed) for e in events if isinstance(e, FitBegun)] == [(name, 2) for name in small.NAMES]
    assert [(e.done, e.total) for e in events if isinstance(e, FitEnded)] == [(5, 6), (6, 6)]
    made, events = again(folder, out, objectives=["esmm", "dcmt"])
    assert [(e.variant, e.seed) for e in events if isinstance(e, FitBegun)] == [("dcmt", 0), ("dcmt", 1)]
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert (planned.there, planned.repeats, planned.variants) == (2, 2, ("esmm", "dcmt"))
    assert [row.name for row in made.rows] == ["esmm", "dcmt"]  # what was asked for, in that order
    after = small.logits(out)
    assert len(after) == 8
    assert all(np.array_equal(after[name], logits) for name, logits in before.items())
    made, events = again(folder, out)
    assert not [event for event in events if isinstance(event, FitBegun)]
    assert small.result(out) == small.result(folder / "whole")


def test_other_rows_another_schema_or_version_are_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "whole", out)
    with pytest.raises(RunError, match=r"cannot go on: train.epochs: got 3, expected 2\. Give what it was begun with"):
        again(folder, out, overrides=["train.epochs=3"])
    with pytest.raises(RunError, match=r"train.seed: got 5, expected 0"):
        again(folder, out, overrides=["train.seed=5"])
    with pytest.raises(RunError, match=r"objective.kind: got 'dr', expected 'esmm'"):
        again(folder, out, overrides=["objective=dr"])
    again(folder, out, overrides=["train.checkpoint=null", "evaluate.batch_size=7"])  # which change no score
    other = small.write(tmp_path / "other")
    test = pl.read_parquet(other / "test.parquet")
    test.head(299).write_parquet(other / "test.parquet")
    with pytest.raises(RunError, match=rf"got other test rows \(of {other}\) than those of {folder}"):
        ablate(folder / "schema.yaml", other, objectives=small.NAMES, repeats=2, out=out)
    monkeypatch.setattr("funnel.ablation.folder.versions", lambda: {"funnel": "9.9"})
    with pytest.raises(RunError, match=r"funnel: got the version 9.9, expected 0"):
        again(folder, out)


def test_a_folder_of_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds other files \(notes.txt\), expected an ablation or nothing"):
        again(folder, tmp_path)
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        again(folder, tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(RunError, match="format"):
        again(folder, tmp_path)


def test_a_fit_that_is_not_whole_is_told_of(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "whole", out)
    torn = out / "fits" / "esmm" / "seed-1"
    np.save(torn / "logits.npy", np.zeros([3, 2], np.float32))
    with pytest.raises(RunError, match=rf"{torn}/logits.npy: got the shape \(3, 2\), expected \(300, 2\)"):
        again(folder, out)
    (torn / "logits.npy").write_bytes(b"no")
    with pytest.raises(RunError, match=rf"Remove {torn}: the same command fits it again"):
        again(folder, out)
    (torn / "metrics.json").write_text("no")
    with pytest.raises(RunError, match=rf"{torn}: cannot be read"):
        again(folder, out)
    shutil.rmtree(torn)
    again(folder, out)
    assert small.result(out) == small.result(folder / "whole")


def test_without_test_rows_it_says_so_before_any_work(folder: Path, tmp_path: Path) -> None:
    schema = load_schema(folder / "schema.yaml", ["data.facts.test=null"])
    for data in (folder, pl.read_parquet(folder / "train.parquet")):
        with pytest.raises(DataError, match=r"got no test rows, expected some to judge on.*data.facts.test"):
            ablate(schema, data, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())
    store = prepare(schema, folder, tmp_path / "store")
    with pytest.raises(DataError, match="has no test rows"):
        ablate(schema, store, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_told_of_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="is no objective"):
        again(folder, tmp_path / "out", objectives=["esm"])
    with pytest.raises(RunError, match="repeats: got 0"):
        again(folder, tmp_path / "out", repeats=0)
    with pytest.raises(SchemaError, match=r"train.seed"):
        again(folder, tmp_path / "out", overrides=[f"train.seed={2**31 - 1}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_variant_that_diverges_is_left_out_and_not_tried_again(folder: Path, tmp_path: Path, monkeypatch) -> None:
    real = module._with

    def wild(schema, objective, *, shared):
        rates = [f"train.optimizer.{part}.learning_rate=1e30" for part in ("embedding", "dense")]
        return load_schema(real(schema, objective, shared=shared), rates if objective["kind"] == "dr" else [])

    monkeypatch.setattr(module, "_with", wild)
    made, events = again(folder, tmp_path / "out", objectives=["dr", "parent_space-ns", "esmm"])
    assert [row.name for row in made.rows] == list(small.NAMES)
    assert "seed 0: " in made.left_out["dr"]
    ended = [event for event in events if isinstance(event, FitEnded)]
    assert [(event.done, event.total) for event in ended] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert ended[0].failed
    assert "## Left out\n\n- dr: seed 0: " in (tmp_path / "out" / "ablation.md").read_text()
    made, events = again(folder, tmp_path / "out", objectives=["dr", "parent_space-ns", "esmm"])
    assert not [event for event in events if isinstance(event, FitBegun)]
    with pytest.raises(DivergedError, match="dr, seed 0"):
        again(folder, tmp_path / "out", objectives=["dr"])


@pytest.mark.long
def test_no_graph_outlives_its_fit(folder: Path, tmp_path: Path) -> None:
    graphs = []

    def watch(event) -> None:
        if isinstance(event, FitEnded):
            gc.collect()
            graphs.append(sum(isinstance(one, tf.Graph) for one in gc.get_objects()))

    again(folder, tmp_path / "out", repeats=3, overrides=["train.epochs=1"], watch=watch)
    assert len(graphs) == 6
    assert len(set(graphs[1:])) == 1


def test_one_variant_with_one_seed_is_a_table_too(folder: Path, tmp_path: Path) -> None:
    made, _ = again(folder, tmp_path / "out", objectives=["esmm"], repeats=1)
    assert [cell.difference for cell in made.rows[0].cells] == [None] * 6
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert "The score of the one fit" in text
    assert "±" not in text.partition("## Less")[0]
    assert "undefined" not in text
    assert not (tmp_path / "out" / "ablation.png").exists()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "rows"
    schema = load_schema(small.tree() | {"evaluate": {"group_by": "user_id"}})
    simulate(schema, folder, 600, 200)
    return folder


def test_simulated_rows_are_held_against_the_truth_in_their_own_order(simulated: Path, tmp_path: Path) -> None:
    tree = small.tree(epochs=1) | {"evaluate": {"group_by": "user_id"}}
    made = ablate(tree, simulated, objectives=["esmm", "esmm-ns"], repeats=1, out=tmp_path / "out")
    assert made.drawn == "groups of user_id"
    columns = {column.title: place for place, column in enumerate(made.columns)}
    place = columns["buy_given_click over all rows (truth): AUC"]
    truth = pl.read_parquet(simulated / "truth" / "test.parquet")["buy_given_click"].to_numpy()
    logits = np.load(tmp_path / "out" / "fits" / "esmm" / "seed-0" / "logits.npy")[:, 1].astype(np.float64)
    both = np.r_[np.ones(200), np.zeros(200)], np.r_[logits, logits], np.r_[truth, 1 - truth]
    assert made.rows[0].cells[place].mean == pytest.approx(auc(*both), rel=1e-9)
    assert made.rows[0].cells[place + 1].mean == pytest.approx((1 / (1 + np.exp(-logits))).sum() / truth.sum(), rel=1e-6)
    assert "buy_given_click over all rows (truth): AUC" in (tmp_path / "out" / "ablation.md").read_text()
    # As a store, too: it knows where its rows are from.
    store = prepare(tree, simulated, tmp_path / "store")
    assert len(ablate(tree, store, objectives=["esmm", "esmm-ns"], repeats=1, out=tmp_path / "out").columns) == 8


def test_a_truth_of_other_rows_is_left_aside_with_a_word(simulated: Path, tmp_path: Path) -> None:
    other = tmp_path / "rows"
    shutil.copytree(simulated, other)
    path = other / "truth" / "test.parquet"
    truth = pl.read_parquet(path)

    def remarks(change) -> str:
        change()
        options = {"objectives": ["esmm"], "repeats": 1, "out": tmp_path / "out", "store": tmp_path / "store"}
        made = ablate(small.tree(epochs=1), other, **options)
        assert len(made.columns) == 6
        (remark,) = made.remarks
        assert remark in (tmp_path / "out" / "ablation.md").read_text()
        return remark

    assert "199 rows for 200 rows of data" in remarks(lambda: truth.head(199).write_parquet(path))
    assert "no column 'buy_given_click'" in remarks(lambda: truth.drop("buy_given_click").write_parquet(path))
    assert "cannot be read" in remarks(lambda: path.write_bytes(b"no"))


def test_rows_that_were_skipped_have_no_truth_either(simulated: Path, tmp_path: Path) -> None:
    other = tmp_path / "rows"
    shutil.copytree(simulated, other)
    facts = pl.read_parquet(other / "test.parquet")
    contradict = pl.int_range(pl.len()) < 20
    facts.with_columns(
        click=pl.when(contradict).then(0).otherwise("click"), buy=pl.when(contradict).then(1).otherwise("buy")
    ).write_parquet(other / "test.parquet")
    tree = small.tree(epochs=1) | {"inconsistent_labels": "drop"}
    made = ablate(tree, other, objectives=["esmm"], repeats=1, out=tmp_path / "out")
    assert made.test_rows == 180
    truth = pl.read_parquet(other / "truth" / "test.parquet")["buy_given_click"].to_numpy()[20:]
    logits = np.load(tmp_path / "out" / "fits" / "esmm" / "seed-0" / "logits.npy")[:, 1].astype(np.float64)
    assert made.rows[0].cells[-1].mean == pytest.approx((1 / (1 + np.exp(-logits))).sum() / truth.sum(), rel=1e-6)
