"""What stands beside an exported model: `signature.json` for programs, `signature.md` for people, of one description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from funnel.serving import requests
from funnel.serving.signatures import Described, Signature

FORMAT = 1  # of signature.json: the number that says its layout


def as_dict(model: str, signatures: Sequence[Signature], version: str) -> dict[str, Any]:
    """The description, for JSON.

    Args:
        model: What the model is called.
        signatures: Its signatures.
        version: Of the library.
    """
    return {
        "format": FORMAT,
        "funnel": version,
        "model": model,
        "signatures": {one.name: _signature(model, one) for one in signatures},
        "aliases": {"serving_default": "predict"},
    }


def as_markdown(model: str, signatures: Sequence[Signature]) -> str:
    """The same, as a page."""
    lines = [
        f"# The signatures of {model}",
        "",
        'Ids are text: 7 is sent as "7". Lists are padded with "" to the longest of the request. Numbers are float32. '
        "An input that is left out, or misnamed, or of another type, is an error.",
        "",
    ]
    for one in signatures:
        request = requests.rest(model, one)
        lines += [f"## {one.name}", "", one.meaning, "", *_table(one.inputs, missing=not one.parsed)]
        if one.parsed:
            lines += ["What is read from each example:", "", *_table(one.parsed, missing=True)]
        lines += ["It gives:", "", *_table(one.outputs, missing=False)]
        lines += ["REST:", "", "```sh", requests.curl(request).rstrip("\n"), "```", ""]
        lines += ["gRPC, from Python:", "", "```python", requests.python(model, one).rstrip("\n"), "```", ""]
        lines += ["The same message as text:", "", "```proto", requests.text_proto(model, one).rstrip("\n"), "```", ""]
    return "\n".join(lines)


def _signature(model: str, one: Signature) -> dict[str, Any]:
    request = requests.rest(model, one)
    found: dict[str, Any] = {
        "meaning": one.meaning,
        "inputs": {field.name: _described(field) for field in one.inputs},
        "outputs": {field.name: _described(field) for field in one.outputs},
    }
    if one.parsed:
        found["parsed"] = {field.name: _described(field) for field in one.parsed}
    return found | {
        "rest": request,
        "grpc": {"python": requests.python(model, one), "text_proto": requests.text_proto(model, one)},
    }


def _described(one: Described) -> dict[str, Any]:
    found: dict[str, Any] = {"dtype": one.dtype, "shape": list(one.shape), "meaning": one.meaning}
    return found | ({"missing": one.missing} if one.missing else {})


def _table(fields: Iterable[Described], *, missing: bool) -> list[str]:
    titles = ["name", "type", "shape", "meaning", *(["missing"] if missing else [])]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for one in fields:
        cells = [f"`{one.name}`", one.dtype, f"[{', '.join(one.shape)}]", one.meaning, *([one.missing] if missing else [])]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return [*lines, ""]
