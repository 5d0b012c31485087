"""The page where a person decides about an app, over HTTP: what it says, and that nobody else decides.

RFC 6749 s. 10.12, 10.13; RFC 9700 s. 4.15; OWASP ASVS 5.0: 10.7; SMART App Launch 2.2: best-practices.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_server.access.scopes import parse
from fhir_server.smart.offer import DIVISIONS, rows
from tests.browsing import browser, dom, form_of
from tests.build import least
from tests.launches import ISSUER, REDIRECT, SECRET, Launching, answered

ASKED = "openid fhirUser launch/patient offline_access patient/Observation.rs patient/Immunization.crs"
MARKUP = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}${7*7}"


def granted(launches: Launching, launch: Any, where: str) -> set[str]:
    """The words of the scope that the app gets for the code in this address."""
    answer = launch.redeem(answered(where)["code"])
    assert answer.status_code == 200, answer.text
    return set(answer.json["scope"].split())


def test_what_is_ticked_is_what_the_app_gets(launches: Launching) -> None:
    """RFC 6749 s. 3.3; the decision posts row ids, and the server computes requested ∩ ticked"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    answer = person.post(path, form.sent(["MESURES-read", "VACCINATIONS-read"], lasting="once"))
    assert answer.status_code == 303
    assert answer.headers["Cache-Control"] == "no-store"
    where = answer.headers["Location"]
    assert where.startswith(f"{REDIRECT}?")
    assert answered(where)["state"] == launch.state
    assert granted(launches, launch, where) == {
        "openid",
        "fhirUser",
        "launch/patient",
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
        "patient/Immunization.rs",
    }


def test_what_is_not_ticked_is_refused_to_the_app(launches: Launching) -> None:
    """ONC (g)(10) limited access: unticked types → 403, ticked ones → 200"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    where = person.post(path, form.sent(["VACCINATIONS-read"])).headers["Location"]
    tokens = launch.redeem(answered(where)["code"]).json
    app = launches.caller(tokens["access_token"])
    assert app("GET", f"Immunization?patient={tokens['patient']}").status_code == 200
    assert app("GET", f"Observation?patient={tokens['patient']}").status_code == 403
    vaccine = {**least("Immunization"), "patient": {"reference": f"Patient/{tokens['patient']}"}}
    assert app("POST", "Immunization", vaccine).status_code == 403
    assert "refresh_token" not in tokens


def test_everything_ticked_and_lasting_is_what_was_asked_for(launches: Launching) -> None:
    """SMART App Launch 2.2: offline_access only if it was asked for and ticked"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    where = person.post(path, form.sent(form.boxes, lasting="months")).headers["Location"]
    assert granted(launches, launch, where) == set(ASKED.split())
    grant = launches.kept.grants.living(
        person.session.subject.sub, launch.client.client_id, launch_patient(launches, person)
    )
    assert timedelta(days=89) < grant.lasting_until - launches.clock() < timedelta(days=93)


def launch_patient(launches: Launching, person: Any) -> str:
    """The record that the person opens as their own."""
    return next(iter(launches.smart.authorization.profiles(person.session.subject.account))).patient


def test_the_categories_are_on_the_page(launches: Launching) -> None:
    """ONC (g)(10) granular selection: Observation can be given by category alone, with no scope on the type"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope="launch/patient patient/Observation.rs"), person.session)
    path, form = person.consent(launch)
    divided = {f"RESULTATS.{name}-read" for name in DIVISIONS[("RESULTATS", "Observation")]}
    assert divided | {"MESURES-read", "HABITUDES_VIE-read"} <= set(form.boxes)
    where = person.post(path, form.sent([*divided, "MESURES-read", "HABITUDES_VIE-read"])).headers["Location"]
    given = parse(" ".join(granted(launches, launch, where)))
    assert given
    assert all(scope.constraints for scope in given)


@pytest.mark.parametrize(
    "changes",
    [
        {"form": None},
        {"form": "0" * 64},
        {"form": "é"},
        {"headers": {"Origin": "https://evil.example"}},
        {"headers": {"Origin": "null", "Sec_Fetch_Site": "cross-site"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("decision", ["consent", "refuse"])
def test_only_the_page_itself_decides(launches: Launching, decision: str, changes: dict[str, Any]) -> None:
    """RFC 6749 s. 10.12: without the form's token, or from another origin, there is no decision"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    headers = changes.get("headers", {})
    token = {name: value for name, value in changes.items() if name == "form"}
    answer = person.post(path.replace("consent", decision), form.sent(**token), **headers)
    assert answer.status_code == 403
    assert person.get(path).status_code == 200
    assert launches.kept.grants.of(person.session.subject.sub) == ()


