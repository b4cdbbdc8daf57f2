import pytest

from funnel.reporting.figures import (
    below,
    cells,
    count,
    counted,
    digits,
    percent,
    plain_percent,
    ratio,
    score,
    shorten,
    shown,
    small,
    span,
    with_interval,
)  # fmt: skip


def test_what_cannot_be_seen_is_shown_as_such() -> None:
    assert shown("a\x00b\nc\u202ed\ud800") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert shown("日本 שלום \u200d $x_1$ <b>&") == "日本 שלום \u200d $x_1$ <b>&"


def test_width_is_that_of_small_letters() -> None:
    assert cells("abc") == 3
    assert cells("e\u0301") == 1
    assert cells("日本") == pytest.approx(3.4)
    assert cells("AB") == 2.5


@pytest.mark.parametrize("text", ["a" * 50, "W" * 50, "日本語" * 20, "é" * 50, "short", ""])
def test_a_shortened_text_fits(text: str) -> None:
    assert cells(shorten(text, 12)) <= 12
    assert shorten("short", 12) == "short"
    assert shorten(text, 12) == text or shorten(text, 12).endswith("…")


@pytest.mark.parametrize(
    ("number", "text"), [(None, "\u2013"), (0.0, "0"), (184.0, "184"), (184.25, "184.2"), (9999, "9,999"), (12345.6, "12,346")]
)
def test_counts(number: float | None, text: str) -> None:
    assert count(number) == text


def test_counted() -> None:
    assert counted(1, "row") == "1 row"
    assert counted(2000, "row") == "2,000 rows"
    assert counted(0, "box", "boxes") == "0 boxes"


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "\u2013"), (0.0, "0 %"), (0.2, "20.0 %"), (1.0, "100 %"), (0.000184, "0.0184 %"), (1e-9, "1.0e-07 %")],
)
def test_shares(share: float | None, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == text
    assert " " not in percent(share), "a number and its unit stay on one line"


def test_a_tick_is_as_short_as_can_be() -> None:
    assert [plain_percent(x).replace("\u00a0", " ") for x in (0, 0.25, 0.001, 0.00002)] == ["0 %", "25 %", "0.1 %", "0.002 %"]


def test_an_interval_bears_so_many_digits() -> None:
    assert digits([0.48, 0.54]) == 2
    assert digits([0.632, 0.658]) == 3
    assert digits([0.3, 0.7]) == 2
    assert digits([0.6401, 0.6405]) == 5
    assert digits(None) == digits([0.5, 0.5]) == 3


def test_figures_with_their_intervals() -> None:
    assert with_interval(0.51, [0.48, 0.54], 2) == "0.51 (0.48 to 0.54)"
    assert with_interval(0.51, None) == "0.510"
    assert with_interval(None, None) == below(None, [0.4, 0.5]) == score(None) == small(None) == "\u2013"
    assert below(0.51, [0.48, 0.54], 2) == "0.51\n0.48 to 0.54"
    assert span(None, 2) == ""
    assert [small(x) for x in (0.0, 0.00213, 0.5)] == ["0.000", "0.00213", "0.500"]


def test_factors() -> None:
    assert [ratio(x) for x in (0.042, 0.42, 1.0, 1.819, 12.3, 1234.5)] == ["0.042", "0.42", "1.00", "1.82", "12", "1,234"]
