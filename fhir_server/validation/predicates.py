"""FHIRPath conditions turned into plain Python, so that one costs microseconds: what invariants are made of.

A condition is compiled for the type it is asked of, whose elements R4 tells; `value` is then known to be one of
`valueQuantity`, `valueString`, … and needs no search.  What is not known here (`resolve()`, `descendants()`, …) is left
to fhirpathpy, a hundred times slower.

>>> condition = compile("(identifier.count() + name.count()) > 0", "Organization")
>>> condition.holds({"resourceType": "Organization", "active": True})
False
>>> condition.elements
('identifier', 'name')

Known: matches() is of the whole text, as the standard's patterns are meant.  No element, or a text function of none, is
false where it is the whole condition.  Of dates and quantities that cannot be compared (`2024` and `2024-03`, mg and
mL) any order may hold.

R4: fhirpath.html, conformance-rules.html#constraints
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from fhir_server.fhir import definitions, path
from fhir_server.fhir.dates import Interval, parse
from fhir_server.fhir.definitions import Element

UCUM = "http://unitsofmeasure.org"

#: What an expression is about: the element it is asked of, the resource that holds this, and the outermost one, which
#: is another for what is contained; and what was found of these already.  R4: fhirpath.html#variables
Around = tuple[Any, Any, Any, dict[Any, Any]]
_Run = Callable[[Any, Around], list[Any]]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression."""

    expression: str
    elements: tuple[str, ...]
    """The children of the element it is asked of that decide, in the order they are named."""
    local: bool
    """Whether nothing else decides."""
    _run: _Run

    def holds(self, value: Any, resource: Any = None, root: Any = None) -> bool:
        """Whether it is true of `value`, an element of good structure of `resource`; `root` is the outermost one."""
        return _true(self._run(value, (value, value if resource is None else resource, root or resource or value, {})))


def compile(expression: str, type: str) -> Condition:
    """The condition that `expression` sets for elements of this type (`Observation`, `Timing.repeat`, `string`).

    Raises BadRequest if it is not FHIRPath.
    """
    try:
        compiler = _Compiler(expression, type)
        node = compiler.whole()
    except _NotHere:
        return _by_fhirpathpy(expression, type)
    return Condition(expression, tuple(compiler.elements), not compiler.looks_out, node.run)


def _by_fhirpathpy(expression: str, type: str) -> Condition:
    evaluate = path.compile(expression)

    def run(item: Any, around: Around) -> list[Any]:
        _, resource, root, _ = around
        return evaluate(item, type, resource=resource, rootResource=root, context=item, ucum=UCUM)

    known = definitions.structure(type) if type not in definitions.PRIMITIVES else {}
    stems = dict.fromkeys(name.choice.removesuffix("[x]") if name.choice else name.name for name in known.values())
    named = set(re.findall(r"[A-Za-z]\w*", expression))
    return Condition(expression, tuple(stem for stem in stems if stem in named), False, run)


class _NotHere(Exception):
    """Something that is left to fhirpathpy."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A compiled part: what it finds from an item on, and of which types that may be; None: any."""

    run: _Run
    types: tuple[str, ...] | None
    narrowed: Mapping[str, _Node] = field(default_factory=dict)
    """Of a choice: what there is of one type."""
    asked: bool = False
    """Whether it is the element that the whole expression is asked of."""
    item: bool = False
    """Whether it is the item itself, from which `run` starts."""


