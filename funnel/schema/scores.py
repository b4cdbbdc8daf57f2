"""Scores: what a service ranks by, as small expressions over probabilities and numbers; read here, never executed as Python."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from funnel.errors import have
from funnel.schema._base import LARGEST, problem, require_known

MOST_CHARACTERS, MOST_DEPTH = 1000, 40
ALLOWED = "names, numbers, + - * / **, parentheses, and log, exp, sqrt, min, max"

_SIGNS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Pow: lambda left, right: left**right,
}
_ARGUMENTS = {"log": 1, "exp": 1, "sqrt": 1, "min": 2, "max": 2}  # min and max take more, too
_SHOWN: dict[type[ast.AST], str] = {
    ast.Attribute: "an attribute", ast.Subscript: "a subscript", ast.Compare: "a comparison", ast.BoolOp: "`and` or `or`",
    ast.IfExp: "an `if`", ast.Lambda: "a lambda", ast.NamedExpr: "an assignment", ast.Starred: "a star", ast.Tuple: "a tuple",
    ast.List: "a list", ast.Dict: "a mapping", ast.Set: "a set", ast.JoinedStr: "a text", ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension", ast.DictComp: "a comprehension", ast.GeneratorExp: "a comprehension",
}  # fmt: skip


@dataclass(frozen=True)
class Functions:
    """What an expression is computed with: NumPy's functions, or TensorFlow's.

    Attributes:
        constant: A number as float32 [].
        one: By name, `log`, `exp` and `sqrt`.
        two: By name, `min` and `max` of two.
    """

    constant: Callable[[float], Any]
    one: Mapping[str, Callable[[Any], Any]]
    two: Mapping[str, Callable[[Any, Any], Any]]


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: As it was declared.
        names: The probabilities and numbers that it needs, each once.
    """

    text: str
    names: tuple[str, ...]

    def __call__(self, values: Mapping[str, Any], functions: Functions) -> Any:
        """Its value for every row: float32 [B].

        Args:
            values: By name float32 [B].
            functions: What computes.
        """
        return _value(_tree(self.text).body, values, functions)


def expression_of(path: tuple[str | int, ...], text: str, names: Sequence[str]) -> Expression:
    """Read and check an expression.

    Args:
        path: Where it stands in the schema.
        text: Such as `buy * price`.
        names: The probabilities and numbers that there are.

    Raises:
        PydanticCustomError: It is no expression, names something else, or does what is not allowed.
    """
    if len(text) > MOST_CHARACTERS:
        raise problem(path, f"got {len(text)} characters, expected at most {MOST_CHARACTERS}. Shorten it.")
    try:
        tree = _tree(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        nested = isinstance(error, MemoryError | RecursionError)
        reason = "it is nested too deep" if nested else error.msg if isinstance(error, SyntaxError) else str(error)
        raise problem(path, f"got {text!r}, expected an expression such as 'buy * price': {reason}. Mend it.") from None
    used: list[str] = []
    for name in _names(path, tree.body, 0):
        require_known(path, name, names, "a stage, a conditional or a numeric feature")
        used.append(name)
    if not used:
        raise problem(path, f"got {text!r}, which is the same for every row, expected a name {have('', names)} Name one.")
    return Expression(text, tuple(dict.fromkeys(used)))


def require_scores(scores: Mapping[str, str], probabilities: Sequence[str], numbers: Sequence[str]) -> dict[str, Expression]:
    """The declared scores, read and checked.

    Args:
        scores: Their texts by name.
        probabilities: What predictions are called.
        numbers: The numeric features.

    Raises:
        PydanticCustomError: A score is called as a prediction is, an expression is not right, or names what is two things.
    """
    found = {}
    for score, text in scores.items():
        path = ("scores", score)
        if score in probabilities or score.removesuffix("_logit") in probabilities:
            what = "a probability" if score in probabilities else "the logit of a probability"
            raise problem(path, f"{score!r} is what {what} is called in predictions, expected another name. Rename the score.")
        found[score] = expression_of(path, text, [*probabilities, *(n for n in numbers if n not in probabilities)])
        for name in found[score].names:
            if name in probabilities and name in numbers:
                message = f"{name!r} is both a probability and a numeric feature, expected one. Rename the feature."
                raise problem(path, message)
    return found


def _tree(text: str) -> ast.Expression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python finds odd is refused, or means the same here
        return ast.parse(" ".join(text.split()), mode="eval")  # on one line, whatever the YAML


def _names(path: tuple[str | int, ...], node: ast.expr, depth: int) -> Iterator[str]:
    """The names in a tree, in their order.

    Raises:
        PydanticCustomError: It does what is not allowed.
    """
    if depth > MOST_DEPTH:
        raise problem(path, f"got an expression nested more than {MOST_DEPTH} deep, expected less. Simplify it.")
    if isinstance(node, ast.Name):
        yield node.id
    for operand in _operands(path, node):
        yield from _names(path, operand, depth + 1)


def _operands(path: tuple[str | int, ...], node: ast.expr) -> Sequence[ast.expr]:
    """What a node is computed from."""
    match node:
        case ast.Name():
            return ()
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            if not abs(number) <= LARGEST:
                raise problem(path, f"got the number {str(number)[:40]}, expected one that float32 can hold. Change it.")
            return ()
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            return left, right
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return (operand,)
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            _check_call(path, function, len(arguments))
            return arguments
        case _:
            raise problem(path, f"got {_shown(node)} in {ast.unparse(node)[:60]!r}, expected {ALLOWED} only. Rewrite it.")


def _check_call(path: tuple[str | int, ...], function: str, count: int) -> None:
    if function not in _ARGUMENTS:
        raise problem(path, f"{function!r} is not an allowed function {have(function, _ARGUMENTS)} Use one of them.")
    least = _ARGUMENTS[function]
    if count < least or (least == 1 and count > 1):
        wanted = "one argument" if least == 1 else "two arguments or more"
        raise problem(path, f"got {count} of {function}, expected {wanted}. Mend it.")


def _shown(node: ast.expr) -> str:
    match node:
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            return f"the operator {type(op).__name__}"
        case ast.Constant(value=value):
            return f"the {type(value).__name__} {value!r}"[:60]
        case ast.Call():
            return "a call"
        case _:
            return _SHOWN.get(type(node), type(node).__name__)


def _value(node: ast.expr, values: Mapping[str, Any], functions: Functions) -> Any:
    match node:
        case ast.Name():
            return values[node.id]
        case ast.Constant(value=int() | float() as number):
            return functions.constant(float(number))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, values, functions)
        case ast.BinOp(left=left, op=op, right=right):
            return _SIGNS[type(op)](_value(left, values, functions), _value(right, values, functions))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            found = [_value(argument, values, functions) for argument in arguments]
            if name in functions.one:
                return functions.one[name](found[0])
            least = found[0]
            for other in found[1:]:
                least = functions.two[name](least, other)
            return least
    raise AssertionError(node)
