//! YAML (1.2, core schema) as a value: one document. Aliases are understood, and counted as often as they stand for something,
//! so that a few lines are never millions of values.

use std::collections::HashMap;

use prost_types::{Value, value::Kind};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use super::{MOST_LEVELS, list, object, string, too_deep, value};

/// The most values, and the most bytes of texts, those that aliases stand for included.
const MOST_VALUES: usize = 10_000;
const MOST_BYTES: usize = 1 << 20;

/// # Errors
/// Why it is none, with the place where there is one.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), cost: Cost::default() };
    let mut root = None;
    loop {
        match reader.next()? {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => {
                return Err("it has a second document; one is read".to_owned());
            }
            Event::DocumentStart(_) => {
                let event = reader.next()?;
                root = Some(reader.node(event, 1)?);
            }
            _ => {}
        }
    }
    // An empty stream stands for nothing.
    Ok(root.unwrap_or_else(|| value(Kind::NullValue(0))))
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    values: usize,
    bytes: usize,
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// What aliases stand for, what that costs, and how deep it is.
    anchors: HashMap<usize, (Value, Cost, usize)>,
    cost: Cost,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                Err(format!("{} at line {} column {}", error.info(), at.line(), at.col() + 1))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn charge(&mut self, cost: Cost) -> Result<(), String> {
        self.cost.values = self.cost.values.saturating_add(cost.values);
        self.cost.bytes = self.cost.bytes.saturating_add(cost.bytes);
        if self.cost.values > MOST_VALUES || self.cost.bytes > MOST_BYTES {
            return Err(format!(
                "it stands for too much: at most {MOST_VALUES} values and {MOST_BYTES} bytes are read, aliases included"
            ));
        }
        Ok(())
    }

    /// One value, of which this is the first event.
    fn node(&mut self, event: Event<'t>, level: usize) -> Result<Value, String> {
        if level > MOST_LEVELS {
            return Err(too_deep());
        }
        let before = self.cost;
        let (anchor, made) = match event {
            Event::Alias(anchor) => {
                let (stands_for, cost, height) =
                    self.anchors.get(&anchor).cloned().ok_or("an alias stands for what it is part of")?;
                if level + height - 1 > MOST_LEVELS {
                    return Err(too_deep());
                }
                self.charge(cost)?;
                return Ok(stands_for);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.charge(Cost { values: 1, bytes: text.len() })?;
                (anchor, scalar(&text, style, tag.as_deref())?)
            }
            Event::SequenceStart(anchor, _) => {
                self.charge(Cost { values: 1, bytes: 0 })?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, level + 1)?),
                    }
                }
                (anchor, list(items))
            }
            Event::MappingStart(anchor, _) => {
                self.charge(Cost { values: 1, bytes: 0 })?;
                let mut members = Vec::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => break,
                        event => name(self.node(event, level + 1)?)?,
                    };
                    let event = self.next()?;
                    members.push((name, self.node(event, level + 1)?));
                }
                (anchor, object(members))
            }
            _ => return Err("a value should stand where it ends".to_owned()),
        };
        if anchor != 0 {
            let cost =
                Cost { values: self.cost.values - before.values, bytes: self.cost.bytes - before.bytes };
            let height = height(&made);
            self.anchors.insert(anchor, (made.clone(), cost, height));
        }
        Ok(made)
    }
}

/// A key as JSON has it: a text.
fn name(key: Value) -> Result<String, String> {
    match key.kind {
        Some(Kind::StringValue(text)) => Ok(text),
        Some(Kind::NumberValue(number)) => Ok(number.to_string()),
        Some(Kind::BoolValue(one)) => Ok(one.to_string()),
        Some(Kind::NullValue(_)) | None => Ok("null".to_owned()),
        Some(Kind::ListValue(_) | Kind::StructValue(_)) => {
            Err("a key is a list or a mapping, which JSON has no form for".to_owned())
        }
    }
}

fn height(value: &Value) -> usize {
    let below = match &value.kind {
        Some(Kind::ListValue(list)) => list.values.iter().map(height).max(),
        Some(Kind::StructValue(object)) => object.fields.values().map(height).max(),
        _ => None,
    };
    1 + below.unwrap_or_default()
}

