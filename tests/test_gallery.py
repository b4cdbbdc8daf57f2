"""Every schema that is shipped: its header, and rows drawn for it, fitted, judged and reported."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import funnel
from funnel.reporting.record import read_record
from funnel.reporting.write import write_report
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.reader import load_schema
from funnel.simulation import simulate

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "schemas").glob("*.yaml"))
GALLERY = {
    "aliccp", "credit_card", "ecommerce", "esm2", "full_chain", "hillstrom", "hiring", "kuairand", "kuairand_histories",
    "multi_domain", "saas",
}  # fmt: skip
PARTS = ["Domain", "Stages", "Source", "Shows", "Run"]
PROTECTED = re.compile(
    r"(?<![a-z])(age|sex|gender|race|ethnic\w*|religio\w*|birth\w*|nationality|disab\w*|marital\w*|pregnan\w*|"
    r"graduat\w*|famil\w*|children|photo\w*|first_name|last_name|surname)(?![a-z])"
)
WORDS = r"[a-z_0-9]+"
NOT_CLOSED = {"meta", "br", "hr", "img", "input", "link", "path", "circle", "line", "rect", "col", "polyline", "polygon", "use"}


def each(function):
    return pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)(function)


def header(path: Path) -> dict[str, str]:
    """What a schema's header says, by part: lines that begin further to the right go on with the part before."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        begun, more = re.match(r"# ([A-Z]\w+) +(\S.*)$", line), re.match(r"# {10}(\S.*)$", line)
        if begun and begun[1] in PARTS:
            found[begun[1]] = begun[2]
        elif more and found:
            last = list(found)[-1]
            found[last] += f" {more[1]}"
        else:
            break
    return found


def small(schema: FunnelSchema) -> list[str]:
    """Little to compute, and of each stage enough to judge: half of those who can reach it do."""
    narrow = [
        "train.epochs=1",
        "train.batch_size=512",
        "model.embedding_dim=4",
        "model.tower.units=[8]",
        "train.checkpoint=null",
    ]
    narrow += [f"tables.{name}.dim=4" for name in schema.tables]
    if schema.name == "multi_domain":
        narrow.append("model.body.units=[8]")
    return [*narrow, *(f"stages.{stage.name}.prior=0.5" for stage in schema.stages if stage.any_of is None)]


class Page(HTMLParser):
    """Finds out whether what is opened is closed, and keeps what is read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag not in NOT_CLOSED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # opened and closed

    def handle_endtag(self, tag: str) -> None:
        if tag not in NOT_CLOSED:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)


def test_the_gallery_is_whole() -> None:
    assert {path.stem for path in SHIPPED} == GALLERY


@each
def test_its_header_says_what_it_is_about(path: Path) -> None:
    said, schema = header(path), load_schema(path)
    assert list(said) == PARTS
    named = re.findall(WORDS, said["Stages"])
    assert named[0] == schema.space
    assert set(schema.stage_names) <= set(named)
    # Each where its parent was named before.
    for name, place in zip(schema.stage_names, schema.topology, strict=True):
        if place.parent >= 0:
            assert named.index(schema.stage_names[place.parent]) < len(named) - 1 - named[::-1].index(name)
    text = path.read_text(encoding="utf-8")
    assert f"funnel simulate schemas/{path.stem}.yaml --impressions " in text
    assert f" --out data/{path.stem}\n" in text
    assert f"funnel fit schemas/{path.stem}.yaml --data data/{path.stem}\n" in text


@each
def test_the_page_of_the_gallery_says_the_same(path: Path) -> None:
    tables = (ROOT / "docs" / "gallery_tables.md").read_text(encoding="utf-8")
    said = header(path)
    row = next(line for line in tables.splitlines() if f"/{path.name})" in line)
    for part in ("Domain", "Stages", "Shows"):
        assert said[part] in row.replace("→", "->"), part


@pytest.mark.parametrize("name", ["hiring", "credit_card"])
def test_people_are_not_hired_or_lent_to_by_what_is_protected(name: str) -> None:
    schema = load_schema(ROOT / "schemas" / f"{name}.yaml")
    for feature in schema.features:
        for word in (feature.name, getattr(feature, "column", None) or ""):
            assert not PROTECTED.search(word.replace("_", " ")), feature.name
    assert "are no features" in (ROOT / "schemas" / f"{name}.yaml").read_text(encoding="utf-8")


def test_what_is_protected_would_be_found() -> None:
    for word in ("age", "customer age", "gender", "year of birth", "graduation year"):
        assert PROTECTED.search(word), word
    for word in ("language", "page", "engagement", "trace"):
        assert not PROTECTED.search(word), word


# What is dear in it is shown of this one by tests/test_domains.py.
FITTED = [pytest.param(path, marks=[pytest.mark.long] if path.stem == "multi_domain" else [], id=path.stem) for path in SHIPPED]


@pytest.mark.parametrize("path", FITTED)
def test_rows_are_drawn_fitted_judged_and_reported(path: Path, tmp_path: Path) -> None:
    declared = load_schema(path)
    schema = load_schema(path, small(declared))
    simulate(schema, tmp_path / "rows", 2000, 500)
    run = funnel.fit(schema, tmp_path / "rows", out=tmp_path / "run")
    truth = tmp_path / "rows" / "truth" / "test.parquet"
    judged = run.evaluate(tmp_path / "rows", truth=truth).as_dict()
    assert judged["rows"] > 300
    for stage in schema.stage_names:
        for kind in ("cumulative", "conditional"):
            figures = judged[kind][stage]
            assert 0 < figures["positives"] < figures["rows"] <= judged["rows"]
            assert 0.2 < figures["auc"] < 1
            assert 0.3 < figures["predicted_over_observed"] < 3
        assert judged["truth"][stage]["rows"] > 0
        assert 0.5 < judged["truth"][stage]["auc_of_truth"] < 1
    # What is predicted for a row is no likelier than what it is given.
    found = run.predict(tmp_path / "rows")
    for name, place in zip(schema.stage_names, schema.topology, strict=True):
        if place.parent >= 0:
            below, above = found[name], found[schema.stage_names[place.parent]]
            there = ~np.isnan(below)
            assert there.any()
            assert (below[there] <= above[there]).all()
    for score in schema.scores:
        assert np.isfinite(found[score]).any()
    assert pl.read_parquet(truth).height == len(found[schema.stage_names[0]])
    # As `funnel report --truth` does, without evaluating again.
    record = read_record(tmp_path / "run").judged("test", judged, "rows")
    page = Page(write_report(record, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.open == []
    said = " ".join(page.texts)
    for word in (schema.name, schema.space, *schema.stage_names, *schema.slices):
        assert word in said, word
    assert not re.search(r"\b(nan|None|inf)\b", said)
