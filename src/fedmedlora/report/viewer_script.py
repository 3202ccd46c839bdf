"""The page's only script: it filters notes and moves from mistake to mistake. The notes are all there without it.

The browser runs it because its digest stands in the page's policy, and no other. The CDATA marks keep the page XML.
"""

from __future__ import annotations

import base64
import hashlib

SCRIPT = """/*<![CDATA[*/
"use strict";
document.querySelectorAll(".viewer").forEach((viewer) => {
  const form = viewer.querySelector("form");
  const keys = viewer.querySelector(".keys");
  const status = viewer.querySelector("[role=status]");
  const views = [...viewer.querySelectorAll(".view")];
  const chosen = (name) => form.elements[name].value;
  const within = (name, value) => chosen(name) === "" || chosen(name) === value;
  let marked = [];

  function suits(tag) {
    const kind = chosen("kind");
    const right = tag.dataset.k === "ok";
    const labels = tag.dataset.l.split(" ");
    const fits = kind === "" || (kind === "wrong" ? !right : kind === tag.dataset.k);
    return fits && (chosen("label") === "" || labels.includes(chosen("label")));
  }

  function filter() {
    let notes = 0;
    views.forEach((view) => {
      const tags = [...view.querySelectorAll("[data-k]")];
      const kept = new Set(tags.filter(suits).map((tag) => tag.dataset.i));
      const asked = chosen("label") !== "" || !["", "wrong"].includes(chosen("kind"));
      view.hidden = !within("site", view.dataset.site) || !within("model", view.dataset.model) || (asked && !kept.size);
      if (view.hidden) return;
      notes += 1;
      view.querySelectorAll("[data-i]").forEach((part) => part.classList.toggle("off", !kept.has(part.dataset.i)));
    });
    mark(null);
    const errors = stops().length;
    const what = chosen("kind") === "ok" ? "correct" : errors === 1 ? "mistake" : "mistakes";
    status.textContent = `${notes} ${notes === 1 ? "note" : "notes"}, ${errors} ${what} shown.`;
  }

  function stops() {
    const right = chosen("kind") === "ok";
    const shown = views.filter((view) => !view.hidden).flatMap((view) => [...view.querySelectorAll("[data-k]")]);
    return shown.filter((tag) => !tag.classList.contains("off") && (right || tag.dataset.k !== "ok"));
  }

  function mark(tag) {
    marked.forEach((part) => part.classList.remove("on"));
    marked = tag ? [...tag.closest(".view").querySelectorAll(`[data-i="${tag.dataset.i}"]`)] : [];
    marked.forEach((part) => part.classList.add("on"));
  }

  function neighbour(all, back) {
    const here = marked.find((part) => part.dataset.k) || document.activeElement;
    const place = all.indexOf(here);
    if (place >= 0) return (place + (back ? all.length - 1 : 1)) % all.length;
    const side = back ? Node.DOCUMENT_POSITION_PRECEDING : Node.DOCUMENT_POSITION_FOLLOWING;
    const ahead = all.map((one, at) => at).filter((at) => here.compareDocumentPosition(all[at]) & side);
    if (!ahead.length) return back ? all.length - 1 : 0;
    return back ? ahead[ahead.length - 1] : ahead[0];
  }

  function toMistake(back) {
    const all = stops();
    if (!all.length) return;
    const at = neighbour(all, back);
    const view = all[at].closest(".view");
    view.open = true;
    mark(all[at]);
    all[at].focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "center" });
    status.textContent = `${at + 1} of ${all.length}: ${all[at].textContent}`;
  }

  function toNote(back) {
    const shown = views.filter((view) => !view.hidden).map((view) => view.querySelector("summary"));
    if (!shown.length) return;
    const inside = marked.length ? marked[0].closest(".view") : document.activeElement.closest(".view");
    const from = inside ? shown.indexOf(inside.querySelector("summary")) : back ? 0 : -1;
    const at = (from + (back ? shown.length - 1 : 1)) % shown.length;
    mark(null);
    shown[at].parentElement.open = true;
    shown[at].focus({ preventScroll: true });
    shown[at].scrollIntoView({ block: "start" });
    status.textContent = `note ${at + 1} of ${shown.length}`;
  }

  const actions = {
    j: () => toMistake(false),
    k: () => toMistake(true),
    n: () => toNote(false),
    p: () => toNote(true),
    "?": () => { keys.open = !keys.open; if (keys.open) keys.querySelector("summary").focus(); },
  };
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  });
  viewer.addEventListener("click", (event) => {
    const tag = event.target.closest(".text [data-k]");
    if (tag) mark(tag);
  });
  viewer.addEventListener("focusin", (event) => {
    if (event.target.tagName === "SUMMARY") mark(null);
  });
  form.querySelectorAll("button").forEach((button) => {
    button.addEventListener("click", () => actions[button.value]());
  });
  form.addEventListener("change", filter);
  form.hidden = false;
  keys.hidden = false;
  filter();
});
/*]]>*/"""


def script_source() -> str:
    """The script's digest, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
