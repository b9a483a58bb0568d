// Starts Swagger UI over the document that the page names.
"use strict";

// A variable of several segments keeps its slashes: Swagger UI would send each as %2F, which is another path.
function multiSegment(spec) {
  const found = [];
  for (const [template, item] of Object.entries((spec && spec.paths) || {})) {
    for (const [verb, operation] of Object.entries(item)) {
      const wide = (operation.parameters || []).filter((one) => one.in === "path" && one["x-multi-segment"]);
      if (wide.length === 0) continue;
      const names = [];
      const literal = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
      const pattern = template
        .split(/(\{[^}]*\})/)
        .map((part) => (part.startsWith("{") ? (names.push(part.slice(1, -1)), "([^/?#]*)") : literal(part)))
        .join("");
      found.push({
        verb: verb.toUpperCase(),
        pattern: new RegExp(`^${pattern}$`),
        template,
        names,
        wide: new Set(wide.map((one) => one.name)),
      });
    }
  }
  return found;
}

function withSlashes(request, known) {
  const url = new URL(request.url, window.location.href);
  for (const one of known) {
    const values = one.verb === (request.method || "GET").toUpperCase() && one.pattern.exec(url.pathname);
    if (!values) continue;
    let at = 0;
    url.pathname = one.template.replace(/\{[^}]*\}/g, () => {
      const name = one.names[at];
      const value = values[++at];
      return one.wide.has(name) ? value.replace(/%2F/gi, "/") : value;
    });
    request.url = url.toString();
    break;
  }
  return request;
}

window.addEventListener("DOMContentLoaded", () => {
  const target = document.getElementById("ui");
  let known = null;
  window.ui = SwaggerUIBundle({
    url: target.dataset.document,
    domNode: target,
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    // A validator on another server would be sent the document.
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    requestInterceptor: (request) => {
      if (request.loadSpec) return request;
      known = known || multiSegment(window.ui.specSelectors.specJson().toJS());
      return withSlashes(request, known);
    },
  });
});
