"""FHIRPath: the one place that meets fhirpathpy.  R4: fhirpath.html

fhirpathpy parses leniently (what follows a complete expression is dropped), raises bare exceptions, and keeps the
time of `now()` in its module.  Here the whole text must be an expression, faults are ours and name the expression,
and one evaluation runs at a time.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fhirpathpy
from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

from fhir_server.fhir.outcome import BadRequest, Unprocessable

Evaluator = Callable[..., list]

LONGEST = 4_000
"""Characters of an expression; HL7's own longest search parameter has under 2,500."""

_CRITERION_FUNCTIONS = """
    abs all allFalse allTrue anyFalse anyTrue as ceiling contains convertsToBoolean convertsToDate convertsToDateTime
    convertsToDecimal convertsToInteger convertsToQuantity convertsToString convertsToTime count distinct empty endsWith
    exists extension first floor indexOf is isDistinct last length lower not now ofType skip startsWith subsetOf
    substring supersetOf tail take timeOfDay toBoolean toDate toDateTime toDecimal toInteger toQuantity toString toTime
    today trim truncate upper where
"""
CRITERION_FUNCTIONS = frozenset(_CRITERION_FUNCTIONS.split())
"""What a client may call.  Left out: those whose cost its text does not bound (`matches`, `replace`, `power`, …)."""

DEEPEST = 8

_OPERATORS = {"and", "or", "xor", "implies", "in", "div", "mod"}
_R4 = models["r4"]
_evaluating = threading.Lock()


@lru_cache(maxsize=4096)
def compile(expression: str) -> Evaluator:
    """The function `evaluate(value, base=None, **variables)`: the list of what `expression` finds in `value`.

    `value` is a resource, or an element with its type or path in `base` (`HumanName`, `Patient.contact`); `variables`
    are seen as `%name`.  `now()` is the same moment all through one evaluation.  Raises BadRequest if the text is not
    FHIRPath; the function raises Unprocessable when the expression cannot be evaluated on its value.

    Known of fhirpathpy: a primitive and its extensions are two items, and `$this` is not restored after a nested
    where(), exists() or all(): write `$this` before them.
    """
    if len(expression) > LONGEST:
        raise BadRequest(f"A FHIRPath expression has at most {LONGEST} characters, this one {len(expression)}.")
    try:
        _parser(expression).entireExpression()
        compiled = fhirpathpy.compile(expression, _R4, {"traceFn": _silent})
    except BadRequest as error:
        raise BadRequest(f"Not a FHIRPath expression: `{expression}` {error}.") from None
    except RecursionError:
        raise BadRequest("The FHIRPath expression is nested too deeply.") from None

    def evaluate(value: Any, base: str | None = None, **variables: Any) -> list:
        start = value if base is None else ResourceNode.create_node(value, base)
        try:
            with _evaluating:
                return compiled(start, {"resource": value, **variables})
        except Exception as error:  # fhirpathpy raises Exception itself
            raise Unprocessable(f"Cannot evaluate the FHIRPath `{expression}`: {error}.") from error

    return evaluate


@lru_cache(maxsize=1024)
def criterion(expression: str) -> Callable[[Any, str], bool]:
    """The function `holds(element, type)` for the text inside a client's `where(…)`.

    Raises BadRequest for what a client may not use: functions outside CRITERION_FUNCTIONS, `%variables`, and
    parentheses more than DEEPEST deep, as each nested where() doubles the work.  A primitive that has a value is
    seen without its id and extensions: fhirpathpy would take them for a second item, equal to nothing.
    """
    evaluate = compile(expression)
    texts = _tokens(expression)
    for refused in _calls(texts) - CRITERION_FUNCTIONS:
        raise BadRequest(f"`{refused}` cannot be used in where(): `{expression}`.")
    if max(itertools.accumulate((text == "(") - (text == ")") for text in texts)) > DEEPEST:
        raise BadRequest(f"where() has at most {DEEPEST} levels of parentheses: `{expression}`.")

    def holds(element: Any, type: str) -> bool:
        found = evaluate(_values_alone(element), type)
        if len(found) > 1 or any(not isinstance(value, bool) for value in found):
            raise Unprocessable(f"where() needs true or false, and `{expression}` gives something else.")
        return found == [True]

    return holds


def _values_alone(value: Any) -> Any:
    """The value with one item for each primitive: its value, or where there is none its id and extensions.

    R4: json.html#primitive
    """
    if isinstance(value, list):
        return [_values_alone(item) for item in value]
    if not isinstance(value, dict):
        return value
    extras = {f"_{name}" for name in value}
    return {
        name: _filled(_values_alone(item), value.get(f"_{name}")) for name, item in value.items() if name not in extras
    }


def _filled(value: Any, extras: Any) -> Any:
    if not isinstance(value, list) or not isinstance(extras, list):
        return value
    return [extra if item is None else item for item, extra in itertools.zip_longest(value, extras)]


class _Faults(ErrorListener):
    def syntaxError(self, recognizer, offendingSymbol, line, column, msg, e):
        raise BadRequest(f"at character {column + 1}: {msg}")


def _silent(label: str, values: Any) -> None:
    """Where trace() goes: fhirpathpy would print the values."""


def _parser(expression: str) -> FHIRPathParser:
    lexer = FHIRPathLexer(InputStream(expression))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for reader in (lexer, parser):
        reader.removeErrorListeners()
        reader.addErrorListener(_Faults())
    return parser


def _tokens(expression: str) -> list[str]:
    stream = _parser(expression).getTokenStream()
    stream.fill()
    return [token.text for token in stream.tokens if token.channel == 0]


def _calls(texts: list[str]) -> set[str]:
    """Each function called and each `%variable` used, read from the tokens so that strings are not mistaken."""
    pairs = list(itertools.pairwise(texts))
    variables = {f"%{following}" for text, following in pairs if text == "%"}
    called = {text.strip("`") for text, following in pairs if following == "(" and re.fullmatch(r"`?\w+`?", text)}
    return variables | called - _OPERATORS
