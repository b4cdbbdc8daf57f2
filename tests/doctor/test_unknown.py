"""Labels that are not known, or not final, and rows that were sampled as declared."""

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.data.labels import UNKNOWN
from funnel.doctor.checkup import StageRows
from funnel.doctor.sample import Sample
from funnel.doctor.unknown import unknown_findings
from funnel.schema.reader import load_schema
from tests.doctor import clinic

FIFTH = pl.int_range(pl.len()) % 5 == 0


def lost(stage, where=FIFTH):
    return pl.when(~where).then(pl.col(stage))


def test_what_is_not_known_is_counted_and_noted():
    rows = clinic.frame(buy=lost("buy"))
    found = clinic.check(rows)
    note = clinic.only(found)
    assert (note.level, note.about) == ("note", "stage buy")
    clicked, buy = rows["click"] == 1, rows["buy"]
    unknown = (clicked & buy.is_null()).sum()  # without a click there was none
    assert f"not known of {unknown / 6000:.2%} of the rows, {unknown:,} of 6,000. It is learnt" in note.message
    stage = found.by_stage["buy"]
    known = (clicked & buy.is_not_null()).sum()
    assert (stage.rows, stage.positives, stage.unknown) == (known, buy.sum(), unknown)
    assert stage.rate == buy.sum() / known
    assert found.as_dict()["by_stage"]["buy"]["unknown"] == unknown
    assert found.by_stage["click"].unknown == 0


def test_a_purchase_of_which_the_click_is_not_known_is_no_row_of_its_conditional():
    rows = clinic.frame(click=lost("click"))
    stage = clinic.check(rows).by_stage["buy"]
    assert (stage.rows, stage.positives) == (rows["click"].sum(), ((rows["click"] == 1) & (rows["buy"] == 1)).sum())
    assert stage.unknown == 0


@pytest.mark.parametrize(("label", "other"), [(1, 0), (0, 1)])
def test_nulls_in_the_place_of_all_of_one_kind_are_an_error(label, other):
    found = clinic.check(clinic.frame(buy=lost("buy", pl.col("buy") == other)))
    error = clinic.about(found, "stage buy", "error")[0]
    assert f"known labels of its rows (click) are {label}" in error.message
    assert f"is a null in the column 'buy' a {other} there?" in error.message
    assert len(clinic.about(found, "stage buy", "error")) == 1


def test_an_unknown_label_is_as_if_its_row_were_absent():
    """A column that tells the label where it is known is a leak, whatever it is elsewhere."""
    rows = clinic.frame(buy=lost("buy"))
    noise = pl.Series(np.random.default_rng(1).integers(0, 2, clinic.ROWS))
    told = pl.when(pl.col("buy").is_null()).then(noise).otherwise(pl.col("buy") ^ (pl.int_range(pl.len()) % 50 == 1).cast(int))
    found = clinic.about(
        clinic.check(rows.with_columns(told=told), {"name": "told", "kind": "categorical"}), "feature told", "error"
    )
    assert "buy_given_click (AUC 0.9" in found[0].message
    equal = pl.when(pl.col("buy").is_null() & (pl.col("click") == 1)).then(None).otherwise(pl.col("buy").fill_null(0))
    same = clinic.about(
        clinic.check(rows.with_columns(told=equal), {"name": "told", "kind": "categorical"}), "feature told", "error"
    )
    assert "it is one thing wherever buy happened (column buy), and another wherever not, in all 5," in same[0].message
    assert "known rows looked at" in same[0].message


def test_two_labels_that_are_one_where_both_are_known_are_told():
    stages = [{"name": "click", "label": "click"}, {"name": "like", "label": "like", "given": "impression"}]
    like = lost("click", pl.int_range(pl.len()) % 3 == 0)
    rows = clinic.frame(click=lost("click", pl.int_range(pl.len()) % 7 == 0), like=like)
    found = clinic.check(rows, stages=stages, data=clinic.tree()["data"] | {"validation": None})
    warning = clinic.about(found, "stage like", "warning")[0]
    assert "its label equals that of click in all 3,428 known rows looked at" in warning.message


