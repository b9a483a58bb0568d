//! Wire printed: order and repetition as protobuf decides them, styles, and what cannot be printed.

use super::{codec, json, styled, wire};
use crate::transcode::wire::put_varint;
use crate::transcode::{ErrorKind, JsonInput, JsonStyle};

fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, u64::from(number << 3 | wire_type));
    out
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = tag(number, 0);
    put_varint(&mut out, value);
    out
}

fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = tag(number, 2);
    put_varint(&mut out, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn check(records: &[Vec<u8>], want: &str) {
    assert_eq!(json(&codec("every.Every"), &records.concat()), want);
}

#[test]
fn order_and_repetition() {
    check(&[], "{}");
    check(&[varint(4, 1), varint(3, 2)], r#"{"i32":2,"i64":"1"}"#);
    check(&[varint(3, 1), varint(3, 2)], r#"{"i32":2}"#);
    check(&[varint(3, 1), varint(3, 0)], "{}");
    check(&[bytes(17, &varint(3, 1)), bytes(17, &varint(4, 2))], r#"{"every":{"i32":1,"i64":"2"}}"#);
    check(&[varint(20, 1), varint(3, 5), bytes(20, &[2, 3]), varint(20, 4)], r#"{"i32":5,"ints":[1,2,3,4]}"#);
    check(&[bytes(20, &[]), bytes(20, &[])], "{}");
    check(&[varint(40, 1), bytes(41, b"x")], r#"{"pickText":"x"}"#);
    check(&[bytes(41, b"x"), varint(40, 1)], r#"{"pickInt":1}"#);
    check(
        &[bytes(42, &varint(3, 1)), varint(40, 1), bytes(42, &varint(4, 2))],
        r#"{"pickEvery":{"i64":"2"}}"#,
    );
    check(&[bytes(42, &varint(3, 1)), bytes(42, &varint(4, 2))], r#"{"pickEvery":{"i32":1,"i64":"2"}}"#);
    let entry = |key: &[u8], value| [bytes(1, key), varint(2, value)].concat();
    check(
        &[bytes(30, &entry(b"a", 1)), bytes(30, &entry(b"b", 2)), bytes(30, &entry(b"a", 3))],
        r#"{"byText":{"b":2,"a":3}}"#,
    );
    check(
        &[bytes(30, &entry(b"a", 1)), varint(3, 1), bytes(30, &entry(b"b", 2))],
        r#"{"i32":1,"byText":{"a":1,"b":2}}"#,
    );
    check(
        &[bytes(30, &[]), bytes(31, &[]), bytes(33, &[])],
        r#"{"byText":{"":0},"byInt":{"0":""},"byU64":{"0":{}}}"#,
    );
    check(&[bytes(30, &[varint(2, 7), bytes(1, b"k")].concat())], r#"{"byText":{"k":7}}"#);
    let twice = [varint(1, 3), bytes(2, &varint(3, 1)), bytes(2, &varint(4, 1))].concat();
    check(&[bytes(33, &twice)], r#"{"byU64":{"3":{"i32":1,"i64":"1"}}}"#);
    check(
        &[varint(999, 1), bytes(998, b"x"), tag(997, 3), varint(1, 1), tag(997, 4), varint(3, 1)],
        r#"{"i32":1}"#,
    );
    check(&[bytes(3, b"x"), varint(14, 1), varint(4, 1)], r#"{"i64":"1"}"#);
    check(&[varint(3, u64::MAX), varint(13, 2), varint(16, 99)], r#"{"i32":-1,"b":true,"mood":99}"#);
    check(
        &[
            bytes(54, &bytes(1, &[bytes(1, b"a"), bytes(2, &varint(4, 1))].concat())),
            bytes(54, &bytes(1, &bytes(1, b"a"))),
        ],
        "struct[\"a\"]: a google.protobuf.Value holds none of its kinds",
    );
    check(
        &[bytes(
            56,
            &[varint(9, 1), bytes(1, &varint(4, 1)), varint(9, 1), bytes(1, &varint(1, 0))].concat(),
        )],
        r#"{"items":[true,null]}"#,
    );
    check(&[bytes(55, &[varint(4, 1), bytes(3, b"last")].concat())], r#"{"value":"last"}"#);
    check(
        &[bytes(55, &[bytes(6, &bytes(1, &varint(4, 1))), bytes(6, &bytes(1, &varint(4, 0)))].concat())],
        r#"{"value":[true,false]}"#,
    );
}

#[test]
fn closed_enums_keep_to_their_values() {
    let old = codec("old.Old");
    let check = |records: &[Vec<u8>], want: &str| assert_eq!(json(&old, &records.concat()), want);
    check(&[varint(3, 7)], "{}");
    check(&[varint(3, 2), varint(3, 7)], r#"{"colour":"GREEN"}"#);
    check(&[varint(4, 7), varint(4, 1), bytes(4, &[2, 9])], r#"{"colours":["RED","GREEN"]}"#);
    check(&[varint(4, 7)], "{}");
    check(&[bytes(9, &[bytes(1, b"a"), varint(2, 7)].concat())], "{}");
    check(&[bytes(9, &bytes(1, b"a"))], r#"{"byName":{"a":"RED"}}"#);
}

#[test]
fn groups() {
    let old = codec("old.Old");
    let check = |records: &[Vec<u8>], want: &str| assert_eq!(json(&old, &records.concat()), want);
    check(
        &[tag(5, 3), varint(1, 1), tag(5, 4), tag(5, 3), varint(2, 2), tag(5, 4)],
        r#"{"part":{"a":1,"b":[2]}}"#,
    );
    check(&[tag(6, 3), tag(6, 4), tag(6, 3), varint(1, 1), tag(6, 4)], r#"{"many":[{},{"a":1}]}"#);
    check(&[tag(5, 3), varint(1, 1)], "the message ends in the middle of a field");
}

#[test]
fn styles() {
    let every = codec("every.Every");
    let record = wire(
        &every,
        r#"{"snakeCaseName":1,"mood":"GOOD","null":null,"any":{"@type":"a/every.Every","mood":-1}}"#,
    )
    .unwrap();
    let names = JsonStyle { proto_names: true, ..JsonStyle::default() };
    assert_eq!(
        styled(&every, &record, names),
        r#"{"mood":"GOOD","any":{"@type":"a/every.Every","mood":"BAD"},"snake_case_name":1}"#
    );
    let numbers = JsonStyle { enum_numbers: true, ..JsonStyle::default() };
    assert_eq!(
        styled(&every, &record, numbers),
        r#"{"mood":1,"any":{"@type":"a/every.Every","mood":-1},"snakeCaseName":1}"#
    );
    let author = codec("library.Author");
    let all = JsonStyle { defaults: true, pretty: true, ..JsonStyle::default() };
    assert_eq!(styled(&author, &varint(2, 5), all), "{\n  \"name\": \"\",\n  \"born\": 5\n}");
    assert_eq!(
        styled(
            &codec("library.Book"),
            &[bytes(3, b""), varint(4, 0)].concat(),
            JsonStyle { pretty: false, ..all }
        ),
        r#"{"name":"","title":"","author":{"name":"","born":0},"priceMicros":"0","pageNumbers":[],"labels":{},"cover":"","inPrint":false,"genre":"GENRE_UNSPECIFIED","rating":0,"tags":[],"edition":0}"#
    );
    assert_eq!(styled(&codec("old.Scope"), &[], JsonStyle { pretty: false, ..all }), "{}");
    assert_eq!(
        styled(&codec("old.Old"), &[], JsonStyle { pretty: false, ..all }),
        r#"{"colours":[],"many":[],"packed":[],"unpacked":[],"byName":{}}"#
    );
}

#[test]
fn what_cannot_be_printed() {
    let unprintable = |records: &[Vec<u8>], want: &str, kind: ErrorKind| {
        let error = codec("every.Every")
            .to_json(&records.concat(), &JsonStyle::default(), &mut Vec::new())
            .unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind(), error.is_input()), (want, kind, false));
    };
    unprintable(
        &[bytes(51, &varint(2, u64::MAX))],
        "at: a timestamp's nanos of -1 are outside 0 to 999999999",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(52, &[varint(1, 1), varint(2, u64::MAX)].concat())],
        "took: a duration's seconds (1) and nanos (-1) differ in sign",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(53, &bytes(1, b"a__b"))],
        "mask: the field mask path `a__b` has no JSON form",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(55, &[])],
        "value: a google.protobuf.Value holds none of its kinds",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(55, &[&[0x11][..], &f64::NAN.to_le_bytes()].concat())],
        "value: a google.protobuf.Value holds a number that JSON cannot write",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(50, &bytes(2, b"x"))],
        "any: a google.protobuf.Any has a value and no type URL",
        ErrorKind::Unprintable,
    );
    unprintable(
        &[bytes(21, b"a"), bytes(21, b"\xff")],
        "texts[1]: a string is not valid UTF-8",
        ErrorKind::Wire,
    );
    unprintable(&[bytes(17, &[0x1a])], "every: the message ends in the middle of a field", ErrorKind::Wire);
    unprintable(&[bytes(30, &bytes(1, b"\xff"))], "by_text: a string is not valid UTF-8", ErrorKind::Wire);
    unprintable(
        &[bytes(33, &[varint(1, 5), bytes(2, &bytes(14, b"\xff"))].concat())],
        "by_u64[\"5\"].s: a string is not valid UTF-8",
        ErrorKind::Wire,
    );
    let mut deep = Vec::new();
    for _ in 0..100 {
        deep = bytes(17, &deep);
    }
    let error = codec("every.Every").to_json(&deep, &JsonStyle::default(), &mut Vec::new()).unwrap_err();
    assert_eq!((error.message(), error.kind()), ("messages nest deeper than 100", ErrorKind::Wire));
}

#[test]
fn an_unknown_any_is_kept_as_base64() {
    let any = [bytes(1, b"type.googleapis.com/no.Such"), bytes(2, &[8, 1])].concat();
    check(&[bytes(50, &any)], r#"{"any":{"@type":"type.googleapis.com/no.Such","value":"CAE="}}"#);
    let error = wire(&codec("every.Every"), r#"{"any":{"@type":"a/no.Such","value":"CAE="}}"#).unwrap_err();
    assert_eq!((error.path(), error.kind()), ("any.@type", ErrorKind::UnknownField));
}

#[test]
fn one_field_alone() {
    let field = |message: &str, name: &str, records: &[Vec<u8>]| {
        let mut out = b"[".to_vec();
        let field = codec(message).field(name).unwrap();
        field.to_json(&records.concat(), &JsonStyle::default(), &mut out).unwrap();
        String::from_utf8(out.split_off(1)).unwrap()
    };
    assert_eq!(field("every.Every", "ints", &[varint(20, 1), varint(3, 2), bytes(20, &[5])]), "[1,5]");
    assert_eq!(field("every.Every", "ints", &[varint(3, 2)]), "[]");
    assert_eq!(field("every.Every", "byText", &[]), "{}");
    assert_eq!(field("every.Every", "i64", &[]), "\"0\"");
    assert_eq!(field("every.Every", "i64", &[varint(4, 1), varint(4, 0)]), "\"0\"");
    assert_eq!(field("every.Every", "mood", &[]), "\"MOOD_UNSPECIFIED\"");
    assert_eq!(field("every.Every", "every", &[]), "null");
    assert_eq!(
        field("every.Every", "every", &[bytes(17, &varint(3, 1)), bytes(17, &varint(4, 1))]),
        r#"{"i32":1,"i64":"1"}"#
    );
    assert_eq!(field("every.Every", "pick_int", &[varint(40, 1), bytes(41, b"")]), "0");
    assert_eq!(field("every.Every", "pickText", &[varint(40, 1), bytes(41, b"t")]), "\"t\"");
    assert_eq!(field("old.Old", "number", &[]), "5");
    assert_eq!(field("every.Every", "s", &[bytes(14, b"x")]), "\"x\"");

    let set = |name: &str, json: &str| {
        let mut out = varint(3, 1);
        let parsed = codec("every.Every").field(name).unwrap().to_wire(
            json.as_bytes(),
            &JsonInput::default(),
            &mut out,
        );
        parsed.map_or_else(|error| error.to_string(), |()| super::json(&codec("every.Every"), &out))
    };
    assert_eq!(set("s", "\"x\""), r#"{"i32":1,"s":"x"}"#);
    assert_eq!(set("ints", "[1,2]"), r#"{"i32":1,"ints":[1,2]}"#);
    assert_eq!(set("byText", "{\"a\":1}"), r#"{"i32":1,"byText":{"a":1}}"#);
    assert_eq!(set("every", "null"), r#"{"i32":1}"#);
    assert_eq!(set("value", "null"), r#"{"i32":1,"value":null}"#);
    assert_eq!(
        set("every", "{\"u64\":-1}"),
        "every.u64: -1 is outside the range of uint64 (line 1, column 8)"
    );
    assert_eq!(set("s", "\"x\" 1"), "the JSON is complete, but a number follows (line 1, column 5)");
}

#[test]
fn disorder_at_every_level_costs_no_more_than_its_size() {
    let (mut wire, mut want) = (Vec::new(), "{}".to_owned());
    for level in 0..99 {
        wire = [bytes(17, &wire), varint(3, 1 + level)].concat();
        want = format!(r#"{{"i32":{},"every":{want}}}"#, 1 + level);
    }
    check(&[wire.clone()], &want);
    let mut out = Vec::new();
    codec("every.Every")
        .field("every")
        .unwrap()
        .to_json(&bytes(17, &wire[..]), &JsonStyle::default(), &mut out)
        .unwrap_err();
    let mut value = varint(4, 1);
    for _ in 0..90 {
        let entry = |value: &[u8]| bytes(1, &[bytes(1, b"k"), bytes(2, value)].concat());
        value = bytes(5, &[entry(&varint(4, 0)), entry(&value), varint(99, 1)].concat());
    }
    let nested = format!(r#"{{"value":{}true{}}}"#, r#"{"k":"#.repeat(90), "}".repeat(90));
    check(&[bytes(55, &value)], &nested);
    let inner = varint(3, 1);
    let listed = [bytes(22, &[varint(4, 2), inner].concat()), varint(3, 7)].concat();
    check(&[listed], r#"{"i32":7,"list":[{"i32":1,"i64":"2"}]}"#);
}
