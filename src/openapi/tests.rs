//! The document of small contracts, and how long that of a large one takes.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use serde_json::{Value, json};

use super::*;
use crate::{
    auth::Rule,
    schema::{HttpRule, Schema, bindings, compile},
    surface::rest::health_body::{Member, Services},
};

static PUBLIC: LazyLock<Access> = LazyLock::new(Access::public);

fn schema_of(source: &str) -> Schema {
    let text =
        format!("syntax = \"proto3\"; package shop; import \"google/protobuf/struct.proto\"; {source}");
    Schema::decode(&compile(&[("shop.proto", text.as_str())], true)).unwrap()
}

/// The document of the rules `VERB /template [body]` of one method `M`.
fn written(source: &str, rules: &[(&str, &str, &str)]) -> Value {
    let schema = schema_of(source);
    let method = schema.method("/shop.S/M").unwrap();
    let rules: Vec<_> = rules
        .iter()
        .map(|(verb, template, body)| {
            HttpRule::new("shop.S.M", Verb::parse(verb), *template).with_body(*body)
        })
        .collect();
    let (bindings, errors) = bindings(method, &rules, false);
    assert!(errors.is_empty(), "{errors:?}");
    let listed = bindings.iter().map(|binding| listed(binding, None));
    serde_json::to_value(document(&Config::default(), listed, &Answers::new())).unwrap()
}

fn listed<'a>(binding: &'a Binding, upstream: Option<&str>) -> Listed<'a> {
    Listed {
        binding,
        style: JsonStyle::default(),
        input: JsonInput::default(),
        upstream: upstream.map(Into::into),
        body: None,
        access: &PUBLIC,
        reached: true,
    }
}