def test_no_other_session_decides(launches: Launching) -> None:
    """RFC 9700 s. 4.15: the request is bound to the session, the token to both"""
    person, other = browser(launches, launches.person()), browser(launches, launches.person())
    client = launches.register(scope=ASKED)
    path, form = person.consent(launches.launch(client, person.session))
    others_path, others = other.consent(launches.launch(client, other.session))
    # For that session there is no such request.
    assert other.post(path, form.sent()).status_code == 400
    assert other.post(path, others.sent()).status_code == 400
    assert person.post(path, others.sent()).status_code == 403
    # The token of one request of a session is none for its next.
    second_path, _ = person.consent(launches.launch(client, person.session))
    assert person.post(second_path, form.sent()).status_code == 403
    assert other.get(path).status_code == 400
    assert (
        launches.kept.grants.of(person.session.subject.sub) == launches.kept.grants.of(other.session.subject.sub) == ()
    )
    assert others_path != path


@pytest.mark.parametrize(
    "rows",
    [
        ["MESURES-write"],
        ["MESURES-read", "TRAITEMENTS-read"],
        ["patient/*.cruds"],
        ["identity"],
        ["lasting"],
        ["rest-read"],
        [""],
        ["MESURES-read\x00"],
    ],
    ids=str,
)
def test_a_row_that_was_not_offered_is_no_row(launches: Launching, rows: list[str]) -> None:
    """Consent tampering: altered ids, added rows"""
    person = browser(launches, launches.person())
    path, form = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    assert person.post(path, form.sent(rows)).status_code == 400
    assert launches.kept.grants.of(person.session.subject.sub) == ()


