"""The benchmark against other packages: all are given the same rows, and its tables say what was measured."""

import dataclasses
import importlib
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from funnel.data.batches import in_order
from funnel.data.prepare import prepare

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def benchmarks():
    """The modules of the benchmark; some of the folder are called as packages are."""
    names = {path.stem for path in BENCHMARKS.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(BENCHMARKS))
    wanted = "baselines", "peers", "peers_page", "peers_rows", "peers_scored", "peers_task", "peers_ways"
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in wanted})
    sys.path.remove(str(BENCHMARKS))
    for name in names & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(hidden)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / "raw"
    script = ROOT / "examples/aliccp/simulate.py"
    flags = ["--impressions=400", "--test-impressions=150", "--impressions-per-row=10", "--list-scale=0.5"]
    flags += ["--click-rate=0.3", "--buy-rate=0.4"]
    subprocess.run([sys.executable, script, "--out", folder, *flags], check=True, stdout=subprocess.DEVNULL)
    # A purchase without a click, which none of the ways learns from.
    for split in ("train", "test"):
        path = folder / f"sample_skeleton_{split}.csv"
        lines = path.read_text().splitlines(keepends=True)
        number, _, _, rest = lines[7].split(",", 3)
        path.write_text("".join([*lines[:7], f"{number},0,1,{rest}", *lines[8:]]))
    return folder


@pytest.fixture(scope="module")
def given(benchmarks, data, tmp_path_factory):
    """What the peers are given, and funnel's store."""
    folder = tmp_path_factory.mktemp("given")
    rows = benchmarks.peers_rows
    benchmarks.baselines.guide(data, folder / "arrays", tuple(rows.columns().values()))
    sizes = rows.table_rows(rows.known_ids(folder / "arrays"), None)
    schema = rows.write_schema(folder / "schema.yaml", data)
    store = prepare(schema, data, folder / "store")
    task = rows.task(folder / "arrays", schema, folder / "store", sizes, warm_up=0, seconds=0)
    with (folder / "arrays/indices.pkl").open("rb") as file:
        indices = pickle.load(file)  # noqa: S301  # made above
    return SimpleNamespace(task=task, store=store, indices=indices)


