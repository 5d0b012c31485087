"""Patches against a naive reading of RFC 6902, and FHIRPath patches undone.  RFC 6902; R4: fhirpatch.html"""

import copy
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir import json, locate, patch
from fhir_server.fhir.outcome import Unprocessable

names = st.sampled_from(["a", "b", "0", "-", "~/"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "x"]))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(names, values, max_size=3)


def pointers_into(value, tokens=()):
    """Every pointer that leads somewhere, and some that do not."""
    yield tokens
    if isinstance(value, dict):
        yield (*tokens, "none")
        for name, inner in value.items():
            yield from pointers_into(inner, (*tokens, name))
    if isinstance(value, list):
        yield from ((*tokens, end) for end in ("-", str(len(value)), "x", "01"))
        for index, inner in enumerate(value):
            yield from pointers_into(inner, (*tokens, str(index)))


def written(tokens):
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


@st.composite
def patches(draw):
    """A document and a patch of it, each pointer drawn from what the document is by then."""
    document = current = {"resourceType": "Basic", **draw(documents)}
    operations = []
    for _ in range(draw(st.integers(1, 4))):
        places = [tokens for tokens in pointers_into(current) if tokens[:1] != ("resourceType",)][1:]
        op = draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]))
        operation = {"op": op, "path": written(draw(st.sampled_from(places)))}
        if op in ("move", "copy"):
            operation["from"] = written(draw(st.sampled_from(places)))
        if op in ("add", "replace", "test"):
            operation["value"] = draw(values)
        operations.append(operation)
        try:
            current = naive(current, [operation])
        except LookupError:
            break
    return document, operations


def naive(document, operations):
    """RFC 6902 word by word: each operation gives a new document, or LookupError."""
    for operation in operations:
        path = read(operation["path"])
        match operation["op"]:
            case "add":
                document = added(document, path, operation["value"])
            case "remove":
                document = removed(document, path)
            case "replace":
                document = added(removed(document, path), path, operation["value"])
            case "copy":
                document = added(document, path, found(document, read(operation["from"])))
            case "move":
                source = read(operation["from"])
                if source == path[: len(source)] and source != path:
                    raise LookupError
                document = added(removed(document, source), path, found(document, source))
            case "test":
                if json.dumps(ordered(found(document, path))) != json.dumps(ordered(operation["value"])):
                    raise LookupError
    return document


def read(pointer):
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def key(container, token, *, adding=False):
    if isinstance(container, dict):
        if token in container or adding:
            return token
    elif isinstance(container, list):
        if adding and token == "-":
            return len(container)
        index = int(token) if token.isdigit() and str(int(token)) == token else -1
        if 0 <= index < len(container) + adding:
            return index
    raise LookupError


def found(document, path):
    for token in path:
        document = document[key(document, token)]
    return document


def added(document, path, value):
    return changed(document, path, adding=True, change=lambda container, at: put(container, at, value))


def removed(document, path):
    return changed(document, path, adding=False, change=lambda container, at: container.pop(at))


def put(container, at, value):
    if isinstance(container, list):
        container.insert(at, value)
    else:
        container[at] = value


def changed(document, path, *, adding, change):
    document = copy.deepcopy(document)
    container = found(document, path[:-1])
    change(container, key(container, path[-1], adding=adding))
    return document


def ordered(value):
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


def without_empties(value):
    """No name here starts with an underscore, so nothing has to keep its place."""
    if isinstance(value, dict):
        inner = {name: without_empties(item) for name, item in value.items()}
        return {name: item for name, item in inner.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(without_empties, value) if item not in ({}, [])]
    return value


@given(patches())
def test_json_patch_does_what_the_rfc_says(drawn):
    document, operations = drawn
    try:
        expected = naive(document, operations)
    except LookupError:
        with pytest.raises(Unprocessable):
            patch.json_patch(document, operations)
        return
    result = patch.json_patch(document, operations)
    assert json.dumps(ordered(result)) == json.dumps(ordered(without_empties(expected)))


