"""The labels that a resource carries once it is written: who sets which, which go together, what follows by itself.

At the deposit whoever enters a resource says who sees it, within what is theirs to say.  Later a label comes and goes
by a patch (`PATCH`, or `$meta-add` and `$meta-delete`, which are patches): an update never takes one off, so that a
client that knows nothing of labels unmasks nothing.  A document carries its labels twice, in `securityLabel` and in
`meta.security`, and what is done in one place is done in both.

    MASQUE_PS                       the holder, and who deposited; taken off by who put it there, or the holder
    INVISIBLE_PATIENT               who deposited, for a month after the deposit; taken off by any professional who
                                    reads it, which records the announcement.  CSP R1111-53
    INVISIBLE_REPRESENTANTS_LEGAUX  who deposited, and the holder; a secret session puts it on all that it writes

rule A3, A9, A15, A16; PDSm flows 03 and 04; DMP TD3.3a and TD3.3b
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.access.actor import Actor
from fhir_server.access.choices import Choices
from fhir_server.access.rules import ANNOUNCEMENT
from fhir_server.fhir.labels import INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES, LABELS, MASKED, SYSTEM, labels
from fhir_server.fhir.outcome import Forbidden, Unprocessable

Resource = dict[str, Any]
Coding = Mapping[str, Any]

#: The system of the labels by its OID, as some sources write it.
_OID = "1.2.250.1.213.1.1.4.13"
#: Degrees of confidentiality that are more than normal: they keep nothing from anybody, and stay as they were said.
_DEGREES = frozenset({"R", "V"})
_OF_DEGREES = ("Confidentiality", "2.16.840.1.113883.5.25")
#: The labels that each kind of actor may set on what it entered.
_MAY_SET = {
    "patient": frozenset({MASKED, INVISIBLE_TO_REPRESENTATIVES}),
    "professional": frozenset(LABELS),
    "backend": frozenset(LABELS),
}


@dataclass(frozen=True)
class Before:
    """
    What is replaced.

    deposited   when the first version of it was
    held        whether it is masked because its holder wants it so
    """

    resource: Mapping[str, Any]
    deposited: datetime | None = None
    held: bool = False


def faded(before: Before | None, now: datetime) -> bool:
    """Whether a label that kept it from its patient has fallen by itself, though it is still written there."""
    if before is None or before.deposited is None or INVISIBLE_TO_PATIENT not in labels(before.resource):
        return False
    return before.deposited <= now - ANNOUNCEMENT


def without(resource: Mapping[str, Any], *unwanted: str) -> Resource:
    """The resource without these labels, wherever they stand."""
    return _keeping(resource, lambda coding: _key(coding) not in unwanted)


def in_step(resource: Resource, before: Mapping[str, Any] | None, *, lowers: bool) -> Resource:
    """
    The resource with every label in each place that it has for them: what a change did to one, it did to all.

    lowers: whether the change may take labels off; else those that were there are there still.
    """
    had = [_by_key(place) for place in _places(before)] if before is not None else [{}, {}]
    said = [_by_key(place) for place in _places(resource)]
    new = {key: coding for place, was in zip(said, had, strict=True) for key, coding in place.items() if key not in was}
    gone = {key for place, was in zip(said, had, strict=True) for key in was if key not in place} - new.keys()
    wanted = {key: coding for place in said for key, coding in place.items() if not lowers or key not in gone}
    if not lowers:
        wanted = {key: coding for place in had for key, coding in place.items()} | wanted
    resource = _keeping(resource, lambda coding: _key(coding) is None or _key(coding) in wanted)
    for coding in wanted.values():
        resource = _with(resource, coding)
    return resource


def with_own(resource: Resource, actor: Actor, *, is_new: bool, masked_by_default: bool, together: bool) -> Resource:
    """With the labels that a resource gets by itself: in a secret session, and where the holder masks what is new."""
    if actor.secret:
        resource = labelled(resource, INVISIBLE_TO_REPRESENTATIVES)
    # What waits to be announced is masked where the two go together.
    may_mask = together or INVISIBLE_TO_PATIENT not in labels(resource)
    if is_new and masked_by_default and may_mask and resource["resourceType"] == "DocumentReference":
        resource = labelled(resource, MASKED)
    return resource


def labelled(resource: Resource, label: str) -> Resource:
    """The resource with this label, too."""
    return _with(resource, {"system": SYSTEM, "code": label, "display": LABELS[label]})


def refuse(
    actor: Actor, resource: Resource, before: Before | None, *, entered: bool, now: datetime, together: bool
) -> None:
    """
    Raise Forbidden for a label that is not the actor's to set or to take off, Unprocessable for one that nobody can.

    entered: whether the actor entered the resource, or enters it now.
    """
    said = set(labels(resource))
    had = set(labels(before.resource)) if before is not None else set()
    _refuse_unknown(resource, before)
    changed = said ^ had
    forbidden = changed - _MAY_SET[actor.kind]
    if actor.relation not in (None, "self"):
        forbidden |= changed & {INVISIBLE_TO_REPRESENTATIVES}
    if actor.relation == "caregiver":
        forbidden |= changed
    if not entered:
        forbidden |= changed - _of_anothers(actor)
    if forbidden:
        raise Forbidden(f"The label `{min(forbidden)}` is not yours to set.")
    if before is not None:
        _refuse_later(actor, said, had, before, now)
    if said >= {MASKED, INVISIBLE_TO_PATIENT} and not together:
        raise Unprocessable(
            f"A document is not kept from its patient and from professionals at once: `{MASKED}` and "
            f"`{INVISIBLE_TO_PATIENT}` exclude each other.",
            f"{resource['resourceType']}.securityLabel",
        )


def is_announcement(actor: Actor, resource: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether the labels say that a professional has told the patient: the one that waited for it is off."""
    return actor.kind == "professional" and set(labels(before)) - set(labels(resource)) == {INVISIBLE_TO_PATIENT}