def test_the_form_says_nothing_of_who_asks_and_for_what(launches: Launching) -> None:
    """Consent tampering: the decision refers to what is kept here; more fields change nothing"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    assert {name for name, _ in form.fields} == {"form", "lasting"}
    more = {
        "client_id": "app-else",
        "scope": "patient/*.cruds",
        "redirect_uri": "https://evil.example/",
        "patient": "x",
    }
    where = person.post(path, form.sent(["MESURES-read"], **more)).headers["Location"]
    assert where.startswith(f"{REDIRECT}?")
    assert not any(word.startswith("patient/*") for word in granted(launches, launch, where))


@pytest.mark.parametrize("how_long", ["ever", "years", "-1", "year year"])
def test_how_long_is_one_of_those_offered(launches: Launching, how_long: str) -> None:
    """Lasting access is for as long as the page says, and no longer"""
    person = browser(launches, launches.person())
    path, form = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    assert person.post(path, form.sent(["MESURES-read"], lasting=how_long)).status_code == 400
    without = launches.register(scope=ASKED.replace(" offline_access", ""))
    path, form = person.consent(launches.launch(without, person.session))
    assert person.post(path, form.sent(["MESURES-read"], lasting="year")).status_code == 400


def test_a_decision_is_made_once(launches: Launching) -> None:
    """The request is spent by the decision"""
    person = browser(launches, launches.person())
    path, form = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    assert person.post(path, form.sent(["MESURES-read"])).status_code == 303
    assert person.post(path, form.sent(["MESURES-read"])).status_code == 400
    assert person.post(path.replace("consent", "refuse"), form.sent()).status_code == 400
    assert person.get(path).status_code == 400


def test_refusing_is_said_and_told(launches: Launching) -> None:
    """RFC 6749 s. 4.1.2.1; RFC 9207: a clear page, then access_denied with state and iss"""
    person = browser(launches, launches.person())
    launch = launches.launch(launches.register(scope=ASKED), person.session)
    path, form = person.consent(launch)
    answer = person.post(path.replace("consent", "refuse"), form.sent())
    assert answer.status_code == 200
    page = dom(answer)
    assert page.findtext(".//h1") == "Vous avez refusé"
    (link,) = page.findall(".//a[@class='button primary']")
    told = answered(link.get("href"))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", launch.state, ISSUER)
    assert launches.kept.grants.of(person.session.subject.sub) == ()


def test_nothing_ticked_is_asked_again(launches: Launching) -> None:
    """WCAG 2.2 s. 3.3.1: the fault is told first, and the boxes stand as they were sent"""
    person = browser(launches, launches.person())
    path, form = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    answer = person.post(path, form.sent([], lasting="year"))
    assert answer.status_code == 400
    page = dom(answer)
    assert page.find(".//*[@role='alert']//a").text == "Cochez au moins une ligne, ou refusez."
    assert page.find(".//*[@id='choose']") is not None
    again = form_of(answer)
    assert not any(again.boxes.values())
    assert ("lasting", "year") in again.fields
    assert person.post(path, again.sent(["MESURES-read"])).status_code == 303


def test_what_the_page_says(launches: Launching) -> None:
    """Who asks, whether that was verified, whose record, what it cannot do without, what never, where to withdraw"""
    account = launches.person(launches.patient(), child := launches.patient())
    person = browser(launches, account)
    client = launches.register(
        scope=ASKED,
        name="Carnet de tension",
        publisher="Atelier Cardio",
        verified=True,
        policy_uri="https://cardio.example/privacy",
        essential=("patient/Immunization.rs",),
    )
    launch = launches.launch(client, person.session)
    name = launch.request_id()
    authorization = launches.smart.authorization
    authorization.choose_patient(authorization.find(name, person.session), person.session, child)
    answer = person.get(f"/authorize/{name}/consent")
    page = dom(answer)
    text = " ".join(page.text_content().split())
    for said in (
        "Carnet de tension demande l’accès",
        "Publiée par Atelier Cardio",
        "Vérifiée",
        "The child",
        "Ce n’est pas votre dossier",
        "comme représentant légal",
        "Sans cela, Carnet de tension ne peut pas fonctionner.",
        "Ce que Carnet de tension n’aura jamais",
        "Applications connectées",
        "jusqu’au",
        "Vous retournerez ensuite à app.example.",
    ):
        assert said in text, said
    assert page.find(".//a[@href='https://cardio.example/privacy']") is not None
    needed = page.xpath("//label[contains(., 'Nécessaire')]//input/@value")
    assert needed == ["VACCINATIONS-read"]


#: What every page of a step has.
OWN_SCRIPTS = ["/static/once.js"]


def scripts(page: Any) -> list[str | None]:
    """Where each script of the page comes from; None for what stands in it."""
    return [script.get("src") for script in page.findall(".//script")]


def test_what_a_page_may_do(launches: Launching) -> None:
    """W3C CSP 3: nothing inline, no frame around it, and its answer leads to the app alone; RFC 9700 s. 4.16"""
    person = browser(launches, launches.person())
    path, _ = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    answer = person.get(path)
    policy = {rule.split()[0]: rule.split()[1:] for rule in answer.headers["Content-Security-Policy"].split(";")}
    assert policy["form-action"] == ["'self'", "https://app.example"]
    assert policy["frame-ancestors"] == policy["default-src"] == policy["base-uri"] == ["'none'"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    page = dom(answer)
    assert page.xpath("//script[text() or not(@src)] | //style | //@style | //@onclick") == []
    assert policy["script-src"] == ["'self'"]
    assert scripts(page) == OWN_SCRIPTS


def test_what_apps_and_people_are_called_is_text(launches: Launching) -> None:
    """XSS through names: the parsed page has no element of theirs"""
    account = launches.person()
    person = browser(launches, account)
    client = launches.register(
        scope=ASKED, name=MARKUP, publisher=MARKUP, description={"fr": MARKUP, "en": MARKUP}, logo="data:text/html,x"
    )
    launch = launches.launch(client, person.session, login_hint=MARKUP, state=MARKUP + "x" * 20)
    path, form = person.consent(launch)
    answer = person.get(path)
    page = dom(answer)
    assert scripts(page) == OWN_SCRIPTS
    assert page.xpath("//@onerror") == []
    assert [image.get("src") for image in page.findall(".//img")] == [f"/app-logo/{client.client_id}"]
    assert page.findtext(".//h1").startswith(MARKUP)
    refused = person.post(path.replace("consent", "refuse"), form.sent())
    assert scripts(dom(refused)) == OWN_SCRIPTS


def test_each_box_has_a_name(launches: Launching) -> None:
    """WCAG 2.2 s. 1.3.1, 4.1.2: each input in a label, each group named and described by what is there"""
    person = browser(launches, launches.person())
    wildcard = launches.register(scope="launch/patient patient/*.cruds offline_access online_access")
    path, form = person.consent(launches.launch(wildcard, person.session))
    assert set(form.boxes) == {row.id for row in rows(wildcard.scope) if not row.is_said} - {"lasting"}
    page = dom(person.get(path))
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby"):
        assert set(page.xpath(f"//@{name}")) <= set(ids)
    inputs = page.xpath("//main//input[@type!='hidden']")
    assert all(each.xpath("ancestor::label") for each in inputs)
    assert all(each.xpath("ancestor::*[@role='group' or self::fieldset]") for each in inputs)
    levels = [int(each.tag[1]) for each in page.xpath("//main//*[self::h1 or self::h2 or self::h3 or self::h4]")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_who_comes_back_with_no_more_to_ask_is_not_asked(launches: Launching) -> None:
    """RFC 8252 s. 8.6: only a client that proves who it is; a larger request shows what is new"""
    account = launches.person()
    person = browser(launches, account)
    client = launches.register(scope=ASKED, kind="symmetric", name=f"Confidential {SECRET[:3]} {account.id}")
    first = launches.launch(
        client, person.session, scope="openid launch/patient offline_access patient/Immunization.rs"
    )
    path, form = person.consent(first)
    assert person.post(path, form.sent(form.boxes, lasting="year")).status_code == 303
    again = launches.launch(client, person.session, scope="launch/patient patient/Immunization.r")
    back = person.get(f"/authorize/{again.request_id()}").headers["Location"]
    assert "code" in answered(back)
    more = launches.launch(client, person.session)
    path, form = person.consent(more)
    assert form.boxes["VACCINATIONS-read"]
    assert not form.boxes["MESURES-read"]
    page = dom(person.get(path))
    new = set(page.xpath("//label[contains(., 'Nouveau')]//input/@value"))
    assert new == set(form.boxes) - {"VACCINATIONS-read"}
    assert "Vous avez déjà autorisé" in page.text_content()


def test_a_public_client_is_always_asked_about(launches: Launching) -> None:
    """RFC 8252 s. 8.6: anybody can pretend to be a public client"""
    person = browser(launches, launches.person())
    client = launches.register(scope=ASKED)
    path, form = person.consent(launches.launch(client, person.session))
    assert person.post(path, form.sent(form.boxes, lasting="year")).status_code == 303
    person.consent(launches.launch(client, person.session))


def test_a_professional_lends_their_rights_to_the_software(launches: Launching) -> None:
    """The software acts with the rights of the professional, told in a few lines, with nothing to tick"""
    doctor = browser(launches)
    client = launches.register(scope="openid fhirUser online_access user/*.crus", audience="professional")
    launch = launches.launch(client, doctor.session)
    path, form = doctor.consent(launch)
    assert set(form.boxes) == {"online"}
    text = " ".join(dom(doctor.get(path)).text_content().split())
    assert "demande à agir avec vos droits" in text
    assert "Chaque accès est inscrit à votre nom" in text
    where = doctor.post(path, form.sent()).headers["Location"]
    assert granted(launches, launch, where) == set(client.scope.split())


@pytest.mark.parametrize("tick", ["all", "none"])
def test_all_boxes_at_once_without_a_script(launches: Launching, tick: str) -> None:
    """The page works without JavaScript"""
    person = browser(launches, launches.person())
    path, _ = person.consent(launches.launch(launches.register(scope=ASKED), person.session))
    boxes = form_of(person.get(f"{path}?tick={tick}")).boxes
    assert set(boxes.values()) == {tick == "all"}


def test_the_page_waits_for_its_turn(launches: Launching) -> None:
    """The steps before cannot be left out"""
    person = browser(launches, launches.person(launches.patient(), launches.patient()))
    name = launches.launch(launches.register(scope=ASKED), person.session).request_id()
    answer = person.get(f"/authorize/{name}/consent")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/authorize/{name}")
    nobody = browser(launches, launches.person())
    nobody.http.delete_cookie("session", domain="fhir.test")
    answer = nobody.get(f"/authorize/{name}/consent")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/authorize/{name}")


def test_logos_come_from_here(launches: Launching) -> None:
    """The logo is served from the registry; what is no image is not served"""
    nobody = browser(launches, launches.person())
    image = launches.register(logo="data:image/png;base64,iVBORw==")
    answer = nobody.get(f"/app-logo/{image.client_id}")
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/png", b"\x89PNG")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for logo in (
        None,
        "data:text/html,<script>1</script>",
        "https://elsewhere.example/x.png",
        "data:image/png;base64,*",
    ):
        assert nobody.get(f"/app-logo/{launches.register(logo=logo).client_id}").status_code == 404
    assert nobody.get("/app-logo/nobody").status_code == 404
