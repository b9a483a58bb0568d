// An SDK of MCP's makers against the gateway: connect, list, call, be told what is wrong, follow a stream, give up.
//
//   node client.mjs NODE_MODULES URL SDK ERA
//
// SDK is v1 (@modelcontextprotocol/sdk) or v2 (@modelcontextprotocol/client); ERA is legacy, or for v2 also modern or auto.
import assert from 'node:assert/strict';

const [modules, url, sdk, era] = process.argv.slice(2);
const load = (path) => import(`${modules}/@modelcontextprotocol/${path}`);
const information = { name: 'propylon-tests', version: '1' };

let client, transport;
if (sdk === 'v1') {
  const { Client } = await load('sdk/dist/esm/client/index.js');
  const { StreamableHTTPClientTransport } = await load('sdk/dist/esm/client/streamableHttp.js');
  client = new Client(information);
  transport = new StreamableHTTPClientTransport(new URL(url));
} else {
  const { Client, StreamableHTTPClientTransport } = await load('client/dist/index.mjs');
  const mode = era === 'modern' ? { pin: '2026-07-28' } : era;
  client = new Client(information, { versionNegotiation: { mode } });
  transport = new StreamableHTTPClientTransport(new URL(url));
}
await client.connect(transport);
assert.equal(client.getServerVersion().name, 'Propylon');

const { tools } = await client.listTools();
const names = tools.map((tool) => tool.name);
assert.deepEqual(names, [...names].sort());
assert.ok(names.includes('test_simple_text') && names.includes('echo'), names.join());

const call = (name, args, options) =>
  sdk === 'v1'
    ? client.callTool({ name, arguments: args }, undefined, options)
    : client.callTool({ name, arguments: args }, options);

// The SDK holds what is structured against the tool's output schema.
const echoed = await call('echo', { text: 'ä"\n', count: '9007199254740993', when: '2026-01-31T12:00:00Z' });
assert.equal(echoed.isError ?? false, false, JSON.stringify(echoed));
assert.deepEqual(echoed.structuredContent, JSON.parse(echoed.content[0].text));
assert.equal(echoed.structuredContent.count, '9007199254740993');

const wrong = await call('echo', { txt: 'x' });
assert.equal(wrong.isError, true);
assert.match(wrong.content[0].text, /did you mean `text`/);
await assert.rejects(call('no_such_tool', {}), /Unknown tool/);

const progress = [];
const streamed = await call('test_tool_with_progress', {}, { onprogress: (said) => progress.push(said) });
assert.equal(streamed.structuredContent.messages.length, 3);
assert.deepEqual(progress.map((said) => said.progress), [1, 2, 3]);
assert.equal(JSON.parse(progress[0].message).done, streamed.structuredContent.messages[0].done);

// Who gives up is waited for no longer, and neither is the upstream.
const giveUp = new AbortController();
const endless = call('endless', {}, { onprogress: () => giveUp.abort('enough'), signal: giveUp.signal });
await assert.rejects(endless);

if (sdk === 'v1') await transport.terminateSession();
await client.close();
console.log(`${sdk} ${era}: ${tools.length} tools, all as they should be`);
process.exit(0);
