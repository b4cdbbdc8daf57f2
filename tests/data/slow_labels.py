"""Labels of one row at a time, in plain Python: 0, 1, or None where it is not known. Nothing here uses the library."""

from __future__ import annotations

from typing import Any

Label = int | None
Stages = list[dict[str, Any]]  # as a schema declares them; all but the first name what they are given

CHAIN = [
    {"name": "click", "label": "click"},
    {"name": "cart", "label": "cart", "given": "click"},
    {"name": "buy", "label": "buy", "given": "cart"},
]
TREE = [*CHAIN[:2], {"name": "like", "label": "like", "given": "click"}, {"name": "share", "label": "share", "given": "like"}]
UNLESS = [
    {"name": "click", "label": "click"},
    {"name": "cart", "label": "cart", "given": "click"},
    {"name": "wish", "label": "wish", "given": "click", "unless": "cart"},
    {"name": "leave", "label": "leave", "given": "click", "unless": "wish"},
    {"name": "buy", "label": "buy", "given": "wish"},
]
ESM2 = [
    {"name": "click", "label": "click"},
    {"name": "direct", "label": "cart", "given": "click"},
    {"name": "buy_direct", "label": "buy", "given": "direct"},
    {"name": "buy_other", "label": "buy", "given": "click", "unless": "direct"},
    {"name": "buy", "any_of": ["buy_direct", "buy_other"]},
    {"name": "again", "label": "again", "given": "buy"},
]
APART = [{**stage, "label": stage["name"]} if "label" in stage else stage for stage in ESM2]  # a column for each branch
NESTED = [
    {"name": "a", "label": "a"},
    {"name": "b", "label": "b", "given": "a"},
    {"name": "d", "label": "bought", "given": "b"},
    {"name": "c", "label": "c", "given": "a", "unless": "b"},
    {"name": "e", "label": "bought", "given": "c"},
    {"name": "both", "any_of": ["d", "e"]},
    {"name": "f", "label": "f", "given": "a", "unless": "both"},
    {"name": "all", "any_of": ["both", "f"]},
    {"name": "g", "label": "g", "given": "all"},
]
SPACE = [
    {"name": "a", "label": "bought"},
    {"name": "b", "label": "bought", "given": "impression", "unless": "a"},
    {"name": "c", "label": "c", "given": "impression", "unless": "b"},
    {"name": "any", "any_of": ["a", "b", "c"]},
]
TOPOLOGIES = {
    "chain": CHAIN, "tree": TREE, "unless": UNLESS, "esm2": ESM2, "apart": APART, "nested": NESTED, "space": SPACE,
}  # fmt: skip


def columns_of(stages: Stages) -> list[str]:
    """The label columns, each once."""
    return list(dict.fromkeys(stage["label"] for stage in stages if "label" in stage))


