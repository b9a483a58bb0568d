//! What a field may hold, with a sentence for whoever gave something else. All that is wrong is said at once.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use unicode_normalization::UnicodeNormalization as _;

use crate::status::Fault;

/// What is wrong with a request's fields.
#[derive(Debug, Default)]
pub(in crate::services) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Keeps what is wrong with a field, or gives its value.
    pub(in crate::services) fn check<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|why| self.0.push(FieldViolation::new(field, why))).ok()
    }

    /// # Errors
    /// Something was wrong: INVALID_ARGUMENT with a `google.rpc.BadRequest`.
    pub(in crate::services) fn none(self) -> Result<(), Status> {
        let Some(words) = self.words() else { return Ok(()) };
        let details = ErrorDetails::with_bad_request(self.0);
        Err(Fault::client().on(Status::with_error_details(Code::InvalidArgument, words, details)))
    }

    /// All that is wrong in one sentence.
    pub(in crate::services) fn words(&self) -> Option<String> {
        let all: Vec<_> =
            self.0.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// The longest e-mail address (RFC 5321, 4.5.3.1.3, without its brackets), and its part before the @.
pub(super) const EMAIL_BYTES: usize = 254;
const LOCAL_BYTES: usize = 64;
const DOMAIN_BYTES: usize = 253;
/// The longest part of an address that is looked for, in characters.
pub(in crate::services) const EMAIL_PART: usize = 254;
/// The longest name, in characters.
pub(super) const NAME: usize = 64;
/// The most roles, permissions or scopes.
pub(super) const WORDS: usize = 100;
/// The most entries of a profile, and the longest name and value of one, in characters.
pub(in crate::services) const ENTRIES: usize = 50;
pub(in crate::services) const ENTRY_NAME: usize = 64;
pub(in crate::services) const ENTRY_VALUE: usize = 1024;
/// The longest that an API key may be good for.
pub(in crate::services) const MOST_DAYS: i32 = 3650;
/// The most that one page of a list has.
pub(in crate::services) const MOST_OF_A_PAGE: i32 = 1000;

/// An e-mail address, trimmed and composed. It is checked for its form (RFC 6531's, without quotes and comments); whether it
/// exists only a letter can tell.
///
/// # Errors
/// What is wrong with it.
pub(in crate::services) fn email(text: &str) -> Result<String, String> {
    if text.len() > 4 * EMAIL_BYTES {
        return Err(format!("an e-mail address has at most {EMAIL_BYTES} bytes"));
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err("an e-mail address is needed".to_owned());
    }
    if text.len() > EMAIL_BYTES {
        return Err(format!("an e-mail address has at most {EMAIL_BYTES} bytes"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        return Err("an e-mail address has no spaces and no invisible characters".to_owned());
    }
    let Some((local, domain)) = text.rsplit_once('@') else {
        return Err("an e-mail address has an @, as in name@example.com".to_owned());
    };
    let dots = |part: &str| part.split('.').any(str::is_empty);
    let special = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !".!#$%&'*+/=?^_`{|}~-".contains(c);
    if local.is_empty() || local.len() > LOCAL_BYTES || dots(local) || local.contains(special) {
        return Err("what stands before the @ is no name of a mailbox".to_owned());
    }
    let label = |label: &str| {
        let fine = label.chars().all(|c| c == '-' || c.is_alphanumeric() || !c.is_ascii());
        fine && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    let whole = domain.contains('.') || domain.eq_ignore_ascii_case("localhost");
    if !whole || domain.len() > DOMAIN_BYTES || !domain.split('.').all(label) {
        return Err("what stands after the @ is no domain, such as example.com".to_owned());
    }
    Ok(text)
}

/// A name to show, trimmed and composed.
///
/// # Errors
/// What is wrong with it.
pub(in crate::services) fn name(text: &str) -> Result<String, String> {
    const MOST: usize = NAME;
    // Composing shortens, but not from this.
    if text.len() > 64 * MOST {
        return Err(format!("it has at most {MOST} characters"));
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err("it is needed".to_owned());
    }
    if text.chars().count() > MOST {
        return Err(format!("it has at most {MOST} characters"));
    }
    if text.chars().any(|c| c.is_control() || is_invisible(c) && !is_presentation(c)) {
        return Err("it has no control characters and none that turn text around".to_owned());
    }
    Ok(text)
}

/// A list of roles, permissions or scopes.
///
/// # Errors
/// What is wrong with it.
pub(in crate::services) fn words(list: &[String]) -> Result<Vec<String>, String> {
    const MOST: usize = WORDS;
    const MOST_BYTES: usize = 100;
    if list.len() > MOST {
        return Err(format!("there are at most {MOST}"));
    }
    for word in list {
        let fine = word.bytes().all(|b| b.is_ascii_graphic() && !b",\"\\".contains(&b));
        if word.is_empty() || word.len() > MOST_BYTES || !fine {
            let shown: String = word.chars().take(40).collect();
            return Err(format!(
                "{shown:?} is not 1 to {MOST_BYTES} visible ASCII characters without , \" and \\"
            ));
        }
    }
    // As it will be kept: sorted, each once.
    Ok(list.iter().cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect())
}

/// Characters that are not seen, or change how others are: they make two texts look the same. (What Unicode calls default
/// ignorable, the blanks that are no spaces, and the marks of annotations.)
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Says how the sign before it is drawn, as in most emoji: harmless in what is only shown.
fn is_presentation(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_have_a_form() {
        let good = |text: &str, want: &str| assert_eq!(email(text).as_deref(), Ok(want), "{text:?}");
        good("a@b.example", "a@b.example");
        good(" Alice.B+tag@Example.COM ", "Alice.B+tag@Example.COM");
        good("o'hara@x.example", "o'hara@x.example");
        good("Jose\u{301}@münchen.example", "José@münchen.example");
        good("用户@例え.jp", "用户@例え.jp");
        good("root@localhost", "root@localhost");
        let bad = |text: &str| assert!(email(text).is_err(), "{text:?} was taken");
        for text in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b.example",
            "a@b",
            "a@@b.example",
            "a b@c.example",
            "a@b..example",
            ".a@b.example",
            "a.@b.example",
            "a..b@c.example",
            "a@-b.example",
            "a@b-.example",
            "a@b.example.",
            "a@b_c.example",
            "a\0@b.example",
            "a@b.example\r\nBcc: c@d.example",
            "\"a b\"@c.example",
            "a@[127.0.0.1]",
            "<a@b.example>",
            "a\u{200b}@b.example",
            "a\u{3164}@b.example",
            "a\u{115f}@b.example",
            "a\u{ffa0}@b.example",
            "a\u{fe0f}@b.example",
            "a\u{180e}@b.example",
            "a\u{2800}@b.example",
            "a\u{e0041}@b.example",
            "a\u{e0100}@b.example",
            "a@b\u{34f}.example",
            "a,b@c.example",
            "a@b.example,c@d.example",
        ] {
            bad(text);
        }
        bad(&format!("{}@b.example", "a".repeat(65)));
        bad(&format!("a@{}.example", "b".repeat(64)));
        bad(&format!("a@{}", "b.".repeat(126) + "example"));
        bad(&"a".repeat(1 << 20));
    }

    #[test]
    fn names_can_be_shown() {
        assert_eq!(name(" Zoe\u{308} \u{1F980} ").as_deref(), Ok("Zoë \u{1F980}"));
        assert_eq!(name(&"é".repeat(64)).map(|name| name.chars().count()), Ok(64));
        assert_eq!(name("Ann \u{2764}\u{fe0f}").as_deref(), Ok("Ann \u{2764}\u{fe0f}"));
        for bad in [
            "",
            "  ",
            "a\0b",
            "a\nb",
            "abc\u{202e}def",
            "a\u{3164}",
            "a\u{e0041}",
            &"x".repeat(65),
            &"x".repeat(1 << 20),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        let list =
            |words: &[&str]| super::words(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(list(&["admin", "books:read", "https://x.example/role"]).is_ok());
        for bad in [&["a,b"][..], &[""], &["a b"], &["ä"], &["a\"b"]] {
            assert!(list(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut wrong = Violations::default();
        assert_eq!(wrong.check("email", email("nope")), None);
        assert_eq!(wrong.check("username", name("fine")).as_deref(), Some("fine"));
        assert_eq!(wrong.check("username", name("")), None);
        let status = wrong.none().unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["email", "username"]);
        assert!(Violations::default().none().is_ok());
    }
}
