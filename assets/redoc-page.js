// Starts ReDoc over the document that the page names.
"use strict";
window.addEventListener("DOMContentLoaded", () => {
  const target = document.getElementById("ui");
  Redoc.init(target.dataset.document, { hideDownloadButton: false, expandResponses: "200", pathInMiddlePanel: true }, target);
});
