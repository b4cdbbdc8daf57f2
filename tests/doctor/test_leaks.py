import numpy as np
import polars as pl
import pytest

from funnel.doctor import sample as samples
from funnel.doctor.tallies import LEAST, Tally, judged, rates
from tests.doctor import clinic


def column(kind, seed=1, rows=clinic.ROWS):
    """What a feature of a kind has, of rows that clicked and of those that did not."""
    rng = np.random.default_rng(seed)
    made = clinic.frame()
    click = made["click"].to_numpy() == 1
    noisy = click ^ (rng.random(rows) < 0.01)  # not equal to the label, but nearly
    spread = rng.normal(size=rows)
    entries = np.where(noisy[:, None], rng.integers(0, 50, (rows, 3)), rng.integers(50, 100, (rows, 3)))
    made = {
        "categorical": np.where(noisy, rng.integers(0, 20, rows), rng.integers(20, 40, rows)),
        "missing": pl.Series(np.where(noisy, rng.integers(0, 10_000, rows), -1)).replace(-1, None),
        "rising": np.where(noisy, 5.0, 0.0) + spread,
        "bucketized": np.where(noisy, 5.0, 0.0) + spread,
        "falling": np.where(noisy, -5.0, 0.0) + spread,
        "middle": np.where(noisy, 0.0, rng.choice([-9.0, 9.0], rows)) + spread,
        "ids of a bag": entries.tolist(),
        "length of a bag": [rng.integers(0, 100, 6 if long else 2).tolist() for long in noisy],
        "weight of a bag": [[5.0 if much else 1.0] for much in noisy],
    }
    return pl.Series(made[kind])