STAGES = {
    "tree": [
        {"name": "click", "label": "click"},
        {"name": "buy", "label": "buy"},
        {"name": "like", "label": "like", "given": "click"},
    ],
    "unless": [
        {"name": "click", "label": "click"},
        {"name": "buy", "label": "buy"},
        {"name": "like", "label": "like", "unless": "buy"},
        {"name": "any", "any_of": ["buy", "like"]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("whole", [True, False])
def test_a_sample_counts_what_is_known_row_by_row(stages, whole):
    rows = clinic.frame(like=pl.col("click") * (pl.int_range(pl.len()) % 3 == 0))
    if not whole:
        rows = rows.with_columns(buy=lost("buy"), like=lost("like", pl.int_range(pl.len()) % 4 == 0))
    declared = clinic.tree(stages=STAGES[stages], inconsistent_labels="and", data=clinic.tree()["data"] | {"validation": None})
    store = funnel.prepare(declared, rows)
    sample = Sample(store.schema, store, "train")
    labels = np.concatenate([star.labels for star in sample.stars])
    learn, judge = sample.counted("facts")
    assert (learn[:, 0] + judge[:, 0] == 1).all()
    assert learn.shape[1] <= (6 if whole else 17)
    for stage, place in enumerate(store.schema.topology):
        known = labels[:, stage] != UNKNOWN
        space = known & (labels[:, place.parent] == 1 if place.parent >= 0 else True)
        for other in place.excluded:
            space &= labels[:, other] == 0
        for (reached, of), among in ((sample.cumulative[stage], known), (sample.conditional[stage], space)):
            assert ((learn + judge)[:, of] == among).all()
            assert ((learn + judge)[:, reached] == (among & (labels[:, stage] == 1))).all()


# Labels that are not final.


def maturing(positives):
    matures = {"period": 100, "event": "t", "snapshot_at": 6000, "positives": positives}
    return [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "matures_after": matures}]


def test_young_rows_whose_positives_alone_are_known_make_the_rate_too_high():
    rows = clinic.frame(t=pl.int_range(pl.len()) % 400 + 5600)  # a quarter is young
    found = clinic.check(rows, stages=maturing("known"))
    warning, note = clinic.about(found, "stage buy")
    assert (warning.level, note.level) == ("warning", "note")
    clicked = rows.filter(pl.col("click") == 1)
    young, old = (clicked.filter(pl.col("t") > 5900 if one else pl.col("t") <= 5900)["buy"] for one in (True, False))
    known = len(old) + young.sum()
    assert f"{len(young) / len(clicked):.1%} of its rows (click) were read too early" in warning.message
    rate = (old.sum() + young.sum()) / known
    assert (
        f"{rate:.4g} of the {known:,} known labels are 1, but {old.mean():.4g} of the {len(old):,} that are" in warning.message
    )
    unknown = len(young) - young.sum()
    assert f"{unknown:,} of 6,000, {unknown:,} of them since they were read too early (matures_after)" in note.message
    without = clinic.check(rows, stages=maturing("unknown"))
    assert clinic.only(without).level == "note"
    assert without.by_stage["buy"].rate == old.mean()
    assert f"{len(young):,} of them since they were read too early" in clinic.only(without).message


def test_a_few_young_rows_do_not():
    rows = clinic.frame(t=pl.int_range(pl.len()) - 59)  # one in a hundred
    assert clinic.only(clinic.check(rows, stages=maturing("known"))).level == "note"


@pytest.mark.parametrize(
    "young", [None, {"rows": 0, "positives": 0}, {"rows": 50, "positives": 0}, {"rows": 90, "positives": 90}]
)
def test_where_no_young_positive_or_no_mature_row_is_known_nothing_is_compared(young):
    schema = load_schema(clinic.tree(stages=maturing("known")))
    rows = StageRows("click", 90, 90 if young and young["positives"] else 30, 0.3, 5.0)
    assert list(unknown_findings(schema, schema.stages[1], rows, 1000, young)) == []


# Sampling.


def sampled(rows, share=0.25, seed=0):
    """All clicks, and a share of the rows without."""
    kept = (rows["click"] == 1).to_numpy() | (np.random.default_rng(seed).random(rows.height) < share)
    return rows.filter(pl.Series(kept))


SAMPLING = {"impression": 0.25}


def test_the_rates_of_sampled_training_rows_are_compared_with_those_of_all_test_rows():
    rows, test = sampled(clinic.frame(1, 20_000)), clinic.frame(2)
    assert "neither is sampled." in clinic.only(clinic.check(rows, test=test)).message
    assert clinic.check(rows, test=test, sampling=SAMPLING).findings == ()
    both = {"rates": SAMPLING, "test": True}
    assert clinic.check(rows, test=sampled(test), sampling=both).findings == ()


def test_what_drifts_beyond_the_sampling_is_told():
    fewer = pl.col("click") * (pl.int_range(pl.len()) % 3 == 0)
    rows, test = sampled(clinic.frame(1, 20_000)), clinic.frame(2, click=fewer, buy=pl.col("buy") * fewer)
    warning = clinic.only(clinic.check(rows, test=test, sampling=SAMPLING))
    assert warning.about == "stage click"
    clicks = int(rows["click"].sum())
    of_all = clicks + 4 * (rows.height - clicks)
    assert f"{clicks / of_all:.4g} of {rows.height:,} (for {of_all:,} before sampling) training rows" in warning.message
    assert "neither is sampled otherwise than declared." in warning.message


@pytest.mark.parametrize("sampling", [None, SAMPLING])
def test_rows_that_look_sampled_are_no_news_where_that_is_declared(sampling):
    rows = clinic.frame().with_columns(click=pl.Series([1] * 1000 + [0] * 5000))
    rows = rows.with_columns(buy=pl.col("click") * (pl.col("item") % 3 == 0))
    stages = [{"name": "click", "label": "click", "prior": 0.05}, {"name": "buy", "label": "buy"}]
    parts = {} if sampling is None else {"sampling": sampling}
    found = clinic.check(rows, stages=stages, **parts)
    assert sum("sampled" in finding.message for finding in found.findings) == (2 if sampling is None else 0)
