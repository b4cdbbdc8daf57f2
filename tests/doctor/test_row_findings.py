import polars as pl
import pytest

import funnel
from tests import shop
from tests.doctor import clinic


def skip(share):
    return {"bad_rows": {"kind": "skip", "max_share": share}}


def data(**others):
    return clinic.tree()["data"] | others


BROKEN = clinic.frame(
    price=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("dear")).otherwise(pl.col("price").cast(pl.String)),
    click=pl.when(pl.int_range(pl.len()).is_between(10, 11)).then(7).otherwise(pl.col("click")),
)


def test_all_rows_that_cannot_be_used_are_told_not_only_the_first():
    found = clinic.check(BROKEN)
    assert not found.ok
    assert found.rows == clinic.ROWS - 5
    first, second = sorted(clinic.about(found, "source facts", "error"), key=lambda finding: finding.message)
    assert "5 of 6,000 train rows cannot be used: a label that is not 0 or 1 (2)." in first.message
    assert "row 11 column 'click': got 7" in first.message
    assert "5 of 6,000 train rows cannot be used: not a number (3)." in second.message
    assert "'dear'" in second.message
    assert "stops at the first" in second.message


def test_rows_that_are_skipped_are_a_warning_up_to_the_declared_share():
    few = clinic.check(BROKEN, data=data(**skip(0.01)))
    assert few.ok
    assert few.count("warning") == 2
    many = clinic.check(BROKEN, data=data(**skip(0.0005)))
    assert many.count("error") == 2
    assert "at most 0.050%" in many.findings[0].message


def test_a_missing_value_that_is_refused_is_counted():
    declared = clinic.tree()
    declared["features"][0]["missing"] = "error"
    found = clinic.check(clinic.frame(item=pl.when(pl.int_range(pl.len()) > 9).then(pl.col("item"))), **declared)
    assert "10 of 6,000 train rows cannot be used: a missing value (10)." in clinic.only(found).message


def test_keys_are_told_from_both_sides():
    made = shop.frames()
    users = pl.concat([made["user"].head(50), made["user"].head(2)])
    found = funnel.check(shop.tree(), {"facts": made["facts"], "user": users})
    lost = made["facts"].filter(~pl.col("user_id").is_in(users["user_id"].to_list())).height
    assert (
        "2 of 52 train rows cannot be used: a key that was there before"
        in clinic.about(found, "source user", "error")[0].message
    )
    assert (
        f"{lost} of 900 train rows cannot be used: a key that dimension 'user' lacks"
        in clinic.about(found, "source facts")[0].message
    )


@pytest.mark.parametrize(
    ("policy", "level", "left"),
    [("error", "error", 5700), ("drop", "note", 5700), ("and", "note", 6000), ("promote", "note", 6000)],
)
def test_labels_that_contradict_the_order_of_stages_are_counted(policy, level, left):
    wrong = pl.int_range(pl.len()) < 300
    rows = clinic.frame(
        click=pl.when(wrong).then(0).otherwise(pl.col("click")), buy=pl.when(wrong).then(1).otherwise(pl.col("buy"))
    )
    found = clinic.check(rows, inconsistent_labels=policy)
    finding = clinic.only(found)
    assert (finding.level, finding.about) == (level, "stage buy")
    assert "300 of 6,000 train rows have buy = 1 with click = 0" in finding.message
    assert found.rows == left
    assert found.inconsistent == {"buy": 300}
    assert found.policy == policy


def test_the_test_rows_are_checked_too():
    test = clinic.frame(1, 500, click=pl.when(pl.int_range(pl.len()) == 0).then(5).otherwise(pl.col("click")))
    error = clinic.only(clinic.check(clinic.frame(), test=test))
    assert "1 of 500 test rows" in error.message


def test_a_dimension_that_serves_both_splits_is_told_once(tmp_path):
    folder = shop.write(tmp_path / "shop")
    users = pl.read_parquet(folder / "users.parquet")
    pl.concat([users, users.head(1)]).write_parquet(folder / "users.parquet")
    found = funnel.check(folder / "schema.yaml", folder)
    assert len(clinic.about(found, "source user", "error")) == 1
    assert len([finding for finding in found.findings if finding.level == "error"]) == 1


def test_validation_rows_in_files_of_their_own_are_no_training_rows(tmp_path):
    clinic.frame(0).write_parquet(tmp_path / "train.parquet")
    wrong = pl.when(pl.int_range(pl.len()) < 4).then(9).otherwise(pl.col("click"))
    clinic.frame(1, 2000, click=wrong).write_parquet(tmp_path / "held.parquet")
    found = funnel.check(clinic.tree(data=data(validation={"kind": "file", "files": "held.parquet"})), tmp_path)
    assert found.rows == clinic.ROWS
    assert "4 of 2,000 validation rows" in clinic.only(found).message


def test_a_fault_of_two_features_in_one_row_leaves_out_one_row():
    rows = clinic.frame(
        price=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("dear")).otherwise(pl.col("price").cast(pl.String))
    )
    finding = clinic.only(clinic.check(rows, {"name": "also", "kind": "numeric", "column": "price"}))
    assert "1 of 6,000 train rows cannot be used: not a number (1)." in finding.message


def test_rows_of_files_that_hold_the_test_too_are_told_once(tmp_path):
    BROKEN.write_parquet(tmp_path / "train.parquet")
    found = funnel.check(clinic.tree(data=data(test={"fraction": 0.3, "by": "row"}, **skip(0.01))), tmp_path)
    said = [finding.message for finding in clinic.about(found, "source facts", "warning")]
    assert len(said) == 2
    assert all("5 of 6,000 rows, those to test on among them, cannot be used" in message for message in said)
