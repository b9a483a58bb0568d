//! The nearest of some names to a mistyped one, for error messages. It gives up on long or distant names, so that a
//! hostile name costs little.

/// Names longer than this many bytes are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 64;

/// The candidate that `wanted` was most likely meant to be, if one is near enough to be worth naming.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.is_empty() || wanted.len() > MAX_LENGTH {
        return None;
    }
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        if candidate.len() > MAX_LENGTH {
            continue;
        }
        let likeness = likeness(wanted, candidate);
        if likeness >= 0.6 && best.is_none_or(|(value, _)| likeness > value) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ` (did you mean "x"?)` or nothing: the end of a message about an unknown name.
pub fn did_you_mean<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wanted, candidates).map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

/// How alike two names are, from 0 to 1, upper and lower case and `_` making little difference.
pub fn likeness(a: &str, b: &str) -> f64 {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    strsim::normalized_damerau_levenshtein(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_near() {
        fn check(wanted: &str, want: Option<&str>) {
            assert_eq!(nearest(wanted, ["page_size", "page_token", "parent", "filter"]), want, "{wanted}");
        }
        check("pageSize", Some("page_size"));
        check("page_sise", Some("page_size"));
        check("PAGE_TOKEN", Some("page_token"));
        check("parrent", Some("parent"));
        check("zzz", None);
        check("", None);
        check(&"page_size".repeat(100), None);
    }
}
