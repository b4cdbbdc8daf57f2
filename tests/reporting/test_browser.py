"""The page in a browser, on a phone and on a desk, by day and by night: nothing fails, is fetched, or sticks out."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funnel.reports import report
from tests.reporting import compared, made

BROWSER, DRIVER = (
    next(filter(None, map(shutil.which, names)), None) for names in (("chromium", "chromium-browser"), ("chromedriver",))
)
WIDTHS = (360, 1280)
PAGES = ("two stages", "branches", "seven", "long names", "three runs", "two runs of branches")
LONG = [{"name": "click_" + "w" * 94, "label": "c"}, {"name": "buy", "label": "b"}]
SCHEMAS = {
    "two stages": (made.shipped("aliccp"), 0.15),
    "branches": (made.shipped("esm2"), None),
    "seven": (made.shipped("full_chain"), None),
    "long names": (made.small(LONG), 0.2),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="NOT RUN: selenium is not installed: pip install '.[test]'")
    if BROWSER is None or DRIVER is None:
        pytest.skip(
            "NOT RUN: Chromium is not installed: apt-get install chromium chromium-driver, to see the page in a browser"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    runs = {
        name: made.run(
            folder / name, schema, 2000, rate=rate, by=("tab",), importance=made.importance(schema, 20, named="w" * 30)
        )
        for name, (schema, rate) in SCHEMAS.items()
    }
    written = {name: report(run) for name, run in runs.items()}
    names = ["runs/2026-11-01", "run_" + "w" * 80, "third"]
    written["three runs"] = compared.page(folder / "three", made.shipped("aliccp"), names, 0.15)
    written["two runs of branches"] = compared.page(folder / "two", made.shipped("esm2"), ["a", "b"])
    return written


def show(browser: Any, page: Path, width: int, scheme: str = "light", media: str = "screen") -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    colours = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": colours})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_needs_nothing_else(browser: Any, pages: dict[str, Path], name: str, scheme: str, width: int) -> None:
    show(browser, pages[name], width, scheme)
    assert browser.get_log("browser") == []
    inner, outer = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert outer == width
    assert inner <= outer, "the page is wider than the window"
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]


@pytest.mark.parametrize("name", PAGES)
def test_letters_of_charts_can_be_read_on_a_phone_and_stay_inside(browser: Any, pages: dict[str, Path], name: str) -> None:
    show(browser, pages[name], 360)
    found = browser.execute_script(
        """return [...document.querySelectorAll('figure svg')].flatMap(svg => {
             const box = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].map(text => {
               const own = text.getBoundingClientRect();
               const size = parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width;
               return [text.textContent, size, own.left - box.left, box.right - own.right];
             });
           });"""
    )
    assert len(found) > 100
    for text, size, left, right in found:
        assert size >= 9, (text, size)
        assert min(left, right) > -3, (text, left, right)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(browser: Any, pages: dict[str, Path], scheme: str) -> None:
    show(browser, pages["two stages"], 1280, scheme)
    paper, text, chart = browser.execute_script(
        """const style = element => getComputedStyle(element);
           return [style(document.body).backgroundColor, style(document.body).color,
                   style(document.querySelector('figure svg text')).fill];"""
    )
    for colour in (text, chart):
        assert contrast(paper, colour) > 7, (paper, colour)
    assert (luminance(paper) < 0.05) == (scheme == "dark")


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_paper_is_light_in_print_even_at_night(browser: Any, pages: dict[str, Path]) -> None:
    show(browser, pages["seven"], 794, "dark", "print")
    assert luminance(browser.execute_script("return getComputedStyle(document.body).backgroundColor")) > 0.9
    inner, outer = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert inner <= outer


def test_a_figure_is_that_of_the_run(browser: Any, pages: dict[str, Path]) -> None:
    show(browser, pages["two stages"], 1280)
    scores = json.loads((pages["two stages"].parent / "metrics.json").read_text())["splits"]["test"]["conditional"]["buy"]
    row = browser.execute_script(
        """const rows = [...document.querySelectorAll('#stage-buy tbody tr')];
           const row = rows.find(row => row.querySelector('th').firstChild.textContent.trim() === 'AUC');
           return [...row.querySelectorAll('td')].map(cell => cell.innerText);"""
    )
    value, interval = row[1].split("\n")
    low, high = scores["intervals"]["auc"]
    places = len(value.split(".")[1])
    assert value == f"{scores['auc']:.{places}f}"
    assert interval == f"{low:.{places}f} to {high:.{places}f}"


def test_a_difference_is_that_of_the_comparison(browser: Any, pages: dict[str, Path]) -> None:
    show(browser, pages["three runs"], 1280)
    found = compared.comparison(made.shipped("aliccp"), ["a", "b", "c"], rate=0.15)
    buy = next(one for one in found["probabilities"] if one["name"] == "buy_given_click")
    cells = browser.execute_script(
        """const rows = [...document.querySelectorAll('#of-buy_given_click tbody tr')];
           const row = rows.find(row => row.querySelector('th').firstChild.textContent.trim() === 'AUC');
           return [...row.querySelectorAll('td')].map(cell => cell.innerText);"""
    )
    assert len(cells) == 3
    assert len(cells[0].split("\n")) == 2
    for cell, change in zip(cells[1:], buy["changes"][1:], strict=True):
        value, low, high = re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", cell.split("\n")[2]).groups()
        for text, number in ((value, change["auc"]["value"]), (low, change["auc"]["low"]), (high, change["auc"]["high"])):
            places = len(text.split(".")[1])
            assert text.replace("\N{MINUS SIGN}", "-") == f"{number:+.{places}f}"
