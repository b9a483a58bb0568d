//! Whole requests, from URL and body to the message: every type in path and query, agreement between the three sources,
//! oneofs, masks, streams, HttpBody.

mod query;

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::route::router::{Found, Router};
use crate::schema::{HttpRule, Schema, compile};
use crate::transcode::http_body::message_in;
use crate::transcode::{JsonStyle, Tables};

const SOURCE: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
    import "google/protobuf/field_mask.proto"; import "google/protobuf/wrappers.proto";
    import "google/protobuf/struct.proto"; import "google/protobuf/any.proto"; import "google/api/httpbody.proto";
    service Shop {
      rpc Get(Request) returns (Request);
      rpc Update(UpdateBookRequest) returns (Book);
      rpc Upload(UploadRequest) returns (google.api.HttpBody);
      rpc Raw(google.api.HttpBody) returns (google.api.HttpBody);
      rpc Talk(stream TalkRequest) returns (Book);
    }
    enum Genre { GENRE_UNSPECIFIED = 0; POETRY = 1; CRIME = -2; }
    message Request {
      string name = 1; int32 i32 = 2; int64 i64 = 3; uint32 u32 = 4; uint64 u64 = 5; sint32 s32 = 6; sint64 s64 = 7;
      fixed32 f32 = 8; fixed64 f64 = 9; sfixed32 sf32 = 10; sfixed64 sf64 = 11; float flo = 12; double dou = 13;
      bool is_open = 14; bytes data = 15; Genre genre = 16; google.protobuf.Timestamp at = 17;
      google.protobuf.Duration ttl = 18; google.protobuf.FieldMask mask = 19; google.protobuf.StringValue note = 20;
      google.protobuf.Int64Value count = 21; google.protobuf.BoolValue flag = 22; google.protobuf.BytesValue blob = 23;
      google.protobuf.Struct struct = 24; google.protobuf.Value value = 25; google.protobuf.ListValue list = 26;
      repeated string tags = 27; repeated int32 numbers = 28; repeated Genre genres = 29;
      repeated google.protobuf.Timestamp times = 30; map<string, string> labels = 31; map<int32, Genre> by_number = 32;
      map<string, Book> books = 33; Book book = 34; repeated Book list_of_books = 35; google.protobuf.Any any = 36;
      oneof key { string id = 37; int64 number = 38; Author author = 39; } optional string maybe = 40; Request nested = 41;
    }
    message UpdateBookRequest { Book book = 1; google.protobuf.FieldMask update_mask = 2; bool dry_run = 3; }
    message Book { string name = 1; string title = 2; Author author = 3; repeated string tags = 4;
      map<string, string> labels = 5; google.protobuf.Timestamp published = 6; int32 page_count = 7; }
    message Author { string name = 1; int32 born = 2; }
    message UploadRequest { string name = 1; google.api.HttpBody file = 2; bool overwrite = 3; }
    message TalkRequest { string room = 1; oneof part { Config config = 2; bytes chunk = 3; } }
    message Config { string language = 1; }"#;
const HTTP_BODY_SOURCE: &str = r#"syntax = "proto3"; package google.api; import "google/protobuf/any.proto";
    message HttpBody { string content_type = 1; bytes data = 2; repeated google.protobuf.Any extensions = 3; }"#;

const RULES: &[(&str, &str, &str, &str)] = &[
    ("Get", "GET", "/v1/{name=shelves/*}", ""),
    ("Get", "GET", "/v1/numbers/{i32}", ""),
    ("Get", "GET", "/v1/at/{at}/{genre}", ""),
    ("Get", "GET", "/v1/deep/{book.author.name}/{book.name}", ""),
    ("Get", "GET", "/v1/ids/{id}", ""),
    ("Get", "POST", "/v1/{name=shelves/*}", "*"),
    ("Get", "POST", "/v1/ids/{id}:whole", "*"),
    ("Get", "POST", "/v1/deep/{book.author.name}", "*"),
    ("Get", "PUT", "/v1/at/{at}", "*"),
    ("Get", "PUT", "/v1/book/{name}", "book"),
    ("Get", "PUT", "/v1/tags/{name}", "tags"),
    ("Get", "PUT", "/v1/labels/{name}", "labels"),
    ("Get", "PUT", "/v1/i32/{name}", "i32"),
    ("Get", "PUT", "/v1/author/{name}", "author"),
    ("Update", "PATCH", "/v1/{book.name=books/*}", "book"),
    ("Update", "PUT", "/v1/{book.name=books/*}", "book"),
    ("Update", "PATCH", "/v1/{book.name=books/*}:whole", "*"),
    ("Upload", "POST", "/v1/{name=files/**}", "file"),
    ("Raw", "POST", "/v1/raw", "*"),
    ("Talk", "POST", "/v1/rooms/{room}/{config.language}", "*"),
];

