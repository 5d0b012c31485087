/**
 * The demonstration software of a professional: it opens a record in one of three modes, and launches an app in it.
 *
 * An emergency mode is a scope, and the server asks for the reason; this page only says all the time which mode it is.
 */

import { arrive, authorize, claims, fhir, leave, post, session } from "../smart.js";
import {
  age,
  at,
  called,
  date,
  element,
  fail,
  found,
  language,
  nameOf,
  say,
  settings,
  show,
  tell,
  translate,
  words,
} from "../pages.js";

const INS = /^urn:oid:1\.2\.250\.1\.213\.1\.4\.(8|10|11|12)$/;
/** The sections of the medical profile: in which order, and what of each resource is shown. */
const PROFILE = {
  AllergyIntolerance: ["-date", ({ code, criticality }) => [called(code), words[`criticality_${criticality}`]]],
  Condition: ["-onset-date", ({ code, onsetDateTime }) => [called(code), onsetDateTime?.slice(0, 4)]],
  MedicationStatement: [
    "-effective",
    ({ medicationCodeableConcept, dosage }) => [called(medicationCodeableConcept), dosage?.[0]?.text],
  ],
  Immunization: [
    "-date",
    ({ vaccineCode, occurrenceDateTime }) => [called(vaccineCode), occurrenceDateTime?.slice(0, 4)],
  ],
};
/** What an emergency opens of these, if the patient has not added to it. */
const OPENED = ["Immunization"];
const here = new URL("./", location.href).href;
/** The server says in which mode the record is open; what was asked for says nothing. */
const mode = () => session().__mode ?? "normal";

function start() {
  const { iss, software, professionals } = settings;
  at("people").replaceChildren(
    ...professionals.map(({ display, login, password }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, display),
        element("td", {}, element("code", {}, login)),
        element("td", {}, element("code", {}, password)),
      ),
    ),
  );
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.onclick = () =>
      authorize({
        iss,
        clientId: software.client_id,
        scope: software.scope[button.dataset.mode],
        redirectUri: here,
        language,
      }).catch(fail);
  }
  show("start");
}

// --- the record ------------------------------------------------------------------------------------------------------

async function open() {
  show("busy");
  const { patient } = session();
  const [person, documents, encounters, ...sections] = await Promise.all([
    part(() => fhir(`Patient/${patient}`)),
    part(() => fhir("DocumentReference", { patient, _sort: "-date", _count: 40 }).then(found)),
    part(() => fhir("Encounter", { patient, _sort: "-date", _count: 20 }).then(found)),
    ...Object.entries(PROFILE).map(([type, [_sort]]) =>
      part(() => fhir(type, { patient, _sort, _count: 40 }).then(found)),
    ),
  ]);
  banner(person);
  note("documents", documents);
  at("documents").replaceChildren(...(documents ?? []).map(row));
  for (const [place, type] of Object.keys(PROFILE).entries()) at("profile").append(...section(type, sections[place]));
  choose(encounters ?? []);
  show("record");
  tell();
  part(who).catch(console.warn);
}

/** What may be read of the record; null for what may not. */
async function part(read) {
  try {
    return await read();
  } catch (error) {
    if (["403", "404"].includes(error.code)) return null;
    throw error;
  }
}

/** Who the patient is, and how the record was opened: both in sight as long as it is open. */
function banner(person) {
  const named = (use) => person?.name?.find((name) => name.use === use);
  const birth = named("official") ?? person?.name?.[0];
  const used = named("usual")?.family;
  at("name").textContent = birth ? `${birth.family?.toUpperCase() ?? ""} ${birth.given?.[0] ?? ""}` : words.someone;
  at("used").textContent = used && used !== birth.family ? say("used_name", { name: used.toUpperCase() }) : "";
  at("identity").textContent = person
    ? say("born", {
        gender: words[`gender_${person.gender}`] ?? "",
        date: date(person.birthDate),
        age: age(person.birthDate),
      })
    : "";
  const ins = person?.identifier?.find(({ system }) => INS.test(system));
  at("ins").textContent = ins
    ? say("ins", { value: ins.value.replace(/^(.)(..)(..)(..)(...)(...)/, "$1 $2 $3 $4 $5 $6 ") })
    : "";
  at("banner").dataset.mode = mode();
  at("mode").textContent = words[mode()];
  at("who").hidden = session().need_patient_banner === false; // then somebody else shows who the patient is
  at("banner").hidden = false;
  tick();
  ticking = setInterval(tick, 1000);
}

