/**
 * How a resource reads as one row of a table: pure functions over parsed JSON, which may lack anything.
 *
 * A cell is a text, or {text, reference} where it leads somewhere.
 */

const first = (value) => (Array.isArray(value) ? value[0] : value);

/** A CodeableConcept, Coding or plain code, as a person reads it. */
function concept(value) {
  const given = first(value);
  if (given == null || typeof given !== "object") return given ?? "";
  const coding = first(given.coding) ?? given;
  return given.text ?? coding.display ?? coding.code ?? "";
}

function humanName(names) {
  const given = [names ?? []].flat();
  const name = ["usual", "official"].map((use) => given.find((each) => each.use === use)).find(Boolean) ?? given[0];
  if (name == null || typeof name === "string") return name ?? "";
  return name.text ?? [...(name.given ?? []).slice(0, 1), name.family].filter(Boolean).join(" ");
}

function quantity(value) {
  return [(value.comparator ?? "") + (value.value ?? ""), value.unit ?? value.code].filter(Boolean).join(" ");
}

/** A date as it was written; a date with a time to the minute, at the reader's clock. */
export function date(text) {
  if (typeof text !== "string" || !text.includes("T")) return text ?? "";
  const moment = new Date(text);
  if (Number.isNaN(moment.valueOf())) return text;
  return moment.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}

function period(value) {
  if (value.start && value.end) return `${date(value.start)} – ${date(value.end)}`;
  return value.start ? `${date(value.start)} –` : value.end ? `– ${date(value.end)}` : "";
}

const FORMS = {
  Quantity: quantity,
  Age: quantity,
  CodeableConcept: concept,
  Coding: concept,
  DateTime: date,
  Date: date,
  Instant: date,
  Period: period,
  Reference: (value) => value.display ?? value.reference ?? "",
  Range: (value) => [value.low, value.high].map((end) => (end ? quantity(end) : "")).join(" – "),
  Ratio: (value) => [value.numerator, value.denominator].map((part) => (part ? quantity(part) : "")).join(" / "),
};

/** The element `stem[x]`, whichever of its types is there. */
function choice(resource, stem) {
  for (const [name, value] of Object.entries(resource)) {
    const type = name.startsWith(stem) ? name.slice(stem.length) : "";
    if (!/^[A-Z]/.test(type)) continue;
    if (FORMS[type]) return FORMS[type](value);
    if (typeof value !== "object") return String(value);
  }
  return "";
}

function value(resource) {
  if (resource.resourceType !== "Observation") return "";
  const parts = resource.component ?? [];
  return choice(resource, "value") || together(parts) || concept(resource.dataAbsentReason);
}

/** The values of components: `120 / 80 mmHg` where they share a unit. */
function together(parts) {
  const quantities = parts.map((part) => part.valueQuantity);
  const units = new Set(quantities.map((each) => each?.unit ?? each?.code));
  if (parts.length > 1 && units.size === 1 && quantities.every((each) => each?.value !== undefined)) {
    return `${quantities.map((each) => each.value).join(" / ")} ${[...units][0] ?? ""}`.trim();
  }
  return parts.map((part) => choice(part, "value")).filter(Boolean).join(" · ");
}

const SUMMARIES = {
  AuditEvent: (r) => [concept(r.subtype) || concept(r.type), first(r.agent)?.name].filter(Boolean).join(" · "),
  Bundle: (r) => r.type,
  Communication: (r) => first(r.payload)?.contentString,
  Composition: (r) => r.title,
  DocumentReference: (r) => r.description ?? concept(r.type),
  Appointment: (r) => r.description ?? (concept(r.serviceType) || concept(r.appointmentType)),
  Coverage: (r) => concept(r.type),
  Encounter: (r) => concept(r.type) || concept(r.class),
  FamilyMemberHistory: (r) =>
    [concept(r.relationship), ...(r.condition ?? []).map((each) => concept(each.code))].join(" · "),
  PractitionerRole: (r) => [r.practitioner?.display, concept(r.code)].filter(Boolean).join(" · "),
  RelatedPerson: (r) => [humanName(r.name), concept(r.relationship)].filter(Boolean).join(" · "),
  Goal: (r) => concept(r.description),
};
const TELLING = ["name", "title", "code", "vaccineCode", "medication", "description", "type", "category", "topic"];

/** What the resource is, in a few words. */
export function summary(resource) {
  const own = SUMMARIES[resource.resourceType]?.(resource);
  if (own) return own;
  for (const name of TELLING) {
    const told = name === "name" ? humanName(resource.name) : concept(resource[name]) || choice(resource, name);
    if (typeof told === "string" && told) return told;
  }
  return "";
}

const DATES = ["effective", "occurrence", "performed", "onset"];
const PLAIN_DATES = [
  "start",
  "date",
  "sent",
  "recorded",
  "authoredOn",
  "recordedDate",
  "dateAsserted",
  "created",
  "issued",
];

function when(resource) {
  for (const stem of DATES) {
    const found = choice(resource, stem);
    if (found) return found;
  }
  const name = PLAIN_DATES.find((each) => typeof resource[each] === "string");
  if (name) return date(resource[name]);
  return resource.period && !Array.isArray(resource.period) ? period(resource.period) : "";
}

function about(resource) {
  const cited = resource.subject ?? resource.patient ?? resource.beneficiary ?? resource.for;
  const one = first(cited);
  if (!one || typeof one !== "object") return "";
  return { text: one.display ?? one.reference ?? "", reference: one.reference };
}

/** The columns that a table may have, in this order; it has those that some row fills. */
export const COLUMNS = {
  summary,
  value,
  gender: (resource, words) => words.genders[resource.gender] ?? "",
  birth: (resource) => resource.birthDate ?? "",
  date: when,
  status: (resource) => (typeof resource.status === "string" ? resource.status : concept(resource.clinicalStatus)),
  about,
};
