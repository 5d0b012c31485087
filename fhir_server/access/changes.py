"""What a write may say, once it may be made: A3, A9 and A16, and who deposited it.

The server sets who deposited, identity traits, and the labels of those who may not set them: a client that sends them
changes nothing.  A document's metadata are patched, and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access import consents
from fhir_server.access.actor import Actor
from fhir_server.access.choices import Choices
from fhir_server.access.rules import references
from fhir_server.fhir.labels import INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES, LABELS, MASKED, SYSTEM, labels
from fhir_server.fhir.outcome import Forbidden, MethodNotAllowed, Unprocessable
from fhir_server.search.types.reference import relative

Resource = dict[str, Any]

#: What the insurer's feed and the account's services say of a Patient, and nobody else.  R1111-27, A16
IDENTITY = (
    "identifier",
    "active",
    "name",
    "gender",
    "birthDate",
    "deceasedBoolean",
    "deceasedDateTime",
    "multipleBirthBoolean",
    "multipleBirthInteger",
    "generalPractitioner",
    "managingOrganization",
    "link",
    "extension",
    "modifierExtension",
)
_ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"
#: The labels that each kind of actor may set on what it entered.
_MAY_SET = {
    "patient": frozenset({MASKED, INVISIBLE_TO_REPRESENTATIVES}),
    "professional": frozenset(LABELS),
    "backend": frozenset(LABELS),
}
#: Where a resource says who entered it, from the best witness to the least.
_SAYS = (
    "author",
    "recorder",
    "asserter",
    "informationSource",
    "sender",
    "source",
    "requester",
    "performer",
    "consentor",
)
_DEPOSITORS = ("Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization")


def said_depositor(resource: Mapping[str, Any], patient: str | None, base: str) -> tuple[str, ...]:
    """
    Who a resource says entered it, and for which structure: of what an operator loads, there is no better witness.

    patient: the id of whose record it is.  What was entered for the holder is the holder's, whoever typed it.
    """
    found = _named(resource, base)
    for_holder = [f"Patient/{patient}"] if patient and any(one.startswith("RelatedPerson/") for one in found) else []
    return tuple(dict.fromkeys([*found, *for_holder]))


def _named(resource: Mapping[str, Any], base: str) -> list[str]:
    for name in _SAYS:
        said = resource.get(name)
        for one in said if isinstance(said, list) else [said]:
            one = one.get("actor", one) if isinstance(one, dict) else {}
            reference = relative(str(one.get("reference", "")), base)
            if reference.partition("/")[0] in _DEPOSITORS:
                custodian = relative(str((resource.get("custodian") or {}).get("reference", "")), base)
                return [reference, custodian] if custodian.startswith("Organization/") else [reference]
    return []


def settled(
    actor: Actor,
    interaction: str,
    resource: Resource,
    before: Mapping[str, Any] | None,
    *,
    entered: bool,
    choices: Choices | None,
    base: str = "",
) -> Resource:
    """
    The resource as it may be kept.

    before: what it replaces.  entered: whether the actor entered it, or enters it now.  choices: those in force of the
    patient whose record it is.  Raises Forbidden, MethodNotAllowed (A9), Unprocessable.
    """
    if actor.kind == "operator":
        return resource
    type = resource["resourceType"]
    if type == "Patient":
        resource = _with_identity(resource, before)
    if type == "Consent":
        _refuse_choice(actor, resource, before, entered=entered, choices=choices, base=base)
    if type == "DocumentReference" and before is not None and actor.kind != "patient":
        _refuse_other_metadata(interaction, resource, before)
    if before is not None and not entered and type != "Patient":
        return _amended(actor, interaction, resource, before)
    resource = _with_default_label(resource, before, actor, choices)
    _refuse_labels(actor, resource, before)
    return resource


def refuse_removal(actor: Actor, type: str) -> None:
    """Raise MethodNotAllowed for a document that its depositor would delete: it is retired, and stays.  A9"""
    if type == "DocumentReference" and actor.kind in ("professional", "backend"):
        raise MethodNotAllowed("A document that was deposited is retired by a patch: `status` is `entered-in-error`.")


def _with_identity(resource: Resource, before: Mapping[str, Any] | None) -> Resource:
    """A Patient with the traits that it had; of one that is new, as it comes."""
    if before is None:
        return resource
    fixed = {name for one in IDENTITY for name in (one, f"_{one}")}
    kept = {name: before[name] for name in before if name in fixed}
    return {**{name: value for name, value in resource.items() if name not in fixed}, **kept}


def _refuse_choice(
    actor: Actor,
    consent: Resource,
    before: Mapping[str, Any] | None,
    *,
    entered: bool,
    choices: Choices | None,
    base: str,
) -> None:
    """Raise for a choice that cannot be evaluated, or is not the actor's to make."""
    if not consents.is_choice(consent) and not (before is not None and consents.is_choice(before)):
        return
    if consents.is_app(consent) or (before is not None and consents.is_app(before)):
        raise Forbidden("What an app may do is changed where apps are connected and withdrawn.")
    faults = consents.faults(consent, base)
    if faults:
        raise Unprocessable.of(faults)
    if actor.kind == "patient":
        return
    if before is not None and consent.get("status") != "active":
        return  # the end of a declaration
    _refuse_declaration(actor, consent, choices, base)


