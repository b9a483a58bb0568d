//! The OpenAPI document and the gateway's own pages: the document against OpenAPI's own schema, against the gateway by a
//! client generated from it, and the pages as a browser sees them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::support::{
    client::{http1, request},
    gallery,
    gateway::{TestGateway, World},
    process::{Failure, Program},
    tools::{self, needs},
};

/// A driver's time on a busy machine; the drivers bound themselves by what they do.
const DRIVE: Duration = Duration::from_secs(400);

const OPERATOR: &str = "an-operator's-token--which-is-long";

/// A gateway before the gallery, which has something of everything.
async fn gallery() -> TestGateway {
    let upstream = gallery::start().await;
    World::new()
        .with_file("gallery.binpb", &gallery::DESCRIPTORS)
        .with_file("operator", OPERATOR.as_bytes())
        .with_config(&format!(
            "[rest]\ntitle = \"Gallery\"\ndescription = \"Pictures & <albums>.\"\n\
             [[auth.tokens]]\nname = \"operator\"\ntoken = {{ file = \"operator\" }}\nuser = \"operator\"\nroles = [\"admin\"]\n\
             [[upstreams]]\nname = \"gallery\"\ngrpc = \"http://{upstream}\"\ndescriptors = \"gallery.binpb\"\n"
        ))
        .start()
}

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> http::Response<Bytes> {
    let (head, (body, _)) = http1(address, request(&Method::GET, path, headers, "")).await.into_parts();
    http::Response::from_parts(head, body)
}

async fn document(address: SocketAddr) -> Value {
    serde_json::from_slice(get(address, "/openapi.json", &[]).await.body()).unwrap()
}

fn drivers() -> PathBuf {
    tools::package().join("tests/clients/drivers")
}

