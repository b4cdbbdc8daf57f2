"""Where the rows are: one fact table, and dimension tables joined to it by a key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from funnel.locations.url import redacted, refusal
from funnel.schema._base import Column, Declared, Name, Shorthand, problem

FACTS = "facts"  # the source of features that name none


def _without_secrets(places: str | tuple[str, ...]) -> str | tuple[str, ...]:
    for place in (places,) if isinstance(places, str) else places:
        if (reason := refusal(place)) is not None:
            raise problem((), f"{redacted(place)}: {reason}")
    return places


Place = Annotated[str, AfterValidator(_without_secrets)]
Glob = Annotated[str, Field(min_length=1)]
Globs = Annotated[Glob | tuple[Glob, ...], AfterValidator(_without_secrets)]
Character = Annotated[str, Field(min_length=1, max_length=1)]


def _between_columns(separator: str) -> str:
    if not separator.isascii() or separator in '"\r\n':
        raise problem(
            (), f"got {separator!r}, expected one ASCII character other than a quote or a line break. Choose another."
        )
    return separator


Separator = Annotated[Character, AfterValidator(_between_columns)]


class Files(Declared):
    """Which files hold the rows. Patterns are relative to `data.root`, or URLs; `.gz` and `.zst` are unpacked while reading."""

    files: Globs | None = Field(default=None, examples=["users.parquet"])
    """A file or pattern (or a list of them) that serves training and test alike: usual for dimensions, and for facts beside
    `data.test`, or where other folders (`--data`) have the test rows."""
    train: Globs | None = Field(default=None, examples=["train*.parquet"])
    """The files of the training rows."""
    test: Globs | None = Field(default=None, examples=[["test_1.parquet", "test_2.parquet"]])
    """The files of the test rows."""

    @model_validator(mode="after")
    def _one_way(self) -> Files:
        if self.files is not None and (self.train is not None or self.test is not None):
            raise problem(("files",), "got `files` beside `train` or `test`, expected one way. Keep `files`, or the other two.")
        return self

    def patterns(self, split: Literal["train", "test"]) -> tuple[str, ...]:
        """The patterns of one split; empty where none is declared."""
        found = self.files if self.files is not None else getattr(self, split)
        return () if found is None else (found,) if isinstance(found, str) else tuple(found)


class Parquet(Files):
    """Parquet files. Bags are list columns, with a parallel list column for weights."""

    format: Literal["parquet"]
    """Parquet."""


class Csv(Files):
    """Delimited text. Every column is read as text, so that an id is never changed by a guess at its type."""

    format: Literal["csv"]
    """Delimited text with a header, or with `columns`."""
    separator: Separator = ","
    """What stands between two columns."""
    columns: tuple[Column, ...] | None = Field(default=None, examples=[["user_id", "item_id", "clicked", "bought"]])
    """The names of the columns, where the files have no header."""


class FeatureList(Files):
    """Delimited text without a header, one column of which is a list of `field, id, value` entries.

    The raw files of Ali-CCP are of this kind. A feature's `column` is either one of `columns`, or a field of the list.
    """

    format: Literal["feature_list"]
    """Delimited text, one column of which is a list of (field, id, value) entries."""
    columns: tuple[Column, ...] = Field(examples=[["user_id", "clicked", "bought", "count", "entries"]])
    """The names of the columns, in order."""
    list: Column = Field(examples=["entries"])
    """Which of the columns is the list."""
    count: Column | None = Field(default=None, examples=["count"])
    """Which of the columns says how many entries the list has; checked for each row."""
    separator: Separator = ","
    """What stands between two columns."""
    entry_separator: Character = "\x01"
    """What stands between two entries of the list."""
    field_separator: Character = "\x02"
    """What stands between an entry's field and its id."""
    value_separator: Character = "\x03"
    """What stands between an entry's id and its value (its weight)."""

    @model_validator(mode="after")
    def _columns_exist(self) -> FeatureList:
        for key, name in (("list", self.list), ("count", self.count)):
            if name is not None and name not in self.columns:
                message = f"{name!r} is not among the columns {list(self.columns)}. Name one of them."
                raise problem((key,), message)
        return self


class Keyed(Declared):
    """How the facts find their row of a dimension."""

    name: Name = Field(examples=["visitor"])
    """What the dimension is called; a feature's `source`."""
    key: Column = Field(examples=["user_id"])
    """The column that holds the key, in the dimension and in the facts."""
    fact_key: Column | None = Field(default=None, examples=["visitor_id"])
    """The key's column in the facts, where it is called otherwise there."""

    @property
    def key_in_facts(self) -> str:
        """The key's column in the facts."""
        return self.fact_key or self.key


