"""A whole verification: exports that are what their runs are pass, and others are found out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from funnel.errors import DataError, RunError
from funnel.model._keras import tf
from funnel.run import Run
from funnel.serving.saved import smaller_tables
from funnel.verification import verify as module
from funnel.verification.process import SENDER
from funnel.verification.verification import Difference, Verification
from funnel.verification.verify import verify
from funnel.verification_screen import sentence
from tests import shop
from tests.conftest import Answer
from tests.serving.exports import ESM2, frames, run_of

SCORES = {"gmv": "buy * price", "other": "log(1 + age) - min(click, 0.25) ** 2 / 3"}


def rows_for(run: Run, seed: int = 1, rows: int = 300) -> dict[str, pl.DataFrame]:
    data = frames(seed, rows)
    data["facts"] = data["facts"].with_columns(hour=data["facts"]["hour"].replace(3, 1003))  # never seen
    return {source: data[source] for source in run.schema.sources}


def without_dimensions() -> dict[str, Any]:
    tree = shop.tree()
    features = [feature for feature in tree["features"] if feature.get("source") is None and feature["kind"] != "cross"]
    much = {"name": "seen_more", "kind": "bag", "column": "seen", "table": "items", "weighted": True, "weights": "seen_much"}
    serving = {"once": ["hour", "seen_more"]}
    return tree | {"data": {"facts": tree["data"]["facts"]}, "features": [*features, much], "serving": serving}


def by_signature(found: Verification) -> dict[str, int]:
    return {one.signature: one.rows for one in found.differences}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run in its folder, with scores that are NaN where numbers are missing; and its export."""
    folder = tmp_path_factory.mktemp("chain")
    run = run_of(shop.tree() | {"scores": SCORES})
    run.save(folder / "run")
    run.export(folder / "export")
    shop.write(folder / "data")
    return run, folder


