"""Transforms: what is done to a number before the network sees it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from funnel.schema._base import LARGEST, Declared, Positive, Shorthand, problem


class Standardize(Declared):
    """Subtract the mean and divide by the standard deviation, both of the training rows unless declared."""

    kind: Literal["standardize"]
    """(x - mean) / std."""
    mean: float | None = Field(default=None, examples=[12.5])
    """Declared mean. Default: learnt."""
    std: Annotated[float, Field(gt=0)] | None = Field(default=None, examples=[4.0])
    """Declared standard deviation. Default: learnt."""


class Log1p(Declared):
    """sign(x) log(1 + |x|), then standardised: for counts, prices and durations."""

    kind: Literal["log1p"]
    """sign(x) log(1 + |x|), then standardised."""
    mean: float | None = Field(default=None, examples=[2.5])
    """Declared mean of the logarithm. Default: learnt."""
    std: Annotated[float, Field(gt=0)] | None = Field(default=None, examples=[0.8])
    """Declared standard deviation of the logarithm. Default: learnt."""


class Identity(Declared):
    """Take the number as it is."""

    kind: Literal["none"]
    """As it is."""


def _require_ascending(bounds: tuple[float, ...] | None) -> None:
    if any(low >= high for low, high in pairwise(bounds or ())):
        expected = "expected each to be greater than the one before. Sort them."
        raise problem(("boundaries",), f"got {list(bounds or ())}, {expected}")


class Bucketize(Declared):
    """Cut the range into buckets, each with an embedding: for effects that are not straight lines."""

    kind: Literal["bucketize"]
    """Buckets between quantiles or declared boundaries, each with an embedding."""
    buckets: Annotated[int, Field(ge=2, le=10_000)] = 32
    """How many buckets, with as many training rows each as ties allow."""
    boundaries: Annotated[tuple[float, ...], Field(min_length=1)] | None = Field(default=None, examples=[[0, 1, 5, 20, 100]])
    """Declared boundaries, ascending: a bucket holds `boundary <= x < next`. Default: quantiles of the training rows."""
    dim: Positive | None = Field(default=None, examples=[8])
    """Numbers per bucket. Default: `model.embedding_dim`."""

    @model_validator(mode="after")
    def _ascending(self) -> Bucketize:
        _require_ascending(self.boundaries)
        return self


Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class PiecewiseLinear(Declared):
    """How far the number has come through each of some bins: Gorishniy et al., 2022, equation 1.

    A bin below the number's own says 1, one above it 0, its own how much of it lies below the number. The first bin has no
    lower end, nor the last an upper one: beyond them it goes on as a straight line.
    """

    kind: Literal["piecewise_linear"]
    """How far the number has come through each bin."""
    bins: Annotated[int, Field(ge=1, le=10_000)] = 48
    """How many, with as many training rows each as ties allow."""
    boundaries: Annotated[tuple[Finite, ...], Field(min_length=2)] | None = Field(default=None, examples=[[0, 1, 5, 20, 100]])
    """Declared ends of the bins, ascending: one more than there are bins. Default: quantiles of the training rows, from the
    least to the greatest."""
    dim: Positive | None = Field(default=None, examples=[8])
    """Numbers that these become by a linear map of the feature's own: an embedding. Default: they enter as they are, one a
    bin."""

    @model_validator(mode="after")
    def _ascending(self) -> PiecewiseLinear:
        _require_ascending(self.boundaries)
        return self


class Periodic(Declared):
    """Sines and cosines of the standardised number at learnt frequencies, then a layer: Gorishniy et al., 2022, equation 2.

    `relu(W [sin(2 pi c x), cos(2 pi c x)] + b)`, with c, W and b of the feature's own.
    """

    kind: Literal["periodic"]
    """Sines and cosines at learnt frequencies, then a layer."""
    frequencies: Positive = 48
    """How many: numbers in c."""
    sigma: Annotated[float, Field(gt=0)] = 0.1
    """Standard deviation of c's first values. What matters most: too large is far worse than too small. Among the paper's data
    sets the best one is below .05 for a third, below .2 for a half, below 1 for four of five."""
    dim: Positive | None = Field(default=None, examples=[8])
    """Numbers that come out: an embedding. Default: `model.embedding_dim`."""
    mean: float | None = Field(default=None, examples=[12.5])
    """Declared mean. Default: learnt."""
    std: Annotated[float, Field(gt=0)] | None = Field(default=None, examples=[4.0])
    """Declared standard deviation. Default: learnt."""


Transform = Annotated[
    Standardize | Log1p | Identity | Bucketize | PiecewiseLinear | Periodic,
    Field(discriminator="kind"),
    Shorthand("standardize"),
]