class ParquetDimension(Parquet, Keyed):
    """A dimension in Parquet files."""


class CsvDimension(Csv, Keyed):
    """A dimension in delimited text."""


class FeatureListDimension(FeatureList, Keyed):
    """A dimension in the `feature_list` format."""


Facts = Annotated[Parquet | Csv | FeatureList, Field(discriminator="format")]
Dimension = Annotated[ParquetDimension | CsvDimension | FeatureListDimension, Field(discriminator="format")]
Source = Parquet | Csv | FeatureList


class Fraction(Declared):
    """Hold out a share of the training rows, all rows of one group together."""

    kind: Literal["fraction"]
    """A share of the groups, or of the rows."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share held out."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Which groups are held out is a pure function of this and their keys."""
    by: Name | None = Field(default=None, examples=["user"])
    """The dimension whose rows are the groups, or `row` for a split of single rows. Default: the first dimension, or `row`
    without dimensions. Rows that share a dimension row are alike: splitting them flatters."""


class Time(Declared):
    """Hold out the latest training rows, as the test set will be later still."""

    kind: Literal["time"]
    """The latest rows, by a column."""
    column: Column = Field(examples=["shown_at"])
    """A column of the facts that grows with time: a number, a date, or a text that sorts as one (ISO 8601)."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share held out; rows of one moment stay together."""


class Held(Declared):
    """Validation rows in files of their own."""

    kind: Literal["file"]
    """Files of their own, in the format of the facts."""
    files: Globs = Field(examples=["valid*.parquet"])
    """A file or pattern, relative to `data.root`. Dimensions are those of the training rows."""


Validation = Annotated[Fraction | Time | Held, Field(discriminator="kind"), Shorthand("fraction")]


class ShareTested(Declared):
    """Test rows where no files hold them apart: a share of the facts that `files`, or `train`, name."""

    kind: Literal["fraction"]
    """A share of the groups, or of the rows."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share that is tested on, and neither learnt from nor chosen by."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Which groups these are is a pure function of this and their keys; which rows, of this and their places in the files."""
    by: Name | None = Field(default=None, examples=["user"])
    """The dimension whose rows are the groups, or `row` for single rows. Default: the first dimension, or `row` without
    dimensions."""


class RefuseBadRows(Declared):
    """The first row that cannot be used ends the work."""

    kind: Literal["error"]
    """Refuse the first."""


class SkipBadRows(Declared):
    """Leave rows out that cannot be used, and count them."""

    kind: Literal["skip"]
    """Leave them out, count them, and show a few."""
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    """More than this share of the rows of a source is an error all the same."""


BadRows = Annotated[RefuseBadRows | SkipBadRows, Field(discriminator="kind"), Shorthand("skip")]


class Data(Declared):
    """The fact table, its dimensions, and what is held out of the training rows."""

    root: Place = "."
    """The folder that the patterns start from, or its URL, such as `s3://bucket/logs`; `--data DIR` replaces it. A relative one
    is looked for from where you are, then beside the schema file and in the folders above it; one that is in several
    places, as `.` is, is that beside the schema file if the first has none of the rows."""
    facts: Facts = Field(examples=[{"format": "parquet", "train": "train*.parquet"}])
    """One row for each impression (for each row of the space), with the labels."""
    dimensions: tuple[Dimension, ...] = Field(
        default=(), examples=[[{"name": "user", "key": "user_id", "format": "parquet", "files": "users.parquet"}]]
    )
    """Tables that many facts share: users, items, sessions."""
    weight: Column | None = Field(default=None, examples=["times_seen"])
    """The column of the fact table with each row's weight in what is minimised, 0 or more. Evaluation counts each row once."""
    validation: Validation | None = Field(default=Fraction(kind="fraction"), examples=[{"kind": "time", "column": "shown_at"}])
    """What is held out of the training rows, to stop in time and to choose by. `null` trains on all of them."""
    test: Annotated[ShareTested, Shorthand("fraction")] | None = Field(default=None, examples=[{"fraction": 0.2, "by": "row"}])
    """What is held out of the facts' files for the test; `null` where `facts.test` names files, or there is no test. Frames are
    not parted: whoever calls with one says what it is."""
    bad_rows: BadRows = Field(default=RefuseBadRows(kind="error"), examples=[{"kind": "skip", "max_share": 0.0001}])
    """What becomes of rows that cannot be used: a malformed entry, a number that is none, a missing column, a key without its
    dimension row, a second row for a key, an id beyond int64."""
    shard_rows: Annotated[int, Field(ge=1)] = 1 << 18
    """Rows of a shard of the store, about; a dimension row counts as 20. Workers share out shards, so each needs some."""
