"""Which table holds the facts, and which others are dimensions of them, by which key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from funnel.errors import DataError, have, listed
from funnel.proposal.asking import Ask, Question, answered
from funnel.proposal.columns import share
from funnel.proposal.splits import words
from funnel.proposal.stages import Guess, guess, labels_in, require_labels
from funnel.proposal.tables import Table
from funnel.proposal.words import plain_name

JOINS = 0.999  # of the facts, at least so many find their row
NEARLY = 0.5  # from which on what lacks is the mistake, and not the key


@dataclass(frozen=True)
class Joined:
    """A dimension.

    Attributes:
        name: What it is called.
        table: Its rows.
        key: The column that holds its key.
        fact_key: That column in the facts.
        unmatched: The share of sampled facts without a row of it.
    """

    name: str
    table: Table
    key: str
    fact_key: str
    unmatched: float


@dataclass(frozen=True)
class Star:
    """The tables, in their places.

    Attributes:
        facts: The table with the labels.
        labels: The columns of the stages, in order.
        dimensions: The tables that join.
        left_out: For each file that does not, the reason.
    """

    facts: Table
    labels: tuple[str, ...]
    dimensions: tuple[Joined, ...]
    left_out: tuple[tuple[str, str], ...]


def star_of(tables: Sequence[Table], stages: Sequence[str] | None, ask: Ask) -> Star:
    """Find the facts, their stages, and their dimensions.

    Raises:
        DataError: No table has the stages.
    """
    facts, labels = _facts(tables, stages, ask)
    dimensions: list[Joined] = []
    left_out: list[tuple[str, str]] = []
    for table in tables:
        if table is facts:
            continue
        joined = _joined(facts, labels, table, [one.name for one in dimensions], ask)
        if isinstance(joined, Joined):
            dimensions.append(joined)
        else:
            left_out.extend((str(file.path), joined) for file in table.files)
    return Star(facts, labels, tuple(dimensions), tuple(left_out))


def _facts(tables: Sequence[Table], stages: Sequence[str] | None, ask: Ask) -> tuple[Table, tuple[str, ...]]:
    if stages is not None:
        # Where none has all of them, the message is about the one that has the most.
        table = max(tables, key=lambda one: (sum(name in one.columns for name in stages), one.rows))
        return table, require_labels(table, stages, "--stages")
    guesses = [(guess(table), table) for table in tables]
    found, table = max(guesses, key=lambda pair: (len(pair[0].columns), pair[0].certain, pair[1].rows))
    if not labels_in(table):
        _refuse(tables)
    question = _stages_question(found, table)
    return table, answered(ask, question, lambda text: require_labels(table, _split(text), "stages"))


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.replace("->", ",").split(",") if name.strip()]


def _stages_question(found: Guess, table: Table) -> Question:
    rates = {label.name: label.ones / label.known for label in labels_in(table)}
    about = ", ".join(f"{name} ({rate:.2%})" for name, rate in rates.items())
    missing = (
        f"{table.name}: got several columns of 0 and 1 (have: {listed(rates)}), expected some that follow each other. "
        "Name the stages in order: `--stages click,buy`."
    )
    text = f"{table.rows:,} rows; columns of 0 and 1: {about}. Which are the stages, in order?"
    return Question("stages", text, ",".join(found.columns), missing, sure=False)


def _refuse(tables: Sequence[Table]) -> None:
    names = [name for table in tables for name in table.columns]
    raise DataError(
        f"{tables[0].files[0].path}: got no column of 0 and 1 (have: {listed(names)}), expected one for each stage. Write 1 "
        "where the step was taken and 0 where it was not."
    )


def _joined(facts: Table, labels: Sequence[str], table: Table, taken: list[str], ask: Ask) -> Joined | str:
    """A dimension; or why a table is none."""
    if missing := [label for label in labels if label in table.columns]:
        return f"it has the label {missing[0]!r}, and other columns than {facts.name}"
    if not table.keys:
        return "no column has a value of its own in each row, so that there is no key"
    options = [
        (key.name, other, found)
        for key in table.keys
        for other in facts.columns
        if other not in labels and (found := _share(facts, other, table, key.name)) >= JOINS
    ]
    if not options:
        if (nearly := _nearly(facts, table)) is not None:
            return nearly
        keys = listed(key.name for key in table.keys)
        return f"no column of {facts.name} finds its rows by a key (have: {keys})"
    options.sort(key=lambda option: _likeness(option[0], option[1], table.name), reverse=True)
    best = options[0]
    sure = best[0] == best[1] or _likeness(best[0], best[1], table.name) > 0
    # Small whole numbers are found in any table that counts its rows.
    likely = sure or facts.columns[best[1]].distinct * 2 >= table.rows
    among = [f"{other}={key}" for key, other, _ in options]
    question = Question(
        about=f"key of {table.name}",
        text=f"{table.name} ({table.rows:,} rows): which column of {facts.name} is its key? (have: {listed(among, 6)}, 'none')",
        proposed=among[0] if likely else "none",
        without="",
        sure=sure,
    )
    chosen = answered(ask, question, lambda text: _option(text, among))
    if not chosen:
        return f"no column of {facts.name} is surely its key (have: {listed(among)})"
    key, other, found = options[among.index(chosen)]
    return Joined(_name(table, other, taken), table, key, other, 1 - found)


def _option(text: str, among: list[str]) -> str:
    text = text.strip()
    if text in ("", "none"):
        return ""
    if "=" not in text:
        text = next((one for one in among if one.partition("=")[0] == text), text)
    if text not in among:
        raise DataError(f"key: {text!r} joins nothing {have(text, among)} Name one, or none.")
    return text


def _share(facts: Table, column: str, table: Table, key: str) -> float:
    """The share of the sampled facts whose value is a key."""
    if facts.columns[column].kind not in ("text", "whole") or facts.columns[column].missing:
        return 0.0
    values = facts.sample[column].cast(pl.String)
    # A few are enough to see that most columns are no key.
    few = values.unique().head(200)
    keys = _keys(table, key)
    return 0.0 if share(few.is_in(keys)) < 0.9 else share(values.is_in(keys))


def _keys(table: Table, key: str) -> pl.Series:
    values = table.sample[key].cast(pl.String) if table.rows == table.sample.height else table.values(key)
    return values.implode()


def _nearly(facts: Table, table: Table) -> str | None:
    """Of a table that looks like a dimension, what is wrong with the facts' column that looks like its key."""
    for key in table.keys:
        for name, column in facts.columns.items():
            if column.kind not in ("text", "whole") or not _likeness(key.name, name, table.name):
                continue
            values = facts.sample[name].cast(pl.String)
            found = share(values.is_in(_keys(table, key.name)))
            if found >= NEARLY:
                lack = (
                    f"{1 - found:.2%} of the rows of {facts.name}"
                    if found < 1
                    else f"{column.missing:,} rows, whose {name!r} is empty"
                )
                return (
                    f"its key {key.name!r} is {name!r} of {facts.name}, but for {lack}: add what lacks, or take those rows out"
                )
    return None


def _likeness(key: str, other: str, table: str) -> int:
    """How much two names look like those of one key: 3 where they are the same, 0 where nothing is alike."""
    if key == other:
        return 3
    mine, theirs = {*words(key)}, {*words(other)}
    of_table = {form for word in words(table) for form in (word, word.removesuffix("s"), word.removesuffix("es"))}
    return 2 * bool(theirs & of_table) + bool(mine & theirs - {"id"}) if theirs & of_table or mine & theirs - {"id"} else 0


def _name(table: Table, fact_key: str, taken: list[str]) -> str:
    """What a dimension is called: after its key in the facts, `user_id` -> `user`; else after its files."""
    said = [word for word in words(fact_key) if word not in ("id", "key", "uid", "code", "no", "index")]
    return plain_name("_".join(said) or table.name, taken)
