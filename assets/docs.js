// Starts Swagger UI over the document that the page names.
"use strict";
window.addEventListener("DOMContentLoaded", () => {
  const target = document.getElementById("ui");
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
  });
});
