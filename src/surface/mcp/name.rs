//! A tool's name, made of its method's: `[A-Za-z0-9_-]` and at most 64 characters, because model APIs take no others. It is
//! the same whatever else is served, so that what an agent has learned stays true.

use crate::auth::{digest, hex};

/// The most characters of a name.
const MOST: usize = 64;
/// Hexadecimal digits of a hash that tells long names apart.
const HASH: usize = 8;

/// What a tool's name is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// `package_Service_Method`
    #[default]
    Full,
    /// `Service_Method`
    Service,
    /// `Method`
    Method,
}

/// The name of a method's tool; `method` is `package.Service/Method`.
#[must_use]
pub fn name(method: &str, naming: Naming) -> String {
    let (service, name) = method.split_once('/').unwrap_or(("", method));
    let text = match naming {
        Naming::Full => method.to_owned(),
        Naming::Service => format!("{}_{name}", service.rsplit('.').next().unwrap_or_default()),
        Naming::Method => name.to_owned(),
    };
    let text: String = text.chars().map(|c| if is_part(c) { c } else { '_' }).collect();
    if text.len() <= MOST {
        return text;
    }
    // The end says most. What is cut off is told apart by a hash of the whole.
    let hash = hash(method);
    let end = text.get(text.len() - (MOST - HASH - 1)..).unwrap_or_default();
    format!("{}_{hash}", end.trim_start_matches(|c: char| !c.is_ascii_alphabetic()))
}

/// A name that was made elsewhere, in the characters and the length that names have here; the hash is of `whole`.
#[must_use]
pub fn bounded(text: &str, whole: &str) -> String {
    let fits: String = text.chars().map(|c| if is_part(c) { c } else { '_' }).collect();
    if fits == text && text.len() <= MOST {
        return fits;
    }
    let hash = hash(whole);
    let start = fits.get(..fits.len().min(MOST - HASH - 1)).unwrap_or_default();
    format!("{start}_{hash}")
}

fn hash(whole: &str) -> String {
    let mut hash = hex(&digest(whole.as_bytes()));
    hash.truncate(HASH);
    hash
}

/// What is wrong with a name that is given by hand.
///
/// # Errors
/// Why it is none.
pub fn check(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= MOST && name.chars().all(is_part) {
        return Ok(());
    }
    Err(format!("{name:?} is no tool's name: it is 1 to {MOST} letters, digits, _ and -"))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let book = "acme.library.v1.LibraryService/GetBook";
        assert_eq!(name(book, Naming::Full), "acme_library_v1_LibraryService_GetBook");
        assert_eq!(name(book, Naming::Service), "LibraryService_GetBook");
        assert_eq!(name(book, Naming::Method), "GetBook");
        let long = format!("{}.Service/Method", "a.b_c".repeat(20));
        let made = name(&long, Naming::Full);
        assert!(made.len() <= MOST && check(&made).is_ok(), "{made}");
        assert!(made.contains("Service_Method_"), "{made}");
        assert_eq!(made, name(&long, Naming::Full));
        assert_ne!(made, name(&format!("x{long}"), Naming::Full));
        let one = name(&format!("p.S/{}", "M".repeat(200)), Naming::Method);
        assert!(check(&one).is_ok() && one.len() == MOST, "{one}");
    }

    #[test]
    fn what_is_no_name() {
        for bad in ["", "a.b", "a b", "ä", &"a".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("get-book_2").is_ok());
    }
}
