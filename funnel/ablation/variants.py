"""The rows of the table: each an objective, with shared embeddings or without, as a schema."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from funnel.errors import SchemaError, listed
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.objective import CUMULATIVE, KINDS
from funnel.schema.reader import load_schema
from funnel.schema.transfer import Aitm, StopGradient

SUFFIX = "-ns"  # no shared embeddings
NAMES = tuple(f"{kind}{suffix}" for kind in KINDS for suffix in ("", SUFFIX))
# What Ma et al., 2018, call their rows, in their order.
PAPER = {
    "parent_space-ns": "BASE",
    "aman-ns": "AMAN",
    "oversampling-ns": "OVERSAMPLING",
    "unbias-ns": "UNBIAS",
    "division-ns": "DIVISION",
    "esmm-ns": "ESMM-NS",
    "esmm": "ESMM",
}
DEFAULT = (*PAPER, "ips", "dr", "dcmt")


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: The objective's kind, with `-ns` where embeddings are not shared.
        schema: The declaration with this objective.
    """

    name: str
    schema: FunnelSchema

    @property
    def title(self) -> str:
        """The name, after that of the paper where it has one: `BASE (parent_space-ns)`."""
        return title_of(self.name)

    def seeded(self, repeat: int) -> FunnelSchema:
        """The schema of a repeat, from 0: its seed is the declared one and so many more."""
        return load_schema(self.schema, [f"train.seed={self.schema.train.seed + repeat}"])


def title_of(name: str) -> str:
    """The name of a variant, after that of the paper where it has one."""
    return f"{PAPER[name]} ({name})" if name in PAPER else name


def chosen(declared: FunnelSchema, names: Sequence[str] | None) -> tuple[tuple[Variant, ...], dict[str, str]]:
    """The variants, and why others of the usual list are left out.

    Args:
        declared: What the user wrote. Its objective's options stay where the kind is the same, its `weights` wherever they can.
        names: The rows, in order; None for the usual list.

    Raises:
        SchemaError: A name is unknown, or one that was asked for does not go with the schema; or none of the usual list does.
    """
    variants: list[Variant] = []
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(DEFAULT if names is None else names):
        if name not in NAMES:
            raise SchemaError(_unknown(name))
        try:
            variants.append(Variant(name, _schema(declared, name)))
        except SchemaError as error:
            if names is not None:
                raise SchemaError(f"--objectives: {name} does not go with this schema: {error}") from None
            left_out[name] = str(error).splitlines()[0]
    if not variants:
        reason = next(iter(left_out.values()), "none was named")
        raise SchemaError(f"--objectives: got none that goes with this schema, expected one or more: {reason}")
    return tuple(variants), left_out


def _schema(declared: FunnelSchema, name: str) -> FunnelSchema:
    """The declaration of a variant.

    Raises:
        SchemaError: The objective does not go with the rest.
    """
    kind = name.removesuffix(SUFFIX)
    objective: dict[str, Any] = {"kind": kind}
    if declared.objective.kind == kind:
        objective = declared.objective.model_dump(mode="json")
    elif isinstance(declared.objective.weights, dict) and declared.objective.weights:
        try:
            return _with(declared, objective | {"weights": dict(declared.objective.weights)}, shared=name == kind)
        except SchemaError:
            pass  # weights that are right for the declared objective only
    return _with(declared, objective, shared=name == kind)


def _with(declared: FunnelSchema, objective: dict[str, Any], *, shared: bool) -> FunnelSchema:
    tree = declared.model_dump(mode="json", exclude_unset=True)
    tree["objective"] = objective
    tree["model"] = tree.get("model", {}) | {"share_embeddings": shared}
    # What does nothing under another objective, and would be refused.
    transfer = declared.model.transfer
    if isinstance(transfer, Aitm) and transfer.calibrator and objective["kind"] != "division":
        tree["model"]["transfer"] = transfer.model_copy(update={"calibrator": 0.0}).model_dump(mode="json")
    if isinstance(transfer, StopGradient) and objective["kind"] not in CUMULATIVE:
        tree["model"].pop("transfer")
    return load_schema(tree, folders=declared.model.folders)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else " Correct the name."
    there = f"(have: {listed(KINDS)}, each also as NAME{SUFFIX}, without shared embeddings)"
    return f"--objectives: {name!r} is no objective {there}.{hint}"
