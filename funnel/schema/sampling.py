"""Declared down-sampling: which rows were kept, and how what is learnt from them is put right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from funnel.schema._base import Declared, Name, problem, require_known
from funnel.schema.topology import Place, Topology, with_towers

KeepRate = Annotated[float, Field(gt=0, le=1)]


class Sampling(Declared):
    """Rows that were thrown away before they came here, by the deepest stage that they reached.

    `{impression: 0.025, click: 1}` is short for `{rates: {impression: 0.025, click: 1}}`.
    """

    rates: dict[Name, KeepRate] = Field(examples=[{"impression": 0.025}])
    """By space and stage: the share that was kept of the rows that got so far and no further. Default: 1 each. A row that got
    as far on several branches is kept at the greatest of their rates."""
    correction: Literal["inverse", "weights"] = "inverse"
    """`inverse` learns from the rows as they are, and undoes the sampling exactly in every probability that comes out;
    `weights` lets each row count for all that it stands for while training. Never both."""
    test: bool = False
    """Whether test rows were sampled, too: their scores then count each row for all that it stands for. Those that `data.test`
    holds out of the facts' files were, in any case."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"rates": value} if isinstance(value, dict) and value and "rates" not in value else value


Node = tuple[int, bool]  # a stage, and whether it happened; (-1, True) is the space
ROOT: Node = (-1, True)


def decided_next(topology: Topology, node: Node) -> tuple[int, ...]:
    """The stages with towers that are decided next, once this is known and nothing below it."""
    stage, happened = node
    found = [k for k, place in enumerate(topology) if not place.is_join and place.excluded[-1:] == (stage,) and not happened]
    if happened:
        # What is given a join is given each of its branches.
        parents = _with_joins(topology, stage)
        found += [k for k, place in enumerate(topology) if not (place.is_join or place.excluded) and place.parent in parents]
    return tuple(found)


def below(topology: Topology, stage: int) -> tuple[int, ...]:
    """The stages with towers that only rows with this one can reach."""
    found: set[int] = set()
    for k, place in enumerate(topology):
        parents = _with_joins(topology, stage) | {inner for other in found for inner in _with_joins(topology, other)}
        if not place.is_join and place.parent in parents:
            found.add(k)
    return tuple(sorted(found))


def _with_joins(topology: Topology, stage: int) -> set[int]:
    """A stage, and the joins that happen where it does."""
    found = {stage}
    for k, place in enumerate(topology):
        if found.intersection(place.branches):
            found.add(k)
    return found


def kept_at(sampling: Sampling, space: str, names: Sequence[str]) -> tuple[float, tuple[float, ...]]:
    """The rate of rows that reached no stage, and by stage that of rows that got so far and no further."""
    return sampling.rates.get(space, 1.0), tuple(sampling.rates.get(name, 1.0) for name in names)


def require_sampling(sampling: Sampling, space: str, names: Sequence[str], topology: Topology) -> None:
    """Refuse rates of what is no stage, and an inverse where the rates leave none.

    Raises:
        PydanticCustomError: With the reason.
    """
    towers = [names[stage] for stage in with_towers(topology)]
    for name in sampling.rates:
        where = ("sampling", "rates", name)
        if name in names and name not in towers:
            branches = ", ".join(repr(names[branch]) for branch in topology[list(names).index(name)].branches)
            raise problem(where, f"{name!r} is a join, whose rows are those of its branches ({branches}). Give their rates.")
        require_known(where, name, [space, *towers], "the space or a stage")
    if sampling.correction == "weights":
        return
    for reason in _not_undone(space, names, topology, *kept_at(sampling, space, names)):
        message = f"{reason}. Declare `correction: weights`, or keep these rows alike."
        raise problem(("sampling", "rates"), message)


def _not_undone(space: str, names: Sequence[str], topology: Topology, of_space: float, rates: Sequence[float]) -> Iterator[str]:
    """Why the rates leave no inverse."""
    for name, place, rate in zip((space, *names), (None, *topology), (of_space, *rates), strict=True):
        node = ROOT if place is None else (list(names).index(name), True)
        yield from () if place is not None and place.is_join else _not_alike(names, topology, node, rate, rates)
    for name, place in zip(names, topology, strict=True):
        beyond = [names[other] for other in place.excluded if topology[other].is_join]
        if beyond and set(rates) != {of_space}:
            yield f"{name!r} is `unless` the join {beyond[0]!r}, beyond which rates cannot be undone"
        children = [k for k, one in enumerate(topology) if not one.is_join and one.parent >= 0 and names[one.parent] == name]
        if place.is_join and children and len({rates[k] for k in _towers_of(topology, place)}) > 1:
            yield (
                f"the branches of {name!r} are kept at rates of their own, but {names[children[0]]!r} is given either: its "
                "probability cannot be put right for both"
            )


def _not_alike(names: Sequence[str], topology: Topology, node: Node, rate: float, rates: Sequence[float]) -> Iterator[str]:
    """That several stages may happen to a row of this one, which is kept at another rate after some of them."""
    for one in [node, *_refusals(topology, node)]:
        several = decided_next(topology, one)
        differ = [names[k] for top in several for k in (top, *below(topology, top)) if rates[k] != rate]
        if len(several) > 1 and differ:
            yield (
                f"{' and '.join(repr(names[k]) for k in several)} may both happen to a row, but rows are kept at another rate "
                f"after {differ[0]!r}: how that changes the other's probability is not known"
            )


def _refusals(topology: Topology, node: Node) -> list[Node]:
    """The nodes of a stage's rows on which one stage after another did not happen."""
    found: list[Node] = []
    for k in decided_next(topology, node):
        found += [(k, False), *_refusals(topology, (k, False))]
    return found


def _towers_of(topology: Topology, join: Place) -> list[int]:
    """The branches of a join, those of joins among them in their place."""
    found: list[int] = []
    for branch in join.branches:
        found += _towers_of(topology, topology[branch]) if topology[branch].is_join else [branch]
    return found
