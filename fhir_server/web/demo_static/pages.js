/** What the demonstration's pages share: words, elements, names and dates.  Data becomes text, never markup. */

import { journal } from "./smart.js";

const LANGUAGES = { fr: "Français", en: "English" };
const asked = new URLSearchParams(location.search).get("lang") ?? sessionStorage.getItem("language");
export const language = asked in LANGUAGES ? asked : navigator.language.startsWith("en") ? "en" : "fr";
sessionStorage.setItem("language", language); // the way back from the server does not say it

/** Where the server is and who this page is for it; what it says, in each language. */
export const settings = await (await fetch("/demo/settings.json", { cache: "no-store" })).json();
export const words = (await (await fetch("words.json")).json())[language];

export const at = (id) => document.getElementById(id);
export const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** A new element.  Children are elements or texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Put the words where the page asks for them (`data-say`), and the way to the other language. */
export function translate() {
  document.documentElement.lang = language;
  document.title = words.title;
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = words[place.dataset.say];
  for (const place of document.querySelectorAll("[data-label]"))
    place.setAttribute("aria-label", words[place.dataset.label]);
  const current = (code) => (code === language ? { "aria-current": "true" } : {});
  at("languages").replaceChildren(
    ...Object.entries(LANGUAGES).map(([code, name]) =>
      element("a", { href: `?lang=${code}`, lang: code, ...current(code) }, name),
    ),
  );
  document.body.hidden = false;
}

/** Show one of the sections of the page, and no other; a reader of screens is told by the focus. */
export function show(id) {
  for (const view of document.querySelectorAll("main > [data-view]")) view.hidden = view.id !== id;
  at(id).querySelector("h1, h2")?.focus();
}

/** Say what went wrong in words of the page, and let the person go back to the start. */
export function fail(error) {
  console.warn(error.code ?? "", error);
  at("failure-text").textContent = words[`failure_${error.code}`] ?? words.failure_other;
  at("failure-code").textContent = error.code && !words[`failure_${error.code}`] ? error.code : "";
  show("failure");
  tell();
}

/** The journal: each call that was made, by its path. */
export function tell() {
  at("journal").parentElement.hidden = !journal().length;
  at("journal").replaceChildren(
    ...journal().map(({ method, path, status }) =>
      element(
        "li",
        {},
        element("b", {}, method),
        " ",
        element("code", {}, path),
        " ",
        element("span", { class: status < 400 || status === "→" ? "good" : "bad" }, String(status)),
      ),
    ),
  );
}

// --- names and dates -------------------------------------------------------------------------------------------------

/** A FHIR date as a person writes it; a time is told as it is in France, where things happen. */
export const date = (text, style = { day: "numeric", month: "long", year: "numeric" }) =>
  new Intl.DateTimeFormat(language, { ...style, timeZone: text.length > 10 ? "Europe/Paris" : "UTC" }).format(
    new Date(text),
  );

export const number = (value) => value.toLocaleString(language, { maximumFractionDigits: 2 });

export function nameOf({ name = [] }) {
  const used = name.find(({ use }) => use === "usual") ?? name.find(({ use }) => use === "official") ?? name[0] ?? {};
  return used.text ?? [used.given?.[0], used.family].filter(Boolean).join(" ");
}

export function age(birthDate) {
  const months =
    (new Date().getFullYear() - Number(birthDate.slice(0, 4))) * 12 +
    new Date().getMonth() +
    1 -
    Number(birthDate.slice(5, 7));
  const whole = Math.floor((months - (new Date().getDate() < Number(birthDate.slice(8, 10)) ? 1 : 0)) / 12);
  return new Intl.NumberFormat(language, { style: "unit", unit: "year", unitDisplay: "long" }).format(whole);
}

/** The resources of a searchset that were found, without what only explains it. */
export const found = ({ entry = [] }) =>
  entry.filter(({ search }) => search?.mode !== "outcome").map(({ resource }) => resource);

/** What a code is called. */
export const called = (concept) =>
  concept?.text ?? concept?.coding?.find(({ display }) => display)?.display ?? concept?.coding?.[0]?.code ?? "";
