"""A row's logits and probabilities are the same bits, whatever rows are beside it, and however many threads compute them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funnel
from funnel.data.columns import take
from funnel.data.prepare import prepare
from funnel.data.star import Star
from funnel.evaluation.predict import Predictor, columns, logit_columns
from funnel.fitting import model_of
from funnel.model.funnel_model import FunnelModel
from funnel.schema.data import FACTS
from funnel.schema.reader import load_schema
from tests import shop

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "aliccp" / "sample"
ESM2 = [
    {"name": "click", "label": "click"},
    {"name": "direct", "label": "direct"},
    {"name": "buy_direct", "label": "buy"},
    {"name": "buy_other", "label": "buy", "given": "click", "unless": "direct"},
    {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
]
SHOPS: dict[str, dict[str, Any]] = {
    "wide towers": {"model": {"tower": {"units": [200, 80]}}},
    "odd widths": {"model": {"embedding_dim": 5, "body": {"units": [33], "activation": "elu"}, "tower": {"units": [7, 3]}}},
    "exponentials everywhere": {"model": {"tower": {"units": [20], "activation": "selu"}}, "objective": {"kind": "division"}},
    "a join": {"stages": ESM2, "model": {"tower": {"units": [17], "activation": "gelu"}}},
}


def declared(name: str) -> Any:
    tree = shop.tree() | SHOPS[name]
    # Sums of weights in float32, and logarithms of a dimension's numbers.
    age = {"name": "log_age", "kind": "numeric", "source": "user", "column": "age", "transform": "log1p"}
    return load_schema(tree | {"features": [*tree["features"], age]})


def frames(seed: int, rows: int) -> dict[str, pl.DataFrame]:
    made = shop.frames(seed, rows)
    return made | {"facts": made["facts"].with_columns(direct=pl.col("click") * (pl.col("hour") % 2))}


def part(star: Star, rows: np.ndarray) -> Star:
    """Some of a star's facts, in any order."""
    return replace(
        star,
        sources=star.sources | {FACTS: take(star.sources[FACTS], rows)},
        index={name: of_fact[rows] for name, of_fact in star.index.items()},
        position=star.position[rows],
        labels=None,
    )


@cache
def case(name: str) -> tuple[Predictor, Star, np.ndarray]:
    """A model with weights that tell rows apart, rows, and their logits."""
    if name == "aliccp":
        schema = load_schema(ROOT / "schemas" / "aliccp.yaml")
        store = prepare(schema, SAMPLE)
    else:
        schema = declared(name)
        store = prepare(schema, frames(0, 900), test=frames(1, 500))
    model = model_of(schema, store)
    model.create_variables()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.3, size=variable.shape))
    predictor, star = Predictor(model), store.shards("test")[0]
    star = part(star, np.arange(min(star.rows, 1500)))
    return predictor, star, predictor.logits(star, 16_384)


NAMES = ["aliccp", *SHOPS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 1000])
def test_logits_are_the_same_for_any_batch_size(name: str, batch_size: int) -> None:
    predictor, star, logits = case(name)
    rows = np.arange(150 if batch_size == 1 else star.rows)
    found = predictor.logits(part(star, rows), batch_size)
    assert found.dtype == np.float32
    assert len(np.unique(logits)) > star.rows  # not all alike
    np.testing.assert_array_equal(found, logits[rows])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=15)
