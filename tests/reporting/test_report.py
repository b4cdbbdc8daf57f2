import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import funnel
from funnel.errors import RunError
from funnel.reports import report
from tests import shop
from tests.reporting import made

VOID = {"meta", "link", "br", "path", "use"}
NASTY = ["<script>alert(1)</script>", "$x_1^2$ & co", "日本語の東京都", "a\x00b\u202e\n" + "long " * 30]


class Page(HTMLParser):
    """What a browser finds: elements, ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action", "data")]
        assert not [name for name in given if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.run(tmp_path_factory.mktemp("runs") / "run", made.shipped("aliccp"), 2000, rate=0.15, by=("tab",))


def page_of(folder: Path) -> Page:
    return Page(report(folder).read_text(encoding="utf-8"))


def test_it_is_one_whole_page_that_needs_nothing_else(run: Path) -> None:
    page = page_of(run)
    assert page.open == []
    assert "script" not in page.tags
    assert len(set(page.ids)) == len(page.ids)
    inside = {address.removeprefix("#") for address in page.addresses if address.startswith("#")}
    assert inside <= set(page.ids)
    assert {address for address in page.addresses if not address.startswith("#")} == {"data:,"}
    text = (run / "report.html").read_text()
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_it_says_what_the_run_says(run: Path) -> None:
    page = page_of(run)
    test = json.loads((run / "metrics.json").read_text())["splits"]["test"]
    scores = test["conditional"]["buy"]
    assert f"AUC {scores['auc']:.3f} (" in page.text
    assert f"on {scores['rows']:,} click rows with {scores['positives']} positives" in page.text
    for said in ("aliccp", "(simulated)", "1 March 2026, 12:34 UTC", "On the validation rows", "Cross-entropy of each stage"):
        assert said in page.text
    for said in ("drift: unknown ids", "7a59ab014a401f6e", "tensorflow", "scenario", "no log can show", "AUC of the truth"):
        assert said in page.text


def test_no_colour_of_a_chart_is_fixed(run: Path) -> None:
    text = report(run).read_text()
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", text[text.index("</style>") :].replace("7a59ab", ""))


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first = report(run, tmp_path / "a.html", plots=tmp_path / "a")
    code = f"import funnel; funnel.report({str(run)!r}, {str(tmp_path / 'b.html')!r}, plots={str(tmp_path / 'b')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert first.read_bytes() == (tmp_path / "b.html").read_bytes()
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "roc-buy_given_click.png" in files
    assert "roc-buy_given_click.svg" in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_neither_tensorflow_nor_data_frames_are_needed(run: Path, tmp_path: Path) -> None:
    code = (
        f"import sys, funnel; funnel.report({str(run)!r}, {str(tmp_path / 'x.html')!r})\n"
        "assert not {'tensorflow', 'polars', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whatever_users_write_is_text(tmp_path: Path) -> None:
    schema = made.small([{"name": "click", "label": "c"}, {"name": "buy", "label": "b"}])
    labels, predicted, _, _ = made.draw(schema, 1200, rate=0.2)
    columns = {
        "<b>tab & $y$</b>": np.array(NASTY)[np.arange(1200) % 4],
        "x": np.array(["'\"><img src=x>"])[np.zeros(1200, int)],
    }
    test = made.evaluation(schema, labels, predicted, columns)
    test["worst"] = [
        {"column": "<i>", "value": NASTY[0], "probability": "click", "stage": "click", "kind": "cumulative", "measure": "auc"}
        | {"score": 0.4, "whole": 0.6, "low": 0.3, "high": 0.5, "rows": 9, "positives": 2}
    ]
    finding = {"level": "error", "about": "<u>", "message": "</table><script>"}
    health = {"findings": [finding], "features": {"<s>": {"<p>": {"missing": 0.5}}}}
    manifest = made.manifest() | {"data": "<iframe>", "versions": {"<em>": "<h1>"}}
    folder = made.write(tmp_path / "run", schema, {"<q>": test}, health=health, manifest=manifest)
    page = page_of(folder)
    assert page.open == []
    assert not {"script", "b", "i", "u", "s", "p>", "iframe", "em", "img", "q"} & set(page.tags)
    for text in (
        "<script>alert(1)</script>",
        "$x_1^2$ & co",
        "日本語の東京都",
        "<b>tab & $y$</b>",
        "'\"><img src=x>",
        "<iframe>",
    ):
        assert text in page.text
    assert "a\ufffdb\ufffd\ufffdlong long" in page.text
    assert "\x00" not in page.text
    assert "\u202e" not in page.text
    report(folder, plots=tmp_path / "plots")


MISSING: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing was evaluated": ({"splits": {}}, ["Nothing was evaluated"]),
    "no health": ({"health": None}, ["says nothing about its rows' health"]),
    "healthy": ({"health": {"findings": [], "features": {}}}, ["finds nothing wrong"]),
    "no epochs": ({"history": []}, ["no epoch was finished"]),
    "a bare manifest": ({"manifest": {}}, ["not noted"]),
    "a date that is none": ({"manifest": {"ended": "soon"}}, ["not noted"]),
}


@pytest.mark.parametrize(("parts", "said"), MISSING.values(), ids=MISSING)
def test_a_part_that_lacks_is_said(tmp_path: Path, parts: dict[str, Any], said: list[str]) -> None:
    schema = made.small([{"name": "click", "label": "c"}])
    labels, predicted, _, _ = made.draw(schema, 400, rate=0.2)
    parts = {"splits": {"test": made.evaluation(schema, labels, predicted, {})}} | parts
    page = page_of(made.write(tmp_path / "run", schema, parts.pop("splits"), **parts))
    for text in said:
        assert text in page.text


def test_without_slices_truth_and_test_rows(tmp_path: Path) -> None:
    schema = made.small([{"name": "click", "label": "c"}])
    labels, predicted, _, _ = made.draw(schema, 400, rate=0.2)
    held = made.evaluation(schema, labels, predicted, {}) | {"weighted": True, "constant": ["click"]}
    page = page_of(made.write(tmp_path / "run", schema, {"validation": held}))
    for text in (
        "No columns to slice by were asked for", "Not known: the true probabilities",
        "validation rows, held out", "rows were sampled",
        "click has collapsed",
    ):  # fmt: skip
        assert text in page.text


def test_where_no_figure_is_defined(tmp_path: Path) -> None:
    schema = made.shipped("aliccp")
    labels, predicted, true, columns = made.draw(schema, 300, rate=0.2)
    test = made.evaluation(schema, labels * 0, predicted, {"tab": columns["tab"]}, true)
    page = page_of(made.write(tmp_path / "run", schema, {"test": test}))
    assert "no AUC is defined" in page.text
    assert "No curves: they need rows with the stage and rows without." in page.text
    assert "nan" not in page.text.lower().replace("finance", "")
    report(tmp_path / "run", plots=tmp_path / "plots")


def test_long_names_of_charts_are_cut_to_what_a_disk_takes(tmp_path: Path) -> None:
    stages = [{"name": "a" * 99 + "1", "label": "a"}, {"name": "b" * 100, "label": "b"}]
    stages += [{"name": "c" * 100, "label": "c", "unless": "b" * 100}]
    page = report(made.run(tmp_path / "run", made.small(stages), 600, rate=0.3, by=()), plots=tmp_path / "plots")
    charts = page.read_text().count("<figure")
    for ending in ("svg", "png"):
        assert len(list((tmp_path / "plots").glob(f"*.{ending}"))) == charts


def test_an_earlier_report_is_replaced_whole(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new" / "folder").mkdir(parents=True)
    out = tmp_path / "new" / "folder" / "r.html"
    out.write_text("old")
    assert report(run, out) == out
    assert out.read_text().startswith("<!doctype html>")
    assert [path.name for path in out.parent.iterdir()] == ["r.html"]


def test_a_disk_that_is_full(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    out = tmp_path / "r.html"
    out.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"r\.html: cannot be written: No space left on device\. Make room, or choose another"):
        report(run, out)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("option", ["out", "plots"])
def test_a_place_that_is_none(run: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    places = {"out": tmp_path / "r.html", option: tmp_path / "file" / "x.html"}
    with pytest.raises(RunError, match="cannot be written"):
        report(run, **places)
    assert (tmp_path / "file").read_text() == ""


def test_the_command(funnel: Callable[..., tuple[int, str, str]], run: Path, tmp_path: Path) -> None:
    assert funnel("report", run) == (0, f"report: {run / 'report.html'}\n", "")
    out, charts = tmp_path / "r.html", tmp_path / "charts"
    assert funnel("report", run, "--out", out, "--plots", charts) == (0, f"report: {out}\ncharts: {charts}\n", "")
    assert (charts / "funnel-declared.svg").is_file()
    code, said, error = funnel("report", tmp_path)
    assert (code, said) == (1, "")
    assert error.startswith(f"error: {tmp_path}: lacks schema.yaml")


def test_a_fit_leaves_what_a_report_is_made_of(tmp_path: Path) -> None:
    folder = shop.write(tmp_path / "shop")
    fitted = funnel.fit(folder / "schema.yaml", folder, out=tmp_path / "run", overrides=["train.epochs=1"])
    health = json.loads((tmp_path / "run" / "health.json").read_text())
    assert health == fitted.health
    assert set(health["features"]) == {"train", "validation", "test"}
    assert health["features"]["train"]["item"]["missing"] == pytest.approx(0.05, abs=0.03)
    assert "oov" not in health["features"]["train"]["price"]
    assert fitted.manifest["simulated"] is False
    page = page_of(tmp_path / "run")
    test = fitted.metrics["test"]["conditional"]["buy"]
    assert f"{test['auc']:.2f}" in page.text
    assert "city_item" in page.text
    assert funnel.load(tmp_path / "run").schema == fitted.schema
