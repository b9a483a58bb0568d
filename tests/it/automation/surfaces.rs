//! One story, told over each surface: what comes of it is the same.

use http::Method;
use serde_json::{Value, json};

use super::{
    CREATE, Came, DELETE, FAVORITES, GET, Home, LIST, NEW_TYPE, Place, Rpc, Surface, TYPES, UPDATE, VALIDATE,
    call,
};

const TYPES_LISTED: Rpc = Rpc(TYPES, "ListVariableTypes", Method::GET, "/api/variable-types", "types");
const CUSTOM: Rpc = Rpc(TYPES, "ListCustomVariableTypes", Method::GET, "/api/variable-types/admin", "types");
const CHANGE_TYPE: Rpc =
    Rpc(TYPES, "UpdateVariableType", Method::PUT, "/api/variable-types/admin/{id}", "variable_type");
const DELETE_TYPE: Rpc =
    Rpc(TYPES, "DeleteVariableType", Method::DELETE, "/api/variable-types/admin/{id}", "");
const KINDS: [(&str, [Rpc; 3]); 3] = [
    (
        "namespace",
        [
            Rpc(FAVORITES, "ListFavoriteNamespaces", Method::GET, "/api/user/favorites", "namespaces"),
            Rpc(FAVORITES, "AddFavoriteNamespace", Method::POST, "/api/user/favorites", ""),
            Rpc(
                FAVORITES,
                "RemoveFavoriteNamespace",
                Method::DELETE,
                "/api/user/favorites/namespaces/{namespace}",
                "",
            ),
        ],
    ),
    (
        "collection",
        [
            Rpc(
                FAVORITES,
                "ListFavoriteCollections",
                Method::GET,
                "/api/user/favorites/collections",
                "collections",
            ),
            Rpc(FAVORITES, "AddFavoriteCollection", Method::POST, "/api/user/favorites/collections", ""),
            Rpc(
                FAVORITES,
                "RemoveFavoriteCollection",
                Method::DELETE,
                "/api/user/favorites/collections/{collection}",
                "",
            ),
        ],
    ),
    (
        "module",
        [
            Rpc(FAVORITES, "ListFavoriteModules", Method::GET, "/api/user/favorites/modules", "modules"),
            Rpc(FAVORITES, "AddFavoriteModule", Method::POST, "/api/user/favorites/modules", ""),
            Rpc(
                FAVORITES,
                "RemoveFavoriteModule",
                Method::DELETE,
                "/api/user/favorites/modules/{module}",
                "",
            ),
        ],
    ),
];

const GALAXY: &str = "GalaxyService";
const KNOWN: Rpc = Rpc(GALAXY, "ListNamespaces", Method::GET, "/api/galaxy/namespaces", "namespaces");
const CATALOGUE: [Rpc; 5] = [
    Rpc(GALAXY, "GetNamespace", Method::GET, "/api/galaxy/namespaces/{namespace}", "namespace"),
    Rpc(
        GALAXY,
        "ListCollections",
        Method::GET,
        "/api/galaxy/namespaces/{namespace}/collections",
        "collections",
    ),
    Rpc(
        GALAXY,
        "ListCollectionVersions",
        Method::GET,
        "/api/galaxy/collections/{namespace}/{collection}/versions",
        "versions",
    ),
    Rpc(
        GALAXY,
        "ListModules",
        Method::GET,
        "/api/galaxy/collections/{namespace}/{collection}/modules",
        "modules",
    ),
    Rpc(
        GALAXY,
        "GetModule",
        Method::GET,
        "/api/galaxy/collections/{namespace}/{collection}/modules/{module}",
        "module",
    ),
];

/// What happened, in order.
struct Story<'a> {
    place: &'a Place,
    surface: Surface,
    told: Vec<(String, Came)>,
}

impl Story<'_> {
    async fn tell(&mut self, what: &str, rpc: &Rpc, message: Value, token: &str) -> Value {
        let came = call(self.place.address(), self.surface, rpc, &message, token).await;
        let body = came.body.clone();
        // Ids and times are each story's own, and whose a thing is.
        let body_told = plain(came.body);
        // Whom nobody knows is not told over MCP whether there is such a tool.
        let message = if came.code == 16 { String::new() } else { came.message };
        self.told.push((what.to_owned(), Came { body: body_told, message, ..came }));
        body
    }
}