@pytest.fixture
def copy(chain: tuple[Run, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(chain[1] / "export" / "1", tmp_path / "1"))


def test_an_export_is_what_its_run_is(chain: tuple[Run, Path]) -> None:
    run, folder = chain
    events: list[Any] = []
    found = verify(folder / "export", run, rows_for(run), watch=events.append)
    assert found.passed
    assert found.largest < 1e-6
    assert found.export == str(folder / "export" / "1")
    assert by_signature(found) == {"examples": 300, "predict": 300, "rank": 300, "serving_default": 300}
    assert {one.output for one in found.differences} == {"click", "buy", "buy_given_click", "gmv", "other"}
    assert found.rank_requests == len(set(frames(1, 300)["facts"]["user_id"]))
    assert (found.rows, found.left_out, found.tensorflow) == (300, {}, tf.__version__)
    assert [(event.done, event.total) for event in events] == [(300, 300)]


@pytest.mark.long
def test_some_of_the_rows_are_enough_and_pieces_are_like_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = without_dimensions()
    run = run_of(tree | {"data": tree["data"] | {"shard_rows": 120}})
    run.export(tmp_path / "export")
    found = verify(tmp_path / "export", run, rows_for(run), rows=200)
    assert found.passed
    assert set(by_signature(found).values()) == {200}
    monkeypatch.setattr("funnel.verification.requests.REQUESTS", 9)
    monkeypatch.setattr("funnel.verification.requests.CANDIDATES", 4)
    found = verify(tmp_path / "export", run, rows_for(run))
    assert found.passed
    assert found.rank_requests == 9
    assert 9 <= by_signature(found)["rank"] < 300


@pytest.mark.long
def test_a_tree_without_anything_once_and_the_defaults_of_serving(tmp_path: Path) -> None:
    """Where a value is missing, the export takes another one than the run: such rows cannot be compared."""
    tree = shop.tree() | {"stages": ESM2, "serving": {"once": []}, "sampling": {"impression": 0.1, "click": 0.5}}
    defaults = {"item": {"serving_default": 7}, "price": {"serving_default": 2.5}, "hour": {"serving_default": "9"}}
    tree["features"] = [feature | defaults.get(feature["name"], {}) for feature in tree["features"]]
    run = run_of(tree)
    run.export(tmp_path / "export")
    rows = rows_for(run)
    found = verify(tmp_path / "export", run, rows)
    lacking = rows["facts"].filter(pl.col("item").is_null() | pl.col("price").is_null()).height
    assert found.passed
    assert found.rows == 300 - lacking
    assert sum(found.left_out.values()) == lacking > 0
    assert all("for which the export takes its serving_default" in reason for reason in found.left_out)
    assert set(by_signature(found)) == {"examples", "predict", "serving_default"}
    with pytest.raises(DataError, match="got none that can be sent, expected some: they lack item"):
        verify(tmp_path / "export", run, rows | {"facts": rows["facts"].with_columns(item=pl.lit(None, pl.Int64))})


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    tree = shop.tree()
    run = run_of(tree | {"data": tree["data"] | {"bad_rows": {"kind": "skip", "max_share": 0.5}}})
    run.export(tmp_path / "export")
    rows = rows_for(run)
    strangers = rows["facts"]["user_id"].is_in(["u1", "u2"])
    found = verify(tmp_path / "export", run, rows | {"user": rows["user"].filter(~pl.col("user_id").is_in(["u1", "u2"]))})
    assert found.passed
    assert (found.rows, list(found.left_out.values())) == (300 - strangers.sum(), [strangers.sum()])


def test_a_changed_weight_is_found(chain: tuple[Run, Path], tmp_path: Path) -> None:
    run, folder = chain
    other = Run.load(folder / "run")
    bias = next(variable for variable in other.model.network.variables if variable.shape.rank == 1)
    bias.assign(bias + 0.01)
    other.export(tmp_path / "export", tables="float16")
    found = verify(tmp_path / "export", run, rows_for(run))
    assert not found.passed
    assert found.smaller == "float16"
    assert 1e-6 < found.largest < 0.1
    for one in found.differences:
        if one.largest > 1e-6:
            assert one.row is not None
            assert 0 <= one.row < 300
    assert verify(tmp_path / "export", run, rows_for(run), tolerance=1.0).passed


@pytest.mark.long
def test_swapped_lines_of_a_vocabulary_are_found(chain: tuple[Run, Path], copy: Path, funnel: Callable[..., Answer]) -> None:
    vocabulary = copy / "assets" / "items.txt"
    lines = vocabulary.read_text().splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    vocabulary.write_text("\n".join(lines) + "\n")
    code, out, error = funnel("verify", copy, "--run", chain[1] / "run", "--data", chain[1] / "data")
    assert code == 1, error
    assert "fail: 300 test rows, 4 signatures, 5 outputs: " in out
    assert "the export is not what the run is" in out


def test_smaller_tables_are_named_as_the_reason() -> None:
    found = Verification("export", "run", "data", "test", 1e-6, differences=[Difference("rank", "buy", 5, 0.01, 3)])
    assert sentence(found).endswith("row 3), at most 1e-06 is allowed: the export is not what the run is")
    found.smaller = "int8"
    assert sentence(found).endswith("the tables are smaller (int8): say with `--tolerance` how much that may change")


@pytest.mark.parametrize(
    ("said", "smaller"),
    [
        ('{"tables": "float32", "min_count": null}', None),
        ('{"tables": "float16", "min_count": null}', "float16"),
        ('{"tables": "float32", "min_count": 3}', "float32, without ids seen less often than 3 times"),
        ("[]", None),
        ("not JSON", None),
        (None, None),
    ],
)
def test_what_an_export_says_of_its_tables(tmp_path: Path, said: str | None, smaller: str | None) -> None:
    if said is not None:
        (tmp_path / "assets.extra").mkdir()
        (tmp_path / "assets.extra" / "export.json").write_text(said)
    assert smaller_tables(tmp_path) == smaller


def test_the_command_line_says_it(chain: tuple[Run, Path], funnel: Callable[..., Answer]) -> None:
    arguments = (chain[1] / "export", "--run", chain[1] / "run", "--data", chain[1] / "data")
    code, out, error = funnel("verify", *arguments)
    assert code == 0, error
    assert "serving_default" in out
    assert "pass: 300 test rows, 4 signatures, 5 outputs: the largest difference is " in out
    code, out, error = funnel("verify", *arguments, "--json", "--rows", 40, "--split", "train")
    assert code == 0, error
    said = json.loads(out)
    assert (said["passed"], said["rows"], said["split"], said["smaller"]) == (True, 40, "train", None)
    assert {one["rows"] for one in said["differences"]} == {40}
    assert funnel("verify", chain[1] / "export")[0] == 2


def lack(name: str) -> Callable[[Path], None]:
    return lambda export: (export / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def spoil(export: Path) -> None:
        path = export / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


SPOILT = {
    "no model": (shutil.rmtree, "is no folder, expected what `funnel export` wrote"),
    "no graph": (lack("saved_model.pb"), "has no saved_model.pb, and no version with one"),
    "half a graph": (cut("saved_model.pb"), "cannot be read as a SavedModel"),
    "no variables": (lack("variables/variables.index"), "cannot be loaded: "),
    "half the variables": (cut("variables/variables.data-00000-of-00001"), "cannot be loaded: "),
    "no vocabulary": (lack("assets/items.txt"), "cannot be loaded: "),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name.startswith("no v") else name for name in SPOILT]
)
def test_an_export_that_is_not_whole_is_one_clear_message(
    name: str, chain: tuple[Run, Path], copy: Path, funnel: Callable[..., Answer]
) -> None:
    spoil, expected = SPOILT[name]
    spoil(copy)
    code, out, error = funnel("verify", copy, "--run", chain[1] / "run", "--data", chain[1] / "data")
    assert code == 1
    assert error.startswith(f"error: {copy}")
    assert expected in error
    assert error.count("\n") == 1
    assert "Traceback" not in out + error


def without(name: str) -> dict[str, Any]:
    return shop.tree() | {"features": [feature for feature in shop.tree()["features"] if feature["name"] != name]}


def with_hours_as_numbers() -> dict[str, Any]:
    hour = {"name": "hour", "kind": "numeric"}
    return shop.tree() | {"features": [hour if f["name"] == "hour" else f for f in shop.tree()["features"]]}


# By name: what the run declares, what the export was made of, and what is said.
OTHERS = {
    "an input less": (
        shop.tree(),
        without("age"),
        "signature 'serving_default' has no input 'age' of the run's schema (have: ",
    ),
    "an input more": (without("age"), shop.tree(), "has the input 'age', which the run's schema has not"),
    "another type": (with_hours_as_numbers(), shop.tree(), "has the input 'hour' as string, expected float32"),
    "a stage more": (shop.tree() | {"stages": shop.tree()["stages"][:1]}, shop.tree(), "has the output 'buy', which"),
    "no rank": (shop.tree(), shop.tree() | {"serving": {"once": []}}, "has no signature 'rank' (have: "),
    "rank": (shop.tree() | {"serving": {"once": []}}, shop.tree(), "has the signature 'rank', expected "),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if "more" in n or "rank" in n else n for n in OTHERS])