def is_held(actor: Actor, choices: Choices | None, *, is_new: bool) -> bool:
    """Whether it is the holder who masks what has become masked now: then nobody but the holder unmasks it."""
    by_default = is_new and actor.kind != "operator" and choices is not None and choices.masked_by_default
    return actor.kind == "patient" or by_default


def _of_anothers(actor: Actor) -> frozenset[str]:
    """The labels that an actor may set or take off, of what another entered."""
    return frozenset({MASKED} if actor.kind == "patient" else {INVISIBLE_TO_PATIENT})


def _refuse_later(actor: Actor, said: set[str], had: set[str], before: Before, now: datetime) -> None:
    """Raise for what could be said at the deposit, and not now."""
    if MASKED in had - said and before.held and actor.kind != "patient":
        raise Forbidden(f"Its holder masked it, and unmasks it: `{MASKED}` is not yours to take off.")
    late = before.deposited is not None and before.deposited <= now - ANNOUNCEMENT
    if INVISIBLE_TO_PATIENT in said - had and late:
        raise Unprocessable(
            f"`{INVISIBLE_TO_PATIENT}` holds for a month after the deposit, which is over: CSP R1111-53.",
            "DocumentReference.securityLabel",
        )


def _refuse_unknown(resource: Mapping[str, Any], before: Before | None) -> None:
    """Raise Unprocessable for a label that would keep the resource from nobody: who set it would think that it does."""
    was = [str(coding.get("code")) for coding in _all(before.resource)] if before is not None else []
    for coding in _all(resource):
        system, code = str(coding.get("system", "")), str(coding.get("code", ""))
        if (system == SYSTEM or system.endswith(_OID)) and code not in LABELS and code not in was:
            raise Unprocessable(
                f"`{code}` is no label that keeps anything from anybody here; those are {', '.join(LABELS)}.",
                f"{resource['resourceType']}.securityLabel",
            )


def _key(coding: Coding) -> str | None:
    """What a coding says of who sees the resource; None if nothing."""
    code, system = str(coding.get("code", "")), str(coding.get("system", ""))
    if code in LABELS:
        return code
    return code if code in _DEGREES and any(one in system for one in _OF_DEGREES) else None


def _by_key(codings: Iterable[Coding]) -> dict[str, Coding]:
    return {key: coding for coding in codings if (key := _key(coding)) is not None}


def _places(resource: Mapping[str, Any] | None) -> tuple[list[Coding], list[Coding]]:
    """The codings of `meta.security` and of `securityLabel`; of a type without the latter, the first twice."""
    resource = resource or {}
    meta = list(resource.get("meta", {}).get("security", ()))
    if resource.get("resourceType") != "DocumentReference":
        return meta, meta
    return meta, [coding for concept in resource.get("securityLabel", ()) for coding in concept.get("coding", ())]


def _all(resource: Mapping[str, Any]) -> list[Coding]:
    meta, stated = _places(resource)
    return [*meta, *stated]


def _with(resource: Resource, coding: Coding) -> Resource:
    """The resource with a label in each place where it lacks it."""
    key = _key(coding)
    meta, stated = _places(resource)
    if key not in _by_key(meta):
        said = resource.get("meta", {})
        resource = {**resource, "meta": {**said, "security": [*said.get("security", ()), dict(coding)]}}
    if resource["resourceType"] == "DocumentReference" and key not in _by_key(stated):
        concept = {"coding": [dict(coding)]}
        resource = {**resource, "securityLabel": [*resource.get("securityLabel", ()), concept]}
    return resource


def _keeping(resource: Mapping[str, Any], keep: Callable[[Coding], bool]) -> Resource:
    """The resource with those of its labels alone that are to be kept; an element that is left with none goes, too."""
    found = dict(resource)
    if "security" in found.get("meta", {}):
        kept = [coding for coding in found["meta"]["security"] if keep(coding)]
        rest = {name: value for name, value in found["meta"].items() if name != "security"}
        found["meta"] = {**rest, "security": kept} if kept else rest
    if found.get("resourceType") != "DocumentReference" or "securityLabel" not in found:
        return found
    left = [one for one in (_concept(one, keep) for one in found["securityLabel"]) if one]
    return {
        name: left if name == "securityLabel" else value
        for name, value in found.items()
        if left or name not in ("securityLabel", "_securityLabel")
    }


def _concept(concept: Mapping[str, Any], keep: Callable[[Coding], bool]) -> Resource:
    """The concept with the codings that are kept; nothing where none of those it had is."""
    codings = concept.get("coding", [])
    kept = [coding for coding in codings if keep(coding)]
    if len(kept) == len(codings):
        return dict(concept)
    return {**concept, "coding": kept} if kept else {}
