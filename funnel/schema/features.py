"""Features: which columns describe a row, and how each becomes numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from funnel.schema._base import LARGEST, Column, Declared, Name, Positive, Shorthand, problem
from funnel.schema.pooling import Mean, Pooling
from funnel.schema.transforms import Standardize, Transform


class QuotientRemainder(Declared):
    """Every id is the sum of two rows, of which many ids share each, and no two ids share both: Shi et al., 2020."""

    kind: Literal["quotient_remainder"]
    """The n-th id is the sum of row n % `remainders` of one part and of row n // `remainders` of another."""
    remainders: Annotated[int, Field(ge=2)] = Field(examples=[1_000_000])
    """Rows of the first part. The second has one for each so many ids: fewest in all at the root of the number of ids."""


Compress = Annotated[QuotientRemainder, Shorthand("quotient_remainder")]


class Rows(Declared):
    """How ids find their row of an embedding table: by a vocabulary learnt from training rows, or by hashing."""

    dim: Positive | None = Field(default=None, examples=[18])
    """Numbers per row. Default: `model.embedding_dim`."""
    min_count: Positive | None = Field(default=None, examples=[5])
    """Ids seen fewer times in the training rows share the out-of-vocabulary (OOV) row. Default: 2."""
    max_rows: Positive | None = Field(default=None, examples=[1_000_000])
    """At most so many ids, the most frequent ones, get a row of their own."""
    buckets: Positive | None = Field(default=None, examples=[100_000_000])
    """Hash ids into so many rows instead of learning a vocabulary: no pass over the data, and ids may collide."""
    compress: Compress | None = Field(default=None, examples=[{"remainders": 1_000_000}])
    """How a huge table is stored as a smaller one. Rows for missing and unknown ids stay their own."""

    @model_validator(mode="after")
    def _one_way(self) -> Rows:
        given = [key for key in ("min_count", "max_rows") if getattr(self, key) is not None]
        if self.buckets is not None and given:
            message = f"got `buckets` beside `{given[0]}`, expected one way. Hash (`buckets`), or learn a vocabulary."
            raise problem(("buckets",), message)
        if self.compress is not None and self.buckets is not None and self.compress.remainders >= self.buckets:
            message = (
                f"got {self.compress.remainders} for {self.buckets} buckets, expected fewer: nothing would be saved. Try "
                f"{max(2, round(self.buckets**0.5))}."
            )
            raise problem(("compress", "remainders"), message)
        return self


class Table(Rows):
    """An embedding table that several features share."""


class Fill(Declared):
    """Put one value wherever there is none."""

    fill: str | int | float = Field(examples=[0])
    """The value."""


def _no_fraction(value: Any) -> Any:
    """An id, of which a number with a fraction, or yes and no, cannot be sure to be one."""
    if isinstance(value, float | bool) or value == "":
        raise problem((), f"got {value!r}, expected an id: text or a whole number. Quote it.")
    return value


Id = Annotated[str | int, BeforeValidator(_no_fraction)]


class Feature(Declared):
    """What all features have."""

    name: Name = Field(examples=["brand"])
    """What the feature is called in batches, in reports, and as an input of the exported model."""
    source: Name | None = Field(default=None, examples=["user"])
    """The dimension that has the column. Default: the facts."""
    column: Column | None = Field(default=None, examples=["brand_id"])
    """The column, or the field of a feature list. Default: the feature's name."""

    @property
    def column_name(self) -> str:
        """The column that the feature reads."""
        return self.column or self.name


class Embedded(Feature, Rows):
    """A feature that looks rows up in an embedding table: its own, or a shared one."""

    table: Name | None = Field(default=None, examples=["shops"])
    """A shared table, declared under `tables`. Default: a table of its own, described here."""

    @model_validator(mode="after")
    def _own_or_shared(self) -> Embedded:
        given = [key for key in ("dim", "min_count", "max_rows", "buckets", "compress") if getattr(self, key) is not None]
        if self.table is not None and given:
            message = f"got `{given[0]}` beside `table: {self.table}`, expected it under `tables.{self.table}`. Move it there."
            raise problem((given[0],), message)
        return self

    @property
    def table_name(self) -> str:
        """The table that the feature looks up."""
        return self.table or self.name


class Categorical(Embedded):
    """One id a row: text or a whole number. An empty text is a missing one."""

    kind: Literal["categorical"]
    """One id a row."""
    missing: Literal["own", "oov", "error"] | Fill = "own"
    """Where there is no id: `own` gives missing a row of its own, `oov` the out-of-vocabulary row, `error` refuses,
    `{fill: ID}` puts an id."""
    serving_default: Id | None = Field(default=None, examples=["unknown"])
    """The id that the exported model takes where a request has none: for what a log knows, and a request cannot, such as the
    position. Reading, training and evaluating do not know it."""