_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_]\w*|`[^`]+`)"
    r"|(?P<variable>%[A-Za-z]\w*|%`[^`]+`)|(?P<sign>\$this|<=|>=|!=|[.()\[\],|&=<>+]))",
    re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_DATE = re.compile(r"[0-9]{4}(-|$)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}

#: How strongly an operator binds.  FHIRPath: s. 6.8
_STRENGTH = {
    **dict.fromkeys(("+", "&"), 9),
    **dict.fromkeys(("is", "as"), 8),
    "|": 7,
    **dict.fromkeys(("<", "<=", ">", ">="), 6),
    **dict.fromkeys(("=", "!="), 5),
    **dict.fromkeys(("in", "contains"), 4),
    "and": 3,
    **dict.fromkeys(("or", "xor"), 2),
    "implies": 1,
}

_MANY = 20
_TRUE, _FALSE, _NONE = [True], [False], list[Any]()


class _Compiler:
    """One pass over the tokens of an expression, by the strength of its operators."""

    def __init__(self, expression: str, type: str):
        self._tokens = _tokens(expression)
        self._next = 0
        self._type = type
        self._focus = _Node(_itself, (type,), asked=True, item=True)
        self.elements: dict[str, None] = {}
        self.looks_out = False

    def whole(self) -> _Node:
        node = self._expression(0)
        if self._peek() is not None:
            raise _NotHere
        return node

    # --- tokens

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise _NotHere
        self._next += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise _NotHere

    # --- grammar

    def _expression(self, least: int) -> _Node:
        left = self._postfix(self._term())
        while (sign := self._peek()) is not None and _STRENGTH.get(sign, 0) > least:
            self._next += 1
            if sign in ("is", "as"):
                left = _is(left, self._type_name()) if sign == "is" else _as(left, self._type_name())
                continue
            left = _combined(sign, left, self._expression(_STRENGTH[sign]))
        return left

    def _term(self) -> _Node:
        text = self._take()
        if text == "(":
            node = self._expression(0)
            self._expect(")")
            return node
        if text[0] == "'":
            return _constant(_unescaped(text), "string")
        if text[0].isdigit():
            return _constant(Decimal(text) if "." in text else int(text), "decimal")
        if text in ("true", "false"):
            return _constant(text == "true", "boolean")
        if text == "$this":
            return self._focus
        if text[0] == "%":
            return self._variable(text[1:])
        if text[0].isalpha() or text[0] in "_`":
            if self._peek() == "(":
                return self._call(self._focus, text)
            return self._focus if text == self._type and self._focus.asked else self._step(self._focus, text)
        raise _NotHere

    def _postfix(self, node: _Node) -> _Node:
        fixed = self._tokens[self._next - 1][0] == "%"
        while self._peek() == ".":
            self._next += 1
            name = self._take()
            calls = self._peek() == "("
            if fixed and calls and self._tokens[self._next + 1 : self._next + 2] != [")"]:
                node, fixed = _once(node), False
            node = self._call(node, name) if calls else self._step(node, name)
        if self._peek() == "[":
            raise _NotHere
        return _once(node) if fixed else node

    def _variable(self, name: str) -> _Node:
        if name == "ucum":
            return _constant(UCUM, "uri")
        if name == "context":
            return _Node(lambda item, around: [around[0]], (self._type,), asked=True)
        resource = self._type.partition(".")[0]
        if name != "resource" or not definitions.is_resource(resource):
            raise _NotHere
        itself = resource == self._type
        self.looks_out = self.looks_out or not itself
        return _Node(lambda item, around: [around[1]], (resource,), asked=itself)

    def _type_name(self) -> str:
        name = self._take()
        while self._peek() == ".":
            self._next += 1
            name = self._take()
        return name

    def _step(self, base: _Node, name: str) -> _Node:
        name = name.strip("`")
        if base.asked:
            self.elements[name] = None
        return _child(base, name)

    def _call(self, base: _Node, name: str) -> _Node:
        self._expect("(")
        if name in ("is", "as", "ofType"):
            type = self._type_name()
            self._expect(")")
            return _is(base, type) if name == "is" else _as(base, type)
        if name in _PER_ITEM or (name == "exists" and self._peek() != ")"):
            outer, self._focus = self._focus, _Node(_itself, base.types, item=True)
            criteria = self._expression(0)
            self._focus = outer
            self._expect(")")
            return _per_item(name, base, criteria)
        arguments: list[_Node] = []
        while self._peek() != ")":
            arguments.append(self._expression(0))
            if self._peek() == ",":
                self._next += 1
        self._expect(")")
        if name == "extension" and len(arguments) == 1:
            return _extension(self._step(base, "extension"), arguments[0])
        return _function(name, base, arguments)


def _itself(item: Any, around: Around) -> list[Any]:
    return [item]


def _once(node: _Node) -> _Node:
    """A path from a variable on: it finds the same for each item, so that to look for it once is enough."""
    run, key = node.run, object()

    def run_once(item: Any, around: Around) -> list[Any]:
        known = around[3]
        if key not in known:
            known[key] = run(item, around)
        found: list[Any] = known[key]
        return found

    return _Node(run_once, node.types, node.narrowed, node.asked)


def _tokens(expression: str) -> list[str]:
    tokens = []
    place, end = 0, len(expression.rstrip())
    while place < end:
        match = _TOKEN.match(expression, place)
        if not match:
            raise _NotHere
        tokens.append(match[0].strip())
        place = match.end()
    return tokens


def _unescaped(literal: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), literal[1:-1])


