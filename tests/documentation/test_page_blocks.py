"""Every block of YAML and of Python on every page: it loads, or runs."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from funnel.schema.reader import dump_schema, load_schema
from tests.documentation.pages import OWN_TESTS, PAGES, ROOT, Block, blocks
from tests.documentation.whole import merged, whole

WHOLE_KEYS = {"name", "stages", "data", "features"}


def placed(found: list[Block]) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in found if block.page.name not in OWN_TESTS]


def with_language(language: str) -> list[Path]:
    return [page for page in PAGES if page.name not in OWN_TESTS and blocks(language, page)]


@pytest.mark.parametrize("block", placed(blocks("yaml")))
def test_yaml_is_a_schema_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    for code in blocks("python", block.page):
        if code.mark.startswith("as "):
            (tmp_path / code.mark.removeprefix("as ")).write_text(code.text, encoding="utf-8")
    part = YAML(typ="safe").load(block.text)
    file = tmp_path / "schema.yaml"
    if set(part) >= WHOLE_KEYS:
        file.write_text(block.text, encoding="utf-8")
    else:
        tree = merged(part, whole())
        if "tables" in part:
            # A table that nothing looks up is refused.
            used = {feature.get("table") for feature in tree["features"]}
            tree["tables"] = {name: table for name, table in tree["tables"].items() if name in used}
        YAML(typ="safe").dump(tree, file)
    schema = load_schema(file)
    file.write_text(dump_schema(schema), encoding="utf-8")
    assert load_schema(file) == schema


def test_yaml_that_is_no_schema_would_fail(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text("")
    block = Block(PAGES[0], 1, "yaml", "train: {epoch: 3}\n", "")
    with pytest.raises(Exception, match="epochs"):
        test_yaml_is_a_schema_or_a_part_of_one(block, tmp_path)


@pytest.mark.parametrize("page", with_language("python"), ids=lambda page: page.name)
def test_python_runs_in_the_order_of_the_page(page: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks("python", page):
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        if block.mark.startswith("not run: "):
            continue
        assert not block.mark or block.mark.startswith("as "), f"{block.place}: {block.mark}"
        exec(code, names)  # noqa: S102  # what the page shows


@pytest.fixture
def runner() -> Iterator[doctest.DocTestRunner]:
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    yield found
    found.summarize(verbose=False)


@pytest.mark.parametrize("page", with_language("{doctest}"), ids=lambda page: page.name)
def test_what_a_page_says_is_answered_is_answered(page: Path, runner: doctest.DocTestRunner, capsys: Any) -> None:
    found = blocks("{doctest}", page)
    text = "\n".join(block.text for block in found)
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), found[0].line)
    assert len(test.examples) >= len(found)
    assert runner.run(test).failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("page", [page for page in PAGES if page.name in OWN_TESTS], ids=lambda page: page.name)
def test_a_page_with_tests_of_its_own_has_them(page: Path) -> None:
    assert page.name in (ROOT / OWN_TESTS[page.name]).read_text(encoding="utf-8")


def test_every_block_has_a_language_that_is_looked_after() -> None:
    known = {"yaml", "python", "sh", "text", "{doctest}", "{toctree}", "{include}", "{raw}", "{eval-rst}"}
    for page in PAGES:
        fences = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("```")]
        assert {fence.removeprefix("```").split(" ")[0] for fence in fences[::2]} <= known, page
        assert set(fences[1::2]) <= {"```"}, page