def _refuse_declaration(actor: Actor, consent: Resource, choices: Choices | None, base: str) -> None:
    """
    Raise Forbidden for what a professional does not declare: a permit alone, in its own name, that says how the
    patient's consent was collected; for another professional, who has access.  An administrator blocks others, too.
    """
    own = references(actor)
    provision = consent.get("provision", {})
    named = [relative(one.get("reference", {}).get("reference", ""), base) for one in provision.get("actor", ())]
    permits = choices.permits if choices else ()
    if provision.get("type") == "deny":
        administers = any(permit.administrator and permit.to in own for permit in permits)
        if not administers or any(one in own for one in named) or consents.kind(consent) != "access":
            raise Forbidden("Whom the holder blocks, the holder says, or an administrator whom the holder named.")
        return
    if consents.kind(consent) != "access" or consents.collection(consent) is None:
        raise Forbidden(
            "A professional declares a permit to read, and how the patient's consent was collected: "
            f"`{consents.COLLECTION}`, {', '.join(consents.COLLECTIONS)}."
        )
    performers = [relative(one.get("reference", ""), base) for one in consent.get("performer", ())]
    if not performers or any(performer not in own for performer in performers):
        raise Forbidden("Who collected the patient's consent declares it: `performer`.")
    if any(one not in own for one in named) and not any(permit.to in own for permit in permits):
        raise Forbidden("For another professional, one declares it who has access.")


def _refuse_other_metadata(interaction: str, resource: Resource, before: Mapping[str, Any]) -> None:
    """Raise MethodNotAllowed for what is not patched in a document: A9."""
    if interaction != "patch":
        raise MethodNotAllowed(
            "A document that was deposited is replaced by another (`relatesTo`), and its status, its visibility and "
            "whether it is archived are patched."
        )
    differing = [
        name
        for name in dict.fromkeys([*before, *resource])
        if name not in ("meta", "status", "securityLabel", "_status")
        and _without_archived(name, resource.get(name)) != _without_archived(name, before.get(name))
    ]
    if differing:
        raise MethodNotAllowed(
            f"`{differing[0]}` of a document is not patched: `status`, `securityLabel`, archived are."
        )


def _without_archived(name: str, value: Any) -> Any:
    if name != "extension":
        return value
    return [one for one in value or () if one.get("url") != _ARCHIVED]


def _amended(actor: Actor, interaction: str, resource: Resource, before: Mapping[str, Any]) -> Resource:
    """What another deposited, with the label that masks it set or taken off, or a permit ended: A3."""
    if actor.kind != "patient" or interaction != "patch" or _bare(resource) != _bare(before):
        raise _not_yours(resource)
    return resource


def _bare(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource without what its holder may change, though another deposited it."""
    bare = {name: value for name, value in resource.items() if name not in ("meta", "securityLabel")}
    if resource["resourceType"] == "Consent":
        bare.pop("status", None)
    meta = {name: value for name, value in resource.get("meta", {}).items() if name in ("profile", "tag", "source")}
    others = [code for code in _codes(resource) if code != MASKED]
    return {**bare, "meta": meta, "labels": others}


def _codes(resource: Mapping[str, Any]) -> list[Any]:
    """The codes of every label, `N` aside: whoever unmasks a document says that it is normal."""
    found = [coding.get("code") for coding in resource.get("meta", {}).get("security", ())]
    stated = resource.get("securityLabel", ())
    for concept in stated if isinstance(stated, list) else ():
        found += [coding.get("code") for coding in concept.get("coding", ())]
    return sorted({str(code) for code in found if code != "N"})


def _not_yours(resource: Mapping[str, Any]) -> Forbidden:
    return Forbidden(
        f"This {resource['resourceType']} was entered by another: what professionals deposited can be masked and "
        "unmasked, and nothing else of it changed."
    )


def _with_default_label(
    resource: Resource, before: Mapping[str, Any] | None, actor: Actor, choices: Choices | None
) -> Resource:
    """With the labels that a resource gets by itself: in a secret session, and where the holder masks what is new."""
    wanted = []
    if actor.secret:
        wanted.append(INVISIBLE_TO_REPRESENTATIVES)
    hides_from_patient = INVISIBLE_TO_PATIENT in labels(resource)
    if before is None and choices and choices.masked_by_default and not hides_from_patient:
        wanted += [MASKED] if resource["resourceType"] == "DocumentReference" else []
    for label in wanted:
        if label not in labels(resource):
            resource = labelled(resource, label)
    return resource


def labelled(resource: Resource, label: str) -> Resource:
    """The resource with one label more."""
    coding = {"system": SYSTEM, "code": label, "display": LABELS[label]}
    if resource["resourceType"] == "DocumentReference":
        return {**resource, "securityLabel": [*resource.get("securityLabel", ()), {"coding": [coding]}]}
    meta = resource.get("meta", {})
    return {**resource, "meta": {**meta, "security": [*meta.get("security", ()), coding]}}


def _refuse_labels(actor: Actor, resource: Resource, before: Mapping[str, Any] | None) -> None:
    """Raise Forbidden for a label that is not the actor's to set, Unprocessable for two that exclude each other."""
    said, had = set(labels(resource)), set(labels(before)) if before is not None else set()
    forbidden = (said ^ had) - _MAY_SET[actor.kind]
    if actor.relation not in (None, "self"):
        forbidden |= (said ^ had) & {INVISIBLE_TO_REPRESENTATIVES}
    if actor.relation == "caregiver":
        forbidden |= said ^ had
    if forbidden:
        raise Forbidden(f"The label `{min(forbidden)}` is not yours to set.")
    if said >= {MASKED, INVISIBLE_TO_PATIENT}:
        raise Unprocessable(
            f"A document is not kept from its patient and from professionals at once: `{MASKED}` and "
            f"`{INVISIBLE_TO_PATIENT}` exclude each other.",
            f"{resource['resourceType']}.securityLabel",
        )