#[test]
fn the_query_has_what_neither_path_nor_body_has() {
    const SOURCE: &str = "message R { string id = 1; int32 page_size = 2; repeated string tags = 3; map<string, string> labels = 4;
        B book = 5; repeated B books = 6; R more = 7; google.protobuf.Struct filter = 8;
        oneof at { string city = 9; A area = 10; } oneof by { string name = 11; int32 number = 12; } }
        message B { string title = 1; string isbn = 2; } message A { double north = 1; double south = 2; }
        service S { rpc M(R) returns (B); }";
    let check = |rule: (&str, &str, &str), want: &[&str]| {
        let document = written(SOURCE, &[rule]);
        let operations = document["paths"].as_object().unwrap().values().next().unwrap();
        let operation = operations.as_object().unwrap().values().next().unwrap();
        let query = operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "query");
        let names: Vec<_> = query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(names, want, "{rule:?}");
    };
    let all = ["pageSize", "tags", "labels", "book.title", "book.isbn", "filter", "at", "by"];
    check(("GET", "/v1/{id}", ""), &all);
    check(("POST", "/v1/{id}", "*"), &[]);
    check(("POST", "/v1/{id}", "book"), &["pageSize", "tags", "labels", "filter", "at", "by"]);
    check(
        ("GET", "/v1/{book.title}", ""),
        &["id", "pageSize", "tags", "labels", "book.isbn", "filter", "at", "by"],
    );
    check(
        ("GET", "/v1/{name}/{id}", ""),
        &["pageSize", "tags", "labels", "book.title", "book.isbn", "filter", "at"],
    );

    let document = written(SOURCE, &[("GET", "/v1/{id}", "")]);
    let parameter = |name: &str| {
        let all = document["paths"]["/v1/{id}"]["get"]["parameters"].as_array().unwrap();
        all.iter().find(|parameter| parameter["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&parameter("labels")["style"], &parameter("labels")["explode"]),
        (&json!("deepObject"), &json!(true))
    );
    assert_eq!(parameter("filter")["content"]["application/json"]["schema"]["type"], "object");
    assert_eq!(parameter("by")["schema"]["maxProperties"], 1);
    let at = parameter("at");
    assert_eq!((&at["style"], &at["explode"]), (&json!("form"), &json!(true)));
    assert!(at["schema"]["anyOf"][1]["properties"]["area.north"].is_object(), "{at}");
}

#[test]
fn verbs_that_openapi_has_no_word_for_are_listed() {
    const SOURCE: &str = "message R { string id = 1; } service S { rpc M(R) returns (R); }";
    let document =
        written(SOURCE, &[("PROPFIND", "/v1/{id}", ""), ("*", "/v2/{id}", ""), ("GET", "/v3/{id}", "")]);
    let omitted = document["x-omitted-bindings"].as_array().unwrap();
    let verbs: Vec<_> = omitted.iter().map(|one| one["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["PROPFIND", "*"]);
    assert!(
        omitted.iter().all(|one| one["name"] == "shop.S.M" && !one["reason"].as_str().unwrap().is_empty())
    );
    assert!(document["paths"]["/v3/{id}"]["get"].is_object());
}

#[test]
fn a_health_body_of_the_configs_own_is_described_as_it_is() {
    let schema = schema_of(
        "message R { string status = 1; map<string, One> services = 2; int32 c = 3; }
         message One { string status = 1; optional double latency_ms = 2; } service S { rpc M(R) returns (R); }",
    );
    let rules = [HttpRule::new("shop.S.M", Verb::Get, "/v1")];
    let (bindings, _) = bindings(schema.method("/shop.S/M").unwrap(), &rules, false);
    let member = |key: &str, field: &str| Member { key: key.into(), field: field.into() };
    let body = HealthBody {
        fields: Some(vec![member("services", "services"), member("state", "status")]),
        services: Services::Members(vec![member("status", "status"), member("ms", "latency_ms")]),
        whole_milliseconds: true,
        ..HealthBody::default()
    };
    let one = Listed { body: Some(Arc::new(body)), ..listed(&bindings[0], None) };
    let document = serde_json::to_value(document(&Config::default(), [one], &Answers::new())).unwrap();
    let answer = &document["paths"]["/v1"]["get"]["responses"]["200"]["content"]["application/json"];
    let names: Vec<_> = answer["schema"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["services", "state"]);
    assert_eq!(answer["schema"]["required"], json!(["services", "state"]));
    let service = &answer["schema"]["properties"]["services"]["additionalProperties"];
    assert_eq!(
        (&service["required"], &service["properties"]["ms"]["type"]),
        (&json!(["status"]), &json!("integer"))
    );
    assert!(answer["example"]["c"].is_null() && answer["example"]["state"].is_string(), "{answer}");
}

#[test]
fn a_demand_for_credentials_is_said() {
    let schema = schema_of("message R {} service S { rpc M(R) returns (R); }");
    let rules = [HttpRule::new("shop.S.M", Verb::Get, "/v1")];
    let (bindings, _) = bindings(schema.method("/shop.S/M").unwrap(), &rules, false);
    let access = Access::all(vec![Rule::role("a", "editor").into()]);
    let one = Listed { access: &access, ..listed(&bindings[0], None) };
    let document = serde_json::to_value(document(&Config::default(), [one], &Answers::new())).unwrap();
    let get = &document["paths"]["/v1"]["get"];
    assert_eq!(get["security"], json!([{"bearer": []}, {"api_key": []}]));
    assert_eq!(
        (&get["description"], &get["x-required-roles"]),
        (&json!("Needs the role `editor`."), &json!(["editor"]))
    );
    assert_eq!(get["responses"]["401"]["$ref"], "#/components/responses/Unauthorized");
    let unauthorized = &document["components"]["responses"]["Unauthorized"];
    assert_eq!(unauthorized["headers"]["WWW-Authenticate"]["$ref"], "#/components/headers/WWW-Authenticate");
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["name"], "X-API-Key");
}

#[test]
fn messages_of_one_name_and_two_contents_are_two_definitions() {
    let (one, other) = (
        schema_of("message R { string a = 1; } service S { rpc M(R) returns (R); }"),
        schema_of("message R { string b = 1; } service S { rpc M(R) returns (R); }"),
    );
    let bound = |schema: &Schema, path: &str| {
        let rules = [HttpRule::new("shop.S.M", Verb::Post, path).with_body("*")];
        bindings(schema.method("/shop.S/M").unwrap(), &rules, false).0
    };
    let (first, second) = (bound(&one, "/v1"), bound(&other, "/v2"));
    let all = first
        .iter()
        .map(|it| listed(it, Some("one")))
        .chain(second.iter().map(|it| listed(it, Some("b.two"))));
    let document = serde_json::to_value(document(&Config::default(), all, &Answers::new())).unwrap();
    let answered = |path: &str| {
        document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            .clone()
    };
    assert_eq!(answered("/v1"), "#/components/schemas/shop.R");
    assert_eq!(answered("/v2"), "#/components/schemas/shop.R-b_two");
    assert!(document["components"]["schemas"]["shop.R-b_two"]["properties"]["b"].is_object());
}

#[test]
fn the_document_of_a_profile_has_its_error_body() {
    let mut config = Config::default();
    config.rest.profile.error_fields.truncate(2);
    let document = serde_json::to_value(document(&config, [], &Answers::new())).unwrap();
    let error = &document["components"]["schemas"]["Error"];
    assert_eq!(error["required"], json!(["error", "code"]));
}

#[test]
fn routes_that_answer_by_themselves_are_there() {
    let config = Config::parse(
        "[[routes]]\npath = \"/hello/{name}\"\nmethods = [\"GET\", \"PUT\"]\nrespond = { body = \"Hello ${path.name} ${query.mood}\" }\n\
         [[routes]]\npath = \"/old\"\nredirect = { to = \"/new\", status = 301 }\n",
        std::path::Path::new(""),
    )
    .unwrap();
    let document = serde_json::to_value(document(&config, [], &Answers::new())).unwrap();
    let hello = &document["paths"]["/hello/{name}"];
    let names: Vec<_> = hello["get"]["parameters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["mood", "name"]);
    assert!(hello["put"]["responses"]["200"]["content"]["text/plain"].is_object(), "{hello}");
    assert_eq!(hello["get"]["operationId"], "get-hello-name");
    assert_eq!(hello["put"]["operationId"], "put-hello-name");
    assert!(document["paths"]["/old"]["get"]["responses"]["301"]["headers"]["Location"].is_object());
}

#[test]
fn pages_say_who_may_see_them_and_how_they_refuse() {
    let closed = Terms { access: Access::all(vec![Rule::role("r", "admin").into()]), ..Terms::default() };
    let probe = Terms { uncounted: true, ..Terms::default() };
    let answers = Answers::from([("/docs", &closed), ("/readyz", &probe)]);
    let mut config = Config::default();
    config.callers.limits.enabled = true;
    let document = serde_json::to_value(document(&config, [], &answers)).unwrap();
    let page = |path: &str| &document["paths"][path]["get"];
    let refusals =
        |path: &str| ["401", "403", "429"].map(|status| page(path)["responses"][status].is_object());
    assert_eq!(refusals("/docs"), [true, true, true]);
    assert_eq!(page("/docs")["x-required-roles"], json!(["admin"]));
    assert!(!page("/docs")["security"].as_array().unwrap().is_empty());
    assert_eq!(refusals("/redoc"), [false, false, true]);
    assert_eq!(page("/redoc")["security"], json!([]));
    assert_eq!(refusals("/readyz"), [false, false, false]);
}

#[test]
fn operations_of_routes_are_named_by_their_routes() {
    let route = |name: &str, path: &str, methods: &str| {
        let name = if name.is_empty() { String::new() } else { format!("name = \"{name}\"\n") };
        format!("[[routes]]\n{name}path = \"{path}\"\nmethods = [{methods}]\nrespond = {{ body = \"x\" }}\n")
    };
    let text = [
        route("Say hello", "/hello", "\"GET\""),
        route("both", "/both", "\"GET\", \"PUT\""),
        route("", "/a/{b}", "\"GET\""),
        route("", "/a-b", "\"GET\""),
        route("docs", "/pages", "\"GET\""),
        route("??", "/what", "\"POST\""),
    ];
    let config = Config::parse(&text.concat(), std::path::Path::new("")).unwrap();
    let document = serde_json::to_value(document(&config, [], &Answers::new())).unwrap();
    let check = |path: &str, verb: &str, want: &str| {
        assert_eq!(document["paths"][path][verb]["operationId"], want, "{verb} {path}");
    };
    check("/hello", "get", "Say-hello");
    check("/both", "get", "both-get");
    check("/both", "put", "both-put");
    check("/a/{b}", "get", "get-a-b");
    check("/a-b", "get", "get-a-b-2");
    // The page has the name already.
    check("/docs", "get", "docs");
    check("/pages", "get", "docs-2");
    check("/what", "post", "post");
}

/// The document is written when it is first asked for, by one request: that must not be felt.
#[test]
fn two_hundred_methods_are_written_at_once() {
    let mut source = String::new();
    for n in 0..200 {
        source.push_str(&format!(
            "message R{n} {{ string id = 1; R{n} more = 2; repeated B things = 3; map<string, B> named = 4; oneof it {{ int64 a = 5; B b = 6; }} }}"
        ));
    }
    source.push_str("message B { string a = 1; double b = 2; } service S {");
    for n in 0..200 {
        source.push_str(&format!("rpc M{n}(R{n}) returns (R{n});"));
    }
    source.push('}');
    let schema = schema_of(&source);
    let bindings: Vec<_> = schema
        .methods()
        .flat_map(|method| {
            let path = format!("/v1/{}/{{id}}", method.name());
            bindings(method, &[HttpRule::new(&*method.full_name, Verb::Post, path).with_body("*")], true).0
        })
        .collect();
    assert_eq!(bindings.len(), 400);
    let began = Instant::now();
    let document =
        Document::new(&Config::default(), bindings.iter().map(|it| listed(it, Some("one"))), &Answers::new());
    let took = began.elapsed();
    assert!(took.as_secs() < 5, "{took:?} for {} bytes", document.json.plain().len());
    eprintln!("200 methods, 400 operations: {took:?}, {} bytes", document.json.plain().len());
    let again =
        Document::new(&Config::default(), bindings.iter().map(|it| listed(it, Some("one"))), &Answers::new());
    assert_eq!(
        (document.json.plain(), &document.etag),
        (again.json.plain(), &again.etag),
        "written the same each time"
    );
}
