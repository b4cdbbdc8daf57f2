"""How the entries of a sequence become one vector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from funnel.schema._base import Declared, Name, Positive, Shorthand
from funnel.schema.activation import Activation


class Mean(Declared):
    """All entries count alike."""

    kind: Literal["mean"]
    """Their mean."""


class Sum(Declared):
    """All entries count alike, and many more than few."""

    kind: Literal["sum"]
    """Their sum."""


class Attention(Declared):
    """Each entry counts by what it has to do with another feature, say the item on offer: Zhou et al., 2018 (DIN).

    A small network sees both embeddings, their difference and their product, and gives the entry's weight; sums of so weighted
    entries are the facts' own.
    """

    kind: Literal["attention"]
    """The sum of the entries, each times what a network makes of it and of the query."""
    query: Name = Field(examples=["item_id"])
    """The categorical feature, of any source, that entries are compared with; its embeddings are as wide as theirs."""
    units: Annotated[tuple[Positive, ...], Field(min_length=1)] = (36,)
    """Widths of the network's layers, before the last one, which gives the weight."""
    activation: Activation = "dice"
    """What follows each of them."""
    normalize: bool = False
    """Whether weights are made to add up to 1, by a softmax. The paper does not, so that a strong interest stays strong."""


class Gru(Declared):
    """A recurrent network reads the entries, the oldest first: Cho et al., 2014 (GRU)."""

    kind: Literal["gru"]
    """What a gated recurrent unit remembers at the end. It reads one entry after another: long sequences take long."""
    units: Positive | None = Field(default=None, examples=[32])
    """How many numbers it remembers. Default: as many as an entry has."""


Pooling = Annotated[Mean | Sum | Attention | Gru, Field(discriminator="kind"), Shorthand("mean")]
