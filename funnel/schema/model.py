"""The network: a choice that depends on neither the stages nor the objective."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from funnel.schema._base import Declared, Positive, Shorthand

Activation = Literal["relu", "prelu", "gelu", "elu", "selu", "swish", "tanh", "sigmoid"]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class SharedBottom(Declared):
    """Embeddings (and maybe some layers) shared by all towers: Ma et al., 2018 (ESMM)."""

    kind: Literal["shared_bottom"]
    """Shared embeddings, then shared layers where `units` names some."""
    units: tuple[Positive, ...] = ()
    """Widths of shared layers between the embeddings and the towers. None, as in the paper."""
    activation: Activation = "relu"
    """What follows each shared layer."""
    dropout: Dropout = 0.0
    """Share of the shared layers' outputs dropped while training."""


Body = Annotated[SharedBottom, Shorthand("shared_bottom")]


class Tower(Declared):
    """A stage's own layers, ending in its conditional logit."""

    units: tuple[Positive, ...] = (128, 64)
    """Widths of the layers; none makes a stage a linear function of the body's output."""
    activation: Activation = "relu"
    """What follows each layer."""
    dropout: Dropout = 0.0
    """Share of each layer's outputs dropped while training."""


class Model(Declared):
    """The network: embeddings, a shared body, and a tower per stage."""

    embedding_dim: Positive = 16
    """Numbers per embedding, where a table or feature declares none."""
    embedding_scale: Annotated[float, Field(ge=0)] = 0.01
    """Standard deviation of the embeddings' first values; rows for missing and unknown ids start at zero."""
    share_embeddings: bool = True
    """Whether all stages look up the same tables, below the same body; else each has its own (ESMM-NS in Ma et al., 2018)."""
    body: Body = SharedBottom(kind="shared_bottom")
    """The part that all stages share."""
    tower: Tower = Tower()
    """Each stage's own part."""
