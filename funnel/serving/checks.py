"""What a request must be, checked in the graph: else TensorFlow's error says which input is wrong, and nothing is shifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funnel.model._keras import tf
from funnel.serving.inputs import Field

Values = Mapping[str, Any]  # by input: string or float32, [B], [B, longest], or ragged


def checked(fields: Sequence[Field], values: Values, *, ranked: bool) -> dict[str, Any]:
    """The values, once they are what they must be.

    Args:
        fields: The inputs.
        values: As they were given.
        ranked: Whether those given once have one row.

    Raises:
        InvalidArgumentError: While it runs: inputs differ in their rows, ids and weights in their lengths; a value is missing
            that must not be; a number is infinite; a weight is not finite.
    """
    each = [field for field in fields if not (ranked and field.once)]
    sizes = _same_rows(each, values)
    if ranked:
        sizes += _one_row([field for field in fields if field.once], values)
    # Only what has as many rows can be compared value by value.
    with tf.control_dependencies(sizes + _same_lengths(fields, values)):
        values = {name: tf.identity(value) for name, value in values.items()}
    with tf.control_dependencies(_none_missing(fields, values) + _finite(fields, values)):
        return {name: tf.identity(value) for name, value in values.items()}


def _rows(fields: Sequence[Field], values: Values) -> tf.Tensor:
    """How many rows each input has: int32 [inputs]. Dense ones of a type and rank are asked at once: that is one operation."""
    alike: dict[tuple[str, bool], list[Field]] = {}
    found: dict[str, Any] = {}
    for field in fields:
        value = values[field.name]
        if isinstance(value, tf.RaggedTensor):
            found[field.name] = tf.cast(value.nrows(), tf.int32)
        else:
            alike.setdefault((field.dtype, field.listed), []).append(field)
    for some in alike.values():
        shapes = tf.stack(tf.shape_n([values[field.name] for field in some]))[:, 0]
        found |= dict(zip([field.name for field in some], tf.unstack(shapes, len(some)), strict=True))
    return tf.stack([found[field.name] for field in fields])


def _refuse(bad_N: tf.Tensor, fields: Sequence[Field], reason: str, shown_N: tf.Tensor | None = None) -> list[Any]:
    """An operation that fails where one is bad, and names it. Without a condition around what it says, which costs more."""
    said = tf.constant([f" {field.name}" for field in fields])
    if shown_N is not None:
        said = tf.strings.join([said, tf.strings.as_string(shown_N)], separator=" ")
    named = tf.strings.reduce_join(tf.where(bad_N, said, ""))
    return [tf.raw_ops.Assert(condition=~tf.reduce_any(bad_N), data=[reason, named])]


def _same_rows(fields: Sequence[Field], values: Values) -> list[Any]:
    rows_N = _rows(fields, values)
    reason = f"inputs: got another number of rows than {fields[0].name} has, expected as many in each; input and rows:"
    return _refuse(rows_N != rows_N[0], fields, reason, rows_N)


def _one_row(fields: Sequence[Field], values: Values) -> list[Any]:
    rows_N = _rows(fields, values)
    reason = "inputs that are given once: got another number of rows, expected 1 in each; input and rows:"
    return _refuse(rows_N != 1, fields, reason, rows_N)


def _pairs(fields: Sequence[Field]) -> list[tuple[str, Field]]:
    """Each input of weights or times, and that of its ids."""
    return [(field.feature, field) for field in fields if field.role == "weights"]


def _beside(fields: Sequence[Field]) -> list[tuple[str, Field]]:
    """Each list of ids that says more of another one's, and that one."""
    return [(field.beside, field) for field in fields if field.beside is not None]


def _same_lengths(fields: Sequence[Field], values: Values) -> list[Any]:
    return [
        *_as_long(_pairs(fields), values, "weights: got another number than there are ids, expected one for each id; input:"),
        *_as_long(
            _beside(fields), values, "sequences: got lists not as long as those they are beside, expected as long; input:"
        ),
    ]


def _as_long(pairs: Sequence[tuple[str, Field]], values: Values, reason: str) -> list[Any]:
    if not pairs:
        return []
    given = [(values[ids], values[field.name]) for ids, field in pairs]
    if isinstance(given[0][0], tf.RaggedTensor):
        # As many rows each, or the batch is refused as parsed.
        bad_N = ~tf.stack([tf.reduce_all(one.row_splits == other.row_splits) for one, other in given])
    else:
        shapes = [tf.stack(tf.shape_n(column)) for column in zip(*given, strict=True)]
        bad_N = tf.reduce_any(shapes[0] != shapes[1], axis=1)
    return _refuse(bad_N, [field for _, field in pairs], reason)


def _none_missing(fields: Sequence[Field], values: Values) -> list[Any]:
    required = [field for field in fields if field.required]
    if not required:
        return []
    lacking = [values[f.name] == "" if f.role == "id" else tf.math.is_nan(values[f.name]) for f in required]
    reason = "inputs: got a missing value, expected none: the schema says `missing: error`, and no `serving_default`; input:"
    return _refuse(tf.stack([tf.reduce_any(missing_B) for missing_B in lacking]), required, reason)


def _finite(fields: Sequence[Field], values: Values) -> list[Any]:
    made: list[Any] = []
    if numbers := [field for field in fields if field.role == "number"]:
        bad_N = tf.stack([tf.reduce_any(tf.math.is_inf(values[field.name])) for field in numbers])
        made += _refuse(bad_N, numbers, "numbers: got an infinite one, expected finite ones, or NaN where missing; input:")
    if pairs := _pairs(fields):
        bad_N = tf.stack([tf.reduce_any(_bad(values[ids], values[field.name])) for ids, field in pairs])
        made += _refuse(bad_N, [field for _, field in pairs], "weights: got NaN or infinity, expected finite numbers; input:")
    return made


def _bad(ids: Any, weights: Any) -> tf.Tensor:
    """Where an id's weight is no number."""
    if isinstance(ids, tf.RaggedTensor):
        ids, weights = ids.flat_values, weights.flat_values
    return (ids != "") & ~tf.math.is_finite(weights)
