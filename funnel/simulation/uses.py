"""What columns of the facts are simulated for: two uses that no values serve are refused."""

from __future__ import annotations

from collections.abc import Iterator

from funnel.errors import DataError
from funnel.schema.data import FACTS, Csv, FeatureList, Time
from funnel.schema.features import Bag, Cross, Numeric
from funnel.schema.funnel_schema import FunnelSchema

EVENT, SNAPSHOT, WEIGHT, VALIDATION = "an event", "when labels were read", "the rows' weights", "what validation goes by"
OURS = (EVENT, SNAPSHOT, WEIGHT)  # how uses begin that this is about


def require_one_use(schema: FunnelSchema) -> None:
    """Make sure that one column serves each use of the columns of events, of moments when labels were read, and of weights.

    An event may also be what validation goes by. A feature may read any of them, where its kind can.

    Raises:
        DataError: One cannot.
    """
    uses: dict[str, list[str]] = {}
    for column, use in _uses(schema):
        if use not in uses.setdefault(column, []):
            uses[column].append(use)
    for column, several in uses.items():
        if not several[0].startswith(OURS):
            continue
        apart = [use for use in several if use != VALIDATION or not several[0].startswith(EVENT)]
        if len(apart) > 1:
            raise DataError(
                f"data.facts: got {column!r} for {' and for '.join(apart)}, expected a column for each. Name another one."
            )
        _require_readable(schema, column, timed=several[0].endswith("(a time)"))


def _uses(schema: FunnelSchema) -> Iterator[tuple[str, str]]:
    """Columns of the facts that are no features, and what they are for: ours first."""
    for stage in schema.stages:
        if (maturity := stage.matures_after) is not None:
            kind = "a time" if maturity.timed else "a number"
            yield maturity.event, f"{EVENT} ({kind})"
            if maturity.snapshot is not None:
                yield maturity.snapshot, f"{SNAPSHOT} ({kind})"
    if schema.data.weight is not None:
        yield schema.data.weight, WEIGHT
    yield from ((stage.label, "a label") for stage in schema.stages if stage.label is not None)
    yield from ((dimension.key_in_facts, "a dimension's key") for dimension in schema.data.dimensions)
    if isinstance(schema.data.validation, Time):
        yield schema.data.validation.column, VALIDATION


def _require_readable(schema: FunnelSchema, column: str, *, timed: bool) -> None:
    """By the features that read it, and in text."""
    files = schema.data.facts
    for feature in schema.features:
        if isinstance(feature, Cross) or schema.source_of(feature) != FACTS:
            continue
        bag = isinstance(feature, Bag)
        reads = column == feature.column_name or (isinstance(feature, Bag) and column == feature.numbers)
        # Numbers may be fractions, which are ids in text only.
        can = not bag and (not timed if isinstance(feature, Numeric) else timed or isinstance(files, Csv | FeatureList))
        if reads and not can:
            held = "times" if timed else "numbers"
            raise DataError(
                f"features.{feature.name}: got the column {column!r}, where {held} are simulated, expected one that a "
                f"{feature.kind} feature can read. Name another column, or change the kind."
            )
    if timed and isinstance(files, FeatureList):
        inside = () if column in files.columns else (files.entry_separator, files.field_separator, files.value_separator)
        for separator in (files.separator, *inside):
            if separator in "0123456789-:. ":
                raise DataError(
                    f"data.facts: got the separator {separator!r}, which the times of {column!r} hold, expected another one. "
                    "Change it, or name a column beside the list."
                )
