/** EHR launch: professional software opens this page with `iss` and `launch`.  SMART App Launch 2.2: app-launch.html */

import { authorize, Refused } from "../smart.js";
import { fail, language, settings, translate } from "../pages.js";

const { iss, launched } = settings;
const asked = new URLSearchParams(location.search);

translate();
try {
  // Whoever makes a link may write any server into it: an app goes to those that it knows.
  if (asked.get("iss") !== iss || !asked.get("launch")) throw new Refused("unknown_server");
  await authorize({
    iss,
    clientId: launched.client_id,
    scope: launched.scope,
    redirectUri: new URL("./", location.href).href,
    launch: asked.get("launch"),
    language,
  });
} catch (error) {
  fail(error);
}