def test_an_export_of_another_schema_is_told_by_what_differs(name: str, tmp_path: Path) -> None:
    ours, theirs, expected = OTHERS[name]
    run_of(theirs).export(tmp_path / "export")
    run = run_of(ours)
    with pytest.raises(RunError) as raised:
        verify(tmp_path / "export", run, rows_for(run))
    assert expected in str(raised.value)


def test_the_process_is_without_what_a_server_lacks(tmp_path: Path) -> None:
    program = (
        "import runpy, sys, importlib\n"
        "runpy.run_path(sys.argv[1])\n"
        "for name in ('funnel', 'tf_keras', 'keras', 'tensorflow_recommenders'):\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ImportError:\n"
        "        print(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(SENDER)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["funnel", "tf_keras", "keras", "tensorflow_recommenders"]


def test_what_cannot_be_asked_is_refused(chain: tuple[Run, Path]) -> None:
    run, folder = chain
    for more in ({"rows": 0}, {"tolerance": float("nan")}, {"tolerance": -1.0}):
        with pytest.raises(RunError, match="expected 1 or more, and 0 or more"):
            verify(folder / "export", run, rows_for(run), **more)
    assert (module.ROWS, module.TOLERANCE) == (100_000, 1e-6)


def test_the_difference_of_a_score_is_one_of_its_probabilities() -> None:
    """A price of a thousand moves `buy * price` a thousand times as much as `buy`."""
    from funnel.evaluation.predict import score_columns  # noqa: PLC0415
    from funnel.verification.predictions import score_scales  # noqa: PLC0415

    tree = shop.tree() | {"scores": {"gmv": "1000 * buy", "click_only": "click / 2", "large": "5000 + buy", "log": "log(buy)"}}
    run = run_of(tree)
    store = run.store(rows_for(run), "train", labels=False)
    (star,) = store.shards("train")
    chances = {name: np.full(star.rows, 0.25, np.float32) for name in run.schema.probability_names}
    scales = score_scales(run.schema, star, chances | score_columns(run.schema, star, chances))
    np.testing.assert_allclose(scales["gmv"], 1000, rtol=1e-3)
    np.testing.assert_array_equal(scales["click_only"], 1)
    np.testing.assert_allclose(scales["large"], 5000, rtol=1e-3)
    np.testing.assert_allclose(scales["log"], 4, rtol=1e-2)