/// Runs a program that ends by itself, off the runtime that serves the upstream.
async fn run(name: &'static str, mut command: Command) -> Result<String, Failure> {
    tokio::task::spawn_blocking(move || Program::start(name, &mut command)?.finish(DRIVE)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_valid() -> Result<(), Failure> {
    let Some(python) = needs("python") else { return Ok(()) };
    let gateway = gallery().await;
    let mut command = Command::new(python);
    command.arg(drivers().join("document.py")).arg(format!("http://{}/openapi.json", gateway.address));
    let said = run("document.py", command).await?;
    assert!(said.contains("checked "), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_says_what_is_served() {
    let gateway = gallery().await;
    let document = document(gateway.address).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "Gallery");
    let at = |path: &str, verb: &str| document["paths"][path][verb].clone();
    let get = at("/v1/albums/{album}/pictures/{picture}", "get");
    assert_eq!(get["operationId"], "gallery.v1.Gallery.GetPicture");
    assert_eq!(get["summary"], "Answers one picture");
    assert_eq!(get["tags"][0], "gallery.v1.Gallery");
    assert_eq!(at("/v1/pictures:first", "get")["operationId"], "gallery.v1.Gallery.GetPicture-2");
    assert_eq!(at("/v1/find/{year}/{style}", "get")["deprecated"], true);
    let rotate = at("/v1/albums/{album}/pictures/{picture}:rotate", "post");
    let body = &rotate["requestBody"]["content"]["application/json"];
    assert!(body["schema"]["properties"]["name"].is_null(), "the path has it: {body}");
    assert_eq!(body["schema"]["properties"]["degrees"]["format"], "int32");
    let watch = at("/v1/albums/{album}/pictures:watch", "get");
    let forms: Vec<_> = watch["responses"]["200"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(forms, ["application/json", "application/x-ndjson", "text/event-stream"]);
    let download = at("/v1/albums/{album}/pictures/{picture}/bytes", "get");
    assert!(download["responses"]["200"]["content"]["*/*"].is_object(), "{download}");
    let path = &at("/v1/tree/{path}", "get")["parameters"][0];
    assert_eq!(path["x-multi-segment"], true);
    let omitted = &document["x-omitted-bindings"][0];
    assert_eq!(
        (&omitted["verb"], &omitted["name"]),
        (&"COPY".into(), &"gallery.v1.Gallery.CopyPicture".into())
    );
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["gallery.v1.Picture"]["description"], "One picture.");
    assert_eq!(schemas["gallery.v1.Picture"]["properties"]["color"]["deprecated"], true);
    assert_eq!(schemas["gallery.v1.Picture"]["properties"]["bytes"]["type"], "string");
    let picture = &schemas["gallery.v1.Picture"]["properties"];
    assert_eq!(picture["views"]["readOnly"], true, "{picture}");
    assert_eq!(
        picture["taken"]["description"],
        "When it was taken. Immutable: it cannot be changed once it is set."
    );
    let body = &body["schema"]["properties"]["undoToken"];
    assert_eq!(
        (&body["writeOnly"], &body["description"]),
        (&true.into(), &"Who may undo it. Sent only: it is never answered.".into())
    );
    assert_eq!(at("/ping", "get")["security"], serde_json::json!([]));
    let reload = at("/admin/reload", "post");
    assert_eq!(reload["security"], serde_json::json!([{"bearer": []}, {"api_key": []}, {}]));
    assert_eq!(reload["x-required-roles"], serde_json::json!(["admin"]));
    let update = at("/admin/users/{id}", "patch");
    assert_eq!(
        (&update["requestBody"]["required"], &update["security"]),
        (&true.into(), &serde_json::json!([{"bearer": []}, {"api_key": []}]))
    );
    let groups: Vec<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(groups.first(), Some(&"gallery.v1.Gallery"));
    assert_eq!(groups.last(), Some(&"propylon.gateway.v1.AdminService"));
    assert_eq!(at("/health", "get")["responses"]["503"]["description"], "Unhealthy: send traffic elsewhere.");
    for page in ["/", "/livez", "/readyz", "/openapi.json", "/docs", "/redoc"] {
        assert!(at(page, "get").is_object(), "{page}");
    }
    let again = get_text(gateway.address, "/openapi.json").await;
    assert_eq!(again, get_text(gateway.address, "/openapi.json").await, "written the same each time");
}

async fn get_text(address: SocketAddr, path: &str) -> String {
    String::from_utf8_lossy(get(address, path, &[]).await.body()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_kept_and_asked_again_for() {
    let gateway = gallery().await;
    let first = get(gateway.address, "/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(first.headers()["content-encoding"], "gzip");
    assert_eq!(first.headers()["cache-control"], "no-cache");
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let known = get(gateway.address, "/openapi.json", &[("if-none-match", &etag)]).await;
    assert_eq!((known.status().as_u16(), known.body().len()), (304, 0));
    for (page, policy) in [("/docs", "connect-src 'self'"), ("/redoc", "worker-src blob:")] {
        let shown = get(gateway.address, page, &[]).await;
        assert_eq!(shown.headers()["content-type"], "text/html; charset=utf-8");
        let said = shown.headers()["content-security-policy"].to_str().unwrap();
        assert!(
            said.starts_with("default-src 'none'; script-src 'self'; ") && said.contains(policy),
            "{said}"
        );
        let html = String::from_utf8_lossy(shown.body());
        assert!(!html.contains("<script>") && !html.contains("http:"), "{html}");
        let mut assets = 0;
        for asset in html.split(&format!("\"{page}/")).skip(1).filter_map(|rest| rest.split('"').next()) {
            let path = format!("{page}/{asset}");
            let packed = get(gateway.address, &path, &[("accept-encoding", "gzip, br")]).await;
            assert_eq!(packed.headers()["cache-control"], "public, max-age=31536000, immutable", "{path}");
            let plain = get(gateway.address, &path, &[]).await;
            assert!(plain.headers().get("content-encoding").is_none(), "{path}");
            assert!(plain.body().len() >= packed.body().len(), "{path}");
            assets += 1;
        }
        assert!(assets >= 2, "{html}");
        let unknown = get(gateway.address, &format!("{page}/other.js"), &[]).await;
        let error: Value = serde_json::from_slice(unknown.body()).unwrap();
        assert_eq!((unknown.status().as_u16(), &error["code"]), (404, &5.into()));
    }
    let wrong = request(&Method::POST, "/docs", &[], "");
    let (head, (body, _)) = http1(gateway.address, wrong).await.into_parts();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((head.status.as_u16(), &error["error"]), (405, &"Method Not Allowed".into()));
    assert_eq!(head.headers["allow"], "GET, HEAD, OPTIONS");
    let head = request(&Method::HEAD, "/docs", &[], "");
    let (head, (body, _)) = http1(gateway.address, head).await.into_parts();
    assert_eq!((head.status.as_u16(), body.len()), (200, 0));
    assert_ne!(head.headers["content-length"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_is_json_for_programs_and_a_page_for_browsers() {
    let gateway = gallery().await;
    let json = get(gateway.address, "/", &[("accept", "*/*")]).await;
    assert!(json.headers().get_all("vary").iter().any(|value| value == "accept"));
    let value: Value = serde_json::from_slice(json.body()).unwrap();
    assert_eq!((&value["name"], &value["description"]), (&"Gallery".into(), &"Pictures & <albums>.".into()));
    assert_eq!(value["endpoints"]["docs"], "/docs");
    assert_eq!(value["endpoints"]["health"], "/health");
    let names: Vec<_> =
        value["services"].as_array().unwrap().iter().map(|service| &service["name"]).collect();
    assert!(names.contains(&&"gallery.v1.Gallery".into()), "{names:?}");
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = get(gateway.address, "/", &[("accept", browser), ("host", "example.test:81")]).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let said = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(said.contains("default-src 'none'") && !said.contains("unsafe"), "{said}");
    let html = String::from_utf8_lossy(page.body());
    for want in [
        "<p class=\"lead\">Pictures &amp; &lt;albums&gt;.</p>",
        "curl http://example.test:81/ping",
        "grpcurl -plaintext example.test:81 list",
        "/v1/{name=albums/*/pictures/*}:rotate",
        "streams both ways",
        "<a href=\"/docs\">",
    ] {
        assert!(html.contains(want), "{want} is missing from:\n{html}");
    }
    assert!(!html.contains("<script"), "{html}");
    // A host that is none goes nowhere near a line to be pasted into a shell.
    let odd = get(gateway.address, "/", &[("accept", browser), ("host", "a$(id)\"><b>")]).await;
    assert!(!String::from_utf8_lossy(odd.body()).contains("$(id)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_moved_and_switched_off() {
    let gateway = World::new()
        .with_config(
            "[rest]\nindex = { hello = \"there\" }\n[builtin.docs]\nprefix = \"/manual\"\n\
             [builtin.redoc]\nenabled = false\n[builtin.openapi]\nprefix = \"/api/openapi.json\"\n",
        )
        .start();
    let status = async |path: &str| get(gateway.address, path, &[]).await.status().as_u16();
    assert_eq!(status("/docs").await, 404);
    assert_eq!(status("/redoc").await, 404);
    let manual = get(gateway.address, "/manual", &[]).await;
    let html = String::from_utf8_lossy(manual.body());
    assert!(html.contains("data-document=\"/api/openapi.json\""), "{html}");
    let script = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(script.starts_with("/manual/"), "{script}");
    assert_eq!(status(script).await, 200);
    let document: Value =
        serde_json::from_slice(get(gateway.address, "/api/openapi.json", &[]).await.body()).unwrap();
    assert!(document["paths"]["/manual"].is_object() && document["paths"]["/redoc"].is_null());
    let root: Value = serde_json::from_slice(get(gateway.address, "/", &[]).await.body()).unwrap();
    assert_eq!(root, serde_json::json!({"hello": "there"}));
}

/// Every example in the document is what its schema says: of bodies, answers, parameters and headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_is_valid() {
    let gateway = gallery().await;
    let document = document(gateway.address).await;
    let mut checked = 0;
    walk(&document, &mut String::new(), &mut |place, holder| {
        let (Some(example), Some(schema)) = (holder.get("example"), holder.get("schema")) else { return };
        let validate = |schema: &Value, example: &Value| {
            // References are into the document.
            let mut schema = schema.clone();
            schema["components"] = document["components"].clone();
            let validator =
                jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{place}: {error}"));
            let wrong: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{place}: {example}: {wrong:?}");
        };
        validate(schema, example);
        // What OpenAPI has no word for: each line of NDJSON, each event's data.
        if let (Some(item), Some(text)) = (holder.get("x-item-schema"), example.as_str()) {
            let items = text.lines().filter_map(|line| match line.split_once(": ") {
                _ if line.starts_with('{') => Some(line),
                Some(("data", data)) => Some(data),
                _ => None,
            });
            let items: Vec<Value> = items.map(|item| serde_json::from_str(item).unwrap()).collect();
            assert_eq!(items.len(), 2, "{place}: {text}");
            items.iter().for_each(|one| validate(item, one));
        }
        checked += 1;
    });
    assert!(checked > 100, "{checked} examples");
    // Whatever answers with JSON shows some.
    let silent = &document["paths"]["/v1/echo"]["post"];
    assert!(silent["requestBody"]["content"]["application/json"]["example"].is_object(), "{silent}");
}

/// Calls with each object of a value and where it is.
fn walk(value: &Value, place: &mut String, found: &mut dyn FnMut(&str, &serde_json::Map<String, Value>)) {
    let mut step = |name: &str, inner: &Value, place: &mut String| {
        let length = place.len();
        place.push('/');
        place.push_str(name);
        walk(inner, place, found);
        place.truncate(length);
    };
    match value {
        Value::Array(all) => all.iter().enumerate().for_each(|(at, one)| step(&at.to_string(), one, place)),
        Value::Object(members) => {
            for (name, inner) in members.iter().filter(|(name, _)| *name != "example") {
                step(name, inner, place);
            }
            found(place, members);
        }
        _ => {}
    }
}

/// A client generated from the document compiles, and calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_client_compiles_and_calls() -> Result<(), Failure> {
    let Some(node) = needs("node") else { return Ok(()) };
    let gateway = gallery().await;
    let folder = tempfile::tempdir().unwrap();
    let modules = tools::node_modules();
    let typed = tools::package().join("tests/clients/typed");
    for file in ["calls.ts", "tsconfig.json"] {
        std::fs::copy(typed.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("package.json"), "{\"type\": \"module\"}").unwrap();
    std::fs::write(
        folder.path().join("openapi.json"),
        get(gateway.address, "/openapi.json", &[]).await.body(),
    )
    .unwrap();
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).unwrap();
    let step = |script: &str, arguments: &[&str]| {
        let mut command = Command::new(&node);
        command.current_dir(folder.path()).arg(Path::new("node_modules").join(script)).args(arguments);
        command
    };
    run("openapi-typescript", step("openapi-typescript/bin/cli.js", &["openapi.json", "-o", "schema.ts"]))
        .await?;
    run("tsc", step("typescript/bin/tsc", &["--project", "."])).await?;
    let mut calls = Command::new(&node);
    calls.current_dir(folder.path()).arg("calls.js").arg(format!("http://{}", gateway.address));
    let said = run("the generated client", calls).await?;
    assert!(said.contains("typed calls: all as they should be"), "{said}");
    Ok(())
}

/// The pages in Chromium: they show what they should, nothing is refused by their policy, and nobody else is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_in_chromium() -> Result<(), Failure> {
    let (Some(node), Some(chromium)) = (needs("node"), needs("chromium")) else { return Ok(()) };
    let gateway = gallery().await;
    let mut command = Command::new(node);
    command
        .arg(tools::package().join("tests/clients/browser/pages.mjs"))
        .args([tools::node_modules(), chromium])
        .args([format!("http://{}", gateway.address), OPERATOR.to_owned()])
        .args(tools::setting("TEST_PICTURES"));
    let said = run("pages.mjs", command).await?;
    let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap();
    for (name, page) in seen.as_object().unwrap() {
        for list in ["problems", "foreign", "violations"] {
            assert_eq!(page[list], serde_json::json!([]), "{name}: {list}");
        }
    }
    assert_eq!(seen["docs"]["status"], "200");
    assert!(seen["docs"]["body"].as_str().unwrap().contains("pong"), "{seen}");
    assert_eq!(seen["docs"]["sent"], serde_json::json!(["/v1/tree/a/b%20c", "/v1/other/a%2Fb"]));
    assert_eq!(seen["docs"]["me"], "200");
    assert!(seen["docs"]["asked"].as_str().unwrap().contains("Authorization: Bearer"), "{seen}");
    assert!(seen["docs"]["who"].as_str().unwrap().contains("operator"), "{seen}");
    let groups: Vec<_> =
        seen["docs"]["groups"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(groups.first(), Some(&"gallery.v1.Gallery"), "{groups:?}");
    assert_eq!(groups.last(), Some(&"propylon.gateway.v1.AdminService"), "{groups:?}");
    assert_ne!(seen["redoc"]["hits"], 0);
    let root: Value = serde_json::from_slice(get(gateway.address, "/", &[]).await.body()).unwrap();
    assert_eq!(seen["index"]["services"], root["services"].as_array().unwrap().len());
    assert_eq!(seen["index"]["links"][0], "Try the API");
    assert!(seen["index"]["font"].as_str().unwrap().contains("system-ui"), "{seen}");
    Ok(())
}

/// `propylon openapi` prints the document, and says so when a part of it cannot be had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_prints_the_document() -> Result<(), Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.arg("openapi");
    let said = run("propylon openapi", command).await?;
    let start = said.find("{\n").unwrap();
    let document: Value = serde_json::from_str(&said[start..]).unwrap();
    assert!(document["paths"]["/ping"].is_object());
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(["openapi", "--server", "https://api.example.com/v2/", "--server", "http://localhost:8080"]);
    let said = run("propylon openapi --server", command).await?;
    let placed: Value = serde_json::from_str(&said[said.find("{\n").unwrap()..]).unwrap();
    let servers =
        serde_json::json!([{"url": "https://api.example.com/v2"}, {"url": "http://localhost:8080"}]);
    assert_eq!((&document["servers"][0]["url"], &placed["servers"]), (&"/".into(), &servers));
    assert_eq!(placed["paths"], document["paths"]);
    for wrong in ["api.example.com", "ftp://example.com", "https://example.com/?a=b", "https://"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
        command.args(["openapi", "--server", wrong]);
        let failed = run("propylon openapi --server", command).await.unwrap_err();
        assert!(failed.0.contains("it is http://HOST, https://HOST or a path"), "{wrong}: {}", failed.0);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(["openapi", "--grpc", "127.0.0.1:1"]);
    let failed = run("propylon openapi", command).await.unwrap_err();
    assert!(failed.0.contains("does not answer reflection"), "{}", failed.0);
    Ok(())
}