let ticking = null;
/** How long the access lasts.  It ends at the server; here, what was shown goes with it. */
function tick() {
  const { until, refresh_token } = session();
  const seconds = Math.round((until - Date.now()) / 1000);
  if (seconds <= 0 && !refresh_token) return close();
  const minutes = Math.max(0, Math.ceil(seconds / 60));
  at("left").textContent = mode() === "normal" ? "" : say("left", { minutes });
}

async function who() {
  const { fhirUser } = claims(session());
  const person = await fhir(fhirUser.slice(session().iss.length + 1));
  at("user").textContent = nameOf(person);
}

/** What to say where nothing was found: in an emergency, that it may be there all the same. */
function absent(type) {
  return mode() !== "normal" && !OPENED.includes(type) ? words.not_opened : words.nothing;
}

function note(id, items) {
  at(`no-${id}`).textContent = items ? words.nothing : words.not_allowed;
  at(`no-${id}`).hidden = Boolean(items?.length);
}

function row(document) {
  const { type, description, author, custodian, securityLabel = [] } = document;
  const masked = securityLabel
    .flatMap(({ coding = [] }) => coding)
    .find(({ code }) => /^(MASQUE|INVISIBLE)_/.test(code));
  const by = author?.[0]?.display ?? custodian?.display ?? "";
  return element(
    "tr",
    {},
    element("td", { class: "date" }, document.date ? date(document.date, { dateStyle: "short" }) : ""),
    element(
      "td",
      {},
      element("strong", {}, description ?? called(type)),
      element("small", {}, called(type)),
      masked ? element("em", {}, masked.display ?? masked.code) : null,
    ),
    element("td", {}, by),
  );
}

function section(type, items) {
  const lines = items?.map(PROFILE[type][1]) ?? [];
  return [
    element("h3", {}, words[type]),
    lines.length
      ? element(
          "ul",
          {},
          ...lines.map(([what, more]) => element("li", {}, what, more ? element("small", {}, more) : null)),
        )
      : element("p", { class: "hint" }, items ? absent(type) : words.not_allowed),
  ];
}

// --- EHR launch ------------------------------------------------------------------------------------------------------

function choose(encounters) {
  at("apps").hidden = mode() !== "normal"; // an emergency access is for who asked for it
  at("encounter-label").hidden = !encounters.length;
  const label = ({ type, period }) =>
    [period?.start && date(period.start), called(type?.[0])].filter(Boolean).join(" · ");
  at("encounter").replaceChildren(
    element("option", { value: "" }, words.no_encounter),
    ...encounters.map((one) => element("option", { value: one.id }, label(one))),
  );
}

/** A launch: the server keeps the context, the app gets its name.  SMART App Launch 2.2: app-launch.html */
at("launch").onclick = async () => {
  const tab = window.open("", "_blank"); // at the click, or the browser keeps it closed
  try {
    const { launch_endpoint, launched } = settings;
    const context = { client_id: launched.client_id, patient: session().patient };
    if (at("encounter").value) context.encounter = at("encounter").value;
    const { url } = await post(launch_endpoint, context); // where the app waits, with iss and launch
    tab.opener = null;
    tab.location = url;
    at("said").textContent = words.launched;
  } catch (error) {
    tab.close();
    at("said").textContent = words.not_launched;
    console.warn(error.code ?? "", error);
  }
  tell();
};

async function close() {
  clearInterval(ticking);
  await leave().catch(console.warn); // whatever the server says, nothing is shown any longer
  location.replace(here);
}

at("close").onclick = close;

translate();
try {
  if ((await arrive()) || session()) await open();
  else start();
} catch (error) {
  fail(error);
}
tell();