texts = st.text(string.ascii_letters, min_size=1, max_size=5)
extensions = st.fixed_dictionaries({"url": st.just("http://x"), "valueString": texts})
human_names = st.fixed_dictionaries(
    {"family": texts}, optional={"given": st.lists(texts, min_size=1, max_size=3), "use": st.just("official")}
)
patients = st.fixed_dictionaries(
    {"resourceType": st.just("Patient"), "id": st.just("1")},
    optional={
        "name": st.lists(human_names, min_size=1, max_size=3),
        "active": st.booleans(),
        "_active": st.fixed_dictionaries({"extension": st.lists(extensions, min_size=1, max_size=2)}),
        "birthDate": st.just("2000"),
        "contact": st.lists(st.fixed_dictionaries({"name": human_names}), min_size=1, max_size=2),
    },
)

# Path of the holder, name of the element, its value as Parameters have it, and the path of what was added.
additions = st.one_of(
    st.tuples(st.just("Patient"), st.just("name"), human_names.map(lambda name: {"valueHumanName": name})),
    st.tuples(st.just("Patient.name[0]"), st.just("given"), texts.map(lambda text: {"valueString": text})),
    st.tuples(
        st.sampled_from(
            ["Patient", "Patient.birthDate", "Patient.active", "Patient.name[0].given[0]", "Patient.contact[0]"]
        ),
        st.just("extension"),
        texts.map(
            lambda text: {"part": [{"name": "url", "valueUri": "http://x"}, {"name": "value", "valueString": text}]}
        ),
    ),
    st.tuples(st.just("Patient"), st.just("gender"), st.just({"valueCode": "female"})),
    st.tuples(
        st.just("Patient"),
        st.just("deceased"),
        st.sampled_from([{"valueBoolean": False}, {"valueDateTime": "2020", "_valueDateTime": {"id": "a"}}]),
    ),
    st.tuples(
        st.just("Patient"),
        st.just("contact"),
        human_names.map(lambda name: {"part": [{"name": "name", "valueHumanName": name}]}),
    ),
)


def operation(type, path, *parts):
    fixed = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": [*fixed, *parts]}


def apply(resource, *operations):
    return patch.fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": list(operations)})


@given(patients, additions)
def test_adding_and_deleting_gives_back_the_resource(patient, addition):
    """R4 fhirpatch.html: what add appends, delete of the last takes away; the order of the elements stays too."""
    path, name, value = addition
    add = operation("add", path, {"name": "name", "valueString": name}, {"name": "value", **value})
    if not locate.locate(patient, path):
        with pytest.raises(Unprocessable):
            apply(patient, add)
        return
    before = json.dumps(patient)
    assert (
        len(locate.locate(apply(patient, add), f"{path}.{name}")) == len(locate.locate(patient, f"{path}.{name}")) + 1
    )
    assert json.dumps(apply(patient, add, operation("delete", f"{path}.{name}.last()"))) == before
    assert json.dumps(patient) == before


@given(st.lists(texts, min_size=1, max_size=5, unique=True), st.data())
def test_moving_there_and_back_gives_back_the_list(given_names, data):
    """R4 fhirpatch.html"""
    index = st.integers(0, len(given_names) - 1)
    source, destination = data.draw(index), data.draw(index)
    extras = data.draw(st.lists(st.none() | st.just({"id": "a"}), min_size=len(given_names), max_size=len(given_names)))
    name = {"given": given_names, **({"_given": extras} if any(extras) else {})}
    patient = {"resourceType": "Patient", "name": [name]}

    def move(start, end):
        ends = [{"name": "source", "valueInteger": start}, {"name": "destination", "valueInteger": end}]
        return operation("move", "Patient.name.given", *ends)

    moved = apply(patient, move(source, destination))["name"][0]
    assert moved["given"][destination] == given_names[source]
    assert apply(patient, move(source, destination), move(destination, source)) == patient


@given(patients)
def test_a_place_leads_to_its_element(patient):
    """The FHIRPath of a place is a path that leads to it alone."""
    for path in ("name", "name.given", "name.family", "active", "active.extension.value", "contact.name.given"):
        for place in locate.locate(patient, f"Patient.{path}"):
            assert locate.locate(patient, str(place)) == [place]
