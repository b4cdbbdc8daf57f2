"""What is lost without a feature: by hand, against rows that were really shuffled, and in a world whose causes are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.evaluation.bootstrap import clusters_of
from funnel.evaluation.comparison import clusters_in
from funnel.evaluation.importance import Importance, losses
from funnel.evaluation.intervals import Estimate, intervals
from funnel.evaluation.metrics import auc
from funnel.evaluation.outcomes import Names, Outcomes
from funnel.evaluation.report import measured
from funnel.schema.topology import Place
from tests import shop

ROWS = 3000


def frames(seed: int, rows: int = ROWS) -> dict[str, pl.DataFrame]:
    """A click depends on the price, the city and what was seen; a purchase on the shop. Nothing on noise, hue and words."""
    rng = np.random.default_rng(seed)
    user, price = rng.integers(0, 80, rows), rng.normal(size=rows)
    seller, seen = rng.integers(0, 4, rows), [rng.integers(0, 5, rng.integers(1, 4)).tolist() for _ in range(rows)]
    city = np.arange(80) % 3
    logit = 1.3 * price + np.array([-1.5, 0.0, 1.5])[city[user]] + np.array([1.5 if 0 in some else -1 for some in seen])
    click = rng.random(rows) < 1 / (1 + np.exp(-logit))
    buy = click & (rng.random(rows) < np.array([0.1, 0.35, 0.65, 0.9])[seller])
    facts = pl.DataFrame(
        {
            "key": [f"u{u}" for u in user],
            "price": price,
            "noise": rng.normal(size=rows),
            "seller": [f"s{s}" for s in seller],
            "seen": seen,
            "words": [rng.integers(0, 5, 2).tolist() for _ in range(rows)],
            "click": click.astype(int),
            "buy": buy.astype(int),
        }
    )
    keys, hue = [f"u{u}" for u in range(80)], [f"h{u % 7}" for u in range(80)]
    return {"facts": facts, "user": pl.DataFrame({"key": keys, "city": [f"c{c}" for c in city], "hue": hue})}


TREE: dict[str, Any] = {
    "name": "causes",
    "stages": [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}],
    "data": {
        "facts": {"format": "parquet", "train": "train.parquet", "test": "test.parquet"},
        "dimensions": [{"name": "user", "key": "key", "format": "parquet", "files": "users.parquet"}],
        "validation": None,
    },
    "features": [
        {"name": "city", "kind": "categorical", "source": "user"},
        {"name": "hue", "kind": "categorical", "source": "user"},
        {"name": "price", "kind": "numeric"},
        {"name": "noise", "kind": "numeric"},
        {"name": "seller", "kind": "categorical"},
        {"name": "seen", "kind": "bag"},
        {"name": "words", "kind": "bag"},
    ],
    "model": {"embedding_dim": 4, "tower": {"units": [8]}},
    "train": {"batch_size": 100, "epochs": 6, "optimizer": {"dense": {"kind": "adam", "learning_rate": 0.01}}},
}
OF_USE = {"click": {"city", "price", "seen"}, "buy_given_click": {"seller"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return funnel.fit(TREE, frames(0), test=frames(1), out=tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def found(run: Any) -> Importance:
    return run.importance(frames(1))


def by_name(found: Importance) -> dict[str, Any]:
    return {one.name: one for one in found.probabilities}


def test_by_hand() -> None:
    # Two rows, each a cluster: log losses of .1 and .3 with the feature; .2 and .9, then .4 and .5 without it.
    def mean(first: float, second: float) -> Estimate:
        middle = (first + second) / 2
        return Estimate(middle, np.array([first - middle, second - middle]) / 2, "ratio")

    usual = [{"log_loss": mean(0.1, 0.3), "auc": Estimate(0.8, np.array([0.1, -0.1]), "share")}]
    without = [
        [{"log_loss": mean(0.2, 0.9), "auc": Estimate(0.7, np.array([0.3, -0.3]), "share")}],
        [{"log_loss": mean(0.4, 0.5), "auc": Estimate(0.4, np.array([0.1, -0.1]), "share")}],
    ]
    (lost,) = losses(usual, without)
    assert lost["log_loss"].value == pytest.approx((0.55 + 0.45) / 2 - 0.2)
    # Row by row: .3 - .1 and .7 - .3, of which the mean is .3.
    assert lost["log_loss"].influence == pytest.approx([(0.2 - 0.3) / 2, (0.4 - 0.3) / 2])
    assert lost["auc"].value == pytest.approx(0.8 - 0.55)
    assert lost["auc"].influence == pytest.approx([0.1 - 0.2, -0.1 + 0.2])
    assert {one.scale for one in lost.values()} == {"change"}
    assert losses([{}], without) == [{}]
    assert losses(usual, [[{}], without[0]]) == [{}]


def test_what_matters_is_sure_and_of_what_does_not_intervals_hold_nothing(found: Importance) -> None:
    for name, causes in OF_USE.items():
        one = by_name(found)[name]
        for feature, lost in one.lost.items():
            assert set(lost) == {"log_loss", "auc"}
            for figure, change in lost.items():
                assert change.low <= change.value <= change.high
                if feature in causes:
                    assert change.low > 0, (name, feature, figure)
                else:
                    assert change.low <= 0 <= change.high, (name, feature, figure)
    assert set(found.unneeded) == {"hue", "noise", "words"}
    assert set(found.order) == {feature["name"] for feature in TREE["features"]}
    assert set(found.order[:4]) == {"city", "price", "seen", "seller"}
    # The price says nothing of a purchase that a click does not.
    assert by_name(found)["buy"].lost["price"]["log_loss"].low > 0


def test_figures_are_those_of_the_report(run: Any, found: Importance) -> None:
    report = run.evaluate(frames(1))
    assert found.rows == found.of == ROWS
    assert [(one.name, one.kind) for one in found.probabilities] == [
        ("click", "cumulative"),
        ("buy", "cumulative"),
        ("buy_given_click", "conditional"),
    ]
    for one in found.probabilities:
        scores = getattr(report, one.kind)[one.stage]
        assert (one.rows, one.positives, one.space) == (scores.rows, scores.positives, scores.space)
        assert one.figures == {"log_loss": scores.log_loss, "auc": scores.auc}


@pytest.mark.parametrize("feature", ["price", "seen", "city"])
def test_they_are_what_rows_lose_whose_values_were_really_shuffled(run: Any, feature: str) -> None:
    test = frames(1)
    # A user a row, so that a user's values can be anything.
    rows = test["facts"].join(test["user"], on="key", how="left").with_columns(key=pl.Series([f"r{n}" for n in range(ROWS)]))
    star = next(run.store(test, labels=True).shards("test").once())
    order = np.random.default_rng([0, 0]).permutation(ROWS)
    values = np.empty(ROWS, np.int64)
    values[star.position] = star.position[order]
    other = rows.with_columns(rows[feature][values.tolist()])
    judged = [
        run.evaluate({"facts": one.drop("city", "hue"), "user": one.select("key", "city", "hue")}) for one in (rows, other)
    ]
    found = run.importance(test, repeats=1)
    for one in found.probabilities:
        before, after = (getattr(report, one.kind)[one.stage] for report in judged)
        assert one.lost[feature]["log_loss"].value == pytest.approx(after.log_loss - before.log_loss, rel=1e-4, abs=1e-7)
        assert one.lost[feature]["auc"].value == pytest.approx(before.auc - after.auc, rel=1e-4, abs=1e-7)
    assert max(one.lost[feature]["log_loss"].value for one in found.probabilities) > 0.01


def test_so_many_rows_drawn_by_a_seed(run: Any) -> None:
    few = run.importance(frames(1), rows=500, repeats=1)
    assert (few.rows, few.of) == (500, ROWS)
    assert few == run.importance(frames(1), rows=500, repeats=1)
    assert few != run.importance(frames(1), rows=500, repeats=1, seed=1)


def test_a_part_takes_its_cross_along_and_groups_are_drawn_together() -> None:
    tree = shop.tree() | {"evaluate": {"group_by": "user_id"}}
    run = funnel.fit(tree, shop.frames())
    found = run.importance(shop.frames(1, 300), repeats=1)
    assert found.together["city"] == found.together["item"] == ("city_item",)
    assert found.together["city_item"] == found.together["price"] == ()
    assert (found.group_by, found.drawn) == ("user_id", len(set(shop.frames(1, 300)["facts"]["user_id"])))
    # Alone it would have left its cross where it was.
    lost = by_name(found)["click"].lost
    assert lost["item"]["log_loss"].value != lost["city_item"]["log_loss"].value


def test_it_is_kept_in_the_run_and_said_by_the_command(run: Any, funnel: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    test = frames(1)
    test["facts"].write_parquet(folder / "test.parquet")
    test["user"].write_parquet(folder / "users.parquet")
    code, out, error = funnel("importance", run.path, "--data", folder, "--repeats", 1)
    assert (code, error) == (0, "")
    clicks, purchases = (test["facts"][name].sum() for name in ("click", "buy"))
    said_of = f"buy_given_click: on {clicks:,} rows of click with {purchases:,} positives"
    for said in ("what is lost without each feature, on 3,000 of 3,000 test rows", said_of, "price", "kept for the report"):
        assert said in out
    kept = json.loads((Path(run.path) / "importance.json").read_text())
    assert kept["format"] == 1
    assert kept["data"] == str(folder)
    assert funnel("importance", run.path, "--data", folder, "--split", "tset")[0] == 2
    code, out, _ = funnel("importance", run.path, "--data", folder, "--rows", 200, "--repeats", 1, "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 200
    assert json.loads((Path(run.path) / "importance.json").read_text())["rows"] == 200
    code, out, error = funnel("report", run.path, "--out", tmp_path / "page.html")
    assert (code, error) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert "200 of 3,000 test rows" in page
    assert "was not measured" not in page


def test_where_only_one_thing_happened_an_area_is_not_defined(run: Any) -> None:
    nobody = frames(1)
    nobody["facts"] = nobody["facts"].with_columns(buy=pl.lit(0))
    found = run.importance(nobody, rows=300, repeats=1)
    one = by_name(found)["buy_given_click"]
    assert math.isnan(one.figures["auc"])
    assert all(set(lost) == {"log_loss"} for lost in one.lost.values())
    tree = found.as_dict()
    json.dumps(tree, allow_nan=False)
    assert tree["probabilities"][2]["figures"]["auc"] is None


def test_an_area_is_that_of_all_pairs(run: Any, found: Importance) -> None:
    test = frames(1)
    predicted = run.predict(test)
    assert by_name(found)["click"].figures["auc"] == auc(test["facts"]["click"].to_numpy(), predicted["click"])


def a_set(rng: np.random.Generator, users: int) -> tuple[Any, Any, Any]:
    """Labels of users who differ, what a model says of them, and what it would say of two features, each dealt out."""
    user = np.repeat(np.arange(users), rng.poisson(6, users) + 1).astype(np.int32)
    features = rng.normal(size=(len(user), 2)) + 0.7 * rng.normal(size=(users, 2))[user]
    happened = rng.random(len(user)) < 1 / (1 + np.exp(-(features[:, 0] - 0.5 + rng.normal(0, 0.7, users)[user])))
    order = rng.permutation(len(user))
    said = []
    for moved in (None, 0, 1):
        dealt = features.copy()
        if moved is not None:
            dealt[:, moved] = features[order, moved]
        # The second does nothing, but the model has learnt some of it by heart.
        logits = (0.9 * dealt[:, 0] + 0.3 * dealt[:, 1] - 0.4).astype(np.float32)[:, None]
        chances = {"click": (1 / (1 + np.exp(-logits[:, 0]))).astype(np.float32)}
        names = Names("impression", ("click",), ("click",), ("impression",), (Place(-1),))
        labels, clusters = happened[:, None].astype(np.uint8), clusters_of(len(user), user)
        said.append(Outcomes(names, labels, logits, lambda block, _: block[:, 0].astype(float), chances, None, user, clusters))
    return said[0], said[1], said[2]


@pytest.mark.long
def test_intervals_hold_what_is_true_and_nothing_where_there_is_nothing() -> None:
    def lost(outcomes: tuple[Any, Any, Any]) -> list[dict[str, Estimate]]:
        usual, *without = ([measured(one, "cumulative", 0, clusters_in(one))[0].estimates] for one in outcomes)
        return [losses(usual, [one])[0] for one in without]

    rng = np.random.default_rng(5)
    true = {figure: estimate.value for figure, estimate in lost(a_set(rng, 100_000))[0].items()}
    held = {(which, figure): 0 for which in (0, 1) for figure in true}
    sets = 200
    for number in range(sets):
        outcomes = a_set(np.random.default_rng([6, number]), 250)
        flat = [(which, figure, one) for which, each in enumerate(lost(outcomes)) for figure, one in each.items()]
        ends = intervals([one for *_, one in flat], clusters_in(outcomes[0]), seed=number)
        for (which, figure, _), pair in zip(flat, ends, strict=True):
            assert pair is not None
            held[which, figure] += pair[0] <= (true[figure] if which == 0 else 0.0) <= pair[1]
    # A little less than what they say: whose values are dealt out is not drawn anew.
    assert all(0.9 * sets <= count <= 0.99 * sets for count in held.values()), held
