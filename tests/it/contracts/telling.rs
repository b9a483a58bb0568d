//! What a contract expects of the log and of the numbers.

use fancy_regex::Regex;
use serde_json::Value;

use super::{client::Answer, matcher::matches};

/// What a gateway printed since a case began, as the objects that its lines are.
pub(super) fn lines(printed: &str) -> Vec<Value> {
    printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Some line is an object with these members.
pub(super) fn log(expected: &Value, printed: &str) -> Result<(), String> {
    let lines = lines(printed);
    if lines.iter().any(|line| matches(expected, Some(line), "line").is_ok()) {
        return Ok(());
    }
    Err(format!("no line is {expected}; there are:\n{printed}"))
}

/// None of these texts is anywhere.
pub(super) fn no_log(expected: &Value, printed: &str) -> Result<(), String> {
    let texts = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
    match texts.into_iter().find(|text| printed.contains(text)) {
        Some(text) => Err(format!("{text:?} is in:\n{printed}")),
        None => Ok(()),
    }
}

/// Every line is an object, and none has a code point in the ranges of emoji.
pub(super) fn every_line(printed: &str) -> Result<(), String> {
    let emoji = |sign: char| matches!(sign, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}');
    let wrong = |line: &&str| !serde_json::from_str(line).is_ok_and(|line: Value| line.is_object());
    match printed.lines().filter(|line| !line.is_empty()).find(|line| wrong(line) || line.contains(emoji)) {
        Some(line) => Err(format!("{line:?} is not so")),
        None => Ok(()),
    }
}

/// The request's own line has the id that its answer says in this header.
pub(super) fn same_id(header: &Value, printed: &str, answer: &Answer) -> Result<(), String> {
    let name = header.as_str().ok_or("it is a header's name")?;
    let id = answer.headers.get(name).and_then(|id| id.to_str().ok()).ok_or("the answer has no id")?;
    let told = lines(printed).iter().any(|line| line["message"] == "request" && line["request_id"] == id);
    if told { Ok(()) } else { Err(format!("{id} is in no line of:\n{printed}")) }
}

/// No line of the page has this text.
pub(super) fn no_metric(expected: &Value, page: &str) -> Result<(), String> {
    let text = expected.as_str().ok_or("it is a text")?;
    match page.lines().find(|line| line.contains(text)) {
        Some(line) => Err(format!("there is {line}")),
        None => Ok(()),
    }
}

/// Each of these is a line of the page: as it is, or what `$re:` describes.
pub(super) fn metrics(expected: &Value, page: &str) -> Result<(), String> {
    for wanted in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let there = match wanted.strip_prefix("$re:") {
            None => page.lines().any(|line| line == wanted),
            Some(pattern) => {
                let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
                page.lines().any(|line| pattern.is_match(line).unwrap_or_default())
            }
        };
        if !there {
            return Err(format!("no line is {wanted}:\n{page}"));
        }
    }
    Ok(())
}
