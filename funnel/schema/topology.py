"""Where each stage stands in the tree, and what must have happened, and what must not, before it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from funnel.errors import have
from funnel.schema._base import problem, require_unique
from funnel.schema.stages import Stage

Path = tuple[tuple[int, bool], ...]  # stages one after the other, and whether each happens, given those before it


@dataclass(frozen=True)
class Place:
    """A stage's place among the stages.

    Attributes:
        parent: The stage given; -1 for the space. Of a join, the nearest stage that all its branches are below.
        excluded: Stages with the same parent that must not have happened, in the order in which they are decided.
        branches: Of a join: the stages of which exactly one happens where it does. Else none.
        inside: Of a join: the paths from its parent on which it happens, which exclude each other.
        outside: Of a join: all other paths from its parent.
        shares_label: Whether another stage reads the same column: what it says may be another stage's.
    """

    parent: int
    excluded: tuple[int, ...] = ()
    branches: tuple[int, ...] = ()
    inside: tuple[Path, ...] = ()
    outside: tuple[Path, ...] = ()
    shares_label: bool = False

    @property
    def before(self) -> int:
        """The stage that is decided last before this one: the last that it excludes, else its parent; -1 for none."""
        return self.excluded[-1] if self.excluded else self.parent

    @property
    def is_join(self) -> bool:
        """Whether it happens where one of its branches does."""
        return bool(self.branches)

    @property
    def is_partial(self) -> bool:
        """Whether its conditional is about a part of the rows, and not about all."""
        return self.parent >= 0 or bool(self.excluded)


Topology = tuple[Place, ...]


def with_towers(topology: Topology) -> tuple[int, ...]:
    """The stages that have a tower: all but joins, in their order."""
    return tuple(stage for stage, place in enumerate(topology) if not place.is_join)


def topology_of(space: str, stages: Sequence[Stage]) -> Topology:
    """The place of each stage.

    Raises:
        PydanticCustomError: A stage names itself, a later stage, or nothing that is declared; two are called alike, or read one
            label; one excludes what has another parent, or joins what does not exclude each other.
    """
    require_unique(("stages",), [stage.name for stage in stages], "the stage name")
    places: list[Place] = []
    readers: dict[str, list[int]] = {}
    for position, stage in enumerate(stages):
        if stage.name == space:
            message = f"{space!r} is the name of the space, expected another one. Rename the stage, or `space`."
            raise problem(("stages", position, "name"), message)
        if stage.any_of is not None:
            places.append(_join(stages, places, position))
            continue
        parent = _parent(space, stages, places, position)
        places.append(Place(parent, _excluded(stages, places, position, parent)))
        earlier = readers.setdefault(stage.label or "", [])
        for other in earlier:
            if _split_of(places, [other, position]) is None:
                message = (
                    f"the label {stage.label!r} was already used by stages[{other}], expected each to be different, but for "
                    "stages that exclude each other (`unless`). Change one."
                )
                raise problem(("stages", position, "label"), message)
        earlier.append(position)
    shared = {position for several in readers.values() if len(several) > 1 for position in several}
    return tuple(replace(place, shares_label=position in shared) for position, place in enumerate(places))


def _parent(space: str, stages: Sequence[Stage], places: Sequence[Place], position: int) -> int:
    given, unless = stages[position].given, stages[position].unless
    if given is not None:
        return -1 if given == space else _above(stages, position, ("given",), given, more=[space])
    return position - 1 if unless is None else places[_above(stages, position, ("unless",), unless)].parent


def _above(stages: Sequence[Stage], position: int, where: tuple[str | int, ...], name: str, more: Sequence[str] = ()) -> int:
    """The place of a stage above this one, by its name."""
    above = [other.name for other in stages[:position]]
    if name in above:
        return above.index(name)
    named_later = name in {other.name for other in stages[position:]}
    what = "comes later or is the stage itself, expected a stage above it" if named_later else "is not a stage above it"
    raise problem(("stages", position, *where), f"{name!r} {what} {have(name, [*more, *above])}")


def _excluded(stages: Sequence[Stage], places: Sequence[Place], position: int, parent: int) -> tuple[int, ...]:
    unless = stages[position].unless
    if unless is None:
        return ()
    other = _above(stages, position, ("unless",), unless)
    if places[other].parent != parent:
        siblings = [stage.name for stage, place in zip(stages, places, strict=False) if place.parent == parent]
        of = "the space" if parent < 0 else repr(stages[parent].name)
        message = f"{unless!r} is not given {of} as this stage is, expected a stage that is {have(unless, siblings)}"
        raise problem(("stages", position, "unless"), message)
    return (*places[other].excluded, other)


def _join(stages: Sequence[Stage], places: Sequence[Place], position: int) -> Place:
    names = stages[position].any_of or ()
    branches = tuple(_above(stages, position, ("any_of", place), name) for place, name in enumerate(names))
    split = _split_of(places, branches)
    if split is None:
        message = (
            f"{' and '.join(map(repr, names))} may both happen, expected branches that exclude each other: one must be, or be "
            "below, a stage that is `unless` the one that the other is, or is below. Declare `unless`."
        )
        raise problem(("stages", position, "any_of"), message)
    return Place(_common(places, branches), branches=branches, inside=split[0], outside=split[1])


def _common(places: Sequence[Place], stages: Sequence[int]) -> int:
    """The nearest stage that all of these are below; -1 for the space."""
    lines = [_line(places, stage) for stage in stages]
    return max(set(lines[0]).intersection(*lines))


def _line(places: Sequence[Place], stage: int) -> list[int]:
    """The stages that a stage is below, and the space."""
    line = []
    while stage >= 0:
        stage = places[stage].parent
        line.append(stage)
    return line


def _path(places: Sequence[Place], stage: int, above: int) -> Path:
    """What happens, and what does not, from a stage above to this one."""
    if stage == above:
        return ()
    place = places[stage]
    return (*_path(places, place.parent, above), *((other, False) for other in place.excluded), (stage, True))


def _split_of(places: Sequence[Place], stages: Sequence[int]) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
    """All paths from the nearest common stage: those to one of these, and the others; None where two of them may happen."""
    above = _common(places, stages)
    return _split([_path(places, stage, above) for stage in stages])


def _split(paths: list[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]] | None:
    """All paths through what these decide: those that one of these is, and the others; None where two may both be gone."""
    if len(paths) == 1 and not paths[0]:
        return ((),), ()
    if not all(paths) or len({path[0][0] for path in paths}) > 1:
        return None
    stage = paths[0][0][0]
    inside: list[Path] = []
    outside: list[Path] = []
    for happens in (True, False):
        rest = [path[1:] for path in paths if path[0][1] == happens]
        if not rest:
            outside.append(((stage, happens),))
            continue
        split = _split(rest)
        if split is None:
            return None
        inside += [((stage, happens), *path) for path in split[0]]
        outside += [((stage, happens), *path) for path in split[1]]
    return tuple(inside), tuple(outside)
