import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from funnel.schema.json_schema import json_schema
from tests import shop

Answer = tuple[int, str, str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shop.write(tmp_path / "shop")


def change(folder: Path, **columns: Any) -> None:
    pl.read_parquet(folder / "train.parquet").with_columns(**columns).write_parquet(folder / "train.parquet")


def edit(folder: Path, before: str, after: str) -> None:
    path = folder / "schema.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def break_users(folder: Path, rows: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    rows(pl.read_parquet(folder / "users.parquet")).write_parquet(folder / "users.parquet")


CLICK = "label: click\n  given: null"
BAD: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "unknown key": (lambda f: edit(f, "inconsistent_labels:", "inconsistent_label:"), ["unknown key", "'inconsistent_labels'"]),
    "forward reference": (lambda f: edit(f, CLICK, "label: click\n  given: buy"), ["stages[0].given", "comes later"]),
    "cycle": (lambda f: edit(f, CLICK, "label: click\n  given: click"), ["stages[0].given", "itself"]),
    "one label twice": (lambda f: edit(f, "label: buy", "label: click"), ["stages[1].label", "already used"]),
    "label as feature": (lambda f: edit(f, "name: hour", "name: buy"), ["label of stage 'buy'", "remove the feature"]),
    "missing column": (lambda f: edit(f, "column: price", "column: prise"), ["no column 'prise'", "Did you mean 'price'"]),
    "bag on a scalar": (lambda f: change(f, seen=pl.lit(1)), ["'seen'", "one Int", "expected lists"]),
    "list as id": (lambda f: change(f, item=pl.col("seen")), ["'item'", "got lists"]),
    "float ids": (lambda f: change(f, item=pl.lit(1.5)), ["'item'", "float cannot hold"]),
    "empty file": (lambda f: (f / "train.parquet").write_bytes(b""), ["train.parquet", "cannot be read"]),
    "no rows": (lambda f: pl.read_parquet(f / "train.parquet").head(0).write_parquet(f / "train.parquet"), ["no rows"]),
    "missing key": (lambda f: break_users(f, lambda u: u.tail(50)), ["got the key 'u", "dimension 'user' lacks"]),
    "key twice": (lambda f: break_users(f, lambda u: pl.concat([u, u.head(1)])), ["'u0'", "more than once"]),
    "label of 2": (lambda f: change(f, click=pl.lit(2)), ["row 1", "'click'", "expected 0 or 1"]),
    "no label": (lambda f: change(f, click=pl.lit(None, pl.Int64)), ["stage 'click': no row of impression has a known label"]),
    "a null for every 0": (
        lambda f: change(f, buy=pl.col("buy").replace(0, None)),
        ["stage 'buy': all ", "(click) are 1", "is a null in the column 'buy' a 0 there?"],
    ),
    "buy without click": (lambda f: change(f, click=pl.lit(0)), ["buy = 1 with click = 0", "of 900 rows"]),
    "no files": (lambda f: (f / "train.parquet").unlink(), ["no file for 'train.parquet'", "test.parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_message_and_nothing_half_written(
    name: str, folder: Path, funnel: Callable[..., Answer]
) -> None:
    spoil, expected = BAD[name]
    spoil(folder)
    code, out, error = funnel("fit", folder / "schema.yaml", "--data", folder, "--out", folder / "runs" / "bad")
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in expected:
        assert part in error
    assert "Traceback" not in out + error
    assert not list((folder / "runs").glob("*")) + list((folder / "runs").glob(".*"))


def test_a_labels_policy_is_counted(folder: Path, funnel: Callable[..., Answer]) -> None:
    change(folder, click=pl.when(pl.int_range(pl.len()) < 450).then(0).otherwise(pl.col("click")))
    wrong = pl.read_parquet(folder / "train.parquet").filter(pl.col("buy") > pl.col("click")).height
    edit(folder, "inconsistent_labels: error", "inconsistent_labels: drop")
    code, out, _ = funnel("check", folder / "schema.yaml", "--data", folder, "--json")
    assert code == 0
    assert json.loads(out)["inconsistent_labels"] == {"policy": "drop", "rows": {"buy": wrong}}
    assert json.loads(out)["rows"] == shop.ROWS - wrong


def test_a_schema_is_drawn_and_rows_are_read_with_data_only(folder: Path, funnel: Callable[..., Answer]) -> None:
    schema, out = folder / "schema.yaml", folder / "out.svg"
    (folder / "train.parquet").unlink()
    assert funnel("check", schema, "--draw", out) == (
        0,
        f"drawn: {out}; no rows were looked at: for that, give `--data DIR`\n",
        "",
    )
    assert out.read_text().startswith("<svg")
    out.unlink()
    assert funnel("check", schema, "--draw", out, "--data", folder)[0] == 1  # without its rows
    assert out.exists()
    code, said, error = funnel("check", schema, "--draw", folder / "out.gif")
    assert (code, said) == (1, "")
    assert "expected the ending .svg" in error


def test_a_fit_is_judged_predicts_and_exports(folder: Path, funnel: Callable[..., Answer]) -> None:
    run = folder / "runs" / "shop"
    code, out, error = funnel("fit", folder / "schema.yaml", "--data", folder, "--out", run, "--set", "train.epochs=1")
    assert code == 0, error
    assert f"data: {folder}" in out
    assert "epoch 1/1" in out
    assert "buy_given_click" in out
    assert f"run: {run}" in out
    assert len(json.loads((run / "history.json").read_text())) == 1
    code, out, _ = funnel("evaluate", run, "--data", folder, "--json")
    assert json.loads(out) == json.loads((run / "metrics.json").read_text())["splits"]["test"]
    for ending, read in ((".parquet", pl.read_parquet), (".csv", pl.read_csv)):
        code, out, _ = funnel("predict", run, "--data", folder, "--out", folder / f"p{ending}")
        assert code == 0
        assert read(folder / f"p{ending}").columns == ["click", "buy", "buy_given_click"]
        assert f"data: {folder}" in out
        assert "300 rows" in out
    assert funnel("predict", run, "--data", folder, "--out", folder / "p.csv", "--logits")[0] == 0
    assert pl.read_csv(folder / "p.csv").columns[3:] == ["click_logit", "buy_logit", "buy_given_click_logit"]
    assert funnel("predict", run, "--data", folder, "--out", folder / "p.json")[0] == 1
    for version in (1, 2):
        code, out, _ = funnel("export", run, "--out", folder / "model")
        assert code == 0
        assert f"{folder / 'model' / str(version)}: a SavedModel" in out
        assert (folder / "model" / str(version) / "saved_model.pb").is_file()
        assert (folder / "model" / str(version) / "assets.extra" / "signature.md").is_file()
    code, _, error = funnel("export", run, "--out", folder / "model" / "2")
    assert code == 1
    assert "is already there" in error
    code, _, error = funnel("fit", folder / "schema.yaml", "--data", folder, "--out", run)
    assert code == 1
    assert "is already there" in error


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_divergence_is_told_and_leaves_no_run(folder: Path, funnel: Callable[..., Answer]) -> None:
    rates = [f"train.optimizer.{part}.learning_rate=1e30" for part in ("embedding", "dense")]
    run = folder / "runs" / "wild"
    code, _, error = funnel("fit", folder / "schema.yaml", "--data", folder, "--out", run, "--set", rates[0], "--set", rates[1])
    assert code == 1
    assert "learning rates" in error
    assert not run.exists()


def test_usage_errors_exit_with_2(folder: Path, funnel: Callable[..., Answer]) -> None:
    assert funnel("fit")[0] == 2
    assert funnel("fitt")[0] == 2
    assert funnel("evaluate", folder, "--split", "tset")[0] == 2


def test_schema_prints_the_json_schema(funnel: Callable[..., Answer]) -> None:
    assert funnel("schema")[1] == json_schema()


def test_simulated_rows_say_so(tmp_path: Path, funnel: Callable[..., Answer]) -> None:
    schema = Path(__file__).parents[1] / "schemas" / "ecommerce.yaml"
    code, out, error = funnel("simulate", schema, "--impressions", 2000, "--out", tmp_path / "rows")
    assert code == 0, error
    assert "simulated" in out
    assert (tmp_path / "rows" / "truth" / "train.parquet").is_file()
    assert funnel("check", schema, "--data", tmp_path / "rows")[0] == 0


def test_a_process_says_nothing_but_its_answer(folder: Path) -> None:
    command = [sys.executable, "-c", "from funnel.cli import main; main()", "evaluate", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