CATEGORICAL = {"name": "told", "kind": "categorical"}
LEAKS = {
    "categorical": CATEGORICAL,
    "missing": CATEGORICAL,
    "rising": {"name": "told", "kind": "numeric"},
    "falling": {"name": "told", "kind": "numeric", "transform": "log1p"},
    "middle": {"name": "told", "kind": "numeric"},
    "bucketized": {"name": "told", "kind": "numeric", "transform": {"kind": "bucketize", "buckets": 8}},
    "ids of a bag": {"name": "told", "kind": "bag"},
    "length of a bag": {"name": "told", "kind": "bag"},
    "weight of a bag": {"name": "told", "kind": "bag", "column": "one", "weighted": True, "weights": "told"},
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_feature_that_tells_a_stage_is_a_leak(kind):
    rows = clinic.frame(told=column(kind), one=pl.lit([1]))
    found = clinic.about(clinic.check(rows, LEAKS[kind]), "feature told", "error")
    assert len(found) == 1
    assert "leak" in found[0].message
    assert "click (AUC 0.9" in found[0].message


def test_a_leak_of_the_conditional_alone_is_found():
    # Known for whoever clicked: it says who buys, but hardly who clicks.
    rng = np.random.default_rng(0)
    made = clinic.frame()
    told = np.where(made["click"] == 1, made["buy"].to_numpy() + 0.0, rng.integers(0, 2, clinic.ROWS)) + rng.normal(
        0, 0.2, clinic.ROWS
    )
    message = clinic.only(clinic.check(made.with_columns(told=told), {"name": "told", "kind": "numeric"})).message
    assert "buy_given_click (AUC 0.9" in message or "buy_given_click (AUC 1.0" in message
    assert "click (AUC" not in message.replace("buy_given_click (AUC", "")


def test_a_leak_through_a_dimension_is_found():
    rng = np.random.default_rng(0)
    user = rng.integers(0, 600, clinic.ROWS)
    rows = clinic.frame(
        user=user, click=(user % 4 == 0).astype(int), buy=((user % 4 == 0) & (rng.random(clinic.ROWS) < 0.3)).astype(int)
    )
    users = pl.DataFrame(
        {"user": np.arange(600), "told": np.where(np.arange(600) % 4 == 0, 3.0, 0.0) + rng.normal(0, 0.5, 600)}
    )
    declared = clinic.tree({"name": "told", "kind": "numeric", "source": "user"})
    declared["data"]["dimensions"] = [{"name": "user", "key": "user", "format": "parquet", "files": "u.parquet"}]
    found = clinic.check({"facts": rows, "user": users}, **declared)
    assert "click (AUC 1.000, by its number)" in clinic.about(found, "feature told", "error")[0].message


@pytest.mark.parametrize("ids", [50, 1000, 3000, 6000])
@pytest.mark.parametrize("kind", ["categorical", "bag"])
def test_ids_that_say_nothing_are_no_leak_however_rare(ids, kind):
    drawn = np.random.default_rng(2).integers(0, ids, (clinic.ROWS, 3))
    values = pl.Series(drawn.tolist()) if kind == "bag" else pl.Series(drawn[:, 0])
    found = clinic.check(clinic.frame(many=values), {"name": "many", "kind": kind, "min_count": 1})
    assert found.ok, found.findings


def test_a_strong_honest_feature_is_no_leak():
    rng = np.random.default_rng(3)
    honest = clinic.frame()["click"].to_numpy() + rng.normal(0, 0.6, clinic.ROWS)
    assert clinic.check(clinic.frame(honest=honest), {"name": "honest", "kind": "numeric"}).findings == ()


@pytest.mark.parametrize("stage", ["click", "buy"])
@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize(
    "feature",
    [{"kind": "categorical"}, {"kind": "numeric"}, {"kind": "numeric", "transform": {"kind": "bucketize", "buckets": 4}}],
)
def test_a_copy_of_a_label_is_called_one(stage, opposite, feature):
    copy = 1 - pl.col(stage) if opposite else pl.col(stage)
    finding = clinic.only(clinic.check(clinic.frame(copy=copy), {"name": "copy", **feature}))
    assert (finding.level, finding.about) == ("error", "feature copy")
    assert f"one thing wherever {stage} happened" in finding.message


def test_a_label_with_nothing_for_zero_is_a_copy():
    rows = clinic.frame(copy=pl.when(pl.col("click") == 1).then(pl.lit("yes")))
    assert (
        "one thing wherever click happened" in clinic.only(clinic.check(rows, {"name": "copy", "kind": "categorical"})).message
    )


def test_stages_with_one_label_are_told():
    warning = clinic.only(clinic.check(clinic.frame(buy=pl.col("click"))))
    assert (warning.level, warning.about) == ("warning", "stage buy")
    assert "equals that of click" in warning.message


def test_with_few_rows_of_a_kind_nothing_is_said_of_leaks():
    rows = clinic.frame(buy=(pl.int_range(pl.len()) < 60).cast(int) & pl.col("click"))
    told = rows["buy"] + np.random.default_rng(0).normal(0, 0.1, clinic.ROWS)
    found = clinic.check(rows.with_columns(told=told), {"name": "told", "kind": "numeric"})
    assert not clinic.about(found, "feature told")


def test_a_sample_says_so(monkeypatch):
    monkeypatch.setattr(samples.Sample.__init__, "__defaults__", (1000,))
    declared = clinic.tree()
    declared["data"]["shard_rows"] = 500
    found = clinic.check(clinic.frame(), **declared)
    note = clinic.only(found)
    assert note.level == "note"
    assert 1000 <= found.examined < 3000
    assert f"{found.examined:,} of the " in note.message


def test_a_bag_is_looked_at_only_so_far(monkeypatch):
    monkeypatch.setattr("funnel.doctor.tallies.MOST_ENTRIES", 5000)
    found = clinic.about(
        clinic.check(clinic.frame(told=column("ids of a bag")), LEAKS["ids of a bag"]), "feature told", "error"
    )
    assert "click (AUC 0.9" in found[0].message


def test_rates_by_hand():
    # Of 4 rows 2 reached it: 10 more rows of that rate are added to each.
    assert rates(np.array([2.0, 0.0]), np.array([2.0, 2.0])).tolist() == [7 / 12, 5 / 12]


def test_judged_by_hand():
    reached, of = np.array([10.0, 30.0]), np.array([40.0, 40.0])
    # 40 positives against 40 negatives: won 30 * 30, tied (10 * 30 + 30 * 10) / 2.
    assert judged(reached, of, np.array([0.0, 1.0])) == (30 * 30 + 300) / 1600
    assert np.isnan(judged(np.array([LEAST - 1.0]), np.array([100.0]), np.zeros(1)))
    assert np.isnan(judged(np.array([100.0]), np.array([100.0 + LEAST - 1]), np.zeros(1)))


def test_what_is_learnt_is_not_judged_on_the_same_rows():
    # Every id is seen once in each half, with opposite outcomes: memory is worse than nothing.
    reached = np.array([[1.0, 1.0]] * 50 + [[1.0, 0.0]] * 50)
    tally = Tally("its ids", reached, reached[::-1])
    assert tally.auc(1, 0) == 0.0


def test_ids_far_above_the_number_of_rows_are_counted_alike(monkeypatch):
    ids = {"name": "told", "kind": "categorical", "buckets": 1_000_000}
    rows = clinic.frame(told=column("categorical"))
    dense = clinic.check(rows, ids)
    monkeypatch.setattr("funnel.doctor.tallies.DENSE", 1000)
    assert clinic.check(rows, ids).findings == dense.findings
    assert "leak" in clinic.only(dense).message