class Bag(Embedded):
    """Many ids a row, each perhaps with a weight: what a user bought, an item's tags. No entry is ever dropped."""

    kind: Literal["bag"]
    """Many ids a row."""
    weighted: bool = False
    """Whether each id has a weight. Feature lists carry their own; elsewhere name the `weights` column."""
    weights: Column | None = Field(default=None, examples=["brand_counts"])
    """The column with the weights, as long as the ids of its row."""
    pooling: Literal["sum", "mean", "sqrtn"] = "mean"
    """sum of w v; mean: that over sum of w; sqrtn: over the root of the sum of w squared. An empty bag gives zeros."""
    separator: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["|"])
    """What stands between two ids (and two weights) where the column is one text, as in CSV."""
    missing: Literal["empty", "error"] = "empty"
    """Where there is no list at all: the same as an empty one, or refused."""

    @model_validator(mode="after")
    def _weights(self) -> Bag:
        if self.weights is not None and not self.weighted:
            raise problem(("weights",), "got `weights` for a bag that is not weighted. Add `weighted: true`, or remove it.")
        return self

    @property
    def numbered(self) -> bool:
        """Whether each entry has a number beside its id."""
        return self.weighted

    @property
    def numbers(self) -> Column | None:
        """The column with these numbers; None without any, and where entries of a feature list carry them."""
        return self.weights

    @property
    def numbers_input(self) -> str:
        """What these numbers are called as an input of the exported model."""
        return f"{self.name}_weights"


# All that reads, stores, checks, simulates and serves bags does so for sequences: they are bags whose order is kept and counts.
class Sequence(Bag):
    """Many ids a row, in an order, the oldest first: what a user looked at, and when. Nothing is padded."""

    kind: Literal["sequence"]  # type: ignore[assignment]  # a kind of its own, read as a bag is
    """Many ids a row, the oldest first."""
    pooling: Pooling | None = Field(default=None, examples=[{"kind": "attention", "query": "item_id"}])  # type: ignore[assignment]  # in more ways than a bag
    """How the entries become one vector. An empty sequence gives zeros. Default: their mean."""
    times: Column | None = Field(default=None, examples=["days_ago"])
    """The column with a number for each entry: how long ago it was, in any unit, at least 0. Whether it was 1 or 2 matters as
    much as whether 100 or 200: each doubling has a vector. Attention and GRU add it to the entry's embedding; mean and sum
    multiply that by 1 + it, number by number, so that what is old may count less. In a feature list, whose entries carry a
    number each, the field itself."""
    positions: Positive | None = Field(default=None, examples=[50])
    """So many places, counted from the newest entry, have a vector each, which is used as those of times are; the last one is
    for all that are older, too."""
    last: Positive | None = Field(default=None, examples=[200])
    """Only so many of the newest entries are read. Default: all."""
    beside: Name | None = Field(default=None, examples=["viewed"])
    """Another sequence, of which this one says more, entry by entry: the shop of each item. Both lists are as long as each
    other in every row, and an entry without an id there is none here. They are pooled together, as that one says."""
    query: Name | None = Field(default=None, examples=["item_shop"])
    """With `beside` one that pools by attention: the categorical feature that these entries are compared with. Default: these
    have no say in the weights."""

    @model_validator(mode="after")
    def _one_leads(self) -> Sequence:
        for key in ("weighted", "weights"):
            if getattr(self, key):
                raise problem((key,), f"got `{key}` for a sequence, expected none. Make it a bag, or name `times`.")
        given = [key for key in ("pooling", "times", "positions", "last") if getattr(self, key) is not None]
        if self.beside is not None and given:
            message = f"got `{given[0]}` beside {self.beside!r}, expected it there: both are pooled together. Move it."
            raise problem((given[0],), message)
        if self.query is not None and self.beside is None:
            message = (
                f"got {self.query!r} without `beside`, expected it in `pooling: {{kind: attention, query: {self.query}}}`."
            )
            raise problem(("query",), f"{message} Move it.")
        return self

    @property
    def pooled(self) -> Pooling:
        """How the entries become one vector, of one that is beside no other."""
        return self.pooling or Mean(kind="mean")

    @property
    def numbered(self) -> bool:
        """Whether each entry has a time."""
        return self.times is not None

    @property
    def numbers(self) -> Column | None:
        """The column with the times; the field itself, where entries of a feature list carry them."""
        return self.times

    @property
    def numbers_input(self) -> str:
        """What times are called as an input of the exported model."""
        return f"{self.name}_times"


class Numeric(Feature):
    """A number a row."""

    kind: Literal["numeric"]
    """A number."""
    transform: Transform = Field(default=Standardize(kind="standardize"), examples=["log1p"])
    """What is done to the number before the network sees it."""
    missing: Literal["mean", "error"] | Fill = "mean"
    """Where there is no number: the training rows' mean and an indicator input (bucketized: a row of its own; piecewise linear:
    no bin at all and the indicator), refused, or `{fill: NUMBER}`."""
    serving_default: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] | None = Field(default=None, examples=[1.0])
    """The number that the exported model takes where a request has none: for what a log knows, and a request cannot, such as
    the position. Reading, training and evaluating do not know it."""


class Cross(Declared):
    """The combination of several categorical features, hashed: what this user does in this category."""

    kind: Literal["cross"]
    """A hashed combination of categorical features."""
    name: Name = Field(examples=["hour_of_item"])
    """What the feature is called."""
    of: Annotated[tuple[Name, ...], Field(min_length=2)] = Field(examples=[["hour", "item_id"]])
    """The categorical features, from any source."""
    buckets: Positive = Field(examples=[100000])
    """Rows of its table; combinations are hashed into them."""
    dim: Positive | None = Field(default=None, examples=[8])
    """Numbers per row. Default: `model.embedding_dim`."""


Input = Categorical | Bag | Sequence | Numeric  # what is read; a cross is made of what is
AnyFeature = Annotated[Categorical | Bag | Sequence | Numeric | Cross, Field(discriminator="kind")]
