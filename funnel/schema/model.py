"""The network: a choice that depends on neither the stages nor the objective."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from funnel.schema._base import Declared, Positive, Shorthand, plain, problem
from funnel.schema.activation import Activation
from funnel.schema.domain import NamedDomain
from funnel.schema.transfer import NoTransfer, Transfer

Norm = Literal["batch", "layer"]
Plain = Annotated[Any, BeforeValidator(plain)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class SharedBottom(Declared):
    """Embeddings (and maybe some layers) shared by all towers: Ma et al., 2018 (ESMM)."""

    kind: Literal["shared_bottom"]
    """Shared embeddings, then shared layers where `units` names some."""
    units: tuple[Positive, ...] = Field(default=(), examples=[[128]])
    """Widths of shared layers between the embeddings and the towers. None, as in the paper."""
    activation: Activation = "relu"
    """What follows each shared layer."""
    dropout: Dropout = 0.0
    """Share of the shared layers' outputs dropped while training."""


class Dcn(Declared):
    """Explicit crosses of inputs, one degree more with each layer: Wang et al., 2021 (DCN V2)."""

    kind: Literal["dcn"]
    """Cross layers: `x * (W x_l + b) + x_l`, with x all inputs."""
    layers: Positive = 2
    """How many: inputs are crossed up to this degree and one more."""
    rank: Positive | None = Field(default=None, examples=[64])
    """W as a product of two matrices, of so many columns and rows; a quarter of the inputs' width often serves. None: whole."""


class Fm(Declared):
    """Products of all pairs of embeddings, added up, beside the inputs: the interactions of DeepFM (Guo et al., 2017).

    Kept as a vector, as by He & Chua, 2017 (NFM), so that each stage weighs them in its own way.
    """

    kind: Literal["fm"]
    """The first of a body. A number takes part by a vector of its own; other widths of embeddings by a matrix for each."""


class Dot(Declared):
    """Dot products of all pairs of embeddings, beside the inputs: Naumov et al., 2019 (DLRM)."""

    kind: Literal["dot"]
    """The first of a body. Numbers take part as one vector, a linear function of them; other widths by a matrix for each."""


class Mmoe(Declared):
    """Experts that all stages share, mixed by a gate of each stage's own: Ma et al., 2018 (MMoE)."""

    kind: Literal["mmoe"]
    """The last of a body: each stage gets what its gate makes of the experts."""
    experts: Positive = 4
    """How many."""
    units: Annotated[tuple[Positive, ...], Field(min_length=1)] = (64,)
    """Widths of the layers of an expert."""
    activation: Activation = "relu"
    """What follows each layer of an expert."""
    dropout: Dropout = 0.0
    """Share of each layer's outputs dropped while training."""


class Ple(Declared):
    """Levels of shared and of own experts, mixed by gates: Tang et al., 2020 (PLE; with one level, CGC)."""

    kind: Literal["ple"]
    """The last of a body: each stage gets what its gates make of its own experts and of the shared ones."""
    levels: Positive = 2
    """How often experts are mixed and the mixture given to further experts."""
    shared: Positive = 2
    """Experts of a level that all stages share."""
    own: Positive = 1
    """Experts of a level that each stage has alone."""
    units: Annotated[tuple[Positive, ...], Field(min_length=1)] = (64,)
    """Widths of the layers of an expert."""
    activation: Activation = "relu"
    """What follows each layer of an expert."""
    dropout: Dropout = 0.0
    """Share of each layer's outputs dropped while training."""


