// What runs inside the browser: connect-web's gRPC-Web transport over the table of cases, from an origin that is
// not the gateway's, so that CORS decides too. `run(gateway, cases, descriptors)` resolves to what was seen.
import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const TIMEOUT_MS = 20_000;

globalThis.run = async (gateway) => {
  const cases = await (await fetch("/cases.json")).json();
  const set = new Uint8Array(await (await fetch("/descriptors.binpb")).arrayBuffer());
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  const page = new Page(registry, createGrpcWebTransport({ baseUrl: gateway }), gateway);
  const outcomes = [];
  for (const example of cases) {
    // A browser cannot stream its request.
    outcomes.push(example.client_streaming ? null : await page.call(example.method, example.requests[0]));
  }
  return {
    outcomes,
    metadata: await page.metadata(),
    deadline: await page.deadline(),
    aborted: await page.aborted(),
    rest: await orMessage(page.rest()),
    turns: await orMessage(page.turns()),
  };
};

// What a promise resolves to, or why it did not.
const orMessage = (promise) => promise.catch((error) => String(error));

class Page {
  constructor(registry, transport, gateway) {
    this.registry = registry;
    this.transport = transport;
    this.gateway = gateway;
  }

  method(name) {
    const [service, method] = name.split("/");
    const described = this.registry.getService(service);
    const found = described.methods.find((candidate) => candidate.name === method);
    return { call: createClient(described, this.transport)[found.localName], found };
  }

  // One call: its messages and its status, as ProtoJSON.
  async call(name, json, options = { timeoutMs: TIMEOUT_MS }, enough = Infinity) {
    const { call, found } = this.method(name);
    const request = fromJson(found.input, json, { registry: this.registry });
    const messages = [];
    try {
      const answer = call(request, options);
      if (found.methodKind === "server_streaming") {
        for await (const message of answer) {
          messages.push(toJson(found.output, message, { registry: this.registry }));
          if (messages.length >= enough) options.abort.abort();
        }
      } else {
        messages.push(toJson(found.output, await answer, { registry: this.registry }));
      }
    } catch (error) {
      return { messages, status: this.status(ConnectError.from(error)) };
    }
    return { messages, status: null };
  }

  status(error) {
    const details = error.details.map(({ type, value }) => {
      const described = this.registry.getMessage(type);
      return { "@type": `type.googleapis.com/${type}`, ...toJson(described, fromBinary(described, value), { registry: this.registry }) };
    });
    return { code: error.code, message: error.rawMessage, details };
  }

  async metadata() {
    const seen = {};
    await this.call("google.firestore.v1.Firestore/GetDocument", { name: "projects/p/databases/d/documents/a/1" }, {
      timeoutMs: TIMEOUT_MS,
      headers: { "x-echo": "a value" },
      onHeader: (headers) => (seen.head = headers.get("x-echo-head")),
      onTrailer: (trailers) => (seen.trailer = trailers.get("x-echo-trailer")),
    });
    return seen;
  }

  async deadline() {
    const name = "projects/p/databases/d/documents/a/slow";
    const { status } = await this.call("google.firestore.v1.Firestore/GetDocument", { name }, { timeoutMs: 400 });
    return Code[status.code];
  }

  // A stream without end, left after three messages.
  async aborted() {
    const abort = new AbortController();
    const query = { parent: "projects/p/databases/d/documents", structuredQuery: { from: [{ collectionId: "endless" }] } };
    const options = { signal: abort.signal, abort, timeoutMs: TIMEOUT_MS };
    const { messages, status } = await this.call("google.firestore.v1.Firestore/RunQuery", query, options, 3);
    return { enough: messages.length >= 3, code: Code[status.code] };
  }

  // The same methods by plain fetch: a read, and a failure whose body a page can read.
  async rest() {
    const read = await fetch(`${this.gateway}/v1/projects/p/databases/d/documents/coll/doc?mask.fieldPaths=a`);
    const failed = await fetch(`${this.gateway}/v1/projects/p/databases/d/documents/coll/missing`);
    return { read: [read.status, (await read.json()).name], failed: [failed.status, (await failed.json()).message] };
  }

  // A bidirectional method by WebSocket: each answer before the next request.
  turns() {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${this.gateway.replace("http", "ws")}/v1/projects/p/databases/d/documents:write`);
      const seen = [];
      socket.onerror = () => reject(new Error("the WebSocket failed after " + JSON.stringify(seen)));
      socket.onopen = () => socket.send(JSON.stringify({ streamId: "turn 0" }));
      socket.onmessage = ({ data }) => {
        seen.push(JSON.parse(data).streamId);
        if (seen.length === 3) {
          socket.onerror = null;
          socket.close(1000);
          resolve(seen);
        } else {
          socket.send(JSON.stringify({ streamId: `turn ${seen.length}` }));
        }
      };
    });
  }
}
