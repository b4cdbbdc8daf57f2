"""A layer of the user's own as a part of a body: made, given all inputs joined, and held to what it must give.

Shapes: B facts, K numbers that enter, U units.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

from funnel.errors import SchemaError
from funnel.model._keras import keras, tf
from funnel.model.layers import Inputs, joined
from funnel.schema.custom import UnusableError, arguments, found, require_layer, require_usable
from funnel.schema.model import Custom

AROUND = re.compile(r"Exception encountered when calling layer .*?\n\n|\n\nCall arguments received by layer.*", re.DOTALL)
ROWS = 3  # of the batch that a layer is tried on: none of its shapes is 1 by chance


class CustomPart(keras.layers.Layer):
    """Holds the user's layer.

    Args:
        declared: Where it is, and its arguments.
        seed: Of its first weights: for its argument `seed`, and for initialisers without one.

    Raises:
        SchemaError: There is no such layer, or it cannot be made.
    """

    def __init__(self, declared: Custom, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._where, self._seed = f"model.body: {declared.layer}", seed
        with _seeded(seed):
            self.layer = _made(declared, seed, self._where)
        self._trains = "training" in signature(self.layer.call).parameters

    def build(self, shapes: Any) -> None:
        """Create the layer's variables, and see what it gives.

        Raises:
            SchemaError: It fails, or gives something else than float32 [B, U].
        """
        try:
            self._try(sum(int(shape[-1]) for shape in shapes))
        except SchemaError as error:
            # Else Keras would put around it what it knows of the call.
            error._keras_call_info_injected = True  # type: ignore[attr-defined]
            raise

    def _try(self, width: int) -> None:
        with _seeded(self._seed):
            try:
                tried = self._of(tf.zeros([ROWS, width]), training=False)
                # As the exported model has it: for any number of rows.
                traced = tf.function(lambda inputs: self._of(inputs, training=False), autograph=False)
                shown = traced.get_concrete_function(tf.TensorSpec([None, width])).structured_outputs
            except Exception as error:
                raise SchemaError(
                    f"{self._where}: failed on float32 [{ROWS}, {width}], expected it to take all inputs joined: {_said(error)}"
                    ". Mend the layer."
                ) from error
        self._require_numbers(tried, [ROWS, None])
        self._require_numbers(shown, [None, None])
        if self.layer.losses:
            raise SchemaError(
                f"{self._where}: got {len(self.layer.losses)} losses of its own (a regularizer, or `add_loss`), expected none: "
                "what is minimised is the objective. Remove them."
            )

    def call(self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,), training: bool = False) -> Inputs:
        """What `StarDense` takes, and gives: one part [B, U]."""
        return (self._of(joined(parts, index), training=training),), (None,)

    def _of(self, inputs_BK: tf.Tensor, *, training: bool) -> tf.Tensor:
        return self.layer(inputs_BK, training=training) if self._trains else self.layer(inputs_BK)

    def _require_numbers(self, given: Any, shape: list[int | None]) -> None:
        if not tf.is_tensor(given) or isinstance(given, tf.RaggedTensor | tf.SparseTensor):
            raise SchemaError(
                f"{self._where}: gives {type(given).__name__}, expected one tensor, float32 [B, U]. Mend its `call`."
            )
        got = f"{given.dtype.name} {given.shape}"
        fits = given.dtype == tf.float32 and given.shape.rank == 2 and given.shape[1] is not None
        if not fits or (shape[0] is not None and given.shape[0] != shape[0]):
            raise SchemaError(
                f"{self._where}: gives {got} for {shape[0] or 'any number of'} rows, expected float32 [{shape[0] or 'B'}, U], "
                "a row for each row, and U known. Mend its `call`."
            )


def _made(declared: Custom, seed: int, where: str) -> Any:
    try:
        source = found(declared.layer, declared.folders)
        require_usable(source, declared.config)
        given = dict(declared.config)
        if "seed" in (arguments(source.make)[0] or ()):
            given.setdefault("seed", seed)
        try:
            layer = source.make(**given)
        except Exception as error:
            shown = ", ".join(f"{key}={value!r}" for key, value in declared.config.items())
            raise UnusableError("config", f"{source.name}({shown}) failed: {_said(error)}. Correct it.") from error
        require_layer(type(layer), source.name if isinstance(source.make, type) else f"what {source.name} returns")
    except UnusableError as error:
        raise SchemaError(f"{where}: {error}") from error.__cause__
    return layer


def _said(error: Exception) -> str:
    """What an error says, without what Keras puts around it."""
    said = AROUND.sub("", str(error))
    return f"{type(error).__name__}: {' '.join(said.split())}".rstrip(".")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Initialisers of Keras that are without a seed draw one from Python's generator."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