# --- from an item to its children


def _child(base: _Node, name: str) -> _Node:
    """The step `.name`: the elements of that name, or of that choice, in each type the items may have."""
    if base.types is None:
        raise _NotHere
    found = [element for type in base.types for element in _elements(type, name)]
    if not found:
        return _Node(_nothing, ())
    if len({element.many for element in found}) > 1:
        raise _NotHere
    whole = _stepped(base, found)
    if not found[0].choice:
        return whole
    return _Node(whole.run, whole.types, {element.type: _stepped(base, [element]) for element in found})


def _elements(type: str, name: str) -> list[Element]:
    if type in definitions.PRIMITIVES:
        if name == "extension":
            raise _NotHere  # A primitive with a value is an item by itself here, without what stands in `_x`.
        return []
    known = definitions.structure("DomainResource" if type == "Resource" else type).values()
    return [element for element in known if name == (element.choice or element.name).removesuffix("[x]")]


def _stepped(base: _Node, elements: list[Element]) -> _Node:
    children = _getter({element.name: element for element in elements})
    types = tuple(dict.fromkeys(element.structure or element.type for element in elements))
    if base.item:
        return _Node(lambda item, around: children(item), types)
    inner = base.run

    def run(item: Any, around: Around) -> list[Any]:
        return [child for parent in inner(item, around) for child in children(parent)]

    return _Node(run, types)


def _getter(elements: Mapping[str, Element]) -> Callable[[Any], list[Any]]:
    """What an object has under these elements; a primitive without a value counts with its extensions."""
    if len(elements) > 1:
        getters = {name: _getter({name: element}) for name, element in elements.items()}
        getters |= {f"_{name}": getter for name, getter in getters.items()}

        def chosen(parent: Any) -> list[Any]:
            for key in parent if isinstance(parent, dict) else ():
                if key in getters:
                    return getters[key](parent)
            return _NONE

        return chosen
    ((name, element),) = elements.items()
    beside, many, primitive = f"_{name}", element.many, element.primitive

    def children(parent: Any) -> list[Any]:
        if not isinstance(parent, dict):
            return _NONE
        value = parent.get(name)
        if value is None:
            extras = parent.get(beside) if primitive else None
            if extras is None:
                return _NONE
            return [extra for extra in extras if extra is not None] if many else [extras]
        if not many:
            return [value]
        if primitive and None in value:
            extras = parent.get(beside) or ()
            pairs = zip(value, [*extras, *[None] * (len(value) - len(extras))], strict=False)
            return [extra if item is None else item for item, extra in pairs if (item, extra) != (None, None)]
        return value

    return children


# --- functions


