"""A schema as one plain function that says whether a value is good: what jsonschema says, some ten times faster.

Most of what is written has no fault, and then nothing else need be known of it.  Of JSON Schema there is here what
schema.py makes; `accepts` refuses to be made of anything else.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]
Schema = Mapping[str, Any]

_ANNOTATIONS = ("x-fault", "$schema", "$id", "title", "then", "minContains", "maxContains")


def accepts(schema: Schema) -> Test:
    """Whether a value satisfies the schema.  Raises ValueError for a keyword that is not known."""
    tests = [_KEYWORDS[keyword](argument, schema) for keyword, argument in schema.items() if _asserts(keyword)]
    if len(tests) == 1:
        return tests[0]

    def every(value: Any) -> bool:
        for test in tests:  # noqa: SIM110  A generator would cost more than the tests
            if not test(value):
                return False
        return True

    return every


def _asserts(keyword: str) -> bool:
    if keyword in _ANNOTATIONS:
        return False
    if keyword not in _KEYWORDS:
        raise ValueError(f"not a keyword of these schemas: {keyword}")
    return True


def _required(names: list[str], schema: Schema) -> Test:
    if len(names) == 1:
        only = names[0]
        return lambda value: not isinstance(value, dict) or only in value
    return lambda value: not isinstance(value, dict) or all(name in value for name in names)


def _properties(properties: Mapping[str, Schema], schema: Schema) -> Test:
    tests = [(name, accepts(inner)) for name, inner in properties.items()]
    if len(tests) == 1:
        name, test = tests[0]
        return lambda value: not isinstance(value, dict) or name not in value or test(value[name])

    def every(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        return all(test(value[name]) for name, test in tests if name in value)

    return every


def _items(inner: Schema, schema: Schema) -> Test:
    test = accepts(inner)
    return lambda value: not isinstance(value, list) or all(map(test, value))


def _contains(inner: Schema, schema: Schema) -> Test:
    test = accepts(inner)
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    if least == 1 and most is None:
        return lambda value: not isinstance(value, list) or any(map(test, value))

    def counted(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        count = sum(map(test, value))
        return least <= count and (most is None or count <= most)

    return counted


def _all_of(schemas: list[Schema], schema: Schema) -> Test:
    return accepts_all([accepts(inner) for inner in schemas])


def accepts_all(tests: list[Test]) -> Test:
    def every(value: Any) -> bool:
        for test in tests:  # noqa: SIM110
            if not test(value):
                return False
        return True

    return every


def _any_of(schemas: list[Schema], schema: Schema) -> Test:
    tests = [accepts(inner) for inner in schemas]

    def some(value: Any) -> bool:
        for test in tests:  # noqa: SIM110
            if test(value):
                return True
        return False

    return some


def _not(inner: Schema, schema: Schema) -> Test:
    test = accepts(inner)
    return lambda value: not test(value)


def _if(inner: Schema, schema: Schema) -> Test:
    meant, then = accepts(inner), accepts(schema["then"])
    return lambda value: not meant(value) or then(value)


def _const(expected: Any, schema: Schema) -> Test:
    if isinstance(expected, str):
        return lambda value: value == expected
    return lambda value: value == expected and isinstance(value, bool) == isinstance(expected, bool)


def _enum(values: list[str], schema: Schema) -> Test:
    known = frozenset(values)
    return lambda value: isinstance(value, str) and value in known


def _pattern(pattern: str, schema: Schema) -> Test:
    search = re.compile(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | dict | list) and value is not None


_KEYWORDS: dict[str, Callable[[Any, Schema], Test]] = {
    "required": _required,
    "properties": _properties,
    "items": _items,
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _any_of,
    "not": _not,
    "if": _if,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "minItems": lambda least, schema: lambda value: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda most, schema: lambda value: not isinstance(value, list) or len(value) <= most,
    "maxLength": lambda most, schema: lambda value: not isinstance(value, str) or len(value) <= most,
    "minimum": lambda least, schema: lambda value: not _is_number(value) or value >= least,
    "maximum": lambda most, schema: lambda value: not _is_number(value) or value <= most,
}