/// Without what differs from one story to the next.
fn plain(body: Value) -> Value {
    match body {
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => {
            let known =
                |name: &str| ["id", "user_id", "created_by", "created_at", "updated_at"].contains(&name);
            let members = members.into_iter().map(|(name, value)| {
                let value = if known(&name) && value.is_string() { json!("…") } else { plain(value) };
                (name, value)
            });
            members.collect()
        }
        // gRPC's JSON here writes whole doubles with a point.
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| json!(number)),
        other => other,
    }
}

async fn story(place: &Place, surface: Surface, admin: &str) -> Vec<(String, Came)> {
    let name = format!("{surface:?}").to_lowercase();
    let (ann, bob) = (place.user(&format!("ann.{name}")).await, place.user(&format!("bob.{name}")).await);
    let mut story = Story { place, surface, told: Vec::new() };
    let content =
        json!({"s": "é😀", "n": null, "b": true, "i": 42, "f": 1.5, "l": [1, "a", {}], "o": {"k": []}});
    story.tell("no playbook", &LIST, json!({}), &ann).await;
    let made = json!({"name": "deploy", "content": content});
    let made = story.tell("one is made", &CREATE, made, &ann).await;
    let id = made["id"].as_str().unwrap_or_default();
    story.tell("it is there", &GET, json!({"id": id}), &ann).await;
    story.tell("for nobody else", &GET, json!({"id": id}), &bob).await;
    story.tell("nobody else changes it", &UPDATE, json!({"id": id, "name": "stolen"}), &bob).await;
    story.tell("nobody else deletes it", &DELETE, json!({"id": id}), &bob).await;
    story.tell("nobody else lists it", &LIST, json!({}), &bob).await;
    story.tell("it is called otherwise", &UPDATE, json!({"id": id, "name": "deploy2"}), &ann).await;
    let change = json!({"id": id, "content": {"plays": []}, "version": 2});
    story.tell("it holds something else", &UPDATE, change.clone(), &ann).await;
    story.tell("an old version is not changed", &UPDATE, change, &ann).await;
    story.tell("nor deleted", &DELETE, json!({"id": id, "version": 2}), &ann).await;
    story.tell("nothing is changed", &UPDATE, json!({"id": id}), &ann).await;
    for number in 1..4 {
        let more = json!({"name": format!("more {number}"), "content": {}});
        story.tell("more are made", &CREATE, more, &ann).await;
    }
    story.tell("some are listed", &LIST, json!({"skip": 1, "limit": 2}), &ann).await;
    story.tell("past the end", &LIST, json!({"skip": 1000}), &ann).await;
    story.tell("a limit that is none", &LIST, json!({"limit": 1001}), &ann).await;
    story.tell("a bad name", &CREATE, json!({"name": " ", "content": {}}), &ann).await;
    story.tell("an id that is none", &GET, json!({"id": "nope"}), &ann).await;
    story.tell("it is deleted", &DELETE, json!({"id": id, "version": 3}), &ann).await;
    story.tell("it is gone", &DELETE, json!({"id": id}), &ann).await;
    story.tell("nobody knows who asks", &LIST, json!({}), "").await;

    story.tell("types", &TYPES_LISTED, json!({}), &ann).await;
    for (kind, text) in [
        ("mail", "a.b+c@example.org"),
        ("mail", "a@example.org\n"),
        ("ip", "10.0.0.1x"),
        ("json", "{\"a\": [1, null]}"),
        ("json", "{a:1}"),
        ("yaml", "a:\n  - 1\n  - b"),
        ("yaml", "a: [1, 2"),
        ("int", "42"),
        ("bool", "maybe"),
        ("list", "[1]"),
        ("dict", "a: 1"),
        ("nope", "x"),
    ] {
        story.tell("a value", &VALIDATE, json!({"type": kind, "value": text}), &ann).await;
    }
    let semver = json!({"name": "semver", "label": "Version", "pattern": "^\\d+\\.\\d+\\.\\d+$"});
    story.tell("a user defines no type", &NEW_TYPE, semver.clone(), &ann).await;
    story.tell("a user lists none", &CUSTOM, json!({}), &ann).await;
    let made = story.tell("a type", &NEW_TYPE, semver.clone(), admin).await;
    let id = made["id"].as_str().unwrap_or_default();
    story.tell("twice", &NEW_TYPE, semver, admin).await;
    for (name, pattern) in
        [("string", "."), ("bad", "(["), ("badf", "| to_nice_json"), ("pw", "^(?=.*\\d)\\w{8,}$")]
    {
        let bad = json!({"name": name, "label": "X", "pattern": pattern});
        story.tell("a type that cannot be", &NEW_TYPE, bad, admin).await;
    }
    story.tell("it works", &VALIDATE, json!({"type": "semver", "value": "1.2.3"}), &ann).await;
    story.tell("it is put aside", &CHANGE_TYPE, json!({"id": id, "is_active": false}), admin).await;
    story.tell("it works no more", &VALIDATE, json!({"type": "semver", "value": "1.2.3"}), &ann).await;
    story.tell("it is listed", &CUSTOM, json!({}), admin).await;
    story.tell("a name that is taken", &CHANGE_TYPE, json!({"id": id, "name": "mail"}), admin).await;
    story.tell("an old version", &CHANGE_TYPE, json!({"id": id, "label": "V", "version": 1}), admin).await;
    story.tell("described", &CHANGE_TYPE, json!({"id": id, "description": "d"}), admin).await;
    story.tell("not described", &CHANGE_TYPE, json!({"id": id, "description": ""}), admin).await;
    story.tell("a user deletes none", &DELETE_TYPE, json!({"id": id}), &ann).await;
    story.tell("it goes", &DELETE_TYPE, json!({"id": id}), admin).await;
    story.tell("it is gone", &DELETE_TYPE, json!({"id": id}), admin).await;

    for (field, [list, add, remove]) in &KINDS {
        let name = ["community", "community.general", "community.general.ufw"]
            [["namespace", "collection", "module"].iter().position(|one| one == field).unwrap()];
        story.tell("none yet", list, json!({}), &ann).await;
        story.tell("a favourite", add, json!({*field: name}), &ann).await;
        story.tell("again", add, json!({*field: name}), &ann).await;
        story.tell("one", list, json!({}), &ann).await;
        story.tell("another's are none", list, json!({}), &bob).await;
        story.tell("no such name", add, json!({*field: "a b"}), &ann).await;
        story.tell("removed", remove, json!({*field: name}), &ann).await;
        story.tell("removed again", remove, json!({*field: name}), &ann).await;
        story.tell("none any more", list, json!({}), &ann).await;
    }
    let namespace = json!({"namespace": "community"});
    let general = json!({"namespace": "community", "collection": "general"});
    let ufw = json!({"namespace": "community", "collection": "general", "module": "ufw"});
    for (rpc, message) in CATALOGUE.iter().zip([&namespace, &namespace, &general, &general, &ufw]) {
        story.tell("of the catalogue", rpc, message.clone(), &ann).await;
    }
    story.tell("what is known of it", &KNOWN, json!({"limit": 10}), &ann).await;
    story.tell("no such namespace", &CATALOGUE[0], json!({"namespace": "nope"}), &ann).await;
    story.tell("no name of one", &CATALOGUE[0], json!({"namespace": "a-b"}), &ann).await;
    story.tell("nobody asks for it", &CATALOGUE[0], namespace, "").await;
    story.told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_comes_to_the_same_over_every_surface_wherever_it_is() {
    for (inside, apart) in Place::both(Home::Gateway).await.into_iter().zip(Place::both(Home::Apart).await) {
        let want = story(&inside, Surface::Rest, &inside.admin().await).await;
        let codes: Vec<i32> = want.iter().map(|(_, came)| came.code).collect();
        // No mistake of the gateway's, and every way that a call can end.
        for code in [0, 3, 5, 6, 7, 10, 16] {
            assert!(codes.contains(&code), "{code} of {codes:?}");
        }
        assert!(!codes.iter().any(|code| [2, 12, 13, 14].contains(code)), "{}: {want:#?}", inside.name);
        for place in [&inside, &apart] {
            let admin = place.admin().await;
            for surface in Surface::ALL.into_iter().filter(|one| place.apart() || *one != Surface::Rest) {
                let told = story(place, surface, &admin).await;
                assert_eq!(told.len(), want.len());
                for (one, other) in told.iter().zip(&want) {
                    assert_eq!(one, other, "{surface:?} on {}, apart: {}", place.name, place.apart());
                }
            }
        }
    }
}