def _function(name: str, base: _Node, arguments: list[_Node]) -> _Node:
    run = base.run
    if name in _OF_COLLECTION and not arguments:
        function, type = _OF_COLLECTION[name]
        return _Node(lambda item, around: function(run(item, around)), (type,) if type else base.types)
    if name in _OF_TEXT and len(arguments) == 1:
        test, argument = _OF_TEXT[name], arguments[0].run

        def matching(item: Any, around: Around) -> list[Any]:
            found, given = run(item, around), argument(item, around)
            return [test(found[0], given[0])] if len(found) == 1 and given and isinstance(found[0], str) else _FALSE

        return _Node(matching, ("boolean",))
    if name == "replaceMatches" and len(arguments) == 2:
        pattern, by = arguments[0].run, arguments[1].run

        def replaced(item: Any, around: Around) -> list[Any]:
            return [re.sub(pattern(item, around)[0], by(item, around)[0], text) for text in run(item, around)]

        return _Node(replaced, ("string",))
    if name == "trace" and arguments:
        return base
    if name == "iif" and len(arguments) in (2, 3):
        asked, then, other = arguments[0].run, arguments[1], arguments[2].run if len(arguments) == 3 else _nothing
        return _Node(
            lambda item, around: then.run(item, around) if _true(asked(item, around)) else other(item, around),
            then.types,
        )
    if name in ("combine", "intersect") and len(arguments) == 1:
        other = arguments[0].run
        if name == "combine":
            return _Node(lambda item, around: [*run(item, around), *other(item, around)], base.types)

        def common(item: Any, around: Around) -> list[Any]:
            found = run(item, around)
            others = _identities(other(item, around), around) if found else ()
            return [each for each in found if identity(each) in others]

        return _Node(common, base.types)
    raise _NotHere


def _nothing(item: Any, around: Around) -> list[Any]:
    return _NONE


def _distinct(found: list[Any]) -> list[Any]:
    return list({identity(item): item for item in reversed(found)}.values())[::-1] if len(found) > 1 else found


def identity(item: Any) -> Any:
    """What two equal items have in common, and can be looked up by."""
    if isinstance(item, dict):
        return frozenset((name, identity(value)) for name, value in item.items())
    return tuple(map(identity, item)) if isinstance(item, list) else item


def _identities(found: list[Any], around: Around) -> Collection[Any]:
    """Of many that are looked into again and again, a set."""
    if len(found) < _MANY:
        return [identity(item) for item in found]
    known = around[3]
    if id(found) not in known:
        known[id(found)] = found, {identity(item) for item in found}
    identities: set[Any] = known[id(found)][1]
    return identities


def _to_integer(found: list[Any]) -> list[Any]:
    if len(found) != 1:
        return _NONE
    if isinstance(found[0], int):
        return [int(found[0])]
    return [int(found[0])] if isinstance(found[0], str) and re.fullmatch(r"[+-]?[0-9]{1,18}", found[0]) else _NONE


def _to_string(found: list[Any]) -> list[Any]:
    return [getattr(item, "text", None) or str(item) for item in found] if len(found) == 1 else _NONE


def _not(found: list[Any]) -> list[Any]:
    return _NONE if not found else _FALSE if _true(found) else _TRUE


def _has_value(found: list[Any]) -> list[Any]:
    return _TRUE if len(found) == 1 and not isinstance(found[0], dict) else _FALSE


def _all_true(found: list[Any]) -> list[Any]:
    return _TRUE if all(item is True for item in found) else _FALSE


