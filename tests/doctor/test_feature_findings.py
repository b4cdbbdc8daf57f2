import numpy as np
import polars as pl
import pytest

from tests.doctor import clinic


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        ("x", {"kind": "categorical"}),
        ("x", {"kind": "categorical", "buckets": 10}),
        (1.5, {"kind": "numeric"}),
        (1.5, {"kind": "numeric", "transform": {"kind": "bucketize", "buckets": 4}}),
        ([1], {"kind": "bag"}),
        ([1, 1], {"kind": "bag"}),
    ],
)
def test_a_constant_is_told(value, feature):
    warning = clinic.only(clinic.check(clinic.frame(same=pl.lit(value)), {"name": "same", **feature}))
    assert (warning.level, warning.about) == ("warning", "feature same")
    assert "the same in all" in warning.message


def test_what_varies_in_any_way_is_no_constant():
    few = pl.int_range(pl.len()) < 50
    rows = clinic.frame(
        gap=pl.when(few).then(1.5),
        length=pl.when(few).then(pl.lit([1, 1])).otherwise(pl.lit([1])),
        weight=pl.when(few).then(pl.lit([2.0])).otherwise(pl.lit([1.0])),
        one=pl.lit([1]),
    )
    features = [
        {"name": "gap", "kind": "numeric"},
        {"name": "length", "kind": "bag"},
        {"name": "one", "kind": "bag", "weighted": True, "weights": "weight"},
    ]
    assert clinic.check(rows, *features).findings == ()


@pytest.mark.parametrize("feature", [{"kind": "categorical"}, {"kind": "categorical", "buckets": 9}, {"kind": "bag"}])
def test_a_feature_that_is_always_missing_is_told_once(feature):
    rows = clinic.frame(gone=pl.lit(None, pl.String))
    warning = clinic.only(clinic.check(rows, {"name": "gone", **feature}))
    assert (warning.level, warning.about) == ("warning", "feature gone")
    assert "every training row lacks it" in warning.message


def test_a_number_that_is_always_missing_is_an_error_as_it_is_in_a_fit():
    found = clinic.check(clinic.frame(gone=pl.lit(None, pl.Float64)), {"name": "gone", "kind": "numeric"})
    assert not found.ok
    assert "'gone'" in clinic.only(found).message


def test_many_unknown_ids_are_told():
    rare = pl.Series(np.concatenate([np.arange(4000), np.zeros(2000, int)]) + 10)
    warning = clinic.only(clinic.check(clinic.frame(rare=rare), {"name": "rare", "kind": "categorical"}))
    assert (warning.level, warning.about) == ("warning", "feature rare")
    assert "6" in warning.message.split("%")[0]
    assert "min_count: 2" in warning.message
    assert clinic.check(clinic.frame(rare=rare), {"name": "rare", "kind": "categorical", "min_count": 1}).findings == ()


def test_an_empty_vocabulary_is_told_of_its_table_alone():
    rows = clinic.frame(rare=pl.int_range(pl.len()), also=pl.int_range(pl.len()) + 10_000)
    features = [{"name": name, "kind": "categorical", "table": "shared"} for name in ("rare", "also")]
    warning = clinic.only(clinic.check(rows, *features, tables={"shared": {"min_count": 3}}))
    assert (warning.level, warning.about) == ("warning", "table shared")
    assert "no id of rare, also gets a row of its own (min_count: 3)" in warning.message
