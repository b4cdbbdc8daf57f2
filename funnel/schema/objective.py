"""What is minimised, and over which rows: a choice that depends on neither the stages nor the network.

Notation, here and in `docs/objectives.md`: y is a stage's label, z the logit of its conditional, L that of its cumulative, and
CE(y, z) = softplus(z) - y z. D are all rows, O those that the conditional is about, N the others; o^ = P(O | x).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from funnel.schema._base import Declared, Name, Shorthand, problem, require_known
from funnel.schema.topology import Place, Topology

Weight = Annotated[float, Field(ge=0)]
Clip = Annotated[float, Field(gt=0, lt=1)]
Weights = Annotated[
    Annotated[dict[Name, Weight], Tag("by stage")] | Annotated[Literal["uncertainty"], Tag("learnt")],
    # So that one of the two is complained of, not both.
    Discriminator(lambda given: "learnt" if isinstance(given, str) else "by stage"),
]


class _Objective(Declared):
    """What all have in common."""

    twins: ClassVar[bool] = False
    """Whether each stage given another has a second tower, which only training uses."""
    propensities: ClassVar[bool] = False
    """Whether a stage's loss takes P(its rows | x) from the stages above it."""
    cumulative: ClassVar[bool] = False
    """Whether there is a loss of each cumulative label over all rows: it also teaches the towers above a stage."""

    weights: Weights = Field(default={}, examples=[{"click": 1, "buy": 2}])
    """A factor on a stage's loss (default: 1 each), or `uncertainty`: each is learnt as the inverse of the loss's own scale
    (Kendall et al., 2018)."""


class Esmm(_Objective):
    """Cross-entropy of each stage's cumulative label over all rows: Ma et al., 2018, equation 4, for N stages.

    1/|D| sum_D CE(y, L)
    """

    cumulative = True

    kind: Literal["esmm"]
    """Cross-entropy of every cumulative label over all rows."""


class ParentSpace(_Objective):
    """Each conditional on the rows of its parent alone: what Ma et al., 2018, call BASE.

    1/|O| sum_O CE(y, z)
    """

    kind: Literal["parent_space"]
    """Cross-entropy of every conditional label over its parent's rows."""


class Aman(_Objective):
    """Each conditional on its parent's rows, and on all others as negatives (all missing as negative: Pan et al., 2008).

    [sum_O CE(y, z) + rate sum_N CE(0, z)] / (|O| + rate |N|)
    """

    kind: Literal["aman"]
    """The rows without the parent are negatives, too."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What share of them counts. Each is weighted by it, which is what sampling them comes to in the mean."""


class Oversampling(_Objective):
    """Each conditional on its parent's rows, positives many times over (Weiss, 2004). Its probabilities are too high.

    sum_O factor^y CE(y, z) / sum_O factor^y
    """

    kind: Literal["oversampling"]
    """Positives of stages given another count several times."""
    factor: Annotated[float, Field(ge=1)] = 5.0
    """How many times."""


class Unbias(_Objective):
    """Each conditional on its parent's rows, of which those that were likely to be there are rejected (Zhang et al., 2016).

    sum_O a CE(y, z) / sum_O a, with a = min(1, clip / o^)
    """

    propensities = True

    kind: Literal["unbias"]
    """Rejection sampling by the propensity."""
    clip: Clip | None = Field(default=None, examples=[0.02])
    """The propensity up to which every row is accepted; others are with the chance `clip / propensity`, and weighted by it.
    Default: a tenth of the mean, the share of the training rows that are the parent's."""


class Division(_Objective):
    """Each tower is a cumulative, learnt from all rows; a conditional is the quotient of two (DIVISION in Ma et al., 2018).

    1/|D| sum_D CE(y, L), where L is what the tower says
    """

    kind: Literal["division"]
    """Cumulatives are learnt, and conditionals divided."""


class _Counterfactual(_Objective):
    """The conditional's risk over all rows, as if every row had come so far, beside the cumulative's risk."""

    propensities = True
    cumulative = True

    clip: Clip | None = Field(default=None, examples=[0.02])
    """The least propensity that a row is divided by. Default: a tenth of the mean, the share of the training rows that are the
    parent's."""
    self_normalize: bool = True
    """Divide by the sum of the inverse propensities, and not by the number of rows: less variance for a little bias."""
    counterfactual_weight: Weight = 1.0
    """Factor on the risk of the conditionals over all rows."""
    entire_space_weight: Weight = 1.0
    """Factor on the cross-entropy of the cumulatives of stages given another, over all rows."""


class Ips(_Counterfactual):
    """Inverse propensity scores: ESCM2-IPS (Wang et al., 2022).

    1/|D| sum_O CE(y, z) / o^ + 1/|D| sum_D CE(y, L), each with its factor
    """

    kind: Literal["ips"]
    """Each row of the parent stands for all that are like it."""