#: name → what it makes of what is found, and the type of that; None: as it was
_OF_COLLECTION: dict[str, tuple[Callable[[list[Any]], list[Any]], str | None]] = {
    "exists": (lambda found: _TRUE if found else _FALSE, "boolean"),
    "empty": (lambda found: _FALSE if found else _TRUE, "boolean"),
    "not": (_not, "boolean"),
    "count": (lambda found: [len(found)], "integer"),
    "first": (lambda found: found[:1], None),
    "last": (lambda found: found[-1:], None),
    "tail": (lambda found: found[1:], None),
    "distinct": (_distinct, None),
    "isDistinct": (lambda found: _TRUE if len(_distinct(found)) == len(found) else _FALSE, "boolean"),
    "hasValue": (_has_value, "boolean"),
    "allTrue": (_all_true, "boolean"),
    "toInteger": (_to_integer, "integer"),
    "toString": (_to_string, "string"),
    "length": (lambda found: [len(found[0])] if found and isinstance(found[0], str) else _NONE, "integer"),
}


def _matches(text: str, pattern: str) -> bool:
    return re.fullmatch(pattern, text, re.DOTALL) is not None


_OF_TEXT: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
    "matches": _matches,
}
_PER_ITEM = frozenset({"where", "all", "select"})


def _per_item(name: str, base: _Node, criteria: _Node) -> _Node:
    run, asked = base.run, criteria.run
    if name == "where":
        return _Node(
            lambda item, around: [each for each in run(item, around) if _true(asked(each, around))], base.types
        )
    if name == "select":
        return _Node(
            lambda item, around: [one for each in run(item, around) for one in asked(each, around)], criteria.types
        )
    if name == "all":
        return _Node(
            lambda item, around: _TRUE if all(_true(asked(each, around)) for each in run(item, around)) else _FALSE,
            ("boolean",),
        )
    return _Node(
        lambda item, around: _TRUE if any(_true(asked(each, around)) for each in run(item, around)) else _FALSE,
        ("boolean",),
    )


def _extension(base: _Node, url: _Node) -> _Node:
    run, wanted = base.run, url.run

    def found(item: Any, around: Around) -> list[Any]:
        urls = wanted(item, around)
        return [each for each in run(item, around) if each.get("url") in urls]

    return _Node(found, base.types)


def _is(base: _Node, type: str) -> _Node:
    """Whether there is one item, of this type: a resource, or of a choice."""
    run = base.run
    if definitions.is_resource(type):

        def of_type(item: Any, around: Around) -> list[Any]:
            found = run(item, around)
            return [found[0].get("resourceType") == type] if len(found) == 1 else _FALSE

        return _Node(of_type, ("boolean",))
    one = _as(base, type).run
    return _Node(lambda item, around: _TRUE if one(item, around) else _FALSE, ("boolean",))


def _as(base: _Node, type: str) -> _Node:
    """What there is of one type of a choice, or the resources of that type."""
    run = base.run
    if definitions.is_resource(type):
        return _Node(
            lambda item, around: [each for each in run(item, around) if each.get("resourceType") == type], (type,)
        )
    wanted = type if type in base.narrowed else type[:1].lower() + type[1:]
    if wanted in base.narrowed:
        return base.narrowed[wanted]
    if base.narrowed or base.types is None:
        raise _NotHere
    return base if wanted in base.types else _Node(_nothing, ())


# --- operators


def _constant(value: Any, type: str) -> _Node:
    found = [value]
    return _Node(lambda item, around: found, (type,))


def _true(found: list[Any]) -> bool:
    """A single item that is no boolean is true.  FHIRPath: s. 4.5"""
    return len(found) == 1 and found[0] is not False


def _combined(sign: str, left: _Node, right: _Node) -> _Node:
    one, other = left.run, right.run
    if sign in _LOGIC:
        return _Node(_LOGIC[sign](one, other), ("boolean",))
    if sign == "|":
        types = None if left.types is None or right.types is None else left.types + right.types
        return _Node(lambda item, around: _distinct([*one(item, around), *other(item, around)]), types)
    if sign == "&":
        return _Node(
            lambda item, around: ["".join(str(each) for run in (one, other) for each in run(item, around)[:1])],
            ("string",),
        )
    if sign in ("in", "contains"):
        if sign == "contains":
            one, other = other, one

        def member(item: Any, around: Around) -> list[Any]:
            found = one(item, around)
            if not found:
                return _NONE
            others = _identities(other(item, around), around)
            return _TRUE if all(identity(each) in others for each in found) else _FALSE

        return _Node(member, ("boolean",))
    calculate = _CALCULATED[sign]

    def calculated(item: Any, around: Around) -> list[Any]:
        found, others = one(item, around), other(item, around)
        return calculate(found, others) if found and others else _NONE

    return _Node(calculated, ("integer",) if sign == "+" else ("boolean",))


