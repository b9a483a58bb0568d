//! What a contract expects of the log and of the numbers.

use regex::Regex;
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

/// The request's own line has the id that its answer says in this header.
pub(super) fn same_id(header: &Value, printed: &str, answer: &Answer) -> Result<(), String> {
    let name = header.as_str().ok_or("it is a header's name")?;
    let id = answer.headers.get(name).and_then(|id| id.to_str().ok()).ok_or("the answer has no id")?;
    let told = lines(printed).iter().any(|line| line["message"] == "request" && line["request_id"] == id);
    if told { Ok(()) } else { Err(format!("{id} is in no line of:\n{printed}")) }
}

/// Each of these is a line of the page: as it is, or what `$re:` describes.
pub(super) fn metrics(expected: &Value, page: &str) -> Result<(), String> {
    for wanted in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let there = match wanted.strip_prefix("$re:") {
            None => page.lines().any(|line| line == wanted),
            Some(pattern) => {
                let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
                page.lines().any(|line| pattern.is_match(line))
            }
        };
        if !there {
            return Err(format!("no line is {wanted}:\n{page}"));
        }
    }
    Ok(())
}
