/**
 * The API explorer: a form that writes a GET below the FHIR base, and a reader of what comes back.
 *
 * The request stands in the fragment of the address (`#Observation?patient=1`), so that back, forward and links work.
 * The access token stands in this tab's sessionStorage, and is sent to this server's FHIR base only.
 * What the server answers is shown as text: nothing of it becomes markup or script.
 */

import { COLUMNS, date, summary } from "./summaries.js";

const at = (id) => document.getElementById(id);
const { api: apiPath, base, words: wordsText } = at("explorer").dataset;
const api = new URL(apiPath, location.href);
const words = JSON.parse(wordsText);
const language = document.documentElement.lang;
const plurals = new Intl.PluralRules(language);

const PREFIXES = ["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
const PREFIXED = ["date", "number", "quantity"];
/** R4 search.html#modifiers, by type of parameter; every type has `missing`. */
const MODIFIERS = {
  string: ["exact", "contains"],
  token: ["not", "text", "in", "not-in", "above", "below", "of-type"],
  reference: ["identifier", "above", "below"],
  uri: ["above", "below"],
};
/** R4 search.html#return, with what their values can be. */
const RESULT = {
  _include: (type) => type?.includes,
  _revinclude: (type) => type?.revincludes,
  _sort: (type) => [...(type?.parameters.keys() ?? [])].flatMap((name) => [name, `-${name}`]),
  _count: () => ["5", "20", "100"],
  _total: () => ["none", "estimate", "accurate"],
  _summary: () => ["true", "text", "data", "count", "false"],
  _elements: () => [],
};
const title = document.title;
const TOKEN_KEY = "fhir-server.token";

/** What the server said that it can do, by type. */
const types = new Map();
/** The request as the form shows it: a path below the base, and parameters in their order. */
let request = { path: "Patient", rows: [] };
/** The last answer, and the search page that each page was reached from. */
let answer = null;
let underWay = null;
const cameFrom = new Map();

// --- words and elements ---------------------------------------------------------------------------------------------

function say(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The right plural of `key`, around a number as this language writes it. */
function counted(key, n) {
  const text = words[`${key}_${plurals.select(n)}`] ?? words[`${key}_other`];
  return say(text, { n: n.toLocaleString(language) });
}

/** A new element.  Children are elements or texts, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function labelled(text, control, ...more) {
  return element("label", { class: control.name }, element("span", {}, text), control, ...more);
}

// --- the request as text --------------------------------------------------------------------------------------------

/** A value in a query, encoded where it must be, and otherwise as a person reads it.  RFC 3986 s. 3.4 */
function encode(text) {
  return encodeURIComponent(text).replace(/%(7C|2C|3A|2F|24|40)/g, decodeURIComponent);
}

function decode(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

function writeRequest({ path, rows }) {
  const pairs = rows
    .filter((row) => row.name && row.value)
    .map(({ name, modifier, prefix, value }) => [modifier ? `${name}:${modifier}` : name, prefix + value])
    .map((pair) => pair.map(encode).join("="));
  return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

function readRequest(text) {
  const [path, ...rest] = text.split("?");
  const pairs = rest.join("?").split("&").filter(Boolean);
  return { path, rows: pairs.map((pair) => readPair(pair, typeOf(path))) };
}

function readPair(pair, type) {
  const [left, ...right] = pair.split("=");
  const whole = decode(left);
  const value = decode(right.join("="));
  // A chain and a reverse chain are names of their own.
  const split = whole.includes(".") || whole.startsWith("_has:") ? [whole] : whole.split(/:(.*)/s);
  const [name, modifier = ""] = split;
  const mayHave = PREFIXED.includes(type?.parameters.get(name)?.type);
  const prefix = (mayHave && /^(ne|gt|lt|ge|le|sa|eb|ap)(?=[-\d.])/.exec(value)?.[0]) || "";
  return { name, modifier, prefix, value: value.slice(prefix.length) };
}

const typeOf = (path) => types.get(path.split("/")[0]);

/** What a URL asks of this server, relative to its base; null for any other URL. */
function below(url) {
  const start = [`${base}/`, api.href].find((each) => url.startsWith(each));
  return start === undefined ? null : url.slice(start.length);
}

/** What a string of an answer leads to here: a URL below the base, or `Type/id` of a type that is kept here. */
function destination(text) {
  if (typeof text !== "string") return null;
  const inner = below(text);
  if (inner !== null) return inner;
  const local = /^([A-Z][A-Za-z]+)\/[A-Za-z0-9.-]{1,64}(\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(text);
  return local && types.has(local[1]) ? text : null;
}

function link(text, reference, attributes = {}) {
  const to = destination(reference);
  return to === null ? text : element("a", { href: `#${to}`, ...attributes }, text);
}

// --- the form -------------------------------------------------------------------------------------------------------

function drawForm() {
  drawType();
  drawParameters();
  at("url").value = writeRequest(request);
}

function drawParameters() {
  drawRows();
  drawDocumentation();
}

function drawType() {
  const own = request.path.split("/")[0];
  const names = types.has(own) || !own ? [...types.keys()] : [own, ...types.keys()];
  at("type").replaceChildren(...names.map((name) => element("option", { value: name, selected: name === own }, name)));
}

function drawRows() {
  at("rows").replaceChildren(...request.rows.map(drawRow));
}

/** One parameter: its name, and what its type allows. */
function drawRow(row, index) {
  const parameter = typeOf(request.path)?.parameters.get(row.name);
  const isResult = Object.hasOwn(RESULT, row.name);
  const kind = row.modifier === "missing" ? "missing" : isResult ? row.name : parameter?.type;
  const hint = [parameter?.documentation, words.formats[kind]].filter(Boolean).join(" · ");
  const keep = (part) => (event) => {
    row[part] = event.target.value;
    if (part === "name") row.modifier = "";
    // What only the parameter that was there before, or its values, could have.
    if (part === "name" || row.modifier === "missing") row.prefix = "";
    if (part !== "value") redrawRow(index, part);
    at("url").value = writeRequest(request);
  };
  const drawn = element("li", { class: "row" });
  const name = element("select", { name: "name", change: keep("name") }, ...nameOptions(row.name));
  drawn.append(labelled(words.name, name));
  if (parameter) drawn.append(labelled(words.modifier, modifierSelect(row, parameter, keep("modifier"))));
  if (PREFIXED.includes(parameter?.type) && row.modifier !== "missing") {
    const options = PREFIXES.map((each) =>
      element("option", { value: each, selected: each === row.prefix }, words.prefixes[each]),
    );
    drawn.append(labelled(words.prefix, element("select", { name: "prefix", change: keep("prefix") }, ...options)));
  }
  const value = element("input", {
    name: "value",
    value: row.value,
    list: `values-${index}`,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    "aria-describedby": hint ? `hint-${index}` : null,
    input: keep("value"),
  });
  const results = isResult ? RESULT[row.name](typeOf(request.path)) ?? [] : [];
  const suggested = row.modifier === "missing" ? ["true", "false"] : results;
  const options = suggested.map((each) => element("option", { value: each }));
  const values = element("datalist", { id: `values-${index}` }, ...options);
  const remove = element(
    "button",
    {
      type: "button",
      class: "remove",
      "aria-label": say(words.remove, { name: row.name || words.add_parameter }),
      click: () => removeRow(index),
    },
    words.remove_short,
  );
  drawn.append(labelled(words.value, value), values, remove);
  if (hint) drawn.append(element("p", { class: "hint", id: `hint-${index}` }, hint));
  return drawn;
}

function nameOptions(chosen) {
  const option = (name) => element("option", { value: name, selected: name === chosen }, name);
  const names = [...(typeOf(request.path)?.parameters.keys() ?? [])];
  const groups = [
    [say(words.of_type, { type: request.path.split("/")[0] }), names.filter((name) => !name.startsWith("_"))],
    [words.of_all, names.filter((name) => name.startsWith("_") && !Object.hasOwn(RESULT, name))],
    [words.of_result, Object.keys(RESULT)],
  ];
  // A chain, or whatever else was written by hand.
  if (chosen && !groups.some(([, each]) => each.includes(chosen))) groups.unshift([words.of_query, [chosen]]);
  const drawn = groups
    .filter(([, each]) => each.length)
    .map(([label, each]) => element("optgroup", { label }, ...each.map(option)));
  return [element("option", { value: "" }, words.choose), ...drawn];
}

function modifierSelect(row, parameter, change) {
  const known = ["", ...(MODIFIERS[parameter.type] ?? []), "missing"];
  const offered = known.includes(row.modifier) ? known : [...known, row.modifier];
  const options = offered.map((each) =>
    element("option", { value: each, selected: each === row.modifier }, each ? `:${each}` : words.modifier_none),
  );
  return element("select", { name: "modifier", change }, ...options);
}

/** Draw a row again around the control that is being used: it keeps the focus, and what is typed to choose in it. */
function redrawRow(index, used) {
  const row = at("rows").children[index];
  const stays = row.querySelector(`label.${used}`);
  const drawn = [...drawRow(request.rows[index], index).children];
  const place = drawn.findIndex((each) => each.matches(`label.${used}`));
  for (const each of [...row.children]) if (each !== stays) each.remove();
  stays.before(...drawn.slice(0, place));
  stays.after(...drawn.slice(place + 1));
}

function addRow(name) {
  request.rows.push({ name, modifier: "", prefix: "", value: "" });
  drawRows();
  at("rows").lastElementChild.querySelector(name ? "[name=value]" : "[name=name]").focus();
}

function removeRow(index) {
  request.rows.splice(index, 1);
  drawRows();
  at("url").value = writeRequest(request);
  const near = at("rows").children[Math.min(index, request.rows.length - 1)];
  (near?.querySelector("[name=value]") ?? document.querySelector("[data-add]")).focus();
}

/** What the server says of each parameter of the type. */
function drawDocumentation() {
  const type = request.path.split("/")[0];
  const parameters = typeOf(type)?.parameters ?? new Map();
  at("documentation").hidden = parameters.size === 0;
  at("documentation-title").textContent = `${say(words.documentation, { type })} (${parameters.size})`;
  const titles = [words.name, words.documentation_type, words.documentation_text];
  const head = titles.map((text) => element("th", { scope: "col" }, text));
  const rows = [...parameters].map(([name, { type: kind, documentation, definition }]) => {
    const label = say(words.documentation_use, { name });
    const use = { type: "button", class: "plain", "aria-label": label, click: () => addRow(name) };
    return element(
      "tr",
      {},
      element("td", {}, element("button", use, name)),
      element("td", {}, kind),
      element("td", {}, documentation ?? element("span", { class: "definition" }, definition ?? "")),
    );
  });
  at("documentation-table").replaceChildren(
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  );
}

// --- asking ---------------------------------------------------------------------------------------------------------

function token() {
  return at("token").value.trim().replace(/^Bearer\s+/i, "");
}

/** The address of a request, if it is below the FHIR base: the token goes nowhere else. */
function addressOf(text) {
  try {
    const address = new URL(text, api);
    return address.origin === api.origin && address.pathname.startsWith(api.pathname) ? address : null;
  } catch {
    return null;
  }
}

/** Put the request into the address; that it changes runs it. */
function go(text) {
  const before = location.hash;
  location.hash = `#${text}`;
  // The browser compares what it has encoded.
  if (location.hash === before) run(before.slice(1));
}

async function run(text) {
  underWay?.abort();
  const current = new AbortController();
  underWay = current;
  at("welcome").hidden = true;
  const address = addressOf(text);
  if (!address) return show({ text, failure: words.outside });
  if (!/^[!-~]*$/.test(token())) return show({ text, failure: words.token_bad });
  at("result").setAttribute("aria-busy", "true");
  tell(words.running);
  const headers = { Accept: "application/fhir+json", ...(token() ? { Authorization: `Bearer ${token()}` } : {}) };
  const started = performance.now();
  try {
    const response = await fetch(address, {
      headers,
      signal: current.signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    const body = await response.text();
    const milliseconds = Math.round(performance.now() - started);
    show({ text, body, milliseconds, status: response.status, reason: response.statusText, lacksToken: !token() });
  } catch (error) {
    // A later request took its place.
    if (error.name !== "AbortError") show({ text, failure: words.unreachable });
  }
}

/** Numbers keep the digits that they were written with, where the browser tells them. */
function parse(text) {
  try {
    return JSON.parse(text, (_, value, context) => (typeof value === "number" ? context?.source ?? value : value));
  } catch {
    return null;
  }
}

// --- the answer -----------------------------------------------------------------------------------------------------

function show(given) {
  const wasInside = at("result").contains(document.activeElement);
  const resource = given.body ? parse(given.body) : null;
  answer = { ...given, resource, bundle: resource?.resourceType === "Bundle" ? resource : null };
  at("result").removeAttribute("aria-busy");
  drawStatus();
  drawOutcome();
  drawPages();
  drawRelated();
  at("view").hidden = !answer.bundle;
  drawView();
  if (wasInside && !at("result").contains(document.activeElement)) at("result-title").focus();
  // What was asked for is to be seen, also below a long form on a small screen.
  const top = at("result").getBoundingClientRect().top;
  if (top < 0 || top > innerHeight * 0.6) at("result").scrollIntoView();
}

function entries() {
  return [answer.bundle?.entry ?? []].flat();
}

function drawStatus() {
  if (answer.failure) return tell(answer.failure, "bad");
  const parts = [`${answer.status} ${answer.reason}`.trim(), say(words.milliseconds, { n: answer.milliseconds })];
  if (answer.bundle) {
    const found = entries().filter((entry) => !["include", "outcome"].includes(entry.search?.mode)).length;
    const included = entries().filter((entry) => entry.search?.mode === "include").length;
    const total = Number(answer.bundle.total ?? NaN);
    if (!Number.isNaN(total)) parts.push(counted("total", total));
    if (total !== found) parts.push(counted("shown", found));
    if (included) parts.push(counted("included", included));
  }
  tell(parts.join(" · "), answer.status < 400 ? "good" : "bad");
}

function tell(text, tone = "") {
  at("status").className = tone;
  at("status").textContent = text;
}

/** Every OperationOutcome of the answer, as messages.  R4: operationoutcome.html */
function drawOutcome() {
  const all = [answer.resource, ...entries().flatMap((entry) => [entry.resource, entry.response?.outcome])];
  const outcomes = all.filter((each) => each?.resourceType === "OperationOutcome");
  const issues = outcomes.flatMap((outcome) => outcome.issue ?? []);
  const items = issues.map((issue) =>
    element(
      "li",
      { class: `issue ${/^(fatal|error)$/.test(issue.severity) ? "bad" : ""}` },
      element("strong", {}, words.severities[issue.severity] ?? issue.severity ?? ""),
      " ",
      element("code", {}, issue.code ?? ""),
      element("p", {}, [issue.details?.text, issue.diagnostics].filter(Boolean).join(" · ")),
      ...(issue.expression ?? issue.location ?? []).map((path) => element("code", { class: "path" }, path)),
    ),
  );
  const drawn = items.length ? [element("ul", { class: "issues", "aria-label": words.messages }, ...items)] : [];
  if (answer.status === 401 && answer.lacksToken) {
    const to = element("button", { type: "button", click: () => at("token").focus() }, words.token_to);
    drawn.push(element("p", { class: "note" }, words.token_lacks, " ", to));
  }
  at("outcome").replaceChildren(...drawn);
}

/** The links between pages; the way back is remembered where the server does not tell it. */
function drawPages() {
  const given = new Map([answer.bundle?.link ?? []].flat().map((each) => [each.relation, below(each.url)]));
  const next = given.get("next");
  if (next) cameFrom.set(next, answer.text);
  const offered = [
    ["first", given.get("first")],
    ["previous", given.get("previous") ?? given.get("prev") ?? cameFrom.get(answer.text)],
    ["next", next],
  ];
  const drawn = offered
    .filter(([name, to]) => to && !(name === "first" && to === answer.text))
    .map(([name, to]) => element("a", { class: "button", href: `#${to}`, id: `page-${name}` }, words[name]));
  at("pages").replaceChildren(...drawn);
  at("pages").hidden = drawn.length === 0;
}

/** Where one resource leads on to. */
function drawRelated() {
  const { resourceType: type, id } = answer.bundle ? {} : answer.resource ?? {};
  const drawn = [];
  if (types.has(type) && id && answer.status === 200) {
    drawn.push(element("strong", {}, summary(answer.resource) || `${type}/${id}`));
    drawn.push(element("a", { href: `#${type}/${id}/_history` }, words.history));
    if (types.get(type).operations.includes("everything")) {
      drawn.push(element("a", { href: `#${type}/${id}/$everything` }, words.everything));
    }
  }
  at("related").replaceChildren(...drawn);
  at("related").hidden = drawn.length === 0;
}

/** The answer in the view that is chosen; what is no Bundle has no table. */
function drawView() {
  if (!answer) return;
  const table = answer.bundle !== null && document.querySelector("[name=view]:checked").value === "table";
  at("table").hidden = !table;
  at("json").hidden = table || !answer.body;
  at("table").replaceChildren(...(table ? [drawTable()] : []));
  at("json").replaceChildren(at("json").hidden ? "" : answer.resource ? prettyJson(answer.body) : answer.body);
}

function drawTable() {
  const shown = entries().filter((entry) => entry.resource?.resourceType !== "OperationOutcome");
  if (shown.length === 0) return element("p", { class: "note" }, words.none);
  const rows = shown.map(cellsOf);
  const names = ["resource", ...Object.keys(COLUMNS), "change", "version", "changed"].filter((name) =>
    rows.some((cells) => cells[name] && (cells[name].text ?? cells[name])),
  );
  const head = names.map((name) => element("th", { scope: "col", role: "columnheader" }, words.columns[name]));
  // The roles stay where a narrow screen shows the rows as blocks.
  const body = rows.map((cells) =>
    element("tr", { role: "row" }, ...names.map((name) => drawCell(name, cells[name] ?? "", words.columns[name]))),
  );
  return element(
    "table",
    { class: "resources", role: "table", "aria-label": words.table },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...body),
  );
}

/** The cells of an entry by column.  An entry of a history may hold no resource: it was deleted. */
function cellsOf(entry) {
  const resource = entry.resource ?? {};
  const cells = {};
  for (const [name, cell] of Object.entries(COLUMNS)) cells[name] = cell(resource, words);
  const removed = below(entry.fullUrl ?? "") ?? entry.request?.url ?? "";
  const place = resource.id ? `${resource.resourceType}/${resource.id}` : removed;
  const version = resource.meta?.versionId ?? /W\/"(.*)"/.exec(entry.response?.etag ?? "")?.[1];
  const past = answer.bundle.type === "history" && version && resource.id;
  const reference = past ? `${place}/_history/${version}` : place;
  cells.resource = { text: place, reference, mode: words.modes[entry.search?.mode] };
  if (answer.bundle.type === "history") {
    cells.change = entry.request?.method ?? "";
    cells.version = version ?? "";
    cells.changed = date(entry.response?.lastModified ?? resource.meta?.lastUpdated);
  } else if (entry.response) {
    cells.status = entry.response.status;
  }
  return cells;
}

function drawCell(name, cell, label) {
  const { text = cell, reference, mode } = cell;
  const content = reference ? link(text, reference) : String(text);
  const drawn = element("td", { role: "cell", class: name, "data-label": label }, content);
  if (mode) drawn.append(" ", element("span", { class: "mode" }, mode));
  return drawn;
}

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\]:,]/g;

/** JSON indented, with the digits as they were sent, and with links.  The text has been parsed: it is JSON. */
function prettyJson(text) {
  const drawn = document.createDocumentFragment();
  const found = text.match(TOKENS) ?? [];
  let depth = 0;
  let plain = "";
  const draw = (child) => {
    drawn.append(plain, child);
    plain = "";
  };
  const newline = () => `\n${"  ".repeat(depth)}`;
  found.forEach((each, index) => {
    const empty = (each === "{" && found[index + 1] === "}") || (each === "[" && found[index + 1] === "]");
    const closesEmpty = (each === "}" && found[index - 1] === "{") || (each === "]" && found[index - 1] === "[");
    if (each === "{" || each === "[") {
      if (!empty) depth += 1;
      plain += empty ? each : each + newline();
    } else if (each === "}" || each === "]") {
      if (!closesEmpty) depth -= 1;
      plain += closesEmpty ? each : newline() + each;
    } else if (each === ",") {
      plain += each + newline();
    } else if (each === ":") {
      plain += ": ";
    } else if (each.startsWith('"') && found[index + 1] === ":") {
      draw(element("span", { class: "key" }, each));
    } else if (each.startsWith('"')) {
      const value = JSON.parse(each);
      if (destination(value) === null) plain += each;
      else draw(link(each, value));
    } else {
      draw(element("span", { class: "literal" }, each));
    }
  });
  drawn.append(plain);
  return drawn;
}

// --- the page -------------------------------------------------------------------------------------------------------

/** Learn what the server can do, which anyone may read; false when it does not say.  R4: capabilitystatement.html */
async function readStatement() {
  try {
    const headers = { Accept: "application/fhir+json" };
    const response = await fetch(new URL("metadata", api), { headers, credentials: "omit" });
    const statement = await response.json();
    const rest = statement.rest?.[0] ?? {};
    for (const resource of rest.resource ?? []) {
      const parameters = [...(resource.searchParam ?? []), ...(rest.searchParam ?? [])];
      types.set(resource.type, {
        parameters: new Map(parameters.map((each) => [each.name, each])),
        includes: resource.searchInclude ?? [],
        revincludes: resource.searchRevInclude ?? [],
        operations: (resource.operation ?? []).map((each) => each.name),
      });
    }
  } catch {
    return false;
  }
  return types.size > 0;
}

/** The fragment as the request: shown in the form, and run. */
function follow() {
  const text = location.hash.slice(1);
  if (!text) return start();
  request = readRequest(text);
  document.title = `${decode(request.path)} · fhir-server`;
  drawForm();
  at("url").value = legible(text);
  run(text);
}

/** The page as it opens, before anything is asked. */
function start() {
  underWay?.abort();
  answer = null;
  request = { path: "Patient", rows: [] };
  drawForm();
  document.title = title;
  at("welcome").hidden = false;
  for (const id of ["view", "related", "pages", "table", "json"]) at(id).hidden = true;
  at("outcome").replaceChildren();
  at("result").removeAttribute("aria-busy");
  tell("");
}

/** The fragment as a person writes it, where the form can say all of it. */
function legible(text) {
  const asked = readRequest(text);
  return asked.rows.every((row) => row.name && row.value) ? writeRequest(asked) : text;
}

function listen() {
  at("token").value = sessionStorage.getItem(TOKEN_KEY) ?? "";
  at("token").addEventListener("input", () => sessionStorage.setItem(TOKEN_KEY, token()));
  at("access").addEventListener("submit", (event) => {
    event.preventDefault();
    at("query").requestSubmit();
  });
  at("show").addEventListener("click", () => {
    const shown = at("token").type === "text";
    at("token").type = shown ? "password" : "text";
    at("show").setAttribute("aria-pressed", String(!shown));
  });
  at("forget").addEventListener("click", () => {
    sessionStorage.removeItem(TOKEN_KEY);
    at("token").value = "";
    tell(words.forgotten);
  });
  at("type").addEventListener("change", () => {
    request = { path: at("type").value, rows: [] };
    drawParameters();
    at("url").value = writeRequest(request);
  });
  for (const button of document.querySelectorAll("[data-add]")) {
    button.addEventListener("click", () => addRow(button.dataset.add));
  }
  at("url").addEventListener("input", () => {
    const typed = at("url").value.trim();
    request = readRequest(below(typed) ?? typed);
    drawType();
    drawParameters();
  });
  at("copy").addEventListener("click", copy);
  at("query").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = at("url").value.trim();
    go(below(typed) ?? typed);
  });
  for (const choice of document.querySelectorAll("[name=view]")) choice.addEventListener("change", drawView);
  window.addEventListener("hashchange", follow);
  // These links keep the request, which stands where their targets would.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("content").focus();
  });
  for (const other of document.querySelectorAll(".languages a")) {
    other.addEventListener("click", () => {
      other.hash = location.hash;
    });
  }
}

async function copy() {
  const typed = at("url").value.trim();
  try {
    await navigator.clipboard.writeText(`${base}/${below(typed) ?? typed}`);
    tell(words.copied);
  } catch {
    at("url").select();
    tell(words.copy_failed);
  }
}

listen();
const known = await readStatement();
follow();
// The form still takes a request that is written by hand.
if (!known && !answer) tell(words.no_statement, "bad");
