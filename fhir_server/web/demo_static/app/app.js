/** The demonstration app of the catalogue: a person's measures and appointments.  What is SMART in it is `smart.js`. */

import { arrive, authorize, fhir, leave, refresh, session } from "../smart.js";
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
  number,
  say,
  settings,
  show,
  tell,
  translate,
  words,
} from "../pages.js";

/** LOINC codes of the measures, in the order of the page. */
const MEASURES = [
  "85354-9",
  "8867-4",
  "29463-7",
  "2345-7",
  "4548-4",
  "8310-5",
  "2708-6",
  "41950-7",
  "8302-2",
  "9843-4",
];
const COMING = "proposed,pending,booked,arrived,checked-in,waitlist";
const here = new URL("./", location.href).href;

async function start() {
  const { iss, people, outbox, catalogue } = settings;
  at("people").replaceChildren(
    ...people.map(({ display, login, password }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, display),
        element("td", {}, element("code", {}, login)),
        element("td", {}, element("code", {}, password)),
      ),
    ),
  );
  at("outbox").href = outbox;
  at("connect").onclick = () => {
    at("connect").disabled = true;
    authorize({ iss, clientId: catalogue.client_id, scope: catalogue.scope, redirectUri: here, language }).catch(fail);
  };
  show("start");
}

// --- the record ------------------------------------------------------------------------------------------------------

async function open() {
  show("busy");
  const { patient, need_patient_banner, launched, smart_style_url } = session();
  if (launched && smart_style_url) await wear(smart_style_url);
  const [person, measures, appointments] = await Promise.all([
    part(() => fhir(`Patient/${patient}`)),
    part(() =>
      Promise.all(
        MEASURES.map((code) =>
          fhir("Observation", { patient, code: `http://loinc.org|${code}`, _sort: "-date", _count: 24 }),
        ),
      ),
    ),
    part(() =>
      fhir("Appointment", {
        patient,
        date: `ge${new Date().toISOString().slice(0, 10)}`,
        status: COMING,
        _sort: "date",
        _count: 6,
      }),
    ),
  ]);
  // Software that launches an app may show who the patient is itself; then the app does not say it again.
  at("banner").classList.toggle("quiet", need_patient_banner === false);
  at("name").textContent = person ? nameOf(person) : words.someone;
  at("identity").textContent = person?.birthDate
    ? say("born", { date: date(person.birthDate), age: age(person.birthDate) })
    : "";
  list(
    "measures",
    measures
      ?.map(found)
      .filter(({ length }) => length)
      .map(measure),
  );
  list("appointments", appointments && found(appointments).map(appointment));
  access();
  show("record");
  tell();
}

/** A part of the record; null if the person did not share it, and the page says so. */
async function part(read) {
  try {
    return await read();
  } catch (error) {
    if (error.code === "403") return null;
    throw error;
  }
}

function list(id, items) {
  at(`no-${id}`).textContent = items ? words[`no_${id}`] : words.not_shared;
  at(`no-${id}`).hidden = Boolean(items?.length);
  at(id).replaceChildren(...(items ?? []));
}

function measure(observations) {
  const [latest] = observations;
  const name = words.measure[latest.code.coding[0].code] ?? called(latest.code);
  const series = values(latest).map((_, place) => observations.map((one) => values(one)[place]?.value).reverse());
  const unit = words.unit[values(latest)[0].code] ?? values(latest)[0].unit;
  const shown = values(latest)
    .map(({ value }) => number(value))
    .join(" / ");
  return element(
    "li",
    { class: "card" },
    element("h3", {}, name),
    element("p", { class: "value" }, shown, " ", element("small", {}, unit)),
    observations.length > 1
      ? curve(series, say("curve", { n: observations.length, from: date(observations.at(-1).effectiveDateTime) }))
      : null,
    element("p", { class: "hint" }, date(latest.effectiveDateTime)),
  );
}

/** The quantities of a measure: its own, or those of its components. */
const values = ({ valueQuantity, component = [] }) =>
  valueQuantity ? [valueQuantity] : component.map((one) => one.valueQuantity).filter(Boolean);

/** A curve for each series, oldest first, on one scale. */
function curve(series, label) {
  const all = series.flat().filter((value) => value != null);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (place, { length }) => 4 + (place * 192) / (length - 1);
  const y = (value) => (high === low ? 24 : 44 - ((value - low) * 40) / (high - low));
  const drawn = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const svg = drawn("svg", { viewBox: "0 0 200 48", role: "img", "aria-label": label, preserveAspectRatio: "none" });
  for (const one of series) {
    const points = one.map((value, place) => `${x(place, one).toFixed(1)},${y(value ?? low).toFixed(1)}`).join(" ");
    svg.append(drawn("polyline", { points }));
  }
  return svg;
}

function appointment({ start, description, reasonCode, serviceType, participant = [] }) {
  const what = description ?? called(reasonCode?.[0]) ?? called(serviceType?.[0]);
  const who = participant
    .map(({ actor }) => actor)
    .filter((actor) => actor && !actor.reference?.startsWith("Patient/"));
  return element(
    "li",
    { class: "card" },
    element(
      "time",
      { datetime: start },
      element("span", { class: "day" }, date(start, { day: "numeric" })),
      element("span", {}, date(start, { month: "short", year: "numeric" })),
    ),
    element(
      "div",
      {},
      element("h3", {}, what),
      element("p", {}, date(start, { weekday: "long", hour: "2-digit", minute: "2-digit" })),
      element(
        "p",
        { class: "hint" },
        who
          .map(({ display }) => display)
          .filter(Boolean)
          .join(" · "),
      ),
    ),
  );
}

// --- what the app may do ---------------------------------------------------------------------------------------------

function access() {
  const { scope, until, refresh_token, server, launched } = session();
  const time = new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(until);
  at("until").textContent = say(refresh_token ? "until_renewed" : "until", { time });
  at("scopes").replaceChildren(...scope.split(" ").map((word) => element("li", {}, element("code", {}, word))));
  at("refresh").hidden = !refresh_token;
  at("manage").hidden = launched || !server.management_endpoint; // where patients see and end what they granted
  at("manage").href = server.management_endpoint ?? "";
}

/** The colours of where the app is opened.  SMART App Launch 2.2: scopes-and-launch-context.html#styling */
async function wear(url) {
  const style = await (await fetch(url)).json();
  if (style.color_highlight) document.documentElement.style.setProperty("--accent", style.color_highlight);
}

at("refresh").onclick = () =>
  refresh()
    .then(() => {
      access();
      at("said").textContent = words.refreshed;
      tell();
    })
    .catch(fail);

at("leave").onclick = () =>
  leave()
    .then(() => location.replace(here))
    .catch(fail);

translate();
try {
  if ((await arrive()) || session()) await open();
  else await start();
} catch (error) {
  fail(error);
}
tell();
