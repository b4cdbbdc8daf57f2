"""A schema as one picture: from the sources' features through tables and body to the stages, each with its tower and heads."""

from __future__ import annotations

from funnel.reporting.figures import counted
from funnel.reporting.picture_stages import Tree, draw_tree, tree_of
from funnel.reporting.picture_words import (
    feature_words,
    grouped,
    inputs_gate,
    numbers_words,
    part_words,
    source_words,
    table_words,
    tables_of,
)
from funnel.reporting.svg import Box, Drawing, width_of
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt

NARROWEST, MARGIN, GAP = 660.0, 16.0, 30.0  # pixels: the whole, at its edges, and between two parts
LINE, PAD, KIND = 17.0, 10.0, 112.0  # a line of text, within a box, and the column with the kinds
LINES = 3  # of the names of one kind
TABLE, BESIDE = 150.0, 8.0  # an embedding table, and between two


def picture(schema: FunnelSchema, learnt: Learnt | None = None, *, inline: bool = False) -> str:
    """Draw a schema, from the declaration alone.

    Args:
        schema: The declaration.
        learnt: What was learnt of the training rows, which then says how large tables are and what the rates were.
        inline: Whether the picture stands on a page of ours, which says what its colours are.

    Returns:
        An SVG element, in UTF-8; the same for the same schema. It refers to nothing outside itself.
    """
    tree = tree_of(schema, learnt)
    width = max(NARROWEST, tree.width + 2 * MARGIN)
    drawing = Drawing(width)
    top = _head(drawing, schema)
    top = _sources(drawing, schema, top)
    top = _tables(drawing, schema, learnt, top)
    top = _body(drawing, schema, top)
    bottom = _stages(drawing, schema, tree, top)
    return drawing.svg(bottom + MARGIN, told(schema), inline=inline)


def told(schema: FunnelSchema) -> str:
    """The picture in a sentence, for those who cannot see it."""
    names = ", ".join(schema.stage_names)
    parts = ", ".join(part.kind for part in schema.model.parts)
    return (
        f"The funnel {schema.name}: {counted(len(schema.features), 'feature')} of {', '.join(schema.sources)}, "
        f"{counted(len(tables_of(schema)), 'embedding table')}, the body {parts}, and the stages {names}, one row "
        f"being one {schema.space}; objective {schema.objective.kind}."
    )


def _head(drawing: Drawing, schema: FunnelSchema) -> float:
    drawing.text((MARGIN, 28), schema.name, room=drawing.width / 2, size=16, bold=True)
    said = f"objective {schema.objective.kind}"
    drawing.text((drawing.width - MARGIN, 28), said, room=drawing.width / 2 - 2 * MARGIN, look="muted", end=True)
    return 42.0


def _full(drawing: Drawing, top: float, height: float) -> Box:
    return Box(MARGIN, top, drawing.width - 2 * MARGIN, height)


def _sources(drawing: Drawing, schema: FunnelSchema, top: float) -> float:
    """A box for each source that has features."""
    for source in schema.sources:
        kinds = grouped(schema, source)
        if not kinds:
            continue
        room = drawing.width - 2 * (MARGIN + PAD) - KIND
        lines = {kind: wrapped([feature_words(f) for f in features], room, 12) for kind, features in kinds.items()}
        where = _full(drawing, top, LINE * (1 + sum(len(some) for some in lines.values())) + 1.4 * PAD)
        with drawing.group("source", name=source):
            drawing.box(where, "card")
            name, rows = source_words(schema, source)
            line = top + PAD + 8
            drawing.text((MARGIN + PAD, line), name, room=where.width / 2 - PAD, bold=True)
            drawing.text((where.right - PAD, line), rows, room=where.width / 2 - 2 * PAD, look="muted", size=11, end=True)
            for kind, some in lines.items():
                drawing.text((MARGIN + PAD, line + LINE), f"{len(kinds[kind])} {kind}", room=KIND - 6, look="muted")
                for text in some:
                    line += LINE
                    drawing.text((MARGIN + PAD + KIND, line), text, room=room)
        top = where.bottom + BESIDE
    return top - BESIDE