struct World {
    router: Router<RequestPlan>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let sources = [("google/api/httpbody.proto", HTTP_BODY_SOURCE), ("shop.proto", SOURCE)];
    let schema = Schema::decode(&compile(&sources, true)).unwrap();
    let tables = Tables::compile(schema.pool());
    let mut router = Router::default();
    for (method, verb, template, body) in RULES {
        let method = schema.method(&format!("/shop.Shop/{method}")).unwrap();
        let rule = HttpRule::new(&*method.full_name, Verb::parse(verb), *template).with_body(*body);
        let binding = Binding::resolve(method, &rule).unwrap_or_else(|error| panic!("{error}"));
        let codec = tables.codec(method.descriptor.input().full_name()).unwrap();
        let plan = RequestPlan::compile(&binding, &codec).unwrap_or_else(|error| panic!("{error}"));
        router.insert(&binding.verb, &binding.template, "", plan).unwrap();
    }
    World { router }
});

/// `METHOD /path?query`, found by the router.
fn find<'p>(request: &'p str) -> (Found<'static, 'p, RequestPlan>, Option<&'p str>) {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let found = WORLD.router.find(&http::Method::from_bytes(method.as_bytes()).unwrap(), path);
    (found.unwrap_or_else(|miss| panic!("{request}: {miss:?}")), query)
}

fn message(request: &str, body: &str, input: JsonInput) -> Result<String, TranscodeError> {
    let (found, query) = find(request);
    let body = (!body.is_empty()).then_some(body.as_bytes());
    let mut wire = Vec::new();
    found
        .value
        .assemble(&found.captures, query, body, &input, &mut wire)
        .inspect_err(|_| assert!(wire.is_empty()))?;
    let mut json = Vec::new();
    found
        .value
        .codec
        .to_json(&wire, &JsonStyle { proto_names: true, ..JsonStyle::default() }, &mut json)
        .unwrap();
    Ok(String::from_utf8(json).unwrap())
}

#[track_caller]
fn check(request: &str, body: &str, want: &str) {
    let got = message(request, body, JsonInput::default());
    assert_eq!(got.unwrap_or_else(|error| panic!("{request} {body}: {error}")), want, "{request} {body}");
}

#[track_caller]
fn refuse(request: &str, body: &str, want: &str) {
    match message(request, body, JsonInput::default()) {
        Ok(json) => panic!("{request} {body}: {json}"),
        Err(error) => {
            assert!(error.is_input(), "{error}");
            assert_eq!(error.to_string(), want, "{request} {body}");
        }
    }
}

