//! Tables of the walker: fields and what their JSON may be.

use serde_json::{Value, json};

use super::*;
use crate::schema::{Schema, compile};

const SOURCE: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
    import "google/protobuf/field_mask.proto"; import "google/protobuf/struct.proto";
    import "google/protobuf/wrappers.proto"; import "google/protobuf/any.proto"; import "google/protobuf/empty.proto";
    enum Genre { GENRE_UNSPECIFIED = 0; GENRE_NOVEL = 1; }
    message All {
      string a_string = 1; int32 an_int32 = 2; uint64 a_uint64 = 3; int64 an_int64 = 4; double a_double = 5;
      bool a_bool = 6; bytes some_bytes = 7; Genre genre = 8; All all = 9;
      repeated string strings = 10; map<string, All> alls = 11; map<int32, bool> bools = 12; map<bool, string> words = 13;
      google.protobuf.Timestamp time = 14; google.protobuf.Duration duration = 15; google.protobuf.FieldMask mask = 16;
      google.protobuf.Struct object = 17; google.protobuf.Value value = 18; google.protobuf.ListValue list = 19;
      google.protobuf.Int64Value wrapped = 20; google.protobuf.Any any = 21; google.protobuf.Empty empty = 22;
      google.protobuf.NullValue nothing = 23; string old = 24 [deprecated = true]; optional string maybe = 25;
    }
    message One { oneof it { string text = 1; int32 number = 2; } }
    message Some { oneof it { string text = 1; int32 number = 2; } bool more = 3; }
    message Two { oneof it { string a = 1; string b = 2; } oneof that { string c = 3; string d = 4; } }
    message Empty {}
    message Likely {
        string email = 1;
        repeated string other_emails = 2;
        string created_at = 3;
        // The floor, such as -3.
        int32 floor = 4;
        // E.g. 12 times.
        int64 seen = 5;
        // For example: 0.5.
        double rate = 6;
        uint32 year = 7;
        // A word, such as "red".
        string colour = 8;
    }
    service S { rpc M(All) returns (All); }"#;

fn message(name: &str) -> MessageDescriptor {
    let schema = Schema::decode(&compile(&[("shop.proto", SOURCE)], true)).unwrap();
    schema.pool().get_message_by_name(name).unwrap()
}

fn walker(style: JsonStyle) -> Walker {
    Walker::new(Settings {
        style,
        ignore_unknown: false,
        references: "#/$defs/",
        plain: false,
        suffix: String::new(),
        forms: |_| None,
    })
}

fn definition(name: &str, direction: Direction) -> Value {
    let mut walker = walker(JsonStyle::default());
    walker.message(&message(name), direction);
    let input = if direction == Direction::Input { "-Input" } else { "" };
    walker.definitions().remove(&format!("{name}{input}")).unwrap()
}

#[test]
fn fields_as_they_are_answered() {
    let all = definition("shop.All", Direction::Output);
    let check = |name: &str, want: Value| assert_eq!(all["properties"][name], want, "{name}");
    check("aString", json!({"type": "string"}));
    check("anInt32", json!({"type": "integer", "format": "int32"}));
    check("anInt64", json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}));
    check("aUint64", json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}));
    check("aBool", json!({"type": "boolean"}));
    check("genre", json!({"$ref": "#/$defs/shop.Genre"}));
    check("all", json!({"$ref": "#/$defs/shop.All"}));
    check("strings", json!({"type": "array", "items": {"type": "string"}}));
    check("alls", json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/shop.All"}}));
    check(
        "words",
        json!({
            "type": "object", "additionalProperties": {"type": "string"},
            "propertyNames": {"type": "string", "enum": ["true", "false"]},
        }),
    );
    check("time", json!({"type": "string", "format": "date-time"}));
    check("value", json!({}));
    check("list", json!({"type": "array", "items": {}}));
    check("wrapped", json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}));
    check("empty", json!({"$ref": "#/$defs/google.protobuf.Empty"}));
    check("nothing", json!({"type": "null"}));
    check("old", json!({"type": "string", "deprecated": true}));
    assert_eq!(all["properties"]["any"]["required"], json!(["@type"]));
    assert_eq!(all["required"], Value::Null, "fields with their default value are left out");
    assert_eq!(all["additionalProperties"], Value::Null, "a newer upstream may have more");
}

#[test]
fn fields_as_they_are_accepted() {
    let all = definition("shop.All", Direction::Input);
    let types = |name: &str| all["properties"][name]["type"].clone();
    assert_eq!(types("aString"), json!(["string", "null"]));
    assert_eq!(types("anInt32"), json!(["integer", "string", "null"]));
    assert_eq!(types("anInt64"), json!(["string", "integer", "null"]));
    assert_eq!(types("strings"), json!(["array", "null"]));
    assert_eq!(
        all["properties"]["strings"]["items"],
        json!({"type": "string"}),
        "no null among the elements"
    );
    assert_eq!(all["properties"]["aUint64"]["maximum"], u64::MAX);
    assert_eq!(
        all["properties"]["all"],
        json!({"anyOf": [{"$ref": "#/$defs/shop.All-Input"}, {"type": "null"}]})
    );
    assert_eq!(all["properties"]["value"], json!({}));
    assert_eq!(all["properties"]["nothing"], json!({"type": "null"}));
    assert_eq!(all["additionalProperties"], false);
}

