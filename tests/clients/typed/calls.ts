// A client made from the gateway's own OpenAPI document (openapi-typescript, openapi-fetch): what compiles here is what the
// document says, and what runs is what the gateway does.
//
//   node calls.js GATEWAY_URL
import { equal, deepEqual, ok } from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Picture = components["schemas"]["gallery.v1.Picture"];

const baseUrl = process.argv[2] ?? "";
const client = createClient<paths>({
  baseUrl,
  // Members of a oneof are parameters of their own: an object in the style "form", exploded. Maps are deep objects.
  querySerializer: (query) => {
    const out = new URLSearchParams();
    for (const [name, value] of Object.entries(query as Record<string, unknown>)) {
      if (Array.isArray(value)) value.forEach((one) => out.append(name, String(one)));
      else if (name === "labels") for (const [key, one] of Object.entries(value as object)) out.append(`${name}[${key}]`, String(one));
      else if (value !== null && typeof value === "object") for (const [key, one] of Object.entries(value)) out.append(key, String(one));
      else if (value !== undefined) out.append(name, String(value));
    }
    return out.toString();
  },
});

// A unary call of the gateway itself, with names as in its proto file.
const pong = await client.GET("/ping");
equal(pong.data?.message, "pong");
const info = await client.GET("/gateway/info");
// Printed with their defaults, its fields are there for certain: no `?` is needed.
const version: string | undefined = info.data?.version;
ok(version);

// Path and query.
const got = await client.GET("/v1/albums/{album}/pictures/{picture}", {
  params: { path: { album: "7", picture: "3" }, query: { readMask: "title,givenName" } },
});
const picture: Picture | undefined = got.data;
equal(typeof picture?.name, "string");
const bytes: string | undefined = picture?.bytes;
equal(bytes, "1099511627776");

const found = await client.GET("/v1/search", {
  params: {
    query: {
      text: "a&b=c",
      years: [2024, 2025],
      styles: ["STYLE_GREY", "STYLE_COLOR"],
      labels: { a: "1" },
      "author.givenName": "Ada",
      place: { "area.north": 1.5 },
    },
  },
});
equal(found.response.status, 200);
equal(found.data?.pictures?.length, 2);

// A body, and the field that the path gives.
const replaced = await client.PUT("/v1/albums/{album}/pictures/{picture}", {
  params: { path: { album: "7", picture: "3" } },
  body: { title: "A title", bytes: 12, tags: ["x"], labels: { k: "v" }, style: "STYLE_GREY", author: null },
});
deepEqual(replaced.data, {
  name: "albums/7/pictures/3", title: "A title", bytes: "12", tags: ["x"], labels: { k: "v" }, style: "STYLE_GREY",
});
const made = await client.POST("/v1/albums/{album}/pictures", {
  params: { path: { album: "7" }, query: { pictureId: "new" } },
  body: { title: "New", original: { title: "Old" } },
});
equal(made.data?.original?.title, "Old");
const turned = await client.POST("/v1/albums/{album}/pictures/{picture}:rotate", {
  params: { path: { album: "7", picture: "3" } },
  body: { degrees: 90 },
});
equal(turned.response.status, 200);
const tags = await client.PUT("/v1/albums/{album}/pictures/{picture}/tags", {
  params: { path: { album: "7", picture: "3" } },
  body: ["a", "b"],
});
const list: string[] | undefined = tags.data;
deepEqual(list, ["a", "b"]);

// A stream, as an array whose elements are messages or, at its end, an error.
const watched = await client.GET("/v1/albums/{album}/pictures:watch", { params: { path: { album: "7" } } });
const elements = watched.data as Exclude<typeof watched.data, string | undefined>;
equal(elements.length, 3);
for (const element of elements) ok(!("error" in element));
const imported = await client.POST("/v1/pictures:import", { body: [{ title: "one" }, { title: "two" }] });
equal(imported.response.status, 200);

// Somebody registers, logs in, and calls what is for known callers alone.
const nobody = await client.GET("/api/v1/auth/me");
equal(nobody.response.status, 401);
equal(nobody.response.headers.get("www-authenticate"), "Bearer");
const who = { email: "ann@example.com", password: "correct horse battery" };
const registered = await client.POST("/api/v1/auth/register", { body: { ...who, username: "Ann" } });
equal(registered.data?.user?.email, who.email);
const login = await client.POST("/api/v1/auth/login", { body: who });
const token: string | undefined = login.data?.access_token;
ok(token);
const authorization = `Bearer ${token}`;
const me = await client.GET("/api/v1/auth/me", { headers: { authorization } });
equal(me.data?.username, "Ann");
const renamed = await client.PUT("/api/v1/users/profile", { headers: { authorization }, body: { username: "Ann B." } });
equal(renamed.data?.username, "Ann B.");
const refused = await client.GET("/admin/users", { headers: { authorization } });
equal(refused.response.status, 403);
equal(refused.error?.status, "PERMISSION_DENIED");
// A caller may say how long it waits, and what the request is called.
const named = await client.GET("/ping", { params: { header: { "X-Request-ID": "typed-1", "X-Request-Timeout": "5s" } } });
equal(named.response.headers.get("x-request-id"), "typed-1");

// Errors are typed too.
const missing = await client.GET("/v1/albums/{album}/pictures/{picture}", {
  params: { path: { album: "7", picture: "missing" } },
});
equal(missing.response.status, 404);
const error: components["schemas"]["Error"] | undefined = missing.error;
equal(error?.status, "NOT_FOUND");
equal(error?.code, 5);
const wrong = await client.GET("/v1/search", { params: { query: { year: "no year" as unknown as number } } });
equal(wrong.response.status, 400);
ok(wrong.error?.message.includes("year"));

// What the document does not have does not compile.
// @ts-expect-error a field that the message does not have
const unknown: components["schemas"]["gallery.v1.Picture-Input"] = { titel: "" };
// @ts-expect-error a value that the enum does not have
const style: components["schemas"]["gallery.v1.Style-Input"] = "STYLE_RED";
// @ts-expect-error a registration without a password
const short: components["schemas"]["propylon.gateway.v1.RegisterRequest-Input"] = { email: "", username: "" };
// @ts-expect-error a body where the path has no such method
const nowhere = () => client.POST("/ping", { body: {} });
void [unknown, style, short, nowhere];

console.log("typed calls: all as they should be");
