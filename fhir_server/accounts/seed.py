"""The accounts of the people of the seed record: one for each login, with all the records that it opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fhir_server.access.actor import Relation
from fhir_server.accounts.account import Account, Profile
from fhir_server.accounts.accounts import Accounts
from fhir_server.fhir import json

#: What a row of the people says of who has the login.
_RELATIONS: dict[str, Relation] = {
    "patient": "self",
    "legal-representative": "legal-representative",
    "caregiver": "caregiver",
}


def load(accounts: Accounts, folder: Path) -> int:
    """
    Make the accounts of the seed record in `folder`; how many there are.

    An account that is there already is brought up to date, but for its password, which may have been changed.
    """
    people = json.loads((folder / "people.json").read_bytes())
    telecoms = dict(_telecoms(folder / "bundles"))
    found = accounts_of(people, telecoms)
    for account, password in found:
        there = accounts.named(account.login)
        if there is None:
            accounts.keep(account, password)
        elif there != _with_id(account, there):
            accounts.keep(account)
    return len(found)


def accounts_of(
    people: Sequence[Mapping[str, Any]], telecoms: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[tuple[Account, str]]:
    """
    Each account and its password.  telecoms: by the id of a Patient.

    Professionals have no account: they sign in elsewhere.
    """
    patients = {row["resource"]: row for row in people if row["resource"].startswith("Patient/")}
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in people:
        if row["login"] and row["role"] in _RELATIONS:
            rows.setdefault(row["login"], []).append(row)
    made = []
    for login, own in rows.items():
        holder = next(row for row in own if row["role"] == "patient")
        telecom = telecoms.get(_id(holder["resource"]), ())
        account = Account(
            id="",
            login=login,
            name=holder["display"],
            email=_value(telecom, "email"),
            phone=_value(telecom, "phone"),
            language="fr",
            profiles=tuple(_profile(row, patients) for row in sorted(own, key=lambda row: row is not holder)),
        )
        made.append((account, holder["password"]))
    return made


def _profile(row: Mapping[str, Any], patients: Mapping[str, Mapping[str, Any]]) -> Profile:
    patient = patients[row.get("patient", row["resource"])]
    return Profile(
        resource=row["resource"],
        patient=_id(patient["resource"]),
        relation=_RELATIONS[row["role"]],
        display=patient["display"],
        birth_date=patient["birthDate"],
    )


def _with_id(account: Account, there: Account) -> Account:
    """The account as the seed record has it, with what only the store knows of it."""
    return Account(**{**vars(account), "id": there.id, "state": there.state, "language": there.language})


def _telecoms(bundles: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for path in sorted(bundles.glob("*.json")):
        for entry in json.loads(path.read_bytes())["entry"]:
            if entry["resource"]["resourceType"] == "Patient":
                yield entry["resource"]["id"], entry["resource"].get("telecom", [])


def _value(telecom: Sequence[Mapping[str, Any]], system: str) -> str | None:
    """The first of that system, a mobile phone before another."""
    found = sorted((one for one in telecom if one["system"] == system), key=lambda one: one.get("use") != "mobile")
    return str(found[0]["value"]) if found else None


def _id(reference: str) -> str:
    return reference.partition("/")[2]
