"""The page of connected apps: what each may do, and that what is withdrawn ends with the next request.

SMART App Launch 2.2: conformance.html (management_endpoint), best-practices.html; RFC 7009 s. 2
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.accounts.outbox import Outbox
from tests.browsing import Browser, Form, browser, dom, form_of
from tests.launches import ISSUER, Launch, Launching, answered

SCOPE = "openid launch/patient offline_access patient/Patient.rs patient/Immunization.crs patient/Observation.rs"


@dataclass
class Connected:
    """A person who has connected an app, and what the app has."""

    person: Browser
    launch: Launch
    tokens: dict[str, Any]

    @property
    def grant(self) -> Any:
        """What the person allows the app."""
        grants = self.launch.at.kept.grants.of(self.person.session.subject.sub)
        return next(each for each in grants if each.client_id == self.launch.client.client_id)

    def form(self) -> Form:
        """The form of the app on the page."""
        return form_of(self.person.get("/apps"), f".//article[@aria-labelledby='app-{self.grant.id}']//form")

    def read(self, type: str) -> int:
        """The status of the app's search for this type, or read of the Patient."""
        app, patient = self.launch.at.caller(self.tokens["access_token"]), self.tokens["patient"]
        return int(app("GET", f"Patient/{patient}" if type == "Patient" else f"{type}?patient={patient}").status_code)

    def refresh(self) -> Any:
        """The answer to the app's refresh token."""
        return self.launch.refresh(self.tokens["refresh_token"])


@pytest.fixture
def connected(launches: Launching) -> Connected:
    """A new one, with all the app asks for, for a year."""
    return connect(launches, browser(launches, launches.person()))


def connect(launches: Launching, person: Browser, **client: Any) -> Connected:
    """An app that the person has just connected, on the page."""
    launch = launches.launch(launches.register(**{"scope": SCOPE, **client}), person.session)
    path, form = person.consent(launch)
    where = person.post(path, form.sent(form.boxes, lasting="year")).headers["Location"]
    return Connected(person, launch, launch.redeem(answered(where)["code"]).json)


def messages(launches: Launching) -> list[str]:
    """The subjects of what was written to people, the newest first."""
    return [message.subject for message in Outbox(launches.database, launches.clock).latest()]


def test_what_an_app_may_do_is_said(connected: Connected) -> None:
    """What each may do in words, since when, last use, until when"""
    page = dom(connected.person.get("/apps"))
    assert page.findtext(".//article//h3") == connected.launch.client.name
    facts = {fact.findtext("dt"): fact.findtext("dd") for fact in page.findall(".//article//dl/div")}
    assert facts["Consulter"] == (
        "Résultats d’examens · Vaccinations · Habitudes de vie · Mesures · Groupe sanguin · Identité"
    )
    assert facts["Ajouter"] == "Vaccinations"
    assert all(facts[name] for name in ("Autorisée le", "Dernier accès le", "Fin"))


def test_one_line_is_withdrawn(launches: Launching, connected: Connected) -> None:
    """Withdraw part: the access token and the next one have no more than what is left"""
    assert connected.read("Immunization") == 200
    form = connected.form()
    kept = set(form.boxes) - {"VACCINATIONS-read", "VACCINATIONS-write"}
    answer = connected.person.post("/apps", form.sent(kept))
    assert answer.status_code == 303
    assert connected.read("Immunization") == 403
    assert connected.read("Patient") == 200
    fresh = connected.refresh()
    assert fresh.status_code == 200
    assert "Immunization" not in fresh.json["scope"]
    assert "patient/Observation.rs" in fresh.json["scope"].split()
    assert f"{connected.launch.client.name} a moins accès" in messages(launches)[0]
    page = connected.person.get(answer.headers["Location"])
    assert "ne peut plus faire que ce qui reste coché" in dom(page).find(".//*[@role='status']").text


def test_all_is_withdrawn(launches: Launching, connected: Connected) -> None:
    """Revocation acts at the next request: access token 401, refresh token 400"""
    assert connected.read("Patient") == 200
    answer = connected.person.post("/apps", connected.form().sent(all="1"))
    assert answer.status_code == 303
    assert connected.read("Patient") == 401
    assert connected.refresh().status_code == 400
    page = dom(connected.person.get(answer.headers["Location"]))
    assert page.findall(".//article") == []
    assert "n’a plus accès à rien" in page.find(".//*[@role='status']").text
    assert connected.launch.client.name in page.find(".//section[@aria-labelledby='past']").text_content()
    assert f"{connected.launch.client.name} n’a plus accès" in messages(launches)[0]


def test_coming_back_alone_is_withdrawn(connected: Connected) -> None:
    """SMART App Launch 2.2: offline_access can be taken back by itself"""
    form = connected.form()
    connected.person.post("/apps", form.sent(set(form.boxes) - {"lasting"}))
    assert connected.refresh().status_code == 400
    assert connected.grant.lasting_until is None


