// Beside htmx: keeps what is open and focused over a refresh, and says so when the collector does not answer.
"use strict";
(() => {
  const away = document.getElementById("away");
  const announce = document.getElementById("announce");
  const live = document.getElementById("live");
  let answered = new Date();
  let said = "";
  let open = [];
  let focused = "";
  let place = [0, 0];

  const clock = (date) => date.toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const late = () => {
    away.textContent = "No answer from the collector since " + clock(answered) + " (this computer's clock). What stands below is from then.";
    away.hidden = false;
    live.classList.add("stale");
  };
  const fresh = () => {
    answered = new Date();
    away.hidden = true;
    live.classList.remove("stale");
  };

  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.body.addEventListener(name, late);
  }
  document.body.addEventListener("htmx:beforeSwap", () => {
    open = [...live.querySelectorAll("details[open]")].map((each) => each.id);
    const element = document.activeElement;
    const within = element && live.contains(element);
    const owner = within ? element.closest("[id]") : null;
    focused = !within ? "" : element.tagName === "SUMMARY" ? "#" + CSS.escape(owner.id) + " > summary"
      : element.id ? "#" + CSS.escape(element.id) : element.getAttribute("href") ? "a[href=" + JSON.stringify(element.getAttribute("href")) + "]" : "";
    place = [window.scrollX, window.scrollY];
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    fresh();
    for (const id of open) {
      const found = document.getElementById(id);
      if (found) found.open = true;
    }
    const target = focused ? live.querySelector(focused) : null;
    if (target) target.focus({ preventScroll: true });
    window.scrollTo(place[0], place[1]);
    const statement = document.getElementById("statement").textContent;
    if (said && statement !== said) announce.textContent = statement;
    said = statement;
  });
})();
