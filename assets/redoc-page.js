// Starts ReDoc over the document that the page names.
"use strict";

// ReDoc draws every alternative at once, to the depth of the messages: a `null` beside each field of a message would double
// that at every level, and says nothing to who reads.
function withoutNull(value) {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (value === null || typeof value !== "object") return value;
  const { anyOf, ...beside } = value;
  if (Array.isArray(anyOf) && anyOf.length === 2 && anyOf[1].type === "null") return withoutNull({ ...anyOf[0], ...beside });
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutNull(inner)]));
}

window.addEventListener("DOMContentLoaded", async () => {
  const target = document.getElementById("ui");
  const url = target.dataset.document;
  const answer = await fetch(url);
  const options = { downloadDefinitionUrl: url, expandResponses: "200", pathInMiddlePanel: true };
  Redoc.init(withoutNull(await answer.json()), options, target);
});
