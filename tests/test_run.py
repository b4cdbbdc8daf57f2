import gc
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import funnel
from funnel.api import predict as predict_frame
from funnel.run import Run
from tests import shop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return funnel.fit(folder / "schema.yaml", folder, out=folder / "runs" / "one")


def test_predictions_have_every_probability_by_name_and_keep_their_order(run: Run, folder: Path) -> None:
    found = run.predict(folder)
    assert list(found) == ["click", "buy", "buy_given_click"]
    assert all(len(column) == 300 and np.isfinite(column).all() for column in found.values())
    np.testing.assert_allclose(found["buy"], found["click"] * found["buy_given_click"], rtol=1e-5)


def test_a_saved_run_predicts_the_same_elsewhere(run: Run, folder: Path) -> None:
    loaded = funnel.load(folder / "runs" / "one")
    for name, column in loaded.predict(folder).items():
        np.testing.assert_array_equal(column, run.predict(folder)[name])
    assert loaded.metrics == run.metrics
    assert {"versions", "seed", "data_fingerprint", "training_rows", "positives"} <= loaded.manifest.keys()
    assert not list((folder / "runs").glob(".*"))


@pytest.mark.parametrize("number", [None, 1, 3])
def test_a_run_whose_layers_stand_elsewhere_is_refused(run: Run, folder: Path, tmp_path: Path, number: int | None) -> None:
    shutil.copytree(folder / "runs" / "one", tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("format") == 2
    manifest |= {} if number is None else {"format": number}
    path.write_text(json.dumps(manifest | {"versions": {"funnel": "0.0.7"}}))
    message = f"format: got {number or 1}, written by funnel 0.0.7, expected 2: .* Fit again with this version"
    with pytest.raises(funnel.RunError, match=message):
        funnel.load(tmp_path / "run")
    with pytest.raises(funnel.RunError, match=message):
        funnel.fit(folder / "schema.yaml", folder, warm_start=tmp_path / "run")


def test_evaluate_and_the_fit_report_the_same(run: Run, folder: Path) -> None:
    assert run.evaluate(folder).as_dict() == run.metrics["test"]
    assert json.loads((folder / "runs" / "one" / "metrics.json").read_text())["splits"]["test"] == run.metrics["test"]
    report = run.evaluate(folder)
    assert report.conditional["buy"].rows == report.cumulative["click"].positives
    assert report.cumulative["buy"].rows == 300


def test_a_one_class_slice_has_no_auc(run: Run) -> None:
    rows = shop.frames(2, 40)
    facts = rows["facts"].with_columns(click=pl.lit(1), buy=pl.lit(0))
    report = run.evaluate({"facts": facts, "user": rows["user"]})
    assert np.isnan(report.cumulative["click"].auc)
    assert np.isnan(report.conditional["buy"].predicted_over_observed)
    assert report.as_dict()["cumulative"]["click"]["auc"] is None


def test_frames_of_pandas_and_polars_give_what_files_give(run: Run, folder: Path) -> None:
    data = {"facts": pl.read_parquet(folder / "test.parquet"), "user": pl.read_parquet(folder / "users.parquet")}
    found = predict_frame(run, data)
    assert isinstance(found, pl.DataFrame)
    as_pandas = {
        "facts": data["facts"].to_pandas().astype({"item": "Int64"}).drop(columns=["click", "buy"]),
        "user": data["user"].to_pandas(),
    }
    other = predict_frame(run, as_pandas)
    assert isinstance(other, pd.DataFrame)
    for name, column in run.predict(folder).items():
        np.testing.assert_array_equal(found[name].to_numpy(), column)
        np.testing.assert_array_equal(other[name].to_numpy(), column)


def test_a_row_that_cannot_be_used_is_predicted_as_nan(run: Run, folder: Path, tmp_path: Path) -> None:
    rows = shop.frames(5, 40)
    strange = pl.when(pl.int_range(pl.len()).is_in([3, 17, 39])).then(pl.lit("nobody")).otherwise(pl.col("user_id"))
    broken = {"facts": rows["facts"].with_columns(user_id=strange), "user": rows["user"]}
    with pytest.raises(funnel.DataError, match=r"frame 'facts', row 4 column 'user_id': got the key 'nobody'"):
        run.predict(broken)
    schema = run.schema.model_dump()
    schema["data"]["bad_rows"] = {"kind": "skip", "max_share": 0.1}
    tolerant = replace(run, schema=funnel.load_schema(schema))
    found, whole = tolerant.predict(broken), run.predict(rows)
    for name, column in found.items():
        assert np.flatnonzero(np.isnan(column)).tolist() == [3, 17, 39]
        kept = ~np.isnan(column)
        np.testing.assert_array_equal(column[kept], whole[name][kept])


def test_predictions_do_not_depend_on_the_batch_or_the_shards(run: Run, folder: Path) -> None:
    schema = run.schema.model_dump()
    schema["data"]["shard_rows"] = 50
    schema["evaluate"]["batch_size"] = 7
    other = replace(run, schema=funnel.load_schema(schema))
    assert len(other.store(folder, labels=True).shards("test")) > 3
    for name, column in other.predict(folder, logits=True).items():
        np.testing.assert_array_equal(column, run.predict(folder, logits=True)[name])
    report, whole = other.evaluate(folder).as_dict(), run.evaluate(folder).as_dict()
    for stage, scores in report["cumulative"].items():
        for name in ("rows", "positives", "auc", "log_loss"):
            assert scores[name] == pytest.approx(whole["cumulative"][stage][name], rel=1e-13)  # added up in another order
    schema["data"]["shard_rows"] = run.schema.data.shard_rows
    assert replace(run, schema=funnel.load_schema(schema)).evaluate(folder).as_dict() == whole


def test_a_store_of_a_run_goes_with_its_last_user(run: Run, folder: Path) -> None:
    shards = run.store(folder, labels=False).shards("test")
    place = shards._owner.folder
    assert shards[0].rows > 0
    assert place.is_dir()
    del shards
    gc.collect()
    assert not place.exists()


def test_the_same_seed_gives_the_same_model(run: Run, folder: Path) -> None:
    again = funnel.fit(folder / "schema.yaml", folder)
    for name, column in again.predict(folder).items():
        np.testing.assert_allclose(column, run.predict(folder)[name], rtol=1e-5)


def test_an_incomplete_or_corrupt_run_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    run.save(tmp_path / "copy")
    with pytest.raises(funnel.RunError, match="is already there"):
        run.save(tmp_path / "copy")
    (tmp_path / "copy" / "learnt.json").write_text("{")
    with pytest.raises(funnel.RunError, match="fit again"):
        Run.load(tmp_path / "copy")
    (tmp_path / "copy" / "learnt.json").unlink()
    with pytest.raises(funnel.RunError, match=r"lacks learnt\.json"):
        Run.load(tmp_path / "copy")


def test_a_failing_write_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("funnel.run.Vocabulary.save", full)
    with pytest.raises(funnel.RunError, match="No space left"):
        run.save(tmp_path / "run")
    assert not list(tmp_path.iterdir())


CLEAN = """
import json, sys
# As if they were not installed.
sys.modules |= dict.fromkeys(["tf_keras", "keras", "tensorflow_recommenders", "funnel"])
import numpy as np
import tensorflow as tf
columns, folder, out = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
serve = tf.saved_model.load(folder).signatures["serving_default"]
kinds = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
answer = serve(**{name: tf.constant(column, kinds[name]) for name, column in columns.items()})
np.savez(out, **{name: value.numpy() for name, value in answer.items()})
"""


def raw_columns(data: dict[str, pl.DataFrame]) -> dict[str, list[object]]:
    joined = data["facts"].join(data["user"], on="user_id", how="left", maintain_order="left")

    def text(name: str) -> list[object]:
        return ["" if value is None else str(value) for value in joined[name]]

    def number(name: str) -> list[object]:
        return [float("nan") if value is None else value for value in joined[name]]

    def padded(name: str, fill: object) -> list[object]:
        lists = [[] if value is None else list(value) for value in joined[name]]
        longest = max(map(len, lists))
        shown = [[value if isinstance(value, float) else str(value) for value in row] for row in lists]
        return [row + [fill] * (longest - len(row)) for row in shown]

    return {
        "user_id": text("user_id"), "city": text("city"), "age": number("age"), "liked": padded("liked", ""),
        "liked_weights": padded("liked_much", 0.0), "item": text("item"), "seen": padded("seen", ""),
        "also_seen": padded("seen", ""), "price": number("price"), "price_band": number("price"), "hour": text("hour"),
    }  # fmt: skip


def test_the_export_gives_the_same_numbers_in_a_process_with_only_tensorflow(run: Run, folder: Path, tmp_path: Path) -> None:
    data = {"facts": pl.read_parquet(folder / "test.parquet"), "user": pl.read_parquet(folder / "users.parquet")}
    data["facts"] = data["facts"].with_columns(item=pl.when(pl.col("hour") == 3).then(987_654).otherwise(pl.col("item")))
    model = run.export(tmp_path / "model" / "7")
    assert model == tmp_path / "model" / "7"
    with pytest.raises(funnel.RunError, match="is already there"):
        run.export(model)
    (tmp_path / "rows.json").write_text(json.dumps(raw_columns(data)))
    arguments = [str(tmp_path / name) for name in ("rows.json", "model/7", "answer.npz")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", CLEAN, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = np.load(tmp_path / "answer.npz")
    expected = run.predict(data)
    assert set(answer) == set(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(answer[name], column, atol=1e-6)
