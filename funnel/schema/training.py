"""How the model is fitted and judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from funnel.schema._base import Declared, Name, Positive, Shorthand

Rate = Annotated[float, Field(gt=0)]


class Adagrad(Declared):
    """Adagrad (Duchi et al., 2011): touches only the rows that a batch uses."""

    kind: Literal["adagrad"]
    """Row-sparse Adagrad."""
    learning_rate: Rate = 0.05
    """Step size."""
    initial_accumulator: Rate = 0.1
    """What each squared-gradient sum starts from: the larger, the gentler the first steps of a row."""


class Adam(Declared):
    """Adam (Kingma & Ba, 2015)."""

    kind: Literal["adam"]
    """Adam."""
    learning_rate: Rate = 0.001
    """Step size."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the gradient's mean."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the squared gradient's mean."""


class RowWiseAdagrad(Declared):
    """Adagrad with one accumulator for each row of a table: its state takes a fraction of the memory (Naumov et al., 2019)."""

    kind: Literal["rowwise_adagrad"]
    """Row-wise Adagrad."""
    learning_rate: Rate = 0.05
    """Step size."""
    initial_accumulator: Rate = 0.1
    """What each row's sum of mean squared gradients starts from: the larger, the gentler its first steps."""


class Sgd(Declared):
    """Plain gradient steps."""

    kind: Literal["sgd"]
    """Gradient descent."""
    learning_rate: Rate = 0.01
    """Step size."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the last step that is repeated."""


class KerasOptimizer(Declared):
    """Any optimiser that Keras has."""

    kind: Literal["keras"]
    """One of `tf.keras.optimizers`."""
    name: str = Field(examples=["AdamW"])
    """Its class: AdamW, Lion, Nadam, RMSprop ..."""
    learning_rate: Rate = 0.001
    """Step size."""
    options: dict[str, bool | int | float] = Field(default={}, examples=[{"weight_decay": 0.004}])
    """What else it takes: {weight_decay: 0.004}."""


TableOptimizer = Annotated[Adagrad | RowWiseAdagrad | Adam | Sgd, Field(discriminator="kind"), Shorthand("adagrad")]
DenseOptimizer = Annotated[Adam | Adagrad | Sgd | KerasOptimizer, Field(discriminator="kind"), Shorthand("adam")]


class Optimizer(Declared):
    """One optimiser for the embedding tables, one for all else."""

    embedding: TableOptimizer = Field(
        default=Adagrad(kind="adagrad"), examples=[{"kind": "rowwise_adagrad", "learning_rate": 0.02}]
    )
    """For embedding tables. All leave unused rows alone (Adam is the lazy one): a step costs the same however large the
    vocabulary."""
    dense: DenseOptimizer = Field(default=Adam(kind="adam"), examples=[{"kind": "adam", "learning_rate": 0.0005}])
    """For body and towers."""


class L2(Declared):
    """What weights cost beside the objective, so that those with little to learn from stay small: their squares."""

    embedding: Annotated[float, Field(ge=0)] = 0.0
    """Times the squares of the embeddings that an impression looks up (of a bag, as far as each counts in it), in the mean over
    a step's impressions. Rows that a step does not read stay as they are."""
    dense: Annotated[float, Field(ge=0)] = 0.0
    """Times the squares of the kernels of body and towers; not of biases, slopes and norms."""


class EarlyStopping(Declared):
    """Stop when the validation rows stop improving; the best epoch's weights are kept."""

    stages: tuple[Name, ...] | None = Field(default=None, examples=[["click"]])
    """The stages whose mean metric decides. Default: all."""
    metric: Literal["log_loss", "auc"] = "log_loss"
    """What is compared, for cumulative probabilities over all validation rows."""
    patience: Annotated[int, Field(ge=0)] = 1
    """Epochs without improvement that are still waited for."""


class ByGroup(Declared):
    """Groups in random order, the facts of one together."""

    kind: Literal["group"]
    """Facts of one dimension row stay together: the cheapest batches, and the least mixed ones."""


class ByWindow(Declared):
    """Groups in random order, then facts in random order within windows."""

    kind: Literal["window"]
    """Facts are mixed within windows of many groups."""
    rows: Positive = 1 << 15
    """Facts of a window, rounded up to whole batches; fewer rows than these are mixed as by `row`."""


class ByRow(Declared):
    """All facts in random order."""

    kind: Literal["row"]
    """No two facts need share a group: the best mixed batches, and the dearest ones."""


Shuffle = Annotated[ByGroup | ByWindow | ByRow, Field(discriminator="kind"), Shorthand("window")]


class Checkpoints(Declared):
    """What a stopped fit goes on from: `funnel fit --resume`."""

    minutes: Annotated[float, Field(gt=0)] | None = 10.0
    """Written so many minutes after the last one; `null` does not look at the clock."""
    steps: Positive | None = Field(default=None, examples=[5000])
    """Written each so many steps, too. One is also written after each epoch, and where a fit is interrupted."""
    keep: Positive = 2
    """The newest ones that are kept, beside the best epoch's weights."""


Strategy = Literal["auto", "one_device", "mirrored", "multi_worker", "parameter_server"]


class Train(Declared):
    """The fit."""

    batch_size: Positive = 2048
    """Impressions in a step, of all replicas together."""
    epochs: Positive = 5
    """Passes over the training rows, at most."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the order of the rows, and of the first weights."""
    shuffle: Shuffle = Field(default=ByWindow(kind="window"), examples=[{"kind": "window", "rows": 131072}])
    """The order of an epoch: a pure function of seed and epoch."""
    optimizer: Optimizer = Field(default=Optimizer(), examples=[{"embedding": "rowwise_adagrad"}])
    """The optimisers."""
    l2: L2 = Field(default=L2(), examples=[{"embedding": 0.0001}])
    """What large weights cost."""
    early_stopping: EarlyStopping | None = Field(default=EarlyStopping(), examples=[{"metric": "auc", "patience": 2}])
    """When to stop. Needs validation rows; `null` runs all epochs and keeps the last."""
    checkpoint: Checkpoints | None = Field(default=Checkpoints(), examples=[{"minutes": 30}])
    """When the state of the fit is written, to go on from; `null` never writes it."""
    strategy: Strategy = "auto"
    """Where it is fitted. `auto`: on the cluster that the environment's `TF_CONFIG` describes, else on all GPUs of the machine,
    or its CPU. `one_device`: a GPU or the CPU. `mirrored`: all GPUs, in step. `multi_worker`: the workers of `TF_CONFIG`, in
    step, each with all weights. `parameter_server`: its workers, each at its own pace, with tables that its servers share
    out."""
    lanes: Positive | None = Field(default=None, examples=[4])
    """Into how many parts the rows of an epoch are dealt, each step taking as many of each. Default: one for each replica that
    learns in step. A fit with as many lanes learns the same on one machine as on several."""
    profile: bool = False
    """Write a TensorBoard profile of steps 10 to 30 into the run's `logs`."""


class Evaluate(Declared):
    """The report."""

    group_by: Name | None = Field(default=None, examples=["user_id"])
    """A categorical feature (say the user id): adds the mean AUC within its groups, weighted by their rows."""
    slices: tuple[Name, ...] = Field(default=(), examples=[["scenario", "hour"]])
    """Categorical or numeric features (say the scenario) by whose values the rows are parted: the report judges each part."""
    batch_size: Positive = 16_384
    """Impressions predicted at a time; changes nothing but memory and speed."""
