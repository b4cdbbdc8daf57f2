import numpy as np
import polars as pl
import pytest

from funnel.doctor.drift import stability_index
from funnel.doctor.finding import differ
from tests.doctor import clinic

OTHER = {"name": "other", "kind": "categorical"}


def drawn(probabilities, seed, rows=clinic.ROWS):
    return pl.Series(np.random.default_rng(seed).choice(len(probabilities), rows, p=probabilities))


def test_rows_of_one_kind_do_not_drift():
    for seed in range(5):
        assert clinic.check(clinic.frame(seed), test=clinic.frame(seed + 100, 300)).findings == ()


def test_a_small_test_set_of_many_ids_does_not_seem_to_drift():
    rows = [
        clinic.frame(seed, size, other=pl.Series(np.random.default_rng(seed).integers(0, 300, size)))
        for seed, size in ((1, 6000), (2, 200))
    ]
    assert clinic.check(rows[0], OTHER, test=rows[1]).findings == ()


def test_ids_that_move_are_drift():
    rows = clinic.frame(1, other=drawn([0.7, 0.2, 0.1], 1))
    test = clinic.frame(2, other=drawn([0.3, 0.2, 0.5], 2))
    warning = clinic.only(clinic.check(rows, OTHER, test=test))
    assert (warning.level, warning.about) == ("warning", "feature other")
    # 0.4 ln(7/3) + 0 + 0.4 ln(5)
    assert "population stability index 0.9" in warning.message


@pytest.mark.parametrize("transform", ["standardize", {"kind": "bucketize", "buckets": 6}])
def test_numbers_that_move_are_drift(transform):
    test = clinic.frame(2, price=pl.col("price") * 3)
    declared = clinic.tree()
    declared["features"][1]["transform"] = transform
    assert "population stability index" in clinic.only(clinic.check(clinic.frame(1), test=test, **declared)).message


def test_bags_that_move_are_drift():
    bags = [
        pl.Series(np.random.default_rng(seed).integers(low, low + 10, (clinic.ROWS, 2)).tolist())
        for seed, low in ((1, 0), (2, 5))
    ]
    found = clinic.check(clinic.frame(1, other=bags[0]), {"name": "other", "kind": "bag"}, test=clinic.frame(2, other=bags[1]))
    assert "unknown ids: 50% in the test rows, 0% in the training rows" in clinic.only(found).message


def test_missing_and_unknown_shares_are_compared():
    known = pl.Series([0, 1, 2, 3] * (clinic.ROWS // 4))
    rows = clinic.frame(1, other=known)
    new = pl.when(pl.int_range(pl.len()) % 5 == 0).then(99).otherwise(pl.Series("other", known))
    assert "unknown ids: 20%" in clinic.only(clinic.check(rows, OTHER, test=clinic.frame(2, other=new))).message
    lost = pl.when(pl.int_range(pl.len()) % 5 > 0).then(pl.Series("other", known))
    assert "missing: 20%" in clinic.only(clinic.check(rows, OTHER, test=clinic.frame(2, other=lost))).message
    assert (
        "missing: 0% in the test rows, 20%" in clinic.only(clinic.check(clinic.frame(1, other=lost), OTHER, test=rows)).message
    )


def test_users_held_out_are_unknown_without_drift():
    users = np.random.default_rng(0).integers(0, 200, clinic.ROWS)
    declared = clinic.tree({"name": "user", "kind": "categorical", "source": "user"})
    dimension = {"name": "user", "key": "user", "format": "parquet", "files": "u.parquet"}
    declared["data"] |= {"dimensions": [dimension], "validation": {"kind": "fraction", "by": "user", "fraction": 0.2}}
    table = pl.DataFrame({"user": np.arange(200)})
    rows, test = ({"facts": clinic.frame(seed, user=users), "user": table} for seed in (1, 2))
    assert not clinic.about(clinic.check(rows, test=test, **declared), "feature user")
    declared["data"]["validation"] = {"kind": "fraction", "by": "row"}
    far = {"facts": test["facts"].with_columns(user=users + 50), "user": pl.DataFrame({"user": np.arange(250)})}
    assert "unknown ids: 2" in clinic.about(clinic.check(rows, test=far, **declared), "feature user")[0].message


def test_a_stage_that_happens_less_is_drift():
    fewer = pl.col("click") * (pl.int_range(pl.len()) % 3 == 0)
    found = clinic.check(clinic.frame(1), test=clinic.frame(2, click=fewer, buy=pl.col("buy") * fewer))
    warning = clinic.only(found)
    assert warning.about == "stage click"  # of those who click, as many buy
    assert "expected less than a factor of 2" in warning.message


def test_a_stage_that_happens_a_little_less_is_not():
    fewer = pl.col("click") * (pl.int_range(pl.len()) % 4 > 0)
    assert clinic.check(clinic.frame(1), test=clinic.frame(2, click=fewer, buy=pl.col("buy") * fewer)).findings == ()


def test_few_rows_are_not_enough_to_call_a_stage_drifting():
    assert clinic.check(clinic.frame(1), test=clinic.frame(2, 12, click=0, buy=0)).findings == ()


def test_the_index_by_hand_and_under_no_drift():
    one, other = np.array([700_000.0, 300_000.0]), np.array([500_000.0, 500_000.0])
    wanted = 0.2 * np.log(7 / 5) + -0.2 * np.log(3 / 5)
    assert stability_index(one, other, 1e6, 1e6) == pytest.approx(wanted, abs=1e-5)
    rng = np.random.default_rng(0)
    found = [stability_index(*rng.multinomial(500, np.ones(40) / 40, 2), 500, 500) for _ in range(300)]
    assert abs(np.mean(found)) < 0.01


def test_shares_differ_beyond_chance():
    assert differ(50, 100, 100, 1000)
    assert not differ(2, 4, 100, 1000)
    assert not differ(0, 10, 0, 0)
    assert not differ(0, 10, 0, 10)


def test_nothing_is_said_of_ids_of_which_the_test_rows_have_none():
    rows = clinic.frame(1, other=drawn([0.5, 0.5], 1))
    warning = clinic.only(clinic.check(rows, OTHER, test=clinic.frame(2, other=pl.lit(None, pl.Int64))))
    assert "missing: 100% in the test rows, 0% in the training rows." in warning.message
    assert "index" not in warning.message