def test_saving_what_stands_changes_nothing(launches: Launching, connected: Connected) -> None:
    """The boxes are what the app has"""
    before = connected.grant
    answer = connected.person.post("/apps", connected.form().sent())
    assert answer.headers["Location"] == "/apps?done=none"
    assert connected.grant == before
    assert "a moins accès" not in messages(launches)[0]


def test_unticking_all_is_withdrawing_all(connected: Connected) -> None:
    """Nothing left is nothing allowed"""
    connected.person.post("/apps", connected.form().sent([]))
    assert connected.grant.status == "withdrawn"
    assert connected.read("Patient") == 401


@pytest.mark.parametrize(
    ("changes", "headers"),
    [({"form": None}, {}), ({"form": "0" * 64}, {}), ({}, {"Origin": "https://evil.example"})],
    ids=["no token", "another token", "another origin"],
)
def test_only_the_page_itself_withdraws(connected: Connected, changes: dict[str, Any], headers: dict[str, str]) -> None:
    """RFC 6749 s. 10.12"""
    answer = connected.person.post("/apps", connected.form().sent(all="1", **changes), **headers)
    assert answer.status_code == 403
    assert connected.grant.status == "live"


def test_nobody_sees_or_withdraws_what_others_allowed(launches: Launching, connected: Connected) -> None:
    """A grant is its giver's, whatever id is posted"""
    other = connect(launches, browser(launches, launches.person()))
    assert connected.launch.client.name not in other.person.get("/apps").text
    for id in (connected.grant.id, "", "nothing", "{'$gt': ''}"):
        answer = other.person.post("/apps", other.form().sent(all="1", grant=id))
        assert (answer.status_code, answer.headers["Location"]) == (303, "/apps")
    assert connected.grant.status == other.grant.status == "live"


def test_more_rows_than_there_are_give_nothing(connected: Connected) -> None:
    """The page takes back, and never gives"""
    form = connected.form()
    connected.person.post("/apps", form.sent([*form.boxes, "MALADIES-read", "rest-read", "patient/*.rs"]))
    assert set(connected.grant.scope.split()) == set(SCOPE.split())


def test_the_records_are_told_apart(launches: Launching) -> None:
    """Per profile: what was allowed in the record of a child stands under that record"""
    own, child = launches.patient(), launches.patient()
    person = browser(launches, launches.person(own, child))
    launch = launches.launch(launches.register(scope=SCOPE), person.session)
    path = f"/authorize/{launch.request_id()}/consent"
    authorization = launches.smart.authorization
    authorization.choose_patient(authorization.find(path.split("/")[2], person.session), person.session, child)
    person.post(path, form_of(person.get(path)).sent())
    connect(launches, person)
    heads = [
        " ".join(head.text_content().split()) for head in dom(person.get("/apps")).xpath("//section[@class='of']/h2")
    ]
    assert heads == ["Votre dossier The person", "Dossier d’une personne que vous représentez The child"]


def test_a_suspended_app_is_told_and_can_be_withdrawn(launches: Launching, connected: Connected) -> None:
    """What it may do is not forgotten by its suspension"""
    launches.kept.clients.suspend(connected.launch.client.client_id)
    assert "Suspendue" in connected.person.get("/apps").text
    connected.person.post("/apps", connected.form().sent(all="1"))
    assert connected.grant.status == "withdrawn"


def test_a_professional_withdraws_a_software(launches: Launching) -> None:
    """What was lent to a software is on the page, too"""
    doctor = browser(launches)
    client = launches.register(scope="openid offline_access user/*.crus", audience="professional")
    launch = launches.launch(client, doctor.session)
    path, form = doctor.consent(launch)
    where = doctor.post(path, form.sent(lasting="months")).headers["Location"]
    tokens = launch.redeem(answered(where)["code"]).json
    connected = Connected(doctor, launch, tokens)
    assert "Avec vos droits de professionnel" in doctor.get("/apps").text
    doctor.post("/apps", connected.form().sent(all="1"))
    assert connected.refresh().status_code == 400


def test_who_is_not_signed_in_signs_in_first(launches: Launching) -> None:
    """And comes back to the page, by a name of a table: no open redirect"""
    nobody = browser(launches, launches.person())
    nobody.http.delete_cookie("session", domain="fhir.test")
    for answer in (nobody.get("/apps"), nobody.post("/apps", {"all": "1"})):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?page=apps")


def test_the_page_is_the_one_of_discovery(launches: Launching) -> None:
    """SMART App Launch 2.2: management_endpoint"""
    told = launches.get("/fhir/.well-known/smart-configuration").json
    assert told["management_endpoint"] == f"{ISSUER}/apps"


def test_the_person_has_it_in_writing(launches: Launching, connected: Connected) -> None:
    """A message at each connection: which app, whose record, what, until when, and where to take it back"""
    message = Outbox(launches.database, launches.clock).latest(1)[0]
    assert message.to == "person@example.fr"
    assert message.subject == f"{connected.launch.client.name} a accès au dossier de The person"
    assert "– Consulter : Résultats d’examens · Vaccinations" in message.text
    assert f"{ISSUER}/apps" in message.text
    year = (launches.clock() + timedelta(days=365)).year
    assert str(year) in message.text