def texts_of_store(store, split, feature):
    """The ids of a feature, as text, by the row of the raw file: a list for each."""
    terms = dict(enumerate(store.vocabulary.terms[feature.name].to_list(), 2)) | {1: "unknown"}
    source = "common" if feature.source == "common" else "facts"
    found = {}
    for star in store.shards(split):
        (batch,) = in_order(star, star.rows)
        values, index = batch[f"{source}/{feature.name}"], batch.get(f"index/{source}", np.arange(star.rows))
        offsets = batch.get(f"{source}/{feature.name}/offsets", np.arange(len(values) + 1))
        for position, row in zip(star.position, index, strict=True):
            entries = values[offsets[row] : offsets[row + 1]]
            found[int(position)] = [terms[int(entry)] for entry in entries if entry != 0]
    return [found[position] for position in sorted(found)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_are_given_the_same_rows(benchmarks, data, given, split):
    arrays, labels = given.task.rows(split)
    used = benchmarks.peers_rows.used_rows(data, split)
    assert len(labels) == used.sum() == len(used) - 1
    assert not used[7]
    cut = 0
    for field in given.task.fields:
        names = {row: text for text, row in given.indices[field.column].items()} | {1: "unknown"}
        ours = texts_of_store(given.store, split, field)
        theirs = [[names[row] for row in np.atleast_1d(entries) if row] for entries in arrays[field.name]]
        assert [entries[: benchmarks.baselines.LONGEST] for entries in ours] == theirs, field.name
        cut += ours != theirs
    assert cut  # lists that are padded are cut, too
    assert {field.name: field.rows for field in given.task.fields} == {
        name: given.store.learnt.rows[name] for name in benchmarks.peers_rows.FIELDS
    }
    stars = list(given.store.shards(split))
    order = np.argsort(np.concatenate([star.position for star in stars]))
    assert (np.concatenate([star.labels for star in stars])[order] == labels).all()
    assert labels.sum(axis=0).min() > 0


def test_a_task_is_read_as_it_was_written(benchmarks, given, tmp_path):
    path = given.task.write(tmp_path / "task.json")
    assert benchmarks.peers_task.Task.read(path) == given.task


def test_an_id_without_a_row_is_refused(benchmarks, given, tmp_path):
    tree = json.loads(given.task.write(tmp_path / "task.json").read_text())
    tree["fields"][0]["rows"] = 3
    (tmp_path / "task.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=r"user_id: got id \d+, expected one below 3"):
        benchmarks.peers_task.Task.read(tmp_path / "task.json").rows("train")


def test_tables_have_a_row_for_each_id_and_the_spare_ones_as_the_real_data_have_ids(benchmarks):
    rows = benchmarks.peers_rows.table_rows
    assert rows({"gender": 2, "item_id": 5}, None) == {"gender": 4, "item_id": 7}
    assert rows({"gender": 2, "item_id": 5}, 111) == {"gender": 4, "item_id": 107}
    with pytest.raises(ValueError, match="got 11 ids, expected at most 10"):
        rows({"gender": 2, "item_id": 5}, 10)


def test_scores_of_the_truth_and_of_one_number_for_all(benchmarks):
    scored = benchmarks.peers_scored
    click, given = np.array([0.2, 0.2, 0.6, 0.6]), np.array([0.1, 0.5, 0.1, 0.5])
    truth = np.stack([click, given, click * given], axis=1)
    labels = np.array([[1, 0], [0, 0], [1, 1], [1, 0]], np.float32)
    found = scored.scores(truth, truth, labels)
    # Three quarters of the positives are of the likelier rows, two thirds of the negatives of the others; ties count one half.
    assert found["click"]["auc"] == pytest.approx(3 / 4 * 2 / 3 + (3 / 4 * 1 / 3 + 1 / 4 * 2 / 3) / 2)
    assert found["click"]["best_auc"] == found["click"]["auc"]
    assert found["click"]["excess"] == pytest.approx(0, abs=1e-12)
    assert found["click"]["ratio"] == pytest.approx(1.6 / 3)
    assert found["buy_given_click"]["ratio"] == pytest.approx((0.1 + 0.1 + 0.5) / 1)  # of the clicked rows
    flat = scored.scores(np.tile([0.4, 0.3, 0.12], (4, 1)), truth, labels)
    assert flat["click"]["auc"] == pytest.approx(0.5)
    of_unlikely = 0.2 * math.log(0.2 / 0.4) + 0.8 * math.log(0.8 / 0.6)
    of_likely = 0.6 * math.log(0.6 / 0.4) + 0.4 * math.log(0.4 / 0.6)
    assert flat["click"]["excess"] == pytest.approx((of_unlikely + of_likely) / 2)
    with pytest.raises(ValueError, match="1 NaN"):
        scored.scores(np.where(np.eye(4, 3) * np.array([1, 0, 0]), np.nan, truth), truth, labels)


def test_predictions_are_of_the_rows_that_are_used(benchmarks, tmp_path):
    task = benchmarks.peers_task
    one = task.probabilities(np.array([[0.5], [0.0], [0.25]]), np.array([0.1, 0.0, 0.05]))
    assert one == pytest.approx(np.array([[0.5, 0.2, 0.1], [0, 0, 0], [0.25, 0.2, 0.05]]))
    task.predicted(tmp_path / "p.npy", [one, one / 2])
    kept = np.load(tmp_path / "p.npy")
    assert (kept == [one, one / 2]).all()
    used = np.array([True, False, True])
    assert (benchmarks.peers_scored.aligned(kept, used) == kept[:, [0, 2]]).all()
    assert (benchmarks.peers_scored.aligned(kept[:, [0, 2]], used) == kept[:, [0, 2]]).all()


def test_one_half_chooses_the_epoch_and_the_other_is_judged(benchmarks):
    scored = benchmarks.peers_scored
    labels = np.array([[1, 1], [0, 0], [1, 0], [0, 0]], np.float32)
    right, wrong = (0.8, 0.5, 0.4), (0.2, 0.5, 0.1)
    # By the first two rows the second epoch is best, by the last two the first.
    after = np.array([[wrong, right, right, wrong], [right, wrong, wrong, right], [wrong, right, right, right]])
    assert scored.best_epoch(after[:, :2], labels[:2]) == 1
    assert scored.best_epoch(after[:, 2:], labels[2:]) == 0
    truth = np.array([right, wrong, right, wrong])
    found = scored.judged(after, truth, labels)
    assert found.pop("epochs") == 2
    assert found == scored.scores(after[1, 2:], truth[2:], labels[2:])


def test_time_goes_on_over_passes(benchmarks):
    timed = benchmarks.peers_task.Timed(["a", "b"], warm_up=0, seconds=0)
    assert list(timed) == ["a", "b", "a", "b"][: 2 + timed.steps - 1]
    assert timed.steps == 2


def test_a_piece_is_measured_once(benchmarks, tmp_path):
    asked = []

    def measured():
        asked.append(1)
        return {"rate": 2.0}

    for _ in range(2):
        assert benchmarks.peers.Pieces(tmp_path / "pieces").get("one", measured) == {"rate": 2.0}
    assert asked == [1]


def test_what_packages_print_is_passed_over(benchmarks, capsys):
    benchmarks.peers_task.said({"rate": 2.0})
    text = "model ready" + capsys.readouterr().out + "a newer version is there\n"
    found = benchmarks.peers_ways.said_last(text)
    assert found["rate"] == 2.0
    assert found["peak"] > 1e6


def test_each_way_runs_in_its_environment(benchmarks, given, tmp_path, monkeypatch):
    ways = benchmarks.peers_ways
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    by_name = {way.name: way for way in ways.WAYS}
    assert len(by_name) == len({way.slug for way in ways.WAYS}) == len(ways.WAYS)
    task = given.task.write(tmp_path / "task.json")
    for way in ways.WAYS:
        for what in ("speed", "quality"):
            program, script, *rest = ways.command(tmp_path, way, what, task, tmp_path / "p.npy")
            assert Path(script).is_file()
            assert (program == sys.executable) == (way.environment is None) == ("PYTHONPATH" in ways.variables(way))
            assert (str(tmp_path / "p.npy") in rest) == (what == "quality")
    own = ways.command(tmp_path, by_name["DeepCTR, its defaults"], "speed", task, tmp_path / "p.npy")
    assert own[0] == str(tmp_path / "envs/deepctr/bin/python")
    assert own[2:] == ["speed", str(task), "--documented"]
    assert ways.variables(by_name["DeepCTR, Keras 3"])["TF_USE_LEGACY_KERAS"] == "0"


def test_the_page_says_what_was_measured(benchmarks, tmp_path):
    page = benchmarks.peers_page
    rates = {"funnel": [100.0, 50.0, 60.0], "DeepCTR": [12.0, 10.0, 14.0], "torch-rechub": [13.0]}
    by_way = {way: [{"rate": rate, "peak": 2e9} for rate in runs] for way, runs in rates.items()}
    figures = {"auc": 0.6, "best_auc": 0.7, "ratio": 1.1, "excess": 0.0123}
    score = {name: dict(figures) for name in ("click", "buy_given_click", "buy")} | {"epochs": 3}
    found = page.Found(
        rows=1000,
        tests=300,
        ids=77,
        raw=5_000_000,
        rounds=3,
        preparation={way: [{"seconds": 2.0, "peak": 3e8, "stored": 1e6}] for way in ("funnel", "pandas")},
        speed={"1.5 M rows": by_way, "7.3 M rows": by_way | {"torch-rechub": []}},
        quality=dict.fromkeys(rates, score),
        versions={"funnel": {"torch": "2"}, "deepctr": {"deepctr": "1"}},
    )
    text = page.page(found)
    assert "| funnel | 60 | 50 to 100 | 2.00 | 60 | 50 to 100 | 2.00 |" in text
    assert "| DeepCTR | 5.0x (goal 5x, reached) | 5.0x (goal 25x, missed) |" in text
    assert "| torch-rechub | 4.6x (goal 5x, missed) |  |" in text
    assert "| torch-rechub | 13 | once | 2.00 |  |  |  |" in text
    assert "| funnel | 3 | 0.6000 | 1.100 | 12.3 |" in text
    assert "| *the truth* |  | 0.7000 |  | 0 |" in text
    assert page.TRIAL in text
    assert page.TRIAL not in page.page(dataclasses.replace(found, rows=100_000))
    page.plot(found, tmp_path / "peers.svg")
    assert (tmp_path / "peers.svg").read_text().startswith("<?xml")