class Row:
    """One row on its way from what its columns say to consistent labels."""

    def __init__(self, stages: Stages, columns: dict[str, Label]) -> None:
        self.stages = {stage["name"]: stage for stage in stages}
        self.columns = columns
        self.labels: dict[str, Label] = {}
        for name in self.stages:
            self.labels[name] = self.read(name)

    def parent(self, name: str) -> str | None:
        """The stage given; None for the space."""
        stage = self.stages[name]
        if "any_of" not in stage:
            given = stage.get("given")
            return None if given in (None, "impression") else given
        lines = [self.above(branch) for branch in stage["any_of"]]
        return next((one for one in lines[0] if all(one in line for line in lines)), None)

    def above(self, name: str) -> list[str]:
        """The stages above, the nearest first."""
        parent = self.parent(name)
        return [] if parent is None else [parent, *self.above(parent)]

    def excluded(self, name: str) -> list[str]:
        """The stages that must not have happened."""
        other = self.stages[name].get("unless")
        return [] if other is None else [*self.excluded(other), other]

    def happens(self, name: str) -> Label:
        """Whether the row can have reached a stage."""
        parent = self.parent(name)
        parts = [] if parent is None else [self.labels[parent]]
        for other in self.excluded(name):
            value = self.labels[other]
            parts.append(None if value is None else 1 - value)
        return every(parts)

    def column(self, name: str) -> Label:
        """What the column says that a stage, or all branches of a join, read."""
        found = {self.column_name(name)}
        return None if found == {None} else self.columns[found.pop()]

    def column_name(self, name: str) -> str | None:
        """The column that a stage, or all branches of a join, read."""
        stage = self.stages[name]
        if "any_of" not in stage:
            return stage["label"]
        found = {self.column_name(branch) for branch in stage["any_of"]}
        return found.pop() if len(found) == 1 else None

    def read(self, name: str) -> Label:
        """What is known of a stage, those before it being known."""
        stage, can = self.stages[name], None
        if "any_of" in stage:
            return self.join(name)
        says, can = self.column(name), self.happens(name)
        readers = [other for other, one in self.stages.items() if one.get("label") == stage["label"]]
        if len(readers) > 1 and says == 1:
            earlier = [self.labels[other] for other in readers if other in self.labels]
            if name == readers[-1] and all(one == 0 for one in earlier):
                return 1  # nobody else can have it
            return can
        if says is None and can == 0:
            return 0
        return says

    def join(self, name: str) -> Label:
        """Whether a branch happened."""
        found = some([self.labels[branch] for branch in self.stages[name]["any_of"]])
        parent = self.parent(name)
        if found is None and (parent is None or self.labels[parent] == 1):
            return self.column(name)
        return found

    def wrong(self) -> list[str]:
        """What contradicts."""
        found = []
        for name, stage in self.stages.items():
            if "any_of" in stage or self.labels[name] != 1:
                continue
            parent = self.parent(name)
            if parent is not None and self.labels[parent] == 0:
                found.append(name)
            found += [f"{name} unless {other}" for other in self.excluded(name) if self.labels[other] == 1]
        return found

    def resolved(self, policy: str) -> list[Label] | None:
        """The labels after a policy; None where the row is left out."""
        if self.wrong():
            if policy == "drop":
                return None
            if policy == "promote":
                self.promote()
            self.take_away()
        return list(self.labels.values())

    def take_away(self) -> None:
        """Later labels go where they contradict earlier ones."""
        for name, stage in self.stages.items():
            if "any_of" in stage:
                self.labels[name] = self.join(name)
            elif self.happens(name) == 0:
                self.labels[name] = 0

    def promote(self) -> None:
        """Earlier labels come where a later one says so."""
        for name in self.stages:
            if any(self.labels[other] == 1 for other in self.excluded(name)):
                self.labels[name] = 0
        self.raise_parents()
        for name in reversed(list(self.stages)):
            if "any_of" not in self.stages[name]:
                continue
            for branch in reversed(self.stages[name]["any_of"]):
                lacks = all(self.labels[other] == 0 for other in self.stages[name]["any_of"])
                if self.labels[name] == 1 and lacks and not any(self.labels[o] == 1 for o in self.shut_out(name, branch)):
                    self.labels[branch] = 1
            self.raise_parents()
        for name in self.stages:
            if self.labels[name] == 0 and self.column(name) is None:
                self.labels[name] = None

    def shut_out(self, join: str, branch: str) -> list[str]:
        """What must not have happened between a join's parent and a branch."""
        found, name = [], branch
        while name is not None and name != self.parent(join):
            found += self.excluded(name)
            name = self.parent(name)
        return found

    def raise_parents(self) -> None:
        """What a stage has, those above it have, unless that is not known."""
        for name in reversed(list(self.stages)):
            parent = self.parent(name)
            if self.labels[name] == 1 and parent is not None and self.labels[parent] == 0:
                self.labels[parent] = 1


def every(parts: list[Label]) -> Label:
    """1 where all are, 0 where one is not."""
    return 0 if 0 in parts else None if None in parts else 1


def some(parts: list[Label]) -> Label:
    """1 where one is, 0 where none is."""
    return 1 if 1 in parts else None if None in parts else 0