class Custom(Declared):
    """A layer of your own, of tf_keras: all inputs joined, float32 [B, K], become what the towers stand on, float32 [B, U]."""

    kind: Literal["custom"]
    """Anywhere in a body but after `mmoe` and `ple`."""
    layer: str = Field(examples=["layers.py:GatedUnits"])
    """Where it is: `my_package.layers:MyBody`, or a file, `layers.py:MyBody`; a class, or a function that returns a layer.
    Looked for in the schema's folder and the current one, too."""
    config: dict[str, Plain] = Field(default={}, examples=[{"units": 32}])
    """Its arguments, by name. One that is called `seed` gets the fit's, unless it is given here."""

    _folders: tuple[Path, ...] = PrivateAttr(default=())

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where it is looked for beside the current folder: that of the file which the schema was read from."""
        return self._folders

    def look_in(self, *folders: Path) -> None:
        """Have it looked for in these folders; they are no part of the declaration."""
        self._folders = folders


Part = Annotated[SharedBottom | Dcn | Fm | Dot | Mmoe | Ple | Custom, Field(discriminator="kind"), Shorthand("shared_bottom")]
Parts = Annotated[tuple[Part, ...], Field(min_length=1)]


def _tag(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Body = Annotated[Annotated[Part, Tag("one")] | Annotated[Parts, Tag("several")], Discriminator(_tag)]


class Tower(Declared):
    """A stage's own layers, ending in its conditional logit."""

    units: tuple[Positive, ...] = (128, 64)
    """Widths of the layers; none makes a stage a linear function of the body's output."""
    activation: Activation = "relu"
    """What follows each layer."""
    dropout: Dropout = 0.0
    """Share of each layer's outputs dropped while training."""
    norm: Norm | None = Field(default=None, examples=["batch"])
    """What each layer's outputs are brought to one scale by before the activation: over the batch, or over the layer."""


class OtherTower(Declared):
    """What is other in a stage's tower than in `tower`."""

    units: tuple[Positive, ...] | None = Field(default=None, examples=[[32]])
    """Widths of the layers. By default as in `tower`, as are the others."""
    activation: Activation | None = Field(default=None, examples=["prelu"])
    """What follows each layer."""
    dropout: Dropout | None = Field(default=None, examples=[0.5])
    """Share of each layer's outputs dropped while training."""
    norm: Norm | Literal["none"] | None = Field(default=None, examples=["none"])
    """What each layer's outputs are brought to one scale by."""


class Model(Declared):
    """The network: embeddings, a shared body, and a tower per stage."""

    embedding_dim: Positive = 16
    """Numbers per embedding, where a table or feature declares none."""
    embedding_scale: Annotated[float, Field(ge=0)] = 0.01
    """Standard deviation of the embeddings' first values; rows for missing and unknown ids start at zero."""
    share_embeddings: bool = True
    """Whether all stages look up the same tables, below the same body; else each has its own (ESMM-NS in Ma et al., 2018)."""
    body: Body = Field(default=SharedBottom(kind="shared_bottom"), examples=[["dot", "dcn", {"kind": "mmoe", "experts": 4}]])
    """The part that all stages share: one, or a list, each of which gets what the one before it gives."""
    tower: Tower = Field(default=Tower(), examples=[{"units": [200, 80], "activation": "prelu"}])
    """Each stage's own part."""
    towers: dict[str, OtherTower] = Field(default={}, examples=[{"buy": {"units": [32]}}])
    """By stage: what is other in its tower."""
    transfer: Transfer = Field(default=NoTransfer(kind="none"), examples=["aitm"])
    """What goes from a stage's tower to that of the stage given it, and whether what is learnt goes back."""
    domain: NamedDomain | None = Field(default=None, examples=["scenario"])
    """What says which domain a row is of, such as a feed or a search page, and how the network adapts to it. Metrics then are
    by domain, too."""

    @property
    def custom(self) -> dict[tuple[str | int, ...], Custom]:
        """The parts of the body that are the user's own, by where they stand below `model`."""
        places = ((("body", place) if isinstance(self.body, tuple) else ("body",)) for place in range(len(self.parts)))
        return {place: part for place, part in zip(places, self.parts, strict=True) if isinstance(part, Custom)}

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where these are looked for beside the current folder."""
        return next((part.folders for part in self.custom.values()), ())

    @property
    def parts(self) -> tuple[Part, ...]:
        """Of the body, in the order in which inputs go through them."""
        return self.body if isinstance(self.body, tuple) else (self.body,)

    def tower_of(self, stage: str) -> Tower:
        """The tower of a stage."""
        if stage not in self.towers:
            return self.tower
        own = self.towers[stage].model_dump(exclude_none=True)
        if own.get("norm") == "none":
            own["norm"] = None
        return self.tower.model_copy(update=own)

    @model_validator(mode="after")
    def _order(self) -> Model:
        for place, part in enumerate(self.parts):
            if isinstance(part, Fm | Dot) and place > 0:
                raise problem(("body", place), f"got {part.kind!r} after another, expected it first: it needs the embeddings.")
            if isinstance(part, Mmoe | Ple) and place < len(self.parts) - 1:
                raise problem(
                    ("body", place), f"got {part.kind!r} before another, expected it last: it gives each stage something else."
                )
        return self