class Dr(_Counterfactual):
    """Doubly robust: errors that a second tower imputes, corrected where labels are known: ESCM2-DR (Wang et al., 2022).

    1/|D| sum_D e^ + 1/|D| sum_O [e - e^ + (e - e^)^2] / o^ + 1/|D| sum_D CE(y, L), with e = CE(y, z) and e^ = CE(q, z), q what
    the second tower guesses (Wang et al., 2019, DR-JL)
    """

    twins = True

    kind: Literal["dr"]
    """As `ips`, with imputed errors for all rows."""
    imputation_weight: Weight = 1.0
    """Factor on the loss of the imputation."""


class Dcmt(_Counterfactual):
    """Factual and counterfactual towers over all rows (DCMT: Zhu et al., 2023).

    1/|D| [sum_O CE(y, z) / o^ + sum_N CE(1, z*) / (1 - o^)] + constraint/|D| sum_D |1 - p - p*| + 1/|D| sum_D CE(y, L), with p*
    the second tower's probability and z* its logit
    """

    twins = True

    kind: Literal["dcmt"]
    """A second tower learns the mirrored label of the rows without the parent."""
    constraint: Weight = 0.001
    """Factor on how far the two towers' probabilities are from adding up to 1."""


Objective = Annotated[
    Esmm | ParentSpace | Aman | Oversampling | Unbias | Division | Ips | Dr | Dcmt,
    Field(discriminator="kind"),
    Shorthand("esmm"),
]
CUMULATIVE = ("esmm", "ips", "dr", "dcmt")  # those under which a stage also teaches the towers before its own
KINDS = ("esmm", "parent_space", "aman", "oversampling", "unbias", "division", "ips", "dr", "dcmt")


def with_losses(objective: Objective, names: Sequence[str], topology: Topology) -> tuple[str, ...]:
    """The stages that have a loss: a join's is that of its cumulative, where there are such losses."""
    return tuple(name for name, place in zip(names, topology, strict=True) if objective.cumulative or not place.is_join)


def loss_space(objective: Objective, place: Place, given: str) -> str:
    """The rows that a stage's loss is about, for people; `given` names the rows of its conditional."""
    if isinstance(objective, Esmm | Division) or not place.is_partial or place.is_join:
        return "all rows"
    match objective:
        case Aman():
            return f"rows of {given}, {objective.rate:.0%} of the others as negatives"
        case Unbias():
            return f"rows of {given}, the likelier ones rejected"
        case Ips() | Dr() | Dcmt():
            return f"rows of {given} weighted to stand for all, and all rows"
        case _:
            return f"rows of {given}"


def require_taught(objective: Objective, names: Sequence[str], topology: Topology, stopped: Collection[int] = ()) -> None:
    """Refuse weights that leave a tower without a loss, or a propensity that nothing has learnt.

    Args:
        objective: What is minimised.
        names: The stages.
        topology: Where each stands.
        stopped: Those of which what is learnt does not reach the towers before theirs.

    Raises:
        PydanticCustomError: With the reason.
    """
    given = objective.weights if isinstance(objective.weights, dict) else {}
    for name in given:
        where = ("objective", "weights", name)
        require_known(where, name, names, "a stage")
        if topology[list(names).index(name)].is_join and not objective.cumulative:
            message = f"{name!r} is a join, which has no loss of its own with {objective.kind!r}. Weigh its branches."
            raise problem(where, message)
    weights = [given.get(name, 1.0) for name in names]
    own_only = not objective.cumulative or getattr(objective, "entire_space_weight", 1.0) == 0
    for stage, (name, place) in enumerate(zip(names, topology, strict=True)):
        teachers = [stage] if own_only else [k for k in range(len(names)) if stage in _path_to(topology, k, stopped)]
        if not place.is_join and not any(weights[k] for k in teachers):
            by = "" if teachers == [stage] else ", nor any stage that is reached through it"
            message = f"nothing teaches {name!r}: its loss has the weight 0{by}. Give one of them a weight above 0."
            raise problem(("objective", "weights", name), message)
        if objective.propensities:
            for above in (k for k in _path_to(topology, stage) - {stage} if not topology[k].is_join and not weights[k]):
                message = (
                    f"{objective.kind!r} divides by P(rows of {name!r}), which takes {names[above]!r}, whose loss has the "
                    "weight 0. Give it a weight above 0."
                )
                raise problem(("objective", "weights", names[above]), message)


def _path_to(topology: Topology, stage: int, stopped: Collection[int] = ()) -> set[int]:
    """The stages whose conditionals a stage's cumulative is made of; without those that gradients do not reach."""
    place = topology[stage]
    found, onward = {stage}, place.branches
    if stage not in stopped:
        found |= set(place.excluded)
        onward = (*onward, *(() if place.parent < 0 else (place.parent,)))
    for other in onward:
        found |= _path_to(topology, other, stopped)
    return found
