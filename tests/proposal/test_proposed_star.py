"""Which tables join which, by which keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from small_logs import features, left_out, log, written

import funnel
from funnel.proposal.asking import Question

ROWS, USERS = 4000, 300
RNG = np.random.default_rng(5)
USER = RNG.integers(0, USERS, ROWS)


def users(**columns: object) -> pl.DataFrame:
    age = RNG.normal(40, 9, USERS).round(2)
    return pl.DataFrame({"user_id": np.arange(USERS), "age": age}).with_columns(**columns)


def test_a_table_whose_key_the_facts_name_alike_is_a_dimension(tmp_path: Path) -> None:
    written(log(ROWS, user_id=pl.Series(USER)), tmp_path / "log.csv")
    written(users(), tmp_path / "users.parquet")
    found = funnel.init(tmp_path)
    (joined,) = found.schema.data.dimensions
    assert (joined.name, joined.key, joined.fact_key, joined.format) == ("user", "user_id", None, "parquet")
    assert found.schema.feature("user_id").source == "user"
    assert found.schema.evaluate.group_by == "user_id"
    assert found.proposal.validation == {"kind": "fraction", "fraction": 0.1, "by": "user"}


def test_keys_may_be_called_otherwise_in_the_facts(tmp_path: Path) -> None:
    written(log(ROWS, customer=pl.Series(USER)), tmp_path / "log.csv")
    written(users().rename({"user_id": "id"}), tmp_path / "customers.csv")
    (joined,) = funnel.init(tmp_path).schema.data.dimensions
    assert (joined.name, joined.key, joined.fact_key) == ("customer", "id", "customer")


def test_a_likeness_of_values_alone_is_asked_about(tmp_path: Path) -> None:
    written(log(ROWS, x=pl.Series(USER)), tmp_path / "log.csv")
    written(users().rename({"user_id": "number"}), tmp_path / "people.csv")
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return question.proposed if question.about == "stages" else "none"

    found = funnel.init(tmp_path, ask=ask)
    assert [question.about for question in asked] == ["stages", "key of people"]
    assert asked[1].proposed == "x=number"
    assert found.schema.data.dimensions == ()
    assert "# left out: " in found.text
    (joined,) = funnel.init(tmp_path).schema.data.dimensions
    assert joined.key == "number"


def test_small_numbers_are_not_the_key_of_every_table_that_counts_its_rows(tmp_path: Path) -> None:
    written(log(ROWS, hour=pl.Series(RNG.integers(0, 24, ROWS))), tmp_path / "log.csv")
    written(users().rename({"user_id": "number"}), tmp_path / "people.csv")
    found = funnel.init(tmp_path)
    assert found.schema.data.dimensions == ()
    assert "is surely its key" in found.text


def test_a_table_without_a_key_is_left_out_with_the_reason(tmp_path: Path) -> None:
    written(log(ROWS, user_id=pl.Series(USER)), tmp_path / "log.csv")
    written(users(user_id=pl.lit(1)), tmp_path / "users.csv")
    found = funnel.init(tmp_path)
    assert f"# left out: {tmp_path / 'users.csv'}: no column has a value of its own in each row" in found.text
    assert "user_id" in features(found)


def test_columns_that_repeat_a_dimension_are_left_out_of_the_facts(tmp_path: Path) -> None:
    people = users(town=pl.Series(RNG.choice(["a", "b"], USERS)))
    facts = log(ROWS, user_id=pl.Series(USER)).join(people, on="user_id", how="left", maintain_order="left")
    facts = facts.with_columns(town=pl.Series(RNG.choice(["a", "b"], ROWS)))
    written(facts, tmp_path / "log.csv")
    written(people, tmp_path / "users.csv")
    found = funnel.init(tmp_path)
    assert left_out(found)["age"] == "the same as that of user"
    assert features(found)["town"].column == "town"
    assert features(found)["user_town"].column == "town"


def test_a_few_rows_without_a_dimension_row_are_skipped(tmp_path: Path) -> None:
    unknown = pl.Series(np.where(np.arange(ROWS) % 2000 == 7, 10_000, USER))
    written(log(ROWS, user_id=unknown), tmp_path / "log.csv")
    written(users(), tmp_path / "users.csv")
    found = funnel.init(tmp_path)
    assert found.schema.data.bad_rows.kind == "skip"
    assert found.checkup.ok
    assert not any(finding.level == "error" for finding in funnel.check(found.schema).findings)


def test_a_dimension_that_lacks_rows_is_told_with_its_key(tmp_path: Path) -> None:
    written(log(ROWS, user_id=pl.Series(USER)), tmp_path / "log.csv")
    written(users().filter(pl.col("user_id") % 10 != 3), tmp_path / "users.parquet")
    text = funnel.init(tmp_path).text
    lacking = 1 - np.mean(USER % 10 != 3)
    assert f"its key 'user_id' is 'user_id' of log, but for {lacking:.2%} of the rows of log: add what lacks" in text


def test_a_key_that_some_rows_lack_is_told(tmp_path: Path) -> None:
    keys = pl.Series([None if n % 100 == 0 else int(user) for n, user in enumerate(USER)])
    written(log(ROWS, user_id=keys), tmp_path / "log.csv")
    written(users(), tmp_path / "users.parquet")
    assert "its key 'user_id' is 'user_id' of log, but for" in funnel.init(tmp_path).text
