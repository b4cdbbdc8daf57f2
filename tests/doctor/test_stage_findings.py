import numpy as np
import polars as pl
import pytest

from tests.doctor import clinic


def exactly(ratio, clicks, seed=0):
    """Facts with just so many rows without a click for each with one."""
    rows = clinic.frame(seed, (ratio + 1) * clicks)
    return rows.with_columns(click=pl.Series([1] * clicks + [0] * ratio * clicks)).with_columns(
        buy=pl.col("click") * (pl.col("item") % 3 == 0)
    )


def test_a_healthy_funnel_is_silent_and_counted():
    rows = clinic.frame()
    found = clinic.check(rows)
    assert found.ok
    assert found.findings == ()
    clicks, buys = int(rows["click"].sum()), int(rows["buy"].sum())
    assert found.rows == clinic.ROWS
    click, buy = found.by_stage.values()
    assert (click.given, click.rows, click.positives, click.rate) == ("impression", clinic.ROWS, clicks, clicks / clinic.ROWS)
    assert (buy.given, buy.rows, buy.positives, buy.rate) == ("click", clicks, buys, buys / clicks)
    assert buy.per_batch == 2048 * buys / clinic.ROWS


def test_a_stage_that_never_happens_is_an_error():
    found = clinic.check(clinic.frame(buy=0))
    assert [finding.about for finding in found.findings if finding.level == "error"] == ["stage buy"]
    assert "none of the" in found.findings[0].message
    assert found.by_stage["buy"].rate == 0
    nothing = clinic.check(clinic.frame(click=0, buy=0))
    assert nothing.by_stage["buy"].rate is None
    assert nothing.count("error") == 2


def test_a_stage_that_always_happens_is_a_warning():
    assert "every one of 6,000 rows" in clinic.about(clinic.check(clinic.frame(click=1)), "stage click", "warning")[0].message


def test_few_positives_are_a_warning():
    rows = clinic.frame(buy=pl.col("click") * (pl.int_range(pl.len()) < 300))
    warning = next(f for f in clinic.check(rows).findings if "chance" in f.message)
    assert (warning.level, warning.about) == ("warning", "stage buy")
    assert "expected 100 or more" in warning.message


def test_a_batch_without_positives_is_a_warning():
    per_batch = clinic.check(clinic.frame()).by_stage["buy"].per_batch
    small = int(2048 / per_batch)
    found = clinic.check(clinic.frame(), train={"batch_size": small})
    assert "Declare a train.batch_size of" in clinic.only(found).message
    assert clinic.check(clinic.frame(), train={"batch_size": 2 * small}).findings == ()


def test_validation_rows_need_positives_where_early_stopping_watches():
    rows = clinic.frame(buy=pl.col("click") * (pl.int_range(pl.len()) % 10 == 0))  # about 15 of these are held out
    found = clinic.check(rows)
    assert "early stopping" in clinic.only(found).message
    assert clinic.check(rows, train={"early_stopping": {"stages": ["click"]}}).findings == ()
    assert clinic.check(rows, train={"early_stopping": None}).findings == ()


def test_early_stopping_without_validation_is_noted_where_it_is_declared():
    data = clinic.tree()["data"] | {"validation": None}
    assert clinic.check(clinic.frame(), data=data).findings == ()
    note = clinic.only(clinic.check(clinic.frame(), data=data, train={"early_stopping": {"patience": 2}}))
    assert note.level == "note"
    assert "no rows are held out" in note.message


@pytest.mark.parametrize(("prior", "said"), [(0.05, "rows without it"), (0.9, "rows with it"), (0.2, None), (None, None)])
def test_a_rate_far_from_the_declared_one_looks_sampled(prior, said):
    stages = [{"name": "click", "label": "click", "prior": prior}, {"name": "buy", "label": "buy"}]
    found = clinic.check(clinic.frame(), stages=stages)
    if said is None:
        assert found.findings == ()
        return
    warning = clinic.only(found)
    assert (warning.level, warning.about) == ("warning", "stage click")
    assert "sampled" in warning.message
    assert said in warning.message
    assert "declare `sampling`" in warning.message


def test_a_rate_far_from_the_declared_one_by_chance_does_not():
    rows = clinic.frame(rows=400, buy=pl.col("click") * (pl.int_range(pl.len()) < 40))
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "prior": 0.05}]
    assert not any("sampled" in finding.message for finding in clinic.check(rows, stages=stages).findings)


def test_a_round_ratio_is_noted():
    note = clinic.about(clinic.check(exactly(4, 1000)), "stage click", "note")
    assert "exactly 4 rows without it for each of the 1,000" in note[0].message


def test_other_ratios_are_not():
    assert not clinic.about(clinic.check(exactly(4, 999)), "stage click")  # too few
    assert not clinic.about(clinic.check(exactly(21, 1000)), "stage click")  # too rare
    more = pl.concat([exactly(4, 1000), exactly(4, 1000).tail(1)])
    assert not clinic.about(clinic.check(more), "stage click")


def test_siblings_are_given_the_space():
    stages = [{"name": "click", "label": "click"}, {"name": "like", "label": "like", "given": "impression"}]
    like = pl.Series(np.random.default_rng(1).random(clinic.ROWS) < 0.1).cast(int)
    found = clinic.check(clinic.frame(like=like), stages=stages)
    assert found.findings == ()
    assert found.by_stage["like"].rows == clinic.ROWS


def test_a_declared_rate_of_no_rows_says_nothing():
    stages = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy", "prior": 0.5}]
    found = clinic.check(clinic.frame(click=0, buy=0), stages=stages)
    assert not any("sampled" in finding.message for finding in found.findings)