def wrapped(names: list[str], room: float, size: float, most: int = LINES) -> list[str]:
    """Names on lines that have so much room; when there are too many, the last line says how many more there are."""
    lines: list[str] = []
    for number, name in enumerate(names):
        joined = f"{lines[-1]}, {name}" if lines else name
        left = len(names) - number
        last = len(lines) == most
        tail = f" … and {left - 1} more" if last and left > 1 else ""
        if lines and width_of(joined + tail, size) <= room:
            lines[-1] = joined
        elif len(lines) < most:
            if lines:
                lines[-1] += ","
            lines.append(name)
        else:
            lines[-1] += f" … and {left} more"
            break
    return lines


def _tables(drawing: Drawing, schema: FunnelSchema, learnt: Learnt | None, top: float) -> float:
    """A small box for each embedding table."""
    tables = tables_of(schema)
    if not tables:
        return top
    drawing.arrow([(drawing.width / 2, top), (drawing.width / 2, top + GAP)])
    drawing.text((MARGIN, top + GAP - 5), "embedding tables", room=drawing.width / 2 - 2 * MARGIN, look="muted")
    across = int((drawing.width - 2 * MARGIN + BESIDE) / (TABLE + BESIDE))
    wide = (drawing.width - 2 * MARGIN + BESIDE) / across - BESIDE
    top += GAP
    bottom = top
    for number, (table, readers) in enumerate(tables.items()):
        row, column = divmod(number, across)
        where = Box(MARGIN + column * (wide + BESIDE), top + row * (38 + BESIDE), wide, 38)
        with drawing.group("table", name=table):
            drawing.box(where, "card")
            drawing.text((where.x + BESIDE, where.y + 16), table, room=wide - 2 * BESIDE, bold=True)
            said = table_words(schema, table, readers, learnt)
            drawing.text((where.x + BESIDE, where.y + 31), said, room=wide - 2 * BESIDE, size=10.5, look="muted")
        bottom = where.bottom
    return bottom


def _body(drawing: Drawing, schema: FunnelSchema, top: float) -> float:
    """The parts of the body, one below the other, and the gate before it."""
    drawing.arrow([(drawing.width / 2, top), (drawing.width / 2, top + GAP)])
    own = "" if schema.model.share_embeddings else "; each stage has tables and a body of its own"
    drawing.text((drawing.width - MARGIN, top + GAP - 5), "body", room=80, look="muted", end=True)
    drawing.text((MARGIN, top + GAP - 5), numbers_words(schema) + own, room=drawing.width / 2 - 2 * MARGIN, look="muted")
    domain = schema.model.domain
    parts = [("part", part_words(part)) for part in schema.model.parts]
    if domain is not None and domain.inputs:
        parts = [("gate", inputs_gate(domain)), *parts]
    top += GAP
    for kind, said in parts:
        where = _full(drawing, top, 28)
        with drawing.group(kind):
            drawing.box(where, "card", dashed=kind == "gate")
            drawing.text((where.x + PAD, where.y + 18), said, room=where.width - 2 * PAD)
        top = where.bottom + 4
    return top - 4


def _stages(drawing: Drawing, schema: FunnelSchema, tree: Tree, top: float) -> float:
    """The stages as a tree."""
    down = GAP + 18
    drawing.arrow([(drawing.width / 2, top), (drawing.width / 2, top + GAP)])
    drawing.text(
        (MARGIN, top + GAP - 5), "stages, each with a tower on the body", room=drawing.width / 2 - 2 * MARGIN, look="muted"
    )
    if tree.transfers:
        said = "aitm: a tower tells the next"
        drawing.text(
            (drawing.width - MARGIN, top + GAP - 5), said, room=drawing.width / 2 - 2 * MARGIN, look="transfer-tip", end=True
        )
    left = (drawing.width - tree.width) / 2
    return draw_tree(drawing, schema, tree, left, top + down)
