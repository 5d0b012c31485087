/**
 * A form is sent once: the browser would follow the second click of a double click, which is told that the first one
 * was the answer.
 */

/** After so many milliseconds nothing has come of it, and the form can be sent again. */
const STUCK = 5_000;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, STUCK);
});

// A page that the browser brings back as it was can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
