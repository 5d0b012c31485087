/**
 * SMART App Launch 2.2, the app's side of it, without a library: discovery, authorization with PKCE, token, refresh,
 * revocation.  It is short to be read.  https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
 *
 * What a launch needs until it is over, and the tokens after it, stand in this tab's sessionStorage, and end with it.
 */

const KEY = `smart${new URL(".", location).pathname}`;
const kept = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");
const keep = (value) => sessionStorage.setItem(KEY, JSON.stringify(value));

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** The server said no.  `code` is its word for why: an OAuth error, or the status of an HTTP answer. */
export class Refused extends Error {
  constructor(code, message = code) {
    super(message);
    this.code = String(code);
  }
}

/** Step 1.  Ask the server where its endpoints are, and send the browser to the authorization endpoint. */
export async function authorize({ iss, clientId, scope, redirectUri, launch, language }) {
  const server = await (await call(`${iss}/.well-known/smart-configuration`)).json();
  const [state, nonce, verifier] = [random(), random(), random()];
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  keep({ iss, clientId, redirectUri, server, state, nonce, verifier, launched: Boolean(launch) });
  const parameters = new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    scope,
    state,
    nonce,
    aud: iss,
    code_challenge: challenge,
    code_challenge_method: "S256",
    ui_locales: language,
  });
  if (launch) parameters.set("launch", launch);
  note("GET", server.authorization_endpoint, "→");
  location.assign(`${server.authorization_endpoint}?${parameters}`);
}

/** Step 2.  The browser is back: check that the answer is ours, change the code into tokens.  False: nothing came. */
export async function arrive() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("code") && !answer.has("error")) return false;
  history.replaceState(null, "", location.pathname); // the code stays in no history
  const { server, state, nonce, verifier, redirectUri, ...launch } = kept() ?? {};
  if (!state || answer.get("state") !== state) throw new Refused("state");
  if (answer.get("iss") !== server.issuer) throw new Refused("issuer"); // RFC 9207: who answers is who was asked
  if (answer.has("error")) throw new Refused(answer.get("error"), answer.get("error_description"));
  keep({ server, ...launch }); // what came was for this launch, and for once
  const code = answer.get("code");
  const tokens = await token({
    grant_type: "authorization_code",
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
  });
  if (!tokens.id_token || claims(tokens).nonce === nonce) return true;
  await leave();
  throw new Refused("nonce");
}

let renewing = null;
/** Step 3, at the end of the access token: another, for the refresh token.  That is good once: one call at a time. */
export const refresh = () =>
  (renewing ??= token({ grant_type: "refresh_token", refresh_token: kept().refresh_token }).finally(() => {
    renewing = null;
  }));

/** Step 4.  Nothing that was granted to this session works any longer, here or at the server.  RFC 7009 */
export async function leave() {
  const { server, clientId, refresh_token, access_token } = kept();
  sessionStorage.removeItem(KEY);
  const parameters = { token: refresh_token ?? access_token, client_id: clientId };
  await call(server.revocation_endpoint, { method: "POST", body: new URLSearchParams(parameters) });
}

/** The token response of this tab, with `until` in milliseconds; null if there is none. */
export const session = () => (kept()?.access_token ? kept() : null);

/** What the id_token says.  It came from the token endpoint itself: OpenID Connect Core s. 3.1.3.7, 6 */
export const claims = ({ id_token }) =>
  JSON.parse(
    new TextDecoder().decode(
      Uint8Array.from(atob(id_token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)),
    ),
  );

/** What the FHIR API answers to a read or a search: `fhir("Observation", { code: "…" })`. */
export async function fhir(path, parameters = {}) {
  if (session().refresh_token && Date.now() > session().until - 10_000) await refresh();
  const query = new URLSearchParams(parameters).toString();
  const headers = { Accept: "application/fhir+json", Authorization: `Bearer ${session().access_token}` };
  const response = await call(`${session().iss}/${path}${query && `?${query}`}`, { headers });
  if (!response.ok) throw new Refused(response.status);
  return response.json();
}

/** What the server answers to a POST of JSON, with the access token. */
export async function post(url, content) {
  const headers = { Authorization: `Bearer ${session().access_token}`, "Content-Type": "application/json" };
  const response = await call(url, { method: "POST", headers, body: JSON.stringify(content) });
  if (!response.ok) throw new Refused(response.status);
  return response.json();
}

async function token(parameters) {
  const { server, clientId } = kept();
  const body = new URLSearchParams({ ...parameters, client_id: clientId });
  const response = await call(server.token_endpoint, { method: "POST", body });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error, answer.error_description);
  keep({ ...kept(), ...answer, until: Date.now() + answer.expires_in * 1000 });
  return kept();
}

// --- what was said, for who wants to see how a launch goes ----------------------------------------------------------

export const journal = () => JSON.parse(sessionStorage.getItem(`${KEY}journal`) ?? "[]");

function note(method, url, status) {
  const { pathname, search } = new URL(url);
  const line = { method, path: decodeURIComponent(pathname + search), status };
  sessionStorage.setItem(`${KEY}journal`, JSON.stringify([...journal(), line].slice(-60)));
}

async function call(url, options = {}) {
  const response = await fetch(url, { cache: "no-store", ...options });
  note(options.method ?? "GET", url, response.status);
  return response;
}
