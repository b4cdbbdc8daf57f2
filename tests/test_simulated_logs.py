"""What a simulation can lack: selected rows, labels that are unknown or not final, rows that were thrown away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.labels import UNKNOWN
from funnel.data.reading import LABELS
from funnel.data.sampling import keep_rates
from funnel.errors import DataError
from funnel.evaluation.metrics import auc
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.simulation import simulate
from funnel.simulation.clock import clock_of
from funnel.simulation.draws import Draws
from funnel.simulation.log import _delays, log_of
from tests.conftest import Answer
from tests.test_simulation import CATEGORY, LIST, ODD, PARQUET, SCHEMA_FOLDER, chain, declare, facts_of, reading_of

TREES = ["tree", "esm2", "full_chain"]
CSV = {"format": "csv", "train": "train.csv", "test": "test.csv"}
WEEK = {"period": "7d", "event": "at", "snapshot_at": "2024-06-01T00:00:00Z"}
TEN = {"period": 10, "event": "at", "snapshot_at": 100}


def schema_of(name: str) -> FunnelSchema:
    odd = {schema.name: schema for schema in ODD}
    return odd[name] if name in odd else load_schema(SCHEMA_FOLDER / f"{name}.yaml")


def maturing(matures: Any, facts: Any = PARQUET, features: Any = (CATEGORY,), **rest: Any) -> FunnelSchema:
    stages = [*chain(1), {"name": "s1", "label": "y1", "prior": 0.5, "matures_after": matures}]
    weight = [f"data.weight={rest.pop('weight')}"] if "weight" in rest else []
    schema = declare(
        "maturing", stages, rest.pop("facts", facts), list(rest.pop("features", features)), **({"validation": None} | rest)
    )
    return load_schema(schema, weight)


def read_labels(schema: FunnelSchema, root: Path, split: str = "train") -> np.ndarray:
    return facts_of(reading_of(schema, root, split))[LABELS]


def truth_of(root: Path, split: str = "train") -> pl.DataFrame:
    return pl.read_parquet(root / "truth" / f"{split}.parquet")


def near(count: float, chances: np.ndarray) -> bool:
    """Whether a count is within four standard errors of what is expected."""
    return abs(count - chances.sum()) <= 4 * np.sqrt((chances * (1 - chances)).sum())


# Selection.


@pytest.mark.parametrize("selection", [0, 1, 4])
@pytest.mark.parametrize("name", TREES)
def test_conditional_rates_are_those_of_the_truth(name: str, selection: float, tmp_path: Path) -> None:
    schema = schema_of(name)
    simulate(schema, tmp_path / "out", 20_000, selection=selection)
    labels, truth = read_labels(schema, tmp_path / "out"), truth_of(tmp_path / "out")
    for stage, place in enumerate(schema.topology):
        rows = labels[:, place.parent] == 1 if place.parent >= 0 else np.ones(len(labels), bool)
        for other in place.excluded:
            rows &= labels[:, other] == 0
        chances = truth[schema.conditional_names[stage]].to_numpy()
        assert near(labels[rows, stage].sum(), chances[rows])
        high = rows & (chances > np.median(chances))
        assert near(labels[high, stage].sum(), chances[high])
        if not place.is_join:
            # The prior holds over what the truth says of all rows, however they are selected.
            above = truth[schema.stage_names[place.parent]].to_numpy() if place.parent >= 0 else np.ones(len(labels))
            for other in place.excluded:
                above = above * (1 - truth[schema.conditional_names[other]].to_numpy())
            assert np.average(chances, weights=above) == pytest.approx(schema.stages[stage].prior or 0.2, rel=0.05)


def logits_of(root: Path, *names: str) -> list[np.ndarray]:
    return [np.log(p / (1 - p)) for name in names for p in [truth_of(root)[name].to_numpy()]]


def test_the_stronger_the_selection_the_more_alike_are_those_that_come_and_those_that_go_on(tmp_path: Path) -> None:
    schema, alike, lift = schema_of("ecommerce"), [], []
    last = schema.conditional_names[-1]
    for selection in (0, 1, 4, np.inf):
        simulate(schema, tmp_path / "out", 20_000, selection=selection)
        click, later = logits_of(tmp_path / "out", "click", last)
        alike.append(np.corrcoef(click, later)[0, 1])
        clicked = read_labels(schema, tmp_path / "out")[:, 0] == 1
        lift.append(truth_of(tmp_path / "out")[last].to_numpy()[clicked].mean() / truth_of(tmp_path / "out")[last].mean())
    assert abs(alike[0]) < 0.35  # of few features, by chance
    assert alike[0] < alike[1] < alike[2] < alike[3] == pytest.approx(1.0)
    # Those that clicked are the likelier to go on.
    assert lift[0] < lift[1] < lift[3]
    assert lift[3] > 1.3


# Unknown labels.


@pytest.mark.parametrize("name", ["tree", "esm2", "feature_lists", "labels_in_the_list", "seven"])
def test_a_share_of_the_later_labels_is_null(name: str, tmp_path: Path) -> None:
    schema = schema_of(name)
    whole = simulate(schema, tmp_path / "whole", 8000)
    made = simulate(schema, tmp_path / "out", 8000, unknown=0.3)
    assert truth_of(tmp_path / "whole").equals(truth_of(tmp_path / "out"))
    before, after = read_labels(schema, tmp_path / "whole"), read_labels(schema, tmp_path / "out")
    roots = [stage for stage, place in enumerate(schema.topology) if place.parent < 0]
    assert (after[:, roots] == before[:, roots]).all()
    for stage, place in enumerate(schema.topology):
        known = after[:, stage] != UNKNOWN
        # What is known was so before.
        assert (after[known, stage] == before[known, stage]).all()
        counts = [made.positives["train"][schema.stage_names[stage]], made.unknown["train"][schema.stage_names[stage]]]
        assert counts == [(after[:, stage] == 1).sum(), (~known).sum()]
        if place.parent in roots and not (place.is_join or place.excluded):
            rows = before[:, place.parent] == 1
            assert near((~known[rows]).sum(), np.full(rows.sum(), 0.3))
            assert known[~rows].all()
    assert whole.lines() != made.lines()
    assert " unknown)" in made.lines()[0]


def test_nulls_are_written_for_exclusive_branches_alike(tmp_path: Path) -> None:
    simulate(SCHEMA_FOLDER / "esm2.yaml", tmp_path / "out", 20_000, unknown=0.25)
    for split in ("train", "test"):
        facts = pl.read_parquet(tmp_path / "out" / f"impressions-{split}.parquet")
        for column in ("in_cart", "bought"):
            assert near(facts[column].null_count(), np.full(facts.height, 0.25))
        assert facts["clicked"].null_count() == 0
        # Each column loses labels of its own.
        both = (facts["in_cart"].is_null() & facts["bought"].is_null()).sum()
        assert near(both, np.full(facts.height, 0.0625))
        assert truth_of(tmp_path / "out", split).height == facts.height


def test_csv_has_an_empty_text_for_an_unknown_label(tmp_path: Path) -> None:
    simulate(declare("csv", chain(2), CSV, [CATEGORY]), tmp_path / "out", 400, unknown=0.5)
    rows = [line.split(",") for line in (tmp_path / "out" / "train.csv").read_text().splitlines()]
    assert rows[0] == ["c", "y0", "y1"]
    assert {row[1] for row in rows[1:]} == {"0", "1"}
    assert {row[2] for row in rows[1:]} == {"0", "1", ""}


# Labels that are not final.


def test_delays_are_exponential_up_to_the_end_of_the_period() -> None:
    delays = _delays(np.random.default_rng(0), 200_000, 6.0)
    assert 0 <= delays.min() < delays.max() <= 6
    # P(delay < t) = (1 - exp(-t / 2)) / (1 - exp(-3)), of a mean of 2 (1 - 3 / (e^3 - 1)) = 1.686.
    for time in (0.5, 2.0, 5.0):
        assert (delays < time).mean() == pytest.approx(-np.expm1(-time / 2) / -np.expm1(-3), abs=0.005)
    assert delays.mean() == pytest.approx(1.686, abs=0.01)


@pytest.mark.parametrize(("matures", "facts"), [(WEEK, PARQUET), (WEEK, CSV), (TEN, PARQUET), (TEN, CSV)])
def test_young_positives_are_missing_and_mature_ones_are_not(matures: Any, facts: Any, tmp_path: Path) -> None:
    schema = maturing(matures, facts)
    plain = declare(
        "maturing", [{**chain(2)[0]}, {"name": "s1", "label": "y1", "prior": 0.5}], facts, [CATEGORY], validation=None
    )
    simulate(plain, tmp_path / "final", 20_000)
    made = simulate(schema, tmp_path / "out", 20_000)
    assert truth_of(tmp_path / "final").equals(truth_of(tmp_path / "out"))
    frame = pl.read_parquet if facts is PARQUET else pl.read_csv
    final, seen = (frame(next((tmp_path / folder).glob("train.*"))) for folder in ("final", "out"))
    if matures is WEEK:
        at = seen["at"] if facts is PARQUET else seen["at"].str.to_datetime()
        age = ((datetime(2024, 6, 1) - at).dt.total_microseconds() / (7 * 86_400 * 1e6)).to_numpy()
    else:
        age = ((100 - seen["at"]) / 10).to_numpy()
    assert 0 <= age.min() < 0.01
    assert 3.99 < age.max() <= 4
    assert near((age < 1).sum(), np.full(len(age), 0.25))
    before, after = final["y1"].to_numpy(), seen["y1"].to_numpy()
    assert (seen["y0"] == final["y0"]).all()
    assert (after <= before).all()
    assert (after[age >= 1] == before[age >= 1]).all()
    young = (age < 1) & (before == 1)
    # A young positive is missing with the chance E[delay] / period = 1/3 - 1 / (e^3 - 1) = 0.2809.
    assert near((after[young] == 0).sum(), np.full(young.sum(), 0.28094))
    # The younger, the likelier: none of just now has been seen.
    newest = young & (age < 0.02)
    assert after[newest].mean() < 0.1
    # The reader takes the same rows for young.
    labels = read_labels(schema, tmp_path / "out")
    assert ((labels[:, 1] == UNKNOWN) == ((age < 1) & (after == 0) & (labels[:, 0] == 1))).all()
    assert made.unknown["train"] == {"s0": 0, "s1": (labels[:, 1] == UNKNOWN).sum()}


def test_labels_are_shown_by_their_age() -> None:
    """By hand: ages beside delays, and what a later stage shows of an earlier one."""
    stages = [
        {"name": "click", "label": "click"},
        {"name": "cart", "label": "cart", "matures_after": TEN},
        {"name": "buy", "label": "buy"},
    ]
    schema = declare("a", stages, PARQUET, [CATEGORY], validation=None)
    labels = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]] * 500, np.uint8)
    draws = Draws("a", 0)
    clock = clock_of(schema, draws, len(labels), np.arange(0))
    log = log_of(schema, labels, clock, draws, 0.0)
    delays, ages = _delays(draws.of("delay", "cart"), len(labels), 10.0), clock.ages["cart"]
    np.testing.assert_allclose(ages, 100 - clock.columns["at"].series.to_numpy())
    # Who has bought has had a cart, or the rows would contradict each other.
    wanted = labels[:, 1] * ((delays <= ages) | (labels[:, 2] == 1))
    assert (log.columns["cart"].series == pl.Series(wanted)).all()
    assert (log.columns["buy"].series == pl.Series(labels[:, 2])).all()
    assert log.labels[:, 1].tolist() == np.where((wanted == 0) & (labels[:, 0] == 1) & (ages < 10), UNKNOWN, wanted).tolist()
    assert log.kept.all()


def test_a_whole_tree_matures_without_contradictions(tmp_path: Path) -> None:
    again = "{name: again, label: again, matures_after: {period: 60d, event: shown, snapshot: read}}"
    esm2 = load_schema(SCHEMA_FOLDER / "esm2.yaml")
    changes = [
        f"stages.{name}.matures_after={{period: {period}, event: {event}, snapshot: read}}"
        for name, period, event in [
            ("click", "10d", "shown"),
            ("direct", "30d", "shown"),
            ("buy_direct", "40d", "shown"),
            ("buy_other", "90d", "bought_at"),
        ]
    ]
    tree = esm2.model_dump(mode="json", exclude_unset=True)
    tree["stages"] = [*tree["stages"], {"name": "again", "label": "again"}]
    schema = load_schema(tree, [*changes, f"stages.again={again}"])
    simulate(schema, tmp_path / "out", 5000, unknown=0.1)
    reading = reading_of(schema, tmp_path / "out", "train")
    assert not any(reading.violations.values())
    assert all(rows for rows, _ in reading.young.values())
    assert (facts_of(reading)[LABELS] == UNKNOWN).any(axis=0)[1:].all()
    facts = pl.read_parquet(tmp_path / "out" / "impressions-train.parquet")
    assert facts["read"].n_unique() == 1
    # A column serves the longest of its periods.
    assert (facts["read"] - facts["shown"]).dt.total_days().max() in range(230, 241)


def test_events_order_the_rows_where_validation_goes_by_them(tmp_path: Path) -> None:
    for matures in (WEEK, {"period": 3600, "event": "at", "snapshot": "read"}):
        schema = maturing(matures, validation={"kind": "time", "column": "at"})
        simulate(schema, tmp_path / "out", 2000)
        train, test = (pl.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in ("train", "test"))
        assert train["at"].is_sorted()
        assert train["at"].max() <= test["at"].min()
        reading = reading_of(schema, tmp_path / "out", "train")
        assert reading.held_out(facts_of(reading)).sum() == pytest.approx(200, abs=5)
    assert (train["read"] == 360_000).all()
    # Test rows are read a period later: all are final.
    assert (test["read"] == 363_600).all()
    assert test["at"].max() <= 360_000


@pytest.mark.parametrize("facts", [PARQUET, CSV])
def test_a_feature_may_read_the_events(facts: Any, tmp_path: Path) -> None:
    features = [CATEGORY, {"name": "at", "kind": "numeric"}, {"name": "w", "kind": "numeric"}]
    schema = maturing(TEN, facts, features, weight="w")
    simulate(schema, tmp_path / "out", 500)
    read = facts_of(reading_of(schema, tmp_path / "out", "train"))
    assert 60 <= read["at"].min() < read["at"].max() <= 100
    simulate(maturing(WEEK, facts, [CATEGORY, {"name": "at", "kind": "categorical"}]), tmp_path / "out", 500)


@pytest.mark.parametrize(
    ("matures", "changes", "message"),
    [
        (WEEK, {"features": [{"name": "at", "kind": "numeric"}]}, r"features\.at: got the column 'at', where times are simul"),
        (TEN, {"features": [{"name": "at", "kind": "categorical"}]}, r"features\.at: got the column 'at', where numbers are"),
        (TEN, {"features": [{"name": "x", "column": "at", "kind": "bag"}]}, r"expected one that a bag feature can read\. Name"),
        (TEN | {"event": "y1"}, {}, r"got 'y1' for an event \(a number\) and for a label, expected a column for each\. Name"),
        (TEN, {"weight": "at"}, "got 'at' for an event .a number. and for the rows' weights"),
        ({**TEN, "snapshot_at": None, "snapshot": "at"}, {}, "got 'at' for an event .a number. and for when labels were read"),
        (
            {**TEN, "snapshot_at": None, "snapshot": "read"},
            {"validation": {"kind": "time", "column": "read"}},
            "got 'read' for when labels were read .a number. and for what validation goes by",
        ),
        (
            WEEK,
            {"facts": {**LIST, "columns": ["f", "features"], "files": "a"}},
            "got the separator ':', which the times of 'at'",
        ),
    ],
)
def test_columns_that_cannot_serve_both_are_refused(matures: Any, changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        simulate(maturing(matures, **changes), tmp_path / "out", 50)
    assert not list(tmp_path.iterdir())


def test_a_feature_list_holds_events(tmp_path: Path) -> None:
    files = {**LIST, "columns": ["y0", "at", "features"], "files": "all.txt"}
    schema = maturing(WEEK, files, [{"name": "f", "kind": "categorical"}])
    simulate(schema, tmp_path / "out", 300)
    assert reading_of(schema, tmp_path / "out", "train").young["s1"][0] > 20
    schema = maturing(TEN, {**files, "columns": ["features", "more"]}, [{"name": "f", "kind": "categorical"}], weight="w")
    simulate(schema, tmp_path / "out", 300)
    assert reading_of(schema, tmp_path / "out", "train").young["s1"][0] > 20


# Sampled rows.


@pytest.mark.parametrize("test", [False, True])
def test_rows_are_kept_at_their_rates(test: bool, tmp_path: Path) -> None:
    plain = declare("chain", chain(2), PARQUET, [CATEGORY], validation={"kind": "file", "files": "valid.parquet"})
    sampling = {"rates": {"impression": 0.1, "s0": 0.5}, "test": test}
    schema = load_schema(plain, [f"sampling={sampling}"])
    simulate(plain, tmp_path / "all", 20_000, 5000)
    made = simulate(schema, tmp_path / "out", 20_000, 5000)
    for split, file in (("train", "train"), ("validation", "valid"), ("test", "test")):
        every, kept = (pl.read_parquet(tmp_path / folder / f"{file}.parquet") for folder in ("all", "out"))
        assert made.drawn[split] == every.height
        assert made.impressions[split] == kept.height
        if split == "test" and not test:
            assert kept.equals(every)
            continue
        for labels, rate in {(0, 0): 0.1, (1, 0): 0.5, (1, 1): 1.0}.items():
            before, after = (frame.filter(y0=labels[0], y1=labels[1]).height for frame in (every, kept))
            assert near(after, np.full(before, rate))
    line = made.lines()[0]
    assert line.startswith(f"train: {made.impressions['train']:,} rows of 20,000 drawn; {made.positives['train']['s0']:,} s0, ")
    assert (" drawn" in made.lines()[-1]) == test


@pytest.mark.parametrize("name", TREES)
def test_the_truth_is_of_the_kept_rows(name: str, tmp_path: Path) -> None:
    plain = schema_of(name)
    rates = {plain.space: 0.2, plain.stage_names[0]: 0.6}
    schema = load_schema(plain, [f"sampling={{rates: {rates}, correction: weights}}"])
    for unknown in (0.0, 0.3):
        simulate(plain, tmp_path / "all", 10_000, unknown=unknown)
        made = simulate(schema, tmp_path / "out", 10_000, unknown=unknown)
        labels, truth = read_labels(schema, tmp_path / "out"), truth_of(tmp_path / "out")
        assert len(labels) == truth.height == made.impressions["train"] < 10_000
        # Kept at the rates that a reader of the labels finds.
        every = keep_rates(schema, read_labels(plain, tmp_path / "all"))
        for rate in np.unique(every):
            assert near((keep_rates(schema, labels) == rate).sum(), np.full((every == rate).sum(), rate))
        # Weighed by what they stand for, they are all rows: also where the truth is high, which they were not in another order.
        assert truth.join(truth_of(tmp_path / "all"), on=truth.columns, how="semi").height == truth.height
        stands_for = 1 / keep_rates(schema, labels)
        chances = truth[plain.stage_names[0]].to_numpy()
        high = chances > np.median(chances)
        for rows in (high, ~high):
            wanted = (stands_for * chances)[rows].sum()
            assert (stands_for * (labels[:, 0] == 1))[rows].sum() == pytest.approx(wanted, rel=0.15)


def test_sampling_needs_rows_and_one_meaning_of_each_file(tmp_path: Path) -> None:
    schema = declare("few", chain(1), PARQUET, [CATEGORY], validation=None, sampling={"impression": 1e-9, "s0": 1e-9})
    with pytest.raises(DataError, match=r"sampling: got none of 50 train rows, expected some\. Ask for more impressions\."):
        simulate(schema, tmp_path / "out", 50)
    one = {"format": "parquet", "files": "all.parquet"}
    schema = declare("one", chain(1), one, [CATEGORY], validation=None, sampling={"impression": 0.5})
    with pytest.raises(DataError, match="train and test read the same files, but only train rows are sampled"):
        simulate(schema, tmp_path / "out", 50)
    assert not list(tmp_path.iterdir())
    simulate(load_schema(schema, ["sampling.rates.impression=0.5", "sampling.test=true"]), tmp_path / "out", 50)


# Weights, and how it is called.


def test_weights_say_nothing(tmp_path: Path) -> None:
    plain = declare("chain", chain(2), PARQUET, [CATEGORY])
    weighed = load_schema(plain, ["data.weight=w"])
    simulate(plain, tmp_path / "plain", 5000)
    simulate(weighed, tmp_path / "weighed", 5000)
    facts = pl.read_parquet(tmp_path / "weighed" / "train.parquet")
    assert facts.drop("w").equals(pl.read_parquet(tmp_path / "plain" / "train.parquet"), null_equal=True)
    assert 0.5 <= facts["w"].min() < 0.52
    assert 1.98 < facts["w"].max() <= 2
    assert facts["w"].mean() == pytest.approx(1.25, abs=0.03)
    assert auc(facts["y0"].to_numpy(), facts["w"].to_numpy()) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection": -0.1}, "selection: got -0.1, expected 0 or more"),
        ({"selection": float("nan")}, "selection: got nan"),
        ({"unknown": 1.0}, "unknown: got 1.0, expected a share of 0 or more, and below 1"),
        ({"unknown": -0.5}, "unknown: got -0.5"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, float], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        simulate(ODD[0], tmp_path / "out", 50, **options)
    assert not list(tmp_path.iterdir())


def test_python_takes_files_and_overrides(tmp_path: Path) -> None:
    path = SCHEMA_FOLDER / "credit_card.yaml"
    made = funnel.simulate(path, str(tmp_path / "out"), 4000, overrides=["stages.0.prior=0.5"])
    assert made.positives["train"][load_schema(path).stage_names[0]] == pytest.approx(2000, abs=150)
    assert made.out == tmp_path / "out"


def test_the_command_line_takes_every_option(tmp_path: Path, funnel: Callable[..., Answer]) -> None:
    schema = SCHEMA_FOLDER / "esm2.yaml"
    flags = ["--impressions", 3000, "--selection", 4, "--unknown", 0.2, "--set", "stages.click.prior=0.5"]
    sampled = ["--set", "sampling={rates: {impression: 0.5}, correction: weights}", "--out", tmp_path / "rows"]
    code, out, error = funnel("simulate", schema, *flags, *sampled)
    assert code == 0, error
    assert "rows of 3,000 drawn; 1," in out
    assert " unknown)" in out
    code, _, error = funnel("simulate", schema, "--unknown", 1, "--out", tmp_path / "other")
    assert code == 1
    assert error.startswith("error: unknown: got 1.0, expected a share")
    code, _, error = funnel("simulate", schema, "--set", "stages.clik.prior=0.5", "--out", tmp_path / "other")
    assert code == 1
    assert "stages.clik.prior" in error
    code, _, error = funnel("simulate", schema, "--selection", -1, "--out", tmp_path / "other")
    assert (code, error) == (1, "error: selection: got -1, expected 0 or more. 1 is usual, 4 is strong.\n")
