"""$expand: all codes of a value set, or a page of them.  R4: valueset-operation-expand.html"""

from __future__ import annotations

import uuid

from fhir_server.fhir import json
from fhir_server.fhir.http import FhirRequest, FhirResponse
from fhir_server.fhir.outcome import BadRequest, NotSupported
from fhir_server.fhir.terminology.expansion import Wanted, expand
from fhir_server.fhir.terminology.systems import Resource, value_set
from fhir_server.fhir.terminology.value_sets import read
from fhir_server.operations.parameters import Given, given
from fhir_server.repository import Repository

#: What says which value set is meant.
WHICH = {"url": "uri", "valueSet": "ValueSet", "valueSetVersion": "string", "context": "uri"}
_TAKES = {
    **WHICH,
    "filter": "string",
    "offset": "integer",
    "count": "integer",
    "includeDesignations": "boolean",
    "includeDefinition": "boolean",
    "activeOnly": "boolean",
    "excludeNested": "boolean",
    "displayLanguage": "code",
    "date": "dateTime",
    "contextDirection": "code",
    "designation": "string",
    "excludeNotForUI": "boolean",
    "excludePostCoordinated": "boolean",
    "exclude-system": "canonical",
    "system-version": "canonical",
    "check-system-version": "canonical",
    "force-system-version": "canonical",
}
#: Asking for these and not getting them would be another expansion than was asked for.
NOT_DONE = ("context", "contextDirection", "date", "designation", "exclude-system", "system-version",
             "check-system-version", "force-system-version")  # fmt: skip


def expansion(request: FhirRequest, repository: Repository, type: str, id: str | None = None) -> FhirResponse:
    """
    200 and the ValueSet with its expansion: of the instance, of `url`, or of the ValueSet that was sent.

    Flat unless `excludeNested` is false.  Raises NotFound, TooCostly, NotSupported, BadRequest.
    """
    asked = given(request, _TAKES)
    for name in NOT_DONE:
        if name in asked:
            raise NotSupported(f"`{name}` cannot be asked for here.")
    definition = read(which(asked, repository, id), repository.terminology)
    wanted = Wanted(
        text=asked.text("filter"),
        offset=asked.number("offset") or 0,
        count=asked.number("count"),
        language=asked.text("displayLanguage"),
        designations=asked.flag("includeDesignations") or False,
        active_only=asked.flag("activeOnly") or False,
        nested=asked.flag("excludeNested") is False,
        definition=asked.flag("includeDefinition") or False,
        selectable=asked.flag("excludeNotForUI") or False,
    )
    whole = expand(definition, wanted, now=repository.now(), identifier=f"urn:uuid:{uuid.UUID(repository.new_id())}")
    return FhirResponse.of(200, dict(whole))


def which(asked: Given, repository: Repository, id: str | None) -> Resource:
    """
    The ValueSet that is meant: the instance, the one that was sent, or the one with this url.

    Raises BadRequest if none or several are named, NotFound.
    """
    if "context" in asked:
        raise NotSupported("`context` cannot be asked for here; name the value set by its `url`.")
    named = [name for name in ("url", "valueSet") if name in asked]
    if len(named) + (id is not None) != 1:
        raise BadRequest("Name one value set: by `url`, by sending it as `valueSet`, or as ValueSet/[id].")
    if id is not None:
        return json.parse(repository.read("ValueSet", id).body or b"")
    repository.decide("read", "ValueSet")
    sent = asked.value("valueSet")
    if sent is not None:
        return sent
    return value_set(repository.terminology, asked.text("url") or "", asked.text("valueSetVersion"))
