//! JSON read: every kind and form, every refusal with its sentence.

use super::{codec, json, wire};
use crate::transcode::{ErrorKind, JsonInput};

/// Reads JSON as `every.Every` and prints it again; or the error.
fn check(input: &str, want: &str) {
    let every = codec("every.Every");
    let got = wire(&every, input).map_or_else(|error| error.to_string(), |wire| json(&every, &wire));
    assert_eq!(got, want, "{input}");
}

/// As `check`, when the JSON comes back as it was.
fn same(input: &str) {
    check(input, input);
}

#[test]
fn numbers() {
    same(
        r#"{"d":1.5,"f":0.1,"i32":-2147483648,"i64":"-9223372036854775808","u32":4294967295,"u64":"18446744073709551615"}"#,
    );
    same(r#"{"s32":-2147483648,"s64":"-9223372036854775808","x32":4294967295,"x64":"18446744073709551615"}"#);
    same(r#"{"sx32":-1,"sx64":"-1","b":true,"far":7}"#);
    check(r#"{"i32":"5","i64":5,"u64":1e3,"u32":"1.0"}"#, r#"{"i32":5,"i64":"5","u32":1,"u64":"1000"}"#);
    check(r#"{"i32":0,"d":-0.0}"#, r#"{"d":-0}"#);
    same(r#"{"d":"NaN","f":"-Infinity"}"#);
    check(r#"{"d":"1.5","f":"1e2"}"#, r#"{"d":1.5,"f":100}"#);
    check(r#"{"i32":2147483648}"#, "i32: 2147483648 is outside the range of int32 (line 1, column 8)");
    check(r#"{"u32":-1}"#, "u32: -1 is outside the range of uint32 (line 1, column 8)");
    check(
        r#"{"u64":18446744073709551616}"#,
        "u64: 18446744073709551616 is outside the range of uint64 (line 1, column 8)",
    );
    check(r#"{"i32":1.5}"#, "i32: 1.5 is not a whole number, which int32 must be (line 1, column 8)");
    check(r#"{"i32":"five"}"#, "i32: `five` is not an int32 (line 1, column 8)");
    check(r#"{"i32":" 5"}"#, "i32: ` 5` is not an int32 (line 1, column 8)");
    check(r#"{"i32":true}"#, "i32: expected an int32, found a boolean (line 1, column 8)");
    check(r#"{"f":1e39}"#, "f: 1e39 is outside the range of float (line 1, column 6)");
    check(r#"{"d":1e309}"#, "d: 1e309 is outside the range of double (line 1, column 6)");
    check(r#"{"d":"inf"}"#, "d: `inf` is not a double (line 1, column 6)");
    check(r#"{"b":"true"}"#, "b: expected true or false, found a string (line 1, column 6)");
    check(r#"{"b":1}"#, "b: expected true or false, found a number (line 1, column 6)");
    check(r#"{"i32":01}"#, "expected `,` or `}`, found a number (line 1, column 9)");
}

#[test]
fn text_and_bytes() {
    same(r#"{"s":"größer 🦀 \"\\\n\u0001","y":"+//+"}"#);
    check(r#"{"s":"\ud83e\udd80\u00e4\/\b\f\n\r\t"}"#, "{\"s\":\"🦀ä/\\b\\f\\n\\r\\t\"}");
    check(r#"{"y":"-__-"}"#, r#"{"y":"+//+"}"#);
    check(r#"{"y":"Zg"}"#, r#"{"y":"Zg=="}"#);
    check(r#"{"y":"Z"}"#, "y: the string is not valid base64 (line 1, column 6)");
    check(r#"{"s":5}"#, "s: expected a string, found a number (line 1, column 6)");
    check(
        r#"{"s":"\ud83e"}"#,
        "s: `\\ud83e` is half of a surrogate pair without its other half (line 1, column 7)",
    );
    check(
        r#"{"s":"\udd80\ud83e"}"#,
        "s: `\\udd80` is half of a surrogate pair without its other half (line 1, column 7)",
    );
    check(r#"{"s":"\x"}"#, "s: a string holds an escape that JSON does not have (line 1, column 7)");
    check(r#"{"s":"\u12"}"#, "s: `\\u` is not followed by four hexadecimal digits (line 1, column 7)");
    check(
        "{\"s\":\"a\nb\"}",
        "s: a string holds the raw control character 0x0a; write `\\u000a` (line 1, column 8)",
    );
    check(r#"{"s":"abc"#, "s: the JSON ends within a string (line 1, column 10)");
}

#[test]
fn enums() {
    same(r#"{"mood":"GOOD","moods":["BAD","MOOD_UNSPECIFIED",7]}"#);
    check(r#"{"mood":"FINE"}"#, r#"{"mood":"GOOD"}"#);
    check(r#"{"mood":-1}"#, r#"{"mood":"BAD"}"#);
    check(
        r#"{"mood":"GOD"}"#,
        "mood: enum every.Mood has no value `GOD`; did you mean `GOOD`? (line 1, column 9)",
    );
    check(
        r#"{"moods":["GOOD",true]}"#,
        "moods[1]: expected a value of enum every.Mood, by name or number, found a boolean (line 1, column 18)",
    );
    let old = codec("old.Old");
    assert_eq!(
        wire(&old, r#"{"colour":7}"#).unwrap_err().to_string(),
        "colour: enum old.Colour is closed and has no value 7 (line 1, column 11)"
    );
}

#[test]
fn messages_lists_and_maps() {
    same(
        r#"{"every":{"every":{"i32":1}},"ints":[1,2,300],"texts":["","a"],"list":[{},{"i32":1}],"doubles":[1,2.5],"blobs":["","Zg=="]}"#,
    );
    same(r#"{"byText":{"":0,"a":1},"byInt":{"-1":"x","0":""},"byBool":{"false":"","true":"Zg=="}}"#);
    same(r#"{"byU64":{"18446744073709551615":{"i32":1}},"byS64":{"-5":"GOOD"},"byFixed":{"7":0.5}}"#);
    check(
        " { \"i32\" : 1 , \"texts\" : [ \"a\" , \"b\" ] , \"by_text\" : { \"k\" : 1 } } \n",
        r#"{"i32":1,"texts":["a","b"],"byText":{"k":1}}"#,
    );
    check(r#"{"snake_case_name":1}"#, r#"{"snakeCaseName":1}"#);
    same(r#"{"@odd \"name\"":3}"#);
    check(
        r#"{"every":{"list":[{},{"i32":"x"}]}}"#,
        "every.list[1].i32: `x` is not an int32 (line 1, column 29)",
    );
    check(
        r#"{"byU64":{"3":{"s":1}}}"#,
        "by_u64[\"3\"].s: expected a string, found a number (line 1, column 20)",
    );
    check(r#"{"byInt":{"x":""}}"#, "by_int[\"x\"]: the key `x` is not an integer (line 1, column 11)");
    check(
        r#"{"byBool":{"1":""}}"#,
        "by_bool[\"1\"]: the key must be `true` or `false`, not `1` (line 1, column 12)",
    );
    check(r#"{"ints":{}}"#, "ints: expected an array, found an object (line 1, column 9)");
    check(
        r#"{"byText":[]}"#,
        "by_text: expected an object, which a map is, found an array (line 1, column 11)",
    );
    check(r#"{"every":5}"#, "every: expected an object for every.Every, found a number (line 1, column 10)");
    check("[]", "expected an object for every.Every, found an array (line 1, column 1)");
    let long = format!(
        "{{\"list\":[{{\"s\":\"{}\",\"every\":{{\"s\":\"{}\"}}}}]}}",
        "x".repeat(200),
        "y".repeat(20_000)
    );
    same(&long);
}

#[test]
fn null() {
    check(
        r#"{"i32":null,"s":null,"every":null,"ints":null,"byText":null,"at":null,"wrappedInt":null,"mood":null}"#,
        "{}",
    );
    check(r#"{"value":null,"pickNull":null}"#, r#"{"pickNull":null,"value":null}"#);
    same(r#"{"pickInt":0}"#);
    check(r#"{"pickInt":null,"pickText":""}"#, r#"{"pickText":""}"#);
    same(r#"{"values":[null,1,"a",true,{},[]],"byValue":{"a":null}}"#);
    check(r#"{"ints":[1,null]}"#, "ints[1]: expected an element, found null (line 1, column 12)");
    check(
        r#"{"byText":{"a":null}}"#,
        "by_text[\"a\"]: expected a map's value, found null (line 1, column 16)",
    );
    check("null", "expected an object for every.Every, found null (line 1, column 1)");
}

#[test]
fn unknown_duplicate_and_oneof() {
    check(r#"{"i32s":1}"#, "i32s: every.Every has no field `i32s`; did you mean `i32`? (line 1, column 2)");
    check(
        "{\n  \"every\": {\n    \"zzzzzzz\": 1}}",
        "every.zzzzzzz: every.Every has no field `zzzzzzz` (line 3, column 5)",
    );
    check(r#"{"i32":1,"i32":2}"#, "i32: `i32` is given twice (line 1, column 10)");
    check(
        r#"{"snakeCaseName":1,"snake_case_name":2}"#,
        "snake_case_name: `snakeCaseName` (also known as `snake_case_name`) is given twice (line 1, column 20)",
    );
    check(r#"{"i32":null,"i32":2}"#, "i32: `i32` is given twice (line 1, column 13)");
    check(
        r#"{"byText":{"a":1,"\u0061":2}}"#,
        "by_text[\"a\"]: the key `a` is given twice (line 1, column 18)",
    );
    check(
        r#"{"byInt":{"1":"","1.0":""}}"#,
        "by_int[\"1.0\"]: the key `1.0` is given twice (line 1, column 18)",
    );
    check(
        r#"{"struct":{"a":{"b":1,"b":1}}}"#,
        "struct[\"a\"][\"b\"]: the key `b` is given twice (line 1, column 23)",
    );
    check(
        r#"{"pickInt":1,"pickText":""}"#,
        "pick_text: oneof `pick` has a value already: only one of `pickInt`, `pickText`, `pickEvery`, `pickNull` may be given (line 1, column 14)",
    );
    let mut out = Vec::new();
    let input = JsonInput { ignore_unknown: true };
    let lenient =
        r#"{"no":{"such":[1,"]",{}],"x":null},"moods":["GOOD","NO"],"byS64":{"1":"NO"},"mood":"NO","i32":1}"#;
    codec("every.Every").to_wire(lenient.as_bytes(), &input, &mut out).unwrap();
    assert_eq!(json(&codec("every.Every"), &out), r#"{"i32":1,"moods":["GOOD"]}"#);
    assert!(codec("every.Every").to_wire(br#"{"no":[1,}"#, &input, &mut out).is_err());
}

#[test]
fn well_known() {
    same(r#"{"at":"1970-01-01T00:00:00.001Z","took":"-1.500s","mask":"a,bC.dE","empty":{}}"#);
    same(r#"{"struct":{"a":null,"b":[1,"x",{"c":true}]},"value":{"x":[]},"items":[1,[2],{}]}"#);
    same(r#"{"value":"text"}"#);
    same(
        r#"{"wrappedInt":0,"wrappedLong":"5","wrappedText":"","wrappedBool":false,"wrappedBytes":"Zg==","wrappedDouble":0.5,"wrappedFloat":0.1,"wrappedU32":1,"wrappedU64":"1"}"#,
    );
    check(
        r#"{"at":"1970-01-01"}"#,
        "at: `1970-01-01` is not an RFC 3339 timestamp such as `2024-05-17T08:30:00Z` (line 1, column 7)",
    );
    check(r#"{"took":"1h"}"#, "took: `1h` is not a duration in seconds such as `1.5s` (line 1, column 9)");
    check(r#"{"took":1}"#, "took: expected a duration such as \"1.5s\", found a number (line 1, column 9)");
    check(r#"{"mask":"a_b"}"#, "mask: the field mask path `a_b` is not in lowerCamelCase (line 1, column 9)");
    check(r#"{"wrappedInt":"x"}"#, "wrapped_int: `x` is not an int32 (line 1, column 15)");
    check(r#"{"struct":5}"#, "struct: expected an object, found a number (line 1, column 11)");
}

#[test]
fn any() {
    same(r#"{"any":{"@type":"type.googleapis.com/every.Every","i32":1,"any":{"@type":"x/every.Every"}}}"#);
    same(r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#);
    same(r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Value","value":null}}"#);
    same(
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"a/google.protobuf.Int32Value","value":5}}}"#,
    );
    same(r#"{"any":{}}"#);
    check(r#"{"any":{"i32":1,"@type":"a/every.Every"}}"#, r#"{"any":{"@type":"a/every.Every","i32":1}}"#);
    check(
        r#"{"any":{"value":"1s","@type":"a/google.protobuf.Duration"}}"#,
        r#"{"any":{"@type":"a/google.protobuf.Duration","value":"1s"}}"#,
    );
    check(r#"{"any":{"i32":1}}"#, "any: an Any's object has no `@type` (line 1, column 8)");
    check(
        r#"{"any":{"@type":"every.Every"}}"#,
        "any.@type: `every.Every` is not a type URL such as `type.googleapis.com/package.Message` (line 1, column 17)",
    );
    check(
        r#"{"any":{"@type":"a/every.Evry"}}"#,
        "any.@type: no message `every.Evry` is known; did you mean `every.Every`? (line 1, column 17)",
    );
    check(
        r#"{"any":{"@type":"a/every.Every","@type":"a/every.Every"}}"#,
        "any.@type: `@type` is given twice (line 1, column 33)",
    );
    check(
        r#"{"any":{"@type":"a/google.protobuf.Duration","value":"1s","x":1}}"#,
        "any.x: an Any of google.protobuf.Duration has only `@type` and `value`, not `x` (line 1, column 59)",
    );
    check(
        r#"{"any":{"@type":"a/google.protobuf.Duration"}}"#,
        "any: an Any of google.protobuf.Duration needs its `value` (line 1, column 46)",
    );
    check(
        r#"{"any":{"@type":5}}"#,
        "any.@type: expected a type URL as a string, found a number (line 1, column 17)",
    );
}

#[test]
fn not_json() {
    check("", "expected an object for every.Every, found the end of the JSON (line 1, column 1)");
    check("{", "expected a key in quotes, found the end of the JSON (line 1, column 2)");
    check("{}x", "the JSON is complete, but `x` follows (line 1, column 3)");
    check("{} {}", "the JSON is complete, but an object follows (line 1, column 4)");
    check(r#"{"i32":1,}"#, "expected a key in quotes, found `}` (line 1, column 10)");
    check(r#"{"ints":[1,]}"#, "ints[1]: expected an int32, found `]` (line 1, column 12)");
    check(r#"{"i32" 1}"#, "expected `:` after the key, found a number (line 1, column 8)");
    check("{'i32':1}", "expected a key in quotes, found `\\'` (line 1, column 2)");
    check(r#"{"b":tru}"#, "b: expected true or false, found `t` (line 1, column 6)");
    check(r#"{"i32":nul}"#, "i32: expected a value, found `n` (line 1, column 8)");
    let mut out = Vec::new();
    let error =
        codec("every.Every").to_wire(b"{\"s\":\"\xff\"}", &JsonInput::default(), &mut out).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.kind()),
        ("the JSON is not valid UTF-8 (line 1, column 7)", ErrorKind::Utf8)
    );
}

#[test]
fn depth() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    same(&nested("{\"every\":", "{}", "}", 99));
    let deep = nested("{\"every\":", "{}", "}", 100);
    let error = wire(&codec("every.Every"), &deep).unwrap_err();
    assert_eq!(
        (error.kind(), error.is_input(), error.message()),
        (ErrorKind::Depth, true, "the JSON nests deeper than 100 messages")
    );
    same(&format!("{{\"value\":{}}}", nested("[", "", "]", 98)));
    for (open, close) in
        [("[", "]"), ("{\"a\":", "}"), ("{\"@type\":\"a/google.protobuf.Any\",\"value\":", "}")]
    {
        for field in ["value", "struct", "items", "any", "unknown"] {
            let json = format!("{{\"{field}\":{}}}", nested(open, "1", close, 100_000));
            assert!(wire(&codec("every.Every"), &json).is_err());
            let input = JsonInput { ignore_unknown: true };
            assert!(codec("every.Every").to_wire(json.as_bytes(), &input, &mut Vec::new()).is_err());
        }
    }
}

#[test]
fn proto2() {
    let old = codec("old.Old");
    for input in [
        r#"{"number":0,"text":"","colour":"GREEN","colours":["RED"],"part":{"a":1,"b":[1,2]},"many":[{},{"a":1}]}"#,
        r#"{"packed":[1,2],"unpacked":[1,2],"byName":{"a":"RED"}}"#,
        r#"{"[old.note]":"n","[old.marks]":[1,2],"[old.Scope.scope]":{"a":1}}"#,
    ] {
        assert_eq!(json(&old, &wire(&old, input).unwrap()), input);
    }
    assert_eq!(
        wire(&old, r#"{"packed":[1,2],"unpacked":[1,2]}"#).unwrap(),
        [0x3a, 2, 1, 2, 0x40, 1, 0x40, 2]
    );
    assert_eq!(wire(&old, r#"{"part":{"a":1}}"#).unwrap(), [0x2b, 8, 1, 0x2c]);
}
