//! The three languages, and what is refused of each.

use serde_json::json;

use super::*;

fn plain(language: Language, text: &str) -> Result<serde_json::Value, String> {
    let Read { root, wrong } = language.read(text);
    let one = |one: &Unreadable| format!("{}..{}: {}", one.at.start, one.at.end, one.why);
    match root.whole() {
        Some(root) if wrong.is_empty() => Ok(root.plain()),
        _ => Err(wrong.iter().map(one).collect::<Vec<_>>().join("\n")),
    }
}

#[test]
fn what_is_wrong_with_one_value_leaves_the_others() {
    let check = |language: Language, text: &str, left: serde_json::Value, want: &[&str]| {
        let Read { root, wrong } = language.read(text);
        assert_eq!(root.whole().map(|root| root.plain()), Some(left), "{text}");
        let told: Vec<String> = wrong.iter().map(|one| format!("{}: {}", one.at.start, one.why)).collect();
        assert_eq!(told, want, "{text}");
    };
    let twice = |at: usize, key: &str| format!("{at}: the key {key:?} is there twice");
    let (a, b) = (twice(12, "a"), twice(18, "b"));
    check(Language::Toml, "a = 1\nb = 2\na = 3\nb = 4\n", json!({"a": 1, "b": 2}), &[&a, &b]);
    let (a, b) = (twice(10, "a"), twice(15, "b"));
    check(Language::Yaml, "a: 1\nb: 2\na: 3\nb: 4\n", json!({"a": 1, "b": 2}), &[&a, &b]);
    let (a, b) = (twice(17, "a"), twice(25, "b"));
    check(Language::Json, r#"{"a": 1, "b": 2, "a": 3, "b": 4}"#, json!({"a": 1, "b": 2}), &[&a, &b]);
    let (tag, key) = ("3: the tag !x does not fit \"1\"", "11: a key is a text");
    check(Language::Yaml, "a: !x 1\n\n? [b]\n: 2\nc: 3\n", json!({"a": null, "c": 3}), &[tag, key]);
    let beyond = |text: &str| Value::Beyond(text.to_owned());
    for (language, text) in [
        (Language::Toml, "a = 99999999999999999999"),
        (Language::Yaml, "a: 99999999999999999999"),
        (Language::Json, "{\"a\": 99999999999999999999}"),
    ] {
        let root = language.read(text).root.whole().unwrap();
        assert_eq!(root.entry("a").unwrap().node.value, beyond("99999999999999999999"), "{text}");
    }
}

#[test]
fn what_stands_before_the_place_where_reading_stops_is_read() {
    // What is left, and where each mistake is; a null is nothing.
    let check = |language: Language, text: &str, left: serde_json::Value, want: &[usize]| {
        let Read { root, wrong } = language.read(text);
        let got = match root {
            Root::Whole(root) => panic!("{text}: {root:?}"),
            Root::UpTo(root, up_to) => {
                assert!(up_to <= text.len(), "{text}: up to {up_to}");
                root.plain()
            }
            Root::Nothing => json!(null),
        };
        assert_eq!(got, left, "{text}: {wrong:?}");
        assert_eq!(wrong.iter().map(|one| one.at.start).collect::<Vec<_>>(), want, "{text}: {wrong:?}");
        let stopped = wrong.iter().filter(|one| one.why.ends_with(STOPPED)).count();
        let goes_on = language == Language::Toml || wrong.iter().any(|one| one.why == "unterminated array");
        assert_eq!(stopped, usize::from(!goes_on), "{wrong:?}");
    };
    check(Language::Yaml, "a: 1\nb:\n  c: [2, 3]\n d: 4\n", json!({"a": 1, "b": {"c": [2, 3]}}), &[21]);
    check(Language::Yaml, "a: 1\nb: \"x\nc: 2\n", json!({"a": 1}), &[8]);
    check(Language::Yaml, "a: {b: 1, c: [1, 2\nd: 3\n", json!({"a": {"b": 1, "c": [1]}}), &[20]);
    check(Language::Yaml, "- a: 1\n- b: *c\n- d: 1\n", json!([{"a": 1}, {}]), &[12]);
    check(Language::Yaml, "a: 1\nb: \"x\nc: 2\n---\nd: 1\n", json!({"a": 1}), &[8, 16]);
    check(Language::Yaml, "a: 1\nb: @x\n--- # two\nd: 1\n---\n", json!({"a": 1}), &[8, 11]);
    check(Language::Yaml, "a: 1\nb: @x\n----\n --- \n", json!({"a": 1}), &[8]);
    check(Language::Yaml, "@x\n", json!(null), &[0]);
    check(
        Language::Json,
        r#"{"a": 1, "b": {"c": [1, 2], "d": 3,}}"#,
        json!({"a": 1, "b": {"c": [1, 2], "d": 3}}),
        &[34],
    );
    check(Language::Json, r#"{"a": 1, "b": {"c": [1, 2"#, json!({"a": 1, "b": {"c": [1, 2]}}), &[20]);
    check(Language::Json, r#"{"a": "}, ]\"", "b": nul}"#, json!({"a": "}, ]\""}), &[21]);
    check(Language::Json, r#"{"a": 1, "b" 2, "c": 3}"#, json!({"a": 1}), &[13]);
    check(Language::Json, r#"{"a": {"b": "x}"#, json!({"a": {}}), &[12]);
    check(Language::Json, "a", json!(null), &[0]);
    check(Language::Json, "", json!(null), &[0]);
    check(Language::Toml, "a = 1\n[b]\nc = 2\nd = \"x\n[e]\nf = 1\n", json!({"a": 1, "b": {"c": 2}}), &[22]);
    check(Language::Toml, "a = 1\nb = [1,\nc = ?\n", json!(null), &[14]);
}

#[test]
fn a_language_is_told_by_the_extension_in_any_case() {
    let of = |name: &str| Language::of(std::path::Path::new(name));
    assert_eq!(["a.YML", "a.Yaml", "b.yml"].map(of), [Language::Yaml; 3]);
    assert_eq!(["a.JSON", "a.json"].map(of), [Language::Json; 2]);
    assert_eq!(["a.TOML", "a.conf", "a"].map(of), [Language::Toml; 3]);
}

#[test]
fn yaml_scalars_are_those_of_the_core_schema() {
    let check = |text: &str, want: serde_json::Value| {
        assert_eq!(plain(Language::Yaml, &format!("a: {text}")).unwrap(), json!({ "a": want }), "{text}");
    };
    check("", json!(null));
    check("~", json!(null));
    check("True", json!(true));
    check("yes", json!("yes"));
    check("12", json!(12));
    check("-7", json!(-7));
    check("0x1F", json!(31));
    check("0o17", json!(15));
    check("1.5", json!(1.5));
    check("1e3", json!(1000.0));
    check("127.0.0.1:8080", json!("127.0.0.1:8080"));
    check("1.2.3", json!("1.2.3"));
    check("30s", json!("30s"));
    check(".nan", json!(".nan"));
    check("\"12\"", json!("12"));
    check("!!str 12", json!("12"));
    check("'it''s'", json!("it's"));
    check("|\n  two\n  lines", json!("two\nlines\n"));
    check("[~]", json!([null]));
}

#[test]
fn yaml_aliases_stand_for_what_they_name_within_bounds() {
    let same = plain(Language::Yaml, "a: &x {b: 1}\nc: *x\n").unwrap();
    assert_eq!(same, json!({ "a": { "b": 1 }, "c": { "b": 1 } }));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let refused = plain(Language::Yaml, &bomb).unwrap_err();
    assert!(refused.contains("with its aliases it has more than 100000 values"), "{refused}");
    let refused = plain(Language::Yaml, "a: &a [*a]").unwrap_err();
    assert!(refused.contains("is not complete"), "{refused}");
}

#[test]
fn what_is_not_of_the_language_has_its_place() {
    let mut differ = Vec::new();
    let mut check = |language: Language, text: &str, want: &str| {
        let refused = plain(language, text).unwrap_err();
        if !refused.contains(want) {
            differ.push(format!("{text:.40}\n gave {refused}\n not {want}"));
        }
    };
    check(Language::Yaml, "a: 1\nb: 2\na: 3\n", "10..11: the key \"a\" is there twice");
    check(Language::Yaml, "a: 1\n---\nb: 2\n", "here a second one begins");
    check(Language::Yaml, "a: !!int x", "the tag tag:yaml.org,2002:int does not fit \"x\"");
    check(Language::Yaml, "a: !secret x", "the tag !secret does not fit");
    check(Language::Yaml, "[a]: 1", "a key is a text");
    check(Language::Yaml, "a: b: c", "mapping");
    check(Language::Yaml, "a:\n\t- b", "tab");
    check(Language::Yaml, &format!("{}1{}", "[".repeat(70), "]".repeat(70)), "deeper than 64 levels");
    check(Language::Json, r#"{"ü": 1, "ü": 2}"#, "10..14: the key \"ü\" is there twice");
    check(Language::Json, "{\"a\": 1,}", "7..8: trailing commas are not allowed");
    check(Language::Json, "{\"a\": 1 // c\n}", "8..12: comments are not allowed");
    check(Language::Json, "{'a': 1}", "1..2: single-quoted strings are not allowed");
    check(Language::Json, "", "EOF while parsing a value");
    check(Language::Json, "{\"a\": 01}", "expected comma");
    check(Language::Json, "{\"a\": \"\\x\"}", "escape");
    check(Language::Json, "{\"a\": \"\\ud800\"}", "surrogate");
    check(Language::Json, &format!("{}1{}", "[".repeat(70), "]".repeat(70)), "deeper than 64 levels");
    check(Language::Json, &"[".repeat(100_000), "epth");
    check(Language::Json, "{\"a\": 1e999}", "6..11: the number is too large");
    check(Language::Toml, "a = 1\na = 2\n", "6..7: the key \"a\" is there twice");
    check(
        Language::Toml,
        &format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        "max recursion depth met",
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn paths_are_read_as_they_are_written() {
    use path::{Step, child, steps};
    let key = |key: &str| Step::Key(key.to_owned());
    assert_eq!(steps("a.b[2].c"), [key("a"), key("b"), Step::Index(2), key("c")]);
    assert_eq!(steps("a.\"x.y\".c"), [key("a"), key("x.y"), key("c")]);
    assert_eq!(steps(""), []);
    assert_eq!(child("a[1]", "x-y"), "a[1].x-y");
    assert_eq!(child("", "a b"), "\"a b\"");
}