def test_logits_are_the_same_beside_any_other_rows(name: str, data: st.DataObject) -> None:
    predictor, star, logits = case(name)
    count = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = rng.integers(0, star.rows, count)
    np.testing.assert_array_equal(
        predictor.logits(part(star, rows), data.draw(st.integers(max(1, count // 9), 400))), logits[rows]
    )


@pytest.mark.parametrize("name", ["wide towers", "a join"])
@given(count=st.integers(0, 200), cut=st.integers(0, 200), seed=st.integers(0, 2**32 - 1))
def test_probabilities_and_cumulative_logits_are_the_same_wherever_rows_are_cut(
    name: str, count: int, cut: int, seed: int
) -> None:
    model: FunnelModel = case(name)[0].model
    stages = len(model.schema.stages)
    logits = np.random.default_rng(seed).normal(scale=5, size=[count, stages]).astype(np.float32)
    halves = [logits[:cut], logits[cut:]]
    for of in (columns, logit_columns):
        apart = [of(model, half) for half in halves]
        for column, values in of(model, logits).items():
            assert len(values) == count
            np.testing.assert_array_equal(np.concatenate([one[column] for one in apart]), values)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact")
    shop.write(folder / "shop")
    funnel.fit(declared("wide towers"), folder / "shop", out=folder / "runs" / "shop")
    funnel.fit(ROOT / "schemas" / "aliccp.yaml", SAMPLE, out=folder / "runs" / "aliccp", overrides=["train.epochs=1"])
    return folder


@pytest.mark.long
def test_two_halves_are_predicted_as_the_whole(runs: Path) -> None:
    run = funnel.load(runs / "runs" / "shop")
    facts, users = shop.frames(3, 333)["facts"], shop.frames(3, 333)["user"]
    whole = run.predict({"facts": facts, "user": users}, logits=True)
    for cut in (1, 100, 170):
        halves = [run.predict({"facts": rows, "user": users}, logits=True) for rows in (facts[:cut], facts[cut:])]
        for name, column in whole.items():
            np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), column)


ELSEWHERE = """
import json, sys
from dataclasses import replace
import numpy as np
import funnel
batch_size, out, *places = sys.argv[1:]
for number, (folder, data) in enumerate(zip(places[::2], places[1::2])):
    run = funnel.load(folder)
    schema = run.schema.model_dump()
    schema["evaluate"]["batch_size"] = int(batch_size)
    run = replace(run, schema=funnel.load_schema(schema))
    np.savez(f"{out}/{number}.npz", report=json.dumps(run.evaluate(data).as_dict()), **run.predict(data, logits=True))
"""


def test_any_number_of_threads_gives_the_same_figures(runs: Path, tmp_path: Path) -> None:
    places = [(runs / "runs" / "shop", runs / "shop"), (runs / "runs" / "aliccp", SAMPLE)]
    expected = []
    for folder, data in places:
        run = funnel.load(folder)
        expected.append(run.predict(data, logits=True) | {"report": json.dumps(run.evaluate(data).as_dict())})
    for threads, batch_size in ((1, 250), (4, 16_384)):
        arguments = [str(batch_size), str(tmp_path), *(str(path) for place in places for path in place)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ELSEWHERE, *arguments],
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": str(threads)},
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        for number, columns_of in enumerate(expected):
            found = np.load(tmp_path / f"{number}.npz")
            assert set(found) == set(columns_of)
            for column, values in columns_of.items():
                np.testing.assert_array_equal(found[column], values, err_msg=f"{column}, {threads} threads")


def test_log_losses_can_be_computed_from_the_logits(runs: Path) -> None:
    run = funnel.load(runs / "runs" / "shop")
    found, report = run.predict(runs / "shop", logits=True), run.evaluate(runs / "shop")
    assert list(found) == ["click", "buy", "buy_given_click", "click_logit", "buy_logit", "buy_given_click_logit"]
    assert [found[f"{name}_logit"].dtype for name in ("click", "buy", "buy_given_click")] == [
        np.float64,
        np.float64,
        np.float32,
    ]
    labels = pl.read_parquet(runs / "shop" / "test.parquet")
    click, buy = (labels[name].to_numpy() == 1 for name in ("click", "buy"))
    for logit, label, scores in (
        (found["click_logit"], click, report.cumulative["click"]),
        (found["buy_logit"], buy, report.cumulative["buy"]),
        (found["buy_given_click_logit"][click].astype(np.float64), buy[click], report.conditional["buy"]),
    ):
        assert np.logaddexp(0, np.where(label, -logit, logit)).mean() == pytest.approx(scores.log_loss, rel=1e-13)
    for name in ("click", "buy", "buy_given_click"):
        np.testing.assert_allclose(1 / (1 + np.exp(-found[f"{name}_logit"].astype(np.float64))), found[name], rtol=1e-6)
    assert list(run.predict(runs / "shop")) == ["click", "buy", "buy_given_click"]
    frame = funnel.predict(run, runs / "shop", logits=True)
    assert list(frame.columns) == list(found)


def test_a_stage_that_is_called_as_a_logit_is_told(runs: Path) -> None:
    run = funnel.load(runs / "runs" / "shop")
    schema = run.schema.model_dump()
    schema["stages"][1]["name"] = "click_logit"
    other = replace(run, schema=funnel.load_schema(schema))
    other.model.schema = other.schema
    assert "click_logit" in other.predict(runs / "shop")
    with pytest.raises(funnel.SchemaError, match=r"logits=True and a stage called 'click_logit'.*rename the stage"):
        other.predict(runs / "shop", logits=True)
