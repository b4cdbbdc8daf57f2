"""Products of inputs: cross layers, factorization machines, dot products of embeddings.

Shapes: B facts, N rows of a source, K numbers that enter, F embeddings of D numbers each, C numbers that are not embedded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from funnel.model._keras import keras, tf
from funnel.model.layers import Inputs, StarDense, joined, take


class Fields(NamedTuple):
    """What a source has, before it is put side by side.

    Attributes:
        embeddings: By width: float32 [N, its features * width].
        numbers: float32 [N, C]; None without any.
        of_fact: The row of each fact, int32 [B]; None where its rows are the facts.
    """

    embeddings: Mapping[int, tf.Tensor]
    numbers: tf.Tensor | None
    of_fact: tf.Tensor | None


class CrossNetwork(keras.layers.Layer):
    """Cross layers, `x * (W x_l + b) + x_l`: Wang et al., 2021 (DCN V2), equations 1 and 2.

    Args:
        layers: How many.
        rank: Of W; None for all of it.
        seed: Of the first weights.
    """

    def __init__(self, layers: int, rank: int | None, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._layers, self._rank, self._seed = layers, rank, seed
        self.down: list[StarDense] = []
        self.cross: list[StarDense] = []

    def build(self, shapes: Any) -> None:
        """Create the layers, as wide as what enters."""
        width = sum(int(shape[-1]) for shape in shapes)
        for place in range(self._layers):
            first, second = (keras.initializers.GlorotUniform(seed=self._seed * 1009 + 2 * place + half) for half in range(2))
            if self._rank is not None:
                self.down.append(StarDense(self._rank, first, use_bias=False))
            self.cross.append(StarDense(width, second))
            self.cross[-1].of_inputs = (0, 1) if self._rank is None else (1,)

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """Its layers with weights, by name; whether an axis of its kernel is the inputs: crosses keep their places."""
        for place, cross in enumerate(self.cross):
            if self.down:
                yield f"down_{place}", self.down[place], True
            yield f"cross_{place}", cross, True

    def call(self, parts: Sequence[tf.Tensor], index: Sequence[tf.Tensor | None] = (None,)) -> Inputs:
        """What `StarDense` takes, and gives: one part [B, K]."""
        first_BK = last_BK = joined(parts, index)
        for place, cross in enumerate(self.cross):
            # The first product needs each row of a dimension once.
            enter: Inputs = (parts, index) if place == 0 else ((last_BK,), (None,))
            if self.down:
                enter = (self.down[place](*enter),), (None,)
            last_BK = first_BK * cross(*enter) + last_BK
        return (last_BK,), (None,)


class CommonWidth(keras.layers.Layer):
    """Makes embeddings as wide as each other, by a matrix for each width: Ginart et al., 2019 (mixed dimension embeddings).

    Args:
        widths: Of the embeddings.
        dim: D. Embeddings that are so wide stay as they are.
        seed: Of the first weights.
    """

    def __init__(self, widths: Sequence[int], dim: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dim = dim
        self.kernels = {
            str(width): self.add_weight(
                name=f"kernel_{width}",
                shape=[width, dim],
                initializer=keras.initializers.GlorotUniform(seed=seed * 1009 + width),
            )
            for width in sorted(widths)
            if width != dim
        }

    def call(self, embeddings: Mapping[int, tf.Tensor]) -> tf.Tensor | None:
        """float32 [N, F, D]; None without any."""
        each = []
        for width, rows in embeddings.items():
            rows_NFW = tf.reshape(rows, [-1, rows.shape[1] // width, width])
            each.append(rows_NFW if width == self._dim else tf.einsum("nfw,wd->nfd", rows_NFW, self.kernels[str(width)]))
        return tf.concat(each, axis=1) if len(each) > 1 else each[0] if each else None


class FactorizationMachine(keras.layers.Layer):
    """The sum of the products of all pairs of embeddings: Rendle, 2010; as a vector, He & Chua, 2017.

    A number takes part as itself times a vector that is learnt. Sums are made where rows are distinct, and then gathered.

    Args:
        widths: Of the embeddings.
        dim: D.
        numbers: C of all sources.
        seed: Of the first vectors.
    """

    def __init__(self, widths: Sequence[int], dim: int, numbers: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.common = CommonWidth(widths, dim, seed)
        if numbers:
            initializer = keras.initializers.GlorotUniform(seed=seed * 1009)
            self.vectors = self.add_weight(name="vectors", shape=[numbers, dim], initializer=initializer)

    def call(self, fields: Sequence[Fields]) -> tf.Tensor:
        """float32 [B, D]."""
        sums, squares, begin = [], [], 0
        for embeddings, numbers, index in fields:
            sum_ND, square_ND = 0.0, 0.0
            if (each_NFD := self.common(embeddings)) is not None:
                sum_ND, square_ND = tf.reduce_sum(each_NFD, axis=1), tf.reduce_sum(each_NFD * each_NFD, axis=1)
            if numbers is not None:
                vectors_CD = self.vectors[begin : begin + numbers.shape[1]]
                begin += numbers.shape[1]
                sum_ND += tf.matmul(numbers, vectors_CD)
                square_ND += tf.matmul(numbers * numbers, vectors_CD * vectors_CD)
            sums.append(sum_ND if index is None else take(sum_ND, index))
            squares.append(square_ND if index is None else take(square_ND, index))
        sum_BD = tf.add_n(sums)
        return 0.5 * (sum_BD * sum_BD - tf.add_n(squares))


class DotProducts(keras.layers.Layer):
    """Dot products of all pairs of embeddings; numbers are one more, a linear function of them: Naumov et al., 2019 (DLRM).

    Args:
        widths: Of the embeddings.
        dim: D.
        seed: Of the first weights.
    """

    def __init__(self, widths: Sequence[int], dim: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dim = dim
        self.common = CommonWidth(widths, dim, seed)
        self.numbers = StarDense(dim, keras.initializers.GlorotUniform(seed=seed * 1009))

    def call(self, fields: Sequence[Fields]) -> tf.Tensor:
        """float32 [B, F (F - 1) / 2], F with that of the numbers."""
        each = []
        for embeddings, _, index in fields:
            if (rows_NFD := self.common(embeddings)) is not None:
                each.append(rows_NFD if index is None else tf.gather(rows_NFD, index))
        numbers = [(one.numbers, one.of_fact) for one in fields if one.numbers is not None]
        if numbers:
            dense_BD = self.numbers([rows for rows, _ in numbers], [index for _, index in numbers])
            each.append(dense_BD[:, tf.newaxis])
        each_BFD = tf.concat(each, axis=1)
        count = each_BFD.shape[1]
        products = tf.reshape(tf.matmul(each_BFD, each_BFD, transpose_b=True), [-1, count * count])
        rows, columns = np.tril_indices(count, -1)
        return tf.gather(products, tf.constant(rows * count + columns, tf.int32), axis=1)