#[test]
fn members_of_oneofs_exclude_each_other() {
    let one = definition("shop.One", Direction::Input);
    assert_eq!((&one["maxProperties"], &one["oneOf"]), (&json!(1), &Value::Null));
    let some = definition("shop.Some", Direction::Input);
    // `null` is not there.
    let set = |name: &str| json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}});
    let none = json!({"not": {"anyOf": [set("text"), set("number")]}});
    assert_eq!(some["oneOf"], json!([set("text"), set("number"), none]));
    assert_eq!(definition("shop.Two", Direction::Input)["allOf"].as_array().unwrap().len(), 2);
    let said = definition("shop.Some", Direction::Output)["description"].clone();
    assert_eq!(said, "At most one of `text`, `number` is set.");
}

#[test]
fn the_style_decides_names_numbers_and_what_is_certain() {
    let style = JsonStyle { proto_names: true, defaults: true, enum_numbers: true, ..JsonStyle::default() };
    let mut walker = walker(style);
    walker.message(&message("shop.All"), Direction::Output);
    let all = walker.definitions().remove("shop.All").unwrap();
    assert_eq!(all["properties"]["genre"], json!({"type": "integer", "format": "int32"}));
    let required: Vec<_> =
        all["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(required.contains(&"a_string") && required.contains(&"strings"), "{required:?}");
    assert!(!required.contains(&"all") && !required.contains(&"maybe"), "{required:?}");
}

#[test]
fn enums_are_names_and_numbers() {
    let mut walker = walker(JsonStyle::default());
    walker.message(&message("shop.All"), Direction::Output);
    let genre = walker.definitions().remove("shop.Genre").unwrap();
    assert_eq!(genre["anyOf"][0], json!({"type": "string", "enum": ["GENRE_UNSPECIFIED", "GENRE_NOVEL"]}));
    assert_eq!(genre["anyOf"][1]["type"], "integer", "a number without a name is kept");
}

#[test]
fn what_the_path_gives_is_not_in_the_body() {
    let mut walker = walker(JsonStyle::default());
    let all = message("shop.All");
    let field = |name: &str| all.get_field_by_name(name).unwrap();
    let (top, below) = ([field("a_string")], [field("all"), field("old")]);
    let schema = walker.message_without(&all, &[&top, &below]);
    assert_eq!(schema["properties"]["aString"], Value::Null);
    let nested = &schema["properties"]["all"];
    assert_eq!(nested["type"], json!(["object", "null"]));
    assert_eq!(
        (&nested["properties"]["old"], &nested["properties"]["aString"]["type"]),
        (&Value::Null, &json!(["string", "null"]))
    );
    let whole = walker.message_without(&all, &[]);
    assert_eq!(whole, json!({"$ref": "#/$defs/shop.All-Input"}));
}

#[test]
fn texts_of_paths_and_queries() {
    let all = message("shop.All");
    let mut walker = walker(JsonStyle::default());
    let mut check = |name: &str, want: Option<Value>| {
        let text = walker.text(&all.get_field_by_name(name).unwrap());
        assert_eq!(text.map(|schema| schema["type"].clone()), want, "{name}");
    };
    check("a_string", Some(json!("string")));
    check("an_int32", Some(json!("integer")));
    check("an_int64", Some(json!("string")));
    check("a_double", Some(json!("number")));
    check("time", Some(json!("string")));
    check("wrapped", Some(json!("string")));
    check("object", Some(json!("object")));
    check("all", None);
    check("any", None);
    check("empty", None);
}

#[test]
fn examples_say_what_comments_say() {
    let check = |comment: &str, want: Option<&str>| assert_eq!(example::quoted(comment).as_deref(), want);
    check("The version, such as \"0.1.0\".", Some("0.1.0"));
    check("Always \"pong\".", Some("pong"));
    check("For example: `a/b`.", Some("a/b"));
    check("E.g. 'x'", Some("x"));
    check("Such as nothing in quotes", None);
    check("", None);
    let mut walker = walker(JsonStyle::default());
    let example = walker.example(&message("shop.Some"), Direction::Input).unwrap();
    assert_eq!(example, json!({"text": "text", "more": true}));
    let likely = walker.example(&message("shop.Likely"), Direction::Output).unwrap();
    let want = json!({
        "email": "ann@example.com", "otherEmails": ["ann@example.com"], "createdAt": "2026-01-31T12:00:00Z",
        "floor": -3, "seen": "12", "rate": 0.5, "year": 2026, "colour": "red",
    });
    assert_eq!(likely, want);
    let deep = walker.example(&message("shop.All"), Direction::Input).unwrap();
    assert_eq!(deep["all"], Value::Null, "a message within itself ends");
}
