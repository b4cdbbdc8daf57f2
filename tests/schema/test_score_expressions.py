"""Scores in the schema: what is read, and what is refused, with its place and what is allowed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.errors import SchemaError
from funnel.schema.reader import dump_schema, load_schema
from funnel.schema.scores import Expression, Functions

NUMPY = Functions(np.float32, {"log": np.log, "exp": np.exp, "sqrt": np.sqrt}, {"min": np.minimum, "max": np.maximum})
NAMES = ("click", "buy", "buy_given_click", "price")


def with_score(tree, text: object, name: str = "gmv"):
    return load_schema({**tree, "scores": {name: text}})


def refusal(tree, text: object, name: str = "gmv") -> str:
    with pytest.raises(SchemaError) as caught:
        with_score(tree, text, name)
    return str(caught.value)


def test_a_score_names_what_it_needs_once_and_is_kept_as_it_was_written(tree, tmp_path: Path) -> None:
    schema = with_score(tree, "buy * price + buy_given_click * (price - 2)")
    assert schema.expressions["gmv"] == Expression(schema.scores["gmv"], ("buy", "price", "buy_given_click"))
    (tmp_path / "a.yaml").write_text(dump_schema(schema))
    assert load_schema(tmp_path / "a.yaml").expressions == schema.expressions
    assert load_schema(tree).expressions == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("buy * price", 0.25 * 8),
        ("-buy + 2 - click / 4", -0.25 + 2 - 0.5 / 4),
        ("-buy ** 2", -(0.25**2)),
        ("2 ** -click", 2**-0.5),
        ("log(price) + exp(buy) + sqrt(click)", math.log(8) + math.exp(0.25) + math.sqrt(0.5)),
        ("min(price, 3, 5) * max(buy, 0.5)", 3 * 0.5),
        ("buy_given_click\n * price", 0.5 * 8),
        ("1e2 * buy", 25),
    ],
)
def test_its_value_is_what_arithmetic_says(tree, text: str, expected: float) -> None:
    values = {"click": 0.5, "buy": 0.25, "buy_given_click": 0.5, "price": 8}
    rows = {name: np.full(3, value, np.float32) for name, value in values.items()}
    found = with_score(tree, text).expressions["gmv"](rows, NUMPY)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected] * 3, rtol=1e-6)


def test_what_divides_by_zero_in_the_declaration_is_no_crash(tree) -> None:
    score = with_score(tree, "buy * (1 / 0) + price * 10 ** 38 ** 2").expressions["gmv"]
    with np.errstate(all="ignore"):
        assert np.isinf(score({"buy": np.ones(1, np.float32), "price": np.ones(1, np.float32)}, NUMPY)).all()


REFUSED = {
    "an unknown name": ("buy * prise", "'prise' is not a stage, a conditional or a numeric feature", "Did you mean 'price'?"),
    "a feature that is no number": ("buy * city", "'city' is not a stage", "'age'"),
    "another score": ("buy * gmv", "'gmv' is not a stage"),
    "the space": ("buy * impression", "'impression' is not a stage"),
    "no name": ("1 + 2", "the same for every row", "'buy'"),
    "nothing": ("", "expected an expression such as"),
    "no expression": ("buy *", "expected an expression such as", "invalid syntax"),
    "a statement": ("import os", "expected an expression such as"),
    "an operator": ("buy % price", "the operator Mod", "+ - * / **"),
    "a whole division": ("buy // price", "the operator FloorDiv"),
    "a plus sign": ("+buy", "the operator UAdd"),
    "not": ("not buy", "the operator Not"),
    "a matrix product": ("buy @ price", "the operator MatMult"),
    "a comparison": ("buy > price", "a comparison"),
    "a choice": ("buy if click else price", "an `if`"),
    "and": ("buy and price", "`and` or `or`"),
    "an unknown function": ("sqr(buy)", "'sqr' is not an allowed function", "Did you mean 'sqrt'?"),
    "a function of Python": ("eval(buy)", "'eval' is not an allowed function"),
    "a method": ("buy.mean()", "a call"),
    "an attribute": ("buy.real", "an attribute"),
    "a subscript": ("buy[0]", "a subscript"),
    "an import": ("__import__('os')", "'__import__' is not an allowed function"),
    "a text": ("buy * 'a'", "the str 'a'"),
    "yes": ("buy * True", "the bool True"),
    "a complex number": ("buy * 2j", "the complex 2j"),
    "a lambda": ("(lambda: buy)()", "a call"),
    "an assignment": ("(x := buy)", "an assignment"),
    "a list": ("max([buy, price], 1)", "a list"),
    "a star": ("max(*buy, price)", "a star"),
    "a keyword": ("log(x=buy)", "a call"),
    "too few arguments": ("min(buy)", "got 1 of min", "two arguments or more"),
    "too many arguments": ("log(buy, 2)", "got 2 of log", "one argument"),
    "a number beyond float32": ("buy * 1e39", "float32 can hold"),
    "a whole number beyond any float": ("buy * 1" + "0" * 400, "float32 can hold"),
    "an infinite number": ("buy * 1e999", "float32 can hold"),
    "a deep one": ("-" * 60 + "buy", "nested more than 40 deep"),
    "a deep one in parentheses": ("(" * 300 + "buy" + ")" * 300, "nested"),
    "a long one": ("buy + " * 300 + "buy", "characters, expected at most 1000"),
    "a list of texts": (["buy"], "got a list of 1, expected a string"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_allowed_is_refused_with_what_is(tree, case: str) -> None:
    text, *said = REFUSED[case]
    message = refusal(tree, text)
    assert message.startswith("schema scores.gmv: ")
    for part in said:
        assert part in message


def test_the_line_of_the_file_is_named(tree, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(dump_schema(load_schema(tree)).replace("scores: {}", "scores:\n  gmv: buy * prise\n"))
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    with pytest.raises(SchemaError, match=rf"a\.yaml:{lines.index('  gmv: buy * prise') + 1} scores\.gmv: 'prise' is not"):
        load_schema(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", ["click", "buy", "buy_given_click"])
def test_a_score_is_not_called_as_a_probability(tree, name: str) -> None:
    assert f"{name!r} is what a probability is called in predictions" in refusal(tree, "buy * price", name)
    assert f"'{name}_logit' is what the logit of a probability is called" in refusal(tree, "buy * price", f"{name}_logit")


def test_a_name_that_is_two_things_is_refused_where_a_score_needs_it(tree) -> None:
    tree["features"].append({"name": "buy", "kind": "numeric", "column": "other"})
    assert with_score(tree, "click * price").expressions
    assert "'buy' is both a probability and a numeric feature" in refusal(tree, "buy * price")


def test_a_score_has_a_name_that_an_output_can_have(tree) -> None:
    assert "expected a letter, then letters, digits or underscores" in refusal(tree, "buy", "g m v")


@given(st.text(max_size=60))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    declared = {
        "name": "shop",
        "stages": [{"name": "click", "label": "click"}],
        "data": {"facts": {"format": "csv", "train": "a.csv"}},
        "features": [{"name": "x", "kind": "numeric"}],
        "scores": {"s": text},
    }
    try:
        names = load_schema(declared).expressions["s"].names
    except SchemaError as error:
        message = str(error)
    else:
        message = f"schema scores.s: needs {names}" if names else "needs nothing"
    assert message.startswith("schema scores.s: ")
