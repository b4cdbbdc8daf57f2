"""What the picture of a schema says of each of its parts, in lines."""

from __future__ import annotations

from collections.abc import Sequence

from funnel.reporting.figures import MINUS, TIMES, counted, percent
from funnel.schema.data import FACTS
from funnel.schema.domain import Domain
from funnel.schema.features import AnyFeature, Bag, Categorical, Cross, Numeric
from funnel.schema.features import Sequence as Entries
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, buckets_of, dim_of, remainders_of, stored_rows, table_of
from funnel.schema.model import Custom, Dcn, Dot, Fm, Mmoe, Part, Ple, SharedBottom, Tower
from funnel.schema.pooling import Attention

KINDS = ("categorical", "bag", "sequence", "numeric", "cross")


def source_words(schema: FunnelSchema, source: str) -> tuple[str, str]:
    """A source's name, and what its rows are."""
    if source == FACTS:
        return FACTS, f"a row for each {schema.space}"
    return source, f"a dimension, by {schema.dimension(source).key}"


def feature_words(feature: AnyFeature) -> str:
    """A feature's name, and what else there is to know of it."""
    match feature:
        case Cross():
            return f"{feature.name} = {f' {TIMES} '.join(feature.of)}"
        case Numeric():
            return f"{feature.name} ({feature.transform.kind})"
        case Entries() if feature.beside is not None:
            more = f" (beside {feature.beside})"
        case Entries():
            pooled = feature.pooled
            more = f" ({pooled.kind} by {pooled.query})" if isinstance(pooled, Attention) else f" ({pooled.kind})"
        case Bag():
            more = f" ({feature.pooling}{', weighted' if feature.weighted else ''})"
        case Categorical():
            more = ""
    return feature.name + more + (f" → {feature.table}" if feature.table else "")


def grouped(schema: FunnelSchema, source: str) -> dict[str, list[AnyFeature]]:
    """The features of a source, by kind."""
    own = [feature for feature in schema.features if schema.source_of(feature) == source]
    by_kind = {kind: [feature for feature in own if feature.kind == kind] for kind in KINDS}
    return {kind: features for kind, features in by_kind.items() if features}


def tables_of(schema: FunnelSchema) -> dict[str, int]:
    """Each embedding table, and how many features look it up."""
    found: dict[str, int] = {}
    for feature in schema.features:
        if (table := table_of(feature)) is not None:
            found[table] = found.get(table, 0) + 1
    return found


def table_words(schema: FunnelSchema, table: str, readers: int, learnt: Learnt | None) -> str:
    """A table's size, as far as it is known, and whether it is shared."""
    buckets = buckets_of(schema, table)
    if learnt is not None and table in learnt.rows:
        rows = counted(stored_rows(schema, table, learnt.rows[table]), "row")
    elif buckets is not None:
        rows = counted(buckets, "bucket")
    elif table not in schema.tables and isinstance(schema.feature(table), Numeric):
        bounds = schema.feature(table).transform
        rows = counted(len(bounds.boundaries) + 1 if bounds.boundaries else bounds.buckets, "bucket")
    else:
        rows = "learnt"
    shared = f", {readers} features" if readers > 1 else ""
    packed = " (compressed)" if remainders_of(schema, table) is not None and "row" not in rows else ""
    return f"dim {dim_of(schema, table)}, {rows}{packed}{shared}"


