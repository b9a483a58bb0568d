// An SDK of MCP's makers goes through OAuth's whole dance against the gateway: it finds the authorization server by what the
// endpoint says, registers, has its user log in and say yes, gets tokens, and comes back for more when it has too little.
//
//   node oauth.mjs NODE_MODULES URL SDK EMAIL PASSWORD
//
// SDK is v1 (@modelcontextprotocol/sdk) or v2 (@modelcontextprotocol/client).
import assert from 'node:assert/strict';

const [modules, url, sdk, email, password] = process.argv.slice(2);
const load = (path) => import(`${modules}/@modelcontextprotocol/${path}`);
const information = { name: 'propylon-tests', version: '1' };
const back = 'http://127.0.0.1:33418/back';

let Client, Transport;
if (sdk === 'v1') {
  ({ Client } = await load('sdk/dist/esm/client/index.js'));
  ({ StreamableHTTPClientTransport: Transport } = await load('sdk/dist/esm/client/streamableHttp.js'));
} else {
  ({ Client, StreamableHTTPClientTransport: Transport } = await load('client/dist/index.mjs'));
}

// What the SDK keeps, and where it wants its user to go.
const kept = {};
let asked;
const provider = {
  redirectUrl: back,
  clientMetadata: {
    client_name: `SDK ${sdk}`,
    redirect_uris: [back],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  redirectToAuthorization: (to) => void (asked = to),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  saveDiscoveryState: (state) => void (kept.discovery = state),
  discoveryState: () => kept.discovery,
};

// A browser that knows no script: pages, a cookie, forms.
async function browse(to) {
  let cookie;
  const send = async (address, fields) => {
    const response = await fetch(address, {
      method: fields ? 'POST' : 'GET',
      body: fields && new URLSearchParams(fields),
      headers: cookie ? { cookie } : {},
      redirect: 'manual',
    });
    const set = response.headers.get('set-cookie');
    if (set) cookie = set.split(';')[0];
    return { response, text: await response.text() };
  };
  const unescaped = (text) => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
  const hidden = (text) =>
    Object.fromEntries([...text.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) => [name, unescaped(value)]));
  const form = new URL('/oauth/authorize', to);
  const login = await send(to);
  assert.equal(login.response.status, 200, login.text);
  const consent = await send(form, { ...hidden(login.text), email, password });
  assert.equal(consent.response.status, 200, consent.text);
  assert.ok(consent.text.includes(`SDK ${sdk}`), consent.text);
  const answer = await send(form, { ...hidden(consent.text), answer: 'allow' });
  assert.equal(answer.response.status, 303, answer.text);
  const sent = new URL(answer.response.headers.get('location'));
  assert.equal(sent.origin + sent.pathname, back);
  return sent.searchParams;
}

const connect = async () => {
  const client = new Client(information);
  const transport = new Transport(new URL(url), { authProvider: provider });
  return { client, transport, ready: client.connect(transport) };
};
const finish = async (transport) => {
  const answer = await browse(asked);
  asked = undefined;
  await (sdk === 'v1' ? transport.finishAuth(answer.get('code')) : transport.finishAuth(answer.get('code'), answer.get('iss')));
};

let { client, transport, ready } = await connect();
await assert.rejects(ready, /Unauthorized/i);
assert.equal(asked.searchParams.get('resource'), url);
assert.equal(asked.searchParams.get('code_challenge_method'), 'S256');
assert.equal(asked.searchParams.get('scope'), 'mcp');
await finish(transport);
assert.ok(kept.tokens.refresh_token && kept.client.client_id, JSON.stringify(Object.keys(kept)));

({ client, transport, ready } = await connect());
await ready;
const { tools } = await client.listTools();
assert.ok(tools.some((tool) => tool.name === 'GetBook'), JSON.stringify(tools.map((tool) => tool.name)));

// It was let do less than this: it is told what is missing, and asks for that.
await assert.rejects(client.callTool({ name: 'GetBook', arguments: {} }));
if (sdk === 'v1') {
  // The older one refreshes what it has instead, which is no more than before; its user logs in anew.
  assert.equal(asked, undefined);
} else {
  assert.ok(asked, 'it comes back for more');
  assert.deepEqual(asked.searchParams.get('scope').split(' ').sort(), ['books:read', 'mcp']);
  await finish(transport);
  const got = await client.callTool({ name: 'GetBook', arguments: {} });
  assert.equal(got.isError ?? false, false, JSON.stringify(got));
}

// What it has is over: it refreshes, and its user hears of nothing.
const before = kept.tokens;
kept.tokens = { ...before, access_token: `${before.access_token}x` };
({ client, transport, ready } = await connect());
await ready;
assert.equal((await client.listTools()).tools.length, tools.length);
assert.notEqual(kept.tokens.refresh_token, before.refresh_token);
assert.equal(asked, undefined);
await client.close();
console.log(`${sdk}: the whole dance, all as it should be`);
process.exit(0);