/// A plain scalar is what it looks like, a quoted one is a text, and a tag decides over both.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text) } else { Ok(string(text)) };
    };
    let wanted = tag.is_yaml_core_schema().then_some(tag.suffix.as_str());
    let read = plain(text)?;
    match (wanted, &read.kind) {
        (Some("str"), _) => Ok(string(text)),
        (Some("int" | "float"), Some(Kind::NumberValue(_)))
        | (Some("bool"), Some(Kind::BoolValue(_)))
        | (Some("null"), Some(Kind::NullValue(_))) => Ok(read),
        _ => Err(format!("the tag {}{} does not fit, or is not known here", tag.handle, tag.suffix)),
    }
}

fn plain(text: &str) -> Result<Value, String> {
    let kind = match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::NullValue(0),
        "true" | "True" | "TRUE" => Kind::BoolValue(true),
        "false" | "False" | "FALSE" => Kind::BoolValue(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => return Err(format!("JSON has no form for the number {text}")),
        _ => match number(text) {
            Some(number) if number.is_finite() => Kind::NumberValue(number),
            Some(_) => return Err(format!("the number {:.20}… is beyond all numbers", text)),
            None => Kind::StringValue(text.to_owned()),
        },
    };
    Ok(value(kind))
}

/// A number of the core schema: whole, `0o…`, `0x…`, or with a point or an exponent.
fn number(text: &str) -> Option<f64> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|whole| whole as f64);
    if let Some(hex) = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+')) {
        return radix(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o").filter(|digits| !digits.starts_with('+')) {
        return radix(octal, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let like_one = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| like_one)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn numbers(all: &[f64]) -> Value {
        list(all.iter().map(|one| value(Kind::NumberValue(*one))).collect())
    }

    #[test]
    fn yaml_is_read_by_the_core_schema() {
        let check = |text: &str, want: Value| assert_eq!(read(text), Ok(want), "{text}");
        check("", value(Kind::NullValue(0)));
        check("[1, -2, 0x10, 0o10, 1.5, 1e3, .5]", numbers(&[1.0, -2.0, 16.0, 8.0, 1.5, 1000.0, 0.5]));
        check("[yes, 1.2.3, '1', 0x, -a]", list(["yes", "1.2.3", "1", "0x", "-a"].map(string).into()));
        check(
            "{1: a, true: b, ~: c}",
            object([("1", "a"), ("true", "b"), ("null", "c")].map(|(k, v)| (k.to_owned(), string(v)))),
        );
        check(
            "a: &x [1]\nb: *x\n",
            object([("a".to_owned(), numbers(&[1.0])), ("b".to_owned(), numbers(&[1.0]))]),
        );
        check("!!str 1", string("1"));
        check("# nothing\n", value(Kind::NullValue(0)));
    }

    #[test]
    fn what_is_none_is_told() {
        let check = |text: &str, want: &str| {
            let why = read(text).unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
        };
        check("a: [1, 2", "line");
        check("a: b: c", "line 1");
        check("--- 1\n--- 2\n", "second document");
        check("a: &x [*x]", "part of");
        check("{[1]: 2}", "a key is a list");
        check(".nan", "no form for the number");
        check("1e999", "beyond all numbers");
        check("!!python/object:os.system x", "is not known here");
    }

    /// A billion laughs, one long text many times, and depth: refused at once.
    #[test]
    fn bombs_do_not_go_off() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            laughs += &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(30_000), ["*a"; 5000].join(", "));
        let doubled: String = "a0: &a0 [x]\n".to_owned()
            + &(1..60).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect::<String>();
        let deep = "[".repeat(60_000);
        let keys = "? ".repeat(30_000);
        let began = Instant::now();
        for (bomb, want) in
            [(&laughs, "too much"), (&long, "too much"), (&doubled, "too deeply"), (&deep, ""), (&keys, "")]
        {
            let why = read(bomb).unwrap_err();
            assert!(why.contains(want), "{why}");
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