#[test]
fn path_variables() {
    check("GET /v1/shelves/7", "", r#"{"name":"shelves/7"}"#);
    check("GET /v1/shelves/a%2Fb%20c", "", r#"{"name":"shelves/a%2Fb c"}"#);
    check("GET /v1/numbers/-5", "", r#"{"i32":-5}"#);
    check("GET /v1/at/2024-02-29T12:00:00Z/POETRY", "", r#"{"genre":"POETRY","at":"2024-02-29T12:00:00Z"}"#);
    check(
        "GET /v1/at/2024-02-29T12:00:00.5+01:00/1",
        "",
        r#"{"genre":"POETRY","at":"2024-02-29T11:00:00.500Z"}"#,
    );
    check("GET /v1/deep/Ann/b", "", r#"{"book":{"name":"b","author":{"name":"Ann"}}}"#);
    refuse("GET /v1/numbers/five", "", "i32: \"five\" is not an int32");
    refuse("GET /v1/numbers/2147483648", "", "i32: \"2147483648\" is out of range of an int32");
    refuse(
        "GET /v1/at/yesterday/1",
        "",
        "at: `yesterday` is not an RFC 3339 timestamp such as `2024-05-17T08:30:00Z`",
    );
}

#[test]
fn bodies() {
    check("POST /v1/shelves/7", r#"{"i32":1,"tags":["a"]}"#, r#"{"name":"shelves/7","i32":1,"tags":["a"]}"#);
    check("POST /v1/shelves/7", "", r#"{"name":"shelves/7"}"#);
    check("POST /v1/shelves/7", r#"{"name":"shelves/7"}"#, r#"{"name":"shelves/7"}"#);
    check("POST /v1/shelves/7", r#"{"name":""}"#, r#"{"name":"shelves/7"}"#);
    check(
        "POST /v1/deep/Ann",
        r#"{"book":{"title":"t","author":{"born":1}}}"#,
        r#"{"book":{"title":"t","author":{"name":"Ann","born":1}}}"#,
    );
    check(
        "POST /v1/deep/Ann",
        r#"{"book":{"author":{"name":"Ann"}}}"#,
        r#"{"book":{"author":{"name":"Ann"}}}"#,
    );
    check(
        "PUT /v1/at/2024-01-01T00:00:00Z",
        r#"{"at":"2024-01-01T01:00:00+01:00"}"#,
        r#"{"at":"2024-01-01T00:00:00Z"}"#,
    );
    check("PUT /v1/book/n?i32=3", r#"{"title":"t"}"#, r#"{"name":"n","i32":3,"book":{"title":"t"}}"#);
    check(
        "PUT /v1/book/n?book.title=t&book.pageCount=3",
        r#"{"title":"t"}"#,
        r#"{"name":"n","book":{"title":"t","page_count":3}}"#,
    );
    check("PUT /v1/book/n", "null", r#"{"name":"n"}"#);
    check("PUT /v1/tags/n", r#"["a","b"]"#, r#"{"name":"n","tags":["a","b"]}"#);
    check("PUT /v1/labels/n", r#"{"a":"b"}"#, r#"{"name":"n","labels":{"a":"b"}}"#);
    check("PUT /v1/i32/n", "7", r#"{"name":"n","i32":7}"#);
    check("PUT /v1/tags/n?numbers=1", r#"["a"]"#, r#"{"name":"n","tags":["a"],"numbers":[1]}"#);
    refuse(
        "POST /v1/shelves/7",
        r#"{"name":"shelves/8"}"#,
        "name: given by the path and, differently, in the body",
    );
    refuse(
        "POST /v1/shelves/7?i32=1",
        "{}",
        "the query parameter \"i32\": the whole request is in the body here; there are no query parameters",
    );
    refuse(
        "POST /v1/deep/Ann",
        r#"{"book":{"author":{"name":"Eve"}}}"#,
        "book.author.name: given by the path and, differently, in the body",
    );
    refuse("POST /v1/ids/x:whole", r#"{"number":1}"#, "id: id and number are both of the oneof key");
    refuse("PUT /v1/author/n?id=x", r#"{"born":1}"#, "id: id and author are both of the oneof key");
    refuse("PUT /v1/author/n?id=x", "{}", "id: id and author are both of the oneof key");
    refuse(
        "PUT /v1/at/2024-01-01T00:00:00Z",
        r#"{"at":"2024-01-01T00:00:01Z"}"#,
        "at: given by the path and, differently, in the body",
    );
    refuse(
        "PUT /v1/book/n?book.title=u",
        r#"{"title":"t"}"#,
        "book.title: given by the query and, differently, in the body",
    );
    refuse("PUT /v1/tags/n?tags=c", r#"["a"]"#, "tags: given by the query and, differently, in the body");
    refuse(
        "GET /v1/shelves/7",
        "{}",
        "this method takes no body: its fields are given by the path and the query",
    );
    let error = message("PUT /v1/book/n", r#"{"titel":1}"#, JsonInput::default()).unwrap_err();
    assert_eq!(error.path(), "book.titel", "{error}");
}

#[test]
fn update_masks() {
    let patch = |body: &str, want: &str| check("PATCH /v1/books/1", body, want);
    patch(r#"{"title":"t"}"#, r#"{"book":{"name":"books/1","title":"t"},"update_mask":"title"}"#);
    patch(
        r#"{"pageCount":0,"title":null}"#,
        r#"{"book":{"name":"books/1"},"update_mask":"pageCount,title"}"#,
    );
    patch(
        r#"{"author":{"born":1},"tags":[{}],"labels":{}}"#.replace("[{}]", "[]").as_str(),
        r#"{"book":{"name":"books/1","author":{"born":1}},"update_mask":"author.born,tags,labels"}"#,
    );
    patch(
        r#"{"author":{},"published":"2024-01-01T00:00:00Z"}"#,
        r#"{"book":{"name":"books/1","author":{},"published":"2024-01-01T00:00:00Z"},"update_mask":"author,published"}"#,
    );
    patch(r#"{"author":null}"#, r#"{"book":{"name":"books/1"},"update_mask":"author"}"#);
    patch("{}", r#"{"book":{"name":"books/1"}}"#);
    patch("", r#"{"book":{"name":"books/1"}}"#);
    check(
        "PATCH /v1/books/1?updateMask=pageCount",
        r#"{"title":"t"}"#,
        r#"{"book":{"name":"books/1","title":"t"},"update_mask":"pageCount"}"#,
    );
    check(
        "PATCH /v1/books/1?update_mask=page_count&dryRun=true",
        r#"{"title":"t"}"#,
        r#"{"book":{"name":"books/1","title":"t"},"update_mask":"pageCount","dry_run":true}"#,
    );
    // No mask for another verb, nor where the body is the request.
    check("PUT /v1/books/1", r#"{"title":"t"}"#, r#"{"book":{"name":"books/1","title":"t"}}"#);
    check(
        "PATCH /v1/books/1:whole",
        r#"{"book":{"title":"t"}}"#,
        r#"{"book":{"name":"books/1","title":"t"}}"#,
    );
}

#[test]
fn stream_elements_carry_the_path_and_oneofs_once() {
    let (found, query) = find("POST /v1/rooms/blue/en");
    let element = |first, json: &str| {
        let (mut wire, mut out) = (Vec::new(), Vec::new());
        let input = JsonInput::default();
        found
            .value
            .assemble_element(first, &found.captures, query, Some(json.as_bytes()), &input, &mut wire)
            .unwrap();
        found.value.codec.to_json(&wire, &JsonStyle::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(element(true, "{}"), r#"{"room":"blue","config":{"language":"en"}}"#);
    assert_eq!(element(false, r#"{"chunk":"AA=="}"#), r#"{"room":"blue","chunk":"AA=="}"#);
}

#[test]
fn http_bodies() {
    let (found, query) = find("POST /v1/files/a/b?overwrite=true");
    assert_eq!(found.value.http_body(), Some(HttpBodyPlace::Field));
    let body = HttpBody { content_type: "image/png", data: &[1, 2] };
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    found
        .value
        .assemble_http_body(true, &found.captures, query, &body, &JsonInput::default(), &mut wire)
        .unwrap();
    found.value.codec.to_json(&wire, &JsonStyle::default(), &mut json).unwrap();
    let want = r#"{"name":"files/a/b","file":{"contentType":"image/png","data":"AQI="},"overwrite":true}"#;
    assert_eq!(String::from_utf8(json).unwrap(), want);
    let field = found.value.codec.field("file").unwrap();
    assert_eq!(HttpBody::read(&message_in(&wire, &field).unwrap()).unwrap(), body);

    let (found, query) = find("POST /v1/raw");
    assert_eq!(found.value.http_body(), Some(HttpBodyPlace::Whole));
    let mut wire = Vec::new();
    found
        .value
        .assemble_http_body(true, &found.captures, query, &body, &JsonInput::default(), &mut wire)
        .unwrap();
    assert_eq!(HttpBody::read(&wire).unwrap(), body);
    assert_eq!(find("GET /v1/shelves/7").0.value.http_body(), None);
    assert!(HttpBody::read(&[0x0a, 0x05]).is_err());
    assert!(HttpBody::read(&[0x0a, 0x01, 0xff]).is_err());
    assert_eq!(HttpBody::read(&[]).unwrap(), HttpBody::default());
}

proptest! {
    #[test]
    fn any_query_and_body_answer_without_panic(query: String, pieces in "[a-z0-9_.=&%+\\[\\]]{0,40}", body: String) {
        for query in [&query, &pieces] {
            for ignore_unknown in [false, true] {
                let (found, _) = find("PUT /v1/book/n");
                let input = JsonInput { ignore_unknown };
                let mut out = vec![1];
                let body = (!body.is_empty()).then_some(body.as_bytes());
                if found.value.assemble(&found.captures, Some(query), body, &input, &mut out).is_err() {
                    prop_assert_eq!(&out, &[1]);
                }
            }
        }
    }

    #[test]
    fn integers_and_strings_come_back(i64: i64, s32: i32, u64: u64, dou: f64, note: String) {
        let encoded: String = percent_encoding::utf8_percent_encode(&note, percent_encoding::NON_ALPHANUMERIC).collect();
        let (found, _) = find("GET /v1/shelves/7");
        let query = format!("i64={i64}&s32={s32}&u64={u64}&dou={dou:?}&maybe={encoded}&book.title={encoded}");
        let (mut wire, mut json, mut again) = (Vec::new(), Vec::new(), Vec::new());
        let input = JsonInput::default();
        if !dou.is_finite() { return Ok(()); }
        found.value.assemble(&found.captures, Some(&query), None, &input, &mut wire).unwrap();
        found.value.codec.to_json(&wire, &JsonStyle::default(), &mut json).unwrap();
        found.value.codec.to_wire(&json, &input, &mut again).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let text = |name: &str| read.get(name).and_then(|it| it.as_str()).unwrap_or("0").to_owned();
        prop_assert_eq!(text("i64"), i64.to_string());
        prop_assert_eq!(text("u64"), u64.to_string());
        prop_assert_eq!(read.get("maybe").and_then(|it| it.as_str()), Some(&*note));
        prop_assert_eq!(read.pointer("/book/title").and_then(|it| it.as_str()).unwrap_or(""), &*note);
    }
}
