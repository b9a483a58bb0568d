// Looks at the gateway's own pages in Chromium: what they show, and that nothing is refused or asked of another server.
// Prints what it saw as JSON; with a folder as last argument it leaves a picture of each page there. TOKEN is one that the
// gateway takes.
//
//   node pages.mjs NODE_MODULES CHROMIUM GATEWAY_URL TOKEN [FOLDER]
import { createRequire } from "node:module";

const [modules, executablePath, gateway, token, folder] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const TIMEOUT = 60_000;

// Tests run as root in a container as well, where Chromium's sandbox cannot start.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"], timeout: TIMEOUT });
const seen = {};

// What a page says on its console, what it could not load, and whom else it asks.
async function look(path, name, options, read) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const problems = [];
  const foreign = [];
  page.on("console", (line) => ["error", "warning"].includes(line.type()) && problems.push(`${line.text()} (${line.location().url})`));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("request", (request) => !/^(data|blob):/.test(request.url()) && !request.url().startsWith(gateway) && foreign.push(request.url()));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      globalThis.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`),
    );
  });
  await page.goto(gateway + path, { timeout: TIMEOUT });
  const found = await read(page);
  const violations = await page.evaluate(() => globalThis.violations);
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
  await context.close();
  seen[name] = { ...found, problems, foreign, violations };
}

try {
  await look("/docs", "docs", {}, async (page) => {
    const operation = page.locator(".opblock", { has: page.locator(".opblock-summary-path", { hasText: /^\/ping$/ }) });
    await operation.locator(".opblock-summary-control").first().click();
    await operation.locator("button.execute").click();
    const answer = operation.locator(".live-responses-table td.response-col_status:not(.col_header)").first();
    await answer.waitFor();
    const body = await operation.locator(".live-responses-table .highlight-code").first().innerText();
    await operation.scrollIntoViewIfNeeded();
    // What it sends for a variable of several segments, and for one.
    const sent = await page.evaluate(() =>
      ["/v1/tree/a%2Fb%20c", "/v1/other/a%2Fb"].map((path) => {
        const request = { url: location.origin + path, method: "GET" };
        return new URL(window.ui.getConfigs().requestInterceptor(request).url).pathname;
      }),
    );
    // Who says who it is may call what it may.
    await page.locator(".auth-wrapper button.authorize").first().click();
    const dialog = page.locator(".dialog-ux .modal-ux");
    const bearer = dialog.locator(".auth-container", { hasText: "bearer (http, Bearer)" });
    await bearer.locator("input").fill(token);
    await bearer.locator("button.authorize").click();
    await bearer.locator("button.btn-done").click();
    const own = page.locator(".opblock", { has: page.locator(".opblock-summary-path", { hasText: /^\/api\/v1\/auth\/me$/ }) });
    await own.locator(".opblock-summary-control").first().click();
    await own.locator("button.execute").click();
    const known = own.locator(".live-responses-table td.response-col_status:not(.col_header)").first();
    await known.waitFor();
    const me = (await known.innerText()).trim().split("\n")[0];
    const asked = await own.locator(".curl-command").first().innerText();
    const who = await own.locator(".live-responses-table .highlight-code").first().innerText();
    const groups = await page.locator("h3.opblock-tag").evaluateAll((all) => all.map((one) => one.dataset.tag));
    await own.scrollIntoViewIfNeeded();
    return { sent, me, who, asked, groups, title: await page.title(), status: (await answer.innerText()).trim().split("\n")[0], body };
  });
  await look("/redoc", "redoc", {}, async (page) => {
    await page.locator("h1").first().waitFor();
    const search = page.locator("input[type=text], [role=search] input").first();
    await search.fill("ping");
    await page.locator("[data-role='search:results'] li").first().waitFor();
    const hits = await page.locator("[data-role='search:results'] li").count();
    await search.fill("");
    await page.locator("li[data-item-id]", { hasText: "Answers at once" }).first().click();
    await page.waitForTimeout(500);
    return { heading: await page.locator("h1").first().innerText(), hits };
  });
  const index = async (page) => ({
    heading: await page.locator("h1").innerText(),
    services: await page.locator("section.service").count(),
    terminal: await page.locator("pre").innerText(),
    links: await page.locator("nav a").allInnerTexts(),
    // Its style is there: without it the text is black on white, with serifs.
    font: await page.evaluate(() => getComputedStyle(document.body).fontFamily),
  });
  await look("/", "index", {}, index);
  await look("/", "index-dark", { colorScheme: "dark" }, index);
  await look("/", "index-narrow", { viewport: { width: 390, height: 844 }, javaScriptEnabled: true }, index);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
