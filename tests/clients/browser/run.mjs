// Bundles the page, serves it on a port of its own, opens it in Chromium and prints what it saw as JSON.
//
//   node run.mjs NODE_MODULES CHROMIUM GATEWAY_URL CASES_JSON DESCRIPTORS
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [modules, executablePath, gateway, cases, descriptors] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const esbuild = require("esbuild");

const bundle = await esbuild.build({
  entryPoints: [fileURLToPath(new URL("page.js", import.meta.url))],
  bundle: true,
  format: "iife",
  nodePaths: [modules],
  write: false,
});
const files = {
  "/": ["text/html", "<!doctype html><title>gRPC-Web</title><script src=/page.js></script>"],
  "/page.js": ["text/javascript", bundle.outputFiles[0].contents],
  "/cases.json": ["application/json", await readFile(cases)],
  "/descriptors.binpb": ["application/octet-stream", await readFile(descriptors)],
};
const server = createServer((request, response) => {
  const found = files[request.url];
  response.writeHead(found ? 200 : 404, { "content-type": found?.[0] ?? "text/plain" }).end(found?.[1]);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

// Tests run as root in a container as well, where Chromium's sandbox cannot start.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"], timeout: 60_000 });
try {
  const page = await browser.newPage();
  page.on("console", (line) => console.error("console:", line.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}/`, { timeout: 30_000 });
  const seen = await page.evaluate((address) => globalThis.run(address), gateway);
  console.log(JSON.stringify({ version: browser.version(), ...seen }));
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