def _and(one: _Run, other: _Run) -> _Run:
    def run(item: Any, around: Around) -> list[Any]:
        left = one(item, around)
        if left and not _true(left):
            return _FALSE
        right = other(item, around)
        if right and not _true(right):
            return _FALSE
        return _TRUE if left and right else _NONE

    return run


def _or(one: _Run, other: _Run) -> _Run:
    def run(item: Any, around: Around) -> list[Any]:
        left = one(item, around)
        if _true(left):
            return _TRUE
        right = other(item, around)
        if _true(right):
            return _TRUE
        return _FALSE if left and right else _NONE

    return run


def _xor(one: _Run, other: _Run) -> _Run:
    def run(item: Any, around: Around) -> list[Any]:
        left, right = one(item, around), other(item, around)
        if not left or not right:
            return _NONE
        return _TRUE if _true(left) != _true(right) else _FALSE

    return run


def _implies(one: _Run, other: _Run) -> _Run:
    def run(item: Any, around: Around) -> list[Any]:
        left = one(item, around)
        if left and not _true(left):
            return _TRUE
        right = other(item, around)
        if _true(right):
            return _TRUE
        return right if left else _NONE

    return run


_LOGIC: dict[str, Callable[[_Run, _Run], _Run]] = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[list[Any], list[Any]], list[Any]]:
    def ordered(left: list[Any], right: list[Any]) -> list[Any]:
        if len(left) != 1 or len(right) != 1:
            return _NONE
        return _TRUE if _may_be(compare, left[0], right[0]) else _FALSE

    return ordered


def _may_be(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    """Whether the order may hold; False only where it does not."""
    if isinstance(one, dict) and isinstance(other, dict):
        unit, other_unit = ([value.get(name) for name in ("system", "code", "unit")] for value in (one, other))
        same = unit[:2] == other_unit[:2] if unit[1] and other_unit[1] else unit[2] == other_unit[2]
        if not same or "value" not in one or "value" not in other:
            return True
        return compare(one["value"], other["value"])
    if isinstance(one, dict) or isinstance(other, dict):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return _dates_may_be(compare, one, other)
    return compare(one, other)


def _dates_may_be(compare: Callable[[Any, Any], bool], one: str, other: str) -> bool:
    if not _DATE.match(one) or not _DATE.match(other):
        return compare(one, other)
    if "T" not in one and "T" not in other:
        shorter = min(len(one), len(other))
        return compare(one[:shorter], other[:shorter]) or (len(one) != len(other) and one[:shorter] == other[:shorter])
    first, second = _interval(one), _interval(other)
    if compare(0, 1):  # < or <=: some moment of the one may lie before one of the other
        return first.low < second.high
    return second.low < first.high


def _interval(text: str) -> Interval:
    """The moments that a date may mean, wherever on earth it was written."""
    if "T" in text:
        return parse(text)
    day = parse(text, UTC)
    try:
        return Interval(day.low - timedelta(hours=14), day.high + timedelta(hours=12))
    except OverflowError:  # the first and the last day that Python knows
        return day


_CALCULATED: dict[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "=": lambda left, right: _TRUE if left == right else _FALSE,
    "!=": lambda left, right: _FALSE if left == right else _TRUE,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "+": lambda left, right: [left[0] + right[0]],
}