def part_words(part: Part) -> str:  # noqa: PLR0911  # one for each kind
    """A part of the body."""
    match part:
        case SharedBottom(units=()):
            return "shared_bottom: the inputs as they are"
        case SharedBottom():
            return f"shared_bottom: {layers(part.units, part.activation)}{_dropped(part.dropout)}"
        case Dcn():
            return f"dcn: {counted(part.layers, 'cross layer')}" + (f" of rank {part.rank}" if part.rank else "")
        case Fm():
            return "fm: products of all pairs of embeddings, added up, beside the inputs"
        case Dot():
            return "dot: dot products of all pairs, beside the inputs"
        case Mmoe():
            experts = f"{counted(part.experts, 'expert')} of {layers(part.units, part.activation)}{_dropped(part.dropout)}"
            return f"mmoe: {experts}, a gate for each stage"
        case Ple():
            experts = f"{part.shared} shared and {part.own} own experts of {layers(part.units, part.activation)}"
            return f"ple: {counted(part.levels, 'level')}, {experts}{_dropped(part.dropout)}"
        case Custom():
            return f"custom: {part.layer}"


def layers(units: Sequence[int], activation: str) -> str:
    """128 → 64 relu."""
    return f"{' → '.join(map(str, units))} {activation}"


def _dropped(share: float) -> str:
    return f", dropout {share:g}" if share else ""


def inputs_gate(domain: Domain) -> str:
    """What a domain does to what enters the body."""
    return f"gate by {domain.feature}: all that enters the body, {domain.units} units"


def tower_words(tower: Tower) -> str:
    """A stage's own layers."""
    said = layers(tower.units, tower.activation) if tower.units else "no layers"
    return f"tower {said}" + (f", {tower.norm} norm" if tower.norm else "") + _dropped(tower.dropout)


def conditional(schema: FunnelSchema, stage: int) -> str:
    """P(other | click, not direct)."""
    place, names = schema.topology[stage], schema.stage_names
    given = [] if place.parent < 0 else [names[place.parent]]
    given += [f"not {names[other]}" for other in place.excluded]
    return f"P({names[stage]}" + (f" | {', '.join(given)})" if given else ")")


def stage_lines(schema: FunnelSchema, stage: int, learnt: Learnt | None) -> list[str]:
    """What stands below a stage's name: tower, conditional head, cumulative head, loss, and what not every stage has."""
    place, name, domain = schema.topology[stage], schema.stage_names[stage], schema.model.domain
    if place.is_join:
        lines = [
            "no tower: its branches add up",
            f"P({name}) = {' + '.join(f'P({schema.stage_names[b]})' for b in place.branches)}",
        ]
    else:
        lines = [tower_words(schema.model.tower_of(name))]
        lines += [f"gates by {domain.feature}"] if domain is not None and domain.towers else []
        lines += [f"head {conditional(schema, stage)}"]
        lines += [f"P({name}) = {_product(schema, stage)}"] if place.is_partial else []
    loss = schema.loss_spaces.get(name)
    lines.append(f"loss over {loss}" if loss else "no loss of its own")
    own = schema.domains[stage]
    lines += [f"only in {', '.join(sorted(own))}"] if own is not None else []
    lines += ["stops gradients to towers before"] if stage in schema.stopped and place.is_partial else []
    if not place.is_join and learnt is not None:
        lines.append(f"rate {percent(learnt.priors[stage])} of {schema.conditional_spaces[stage]}")
    elif not place.is_join and (prior := schema.stages[stage].prior) is not None:
        lines.append(f"expected rate {percent(prior)} of {schema.conditional_spaces[stage]}")
    return lines


def _product(schema: FunnelSchema, stage: int) -> str:
    """The cumulative, from that of the parent."""
    place, names = schema.topology[stage], schema.stage_names
    factors = [] if place.parent < 0 else [f"P({names[place.parent]})"]
    factors += [f"(1 {MINUS} {conditional(schema, other)})" for other in place.excluded]
    return " ".join([*factors, conditional(schema, stage)])


def numbers_words(schema: FunnelSchema) -> str:
    """What is joined to enter the body."""
    tables = [feature for feature in schema.features if table_of(feature) is not None]
    numbers = len(schema.features) - len(tables)
    parts = [counted(len(tables), "embedded feature")] if tables else []
    parts += [counted(numbers, "number")] if numbers else []
    return f"{' and '.join(parts)} enter"
