"""Rewriting any resource: nothing of the mapping is left, and twice is as good as once.  R4: http.html#trules"""

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.references import rewrite, walk_references

urns = st.uuids().map(lambda uuid: f"urn:uuid:{uuid}")


@st.composite
def resources_and_mappings(draw):
    known = draw(st.lists(urns, min_size=1, max_size=4, unique=True))
    mapping = {urn: f"Patient/{index}" for index, urn in enumerate(known)}
    target = st.one_of(st.sampled_from(known), urns, st.sampled_from(["Patient/x", "#c"]))
    suffix = st.sampled_from(["", "#c", "/_history/1"])
    reference = st.fixed_dictionaries({"reference": st.builds(str.__add__, target, suffix)})
    extension = st.deferred(
        lambda: st.one_of(
            st.builds(lambda value: {"url": "http://x", "valueReference": value}, reference),
            st.builds(lambda value: {"url": "http://x", "valueUrl": value}, target),
            st.builds(lambda value: {"url": "http://x", "valueString": value}, target),
            st.builds(lambda value: {"url": "http://x", "extension": [value]}, extension),
        )
    )
    extensions = st.lists(extension, min_size=1, max_size=3)
    resource = st.fixed_dictionaries(
        {"resourceType": st.just("Observation")},
        optional={
            "subject": reference,
            "performer": st.lists(reference, min_size=1, max_size=3),
            "extension": extensions,
            "_status": st.fixed_dictionaries({"extension": extensions}),
            "contained": st.lists(
                st.fixed_dictionaries({"resourceType": st.just("Patient"), "generalPractitioner": st.lists(reference)}),
                min_size=1,
                max_size=2,
            ),
            "component": st.lists(st.fixed_dictionaries({"extension": extensions}), min_size=1, max_size=2),
        },
    )
    return draw(resource), mapping


@given(resources_and_mappings())
def test_rewriting_is_total_and_idempotent(drawn):
    resource, mapping = drawn
    result = rewrite(resource, mapping)
    left = {found.value.split("#")[0].split("/_history/")[0] for found in walk_references(result)}
    assert not left & set(mapping)
    assert rewrite(result, mapping) == result


@given(resources_and_mappings())
def test_rewriting_keeps_everything_else(drawn):
    """Turned back by the opposite mapping, the resource is what it was."""
    resource, mapping = drawn
    assert rewrite(rewrite(resource, mapping), {new: old for old, new in mapping.items()}) == resource
