//! The nearest of some names to a mistyped one, for error messages. It gives up on long or distant names, so that a
//! hostile name costs little.

/// Names longer than this many bytes are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 64;

/// The candidate that `wanted` was most likely meant to be, if one is near enough to be worth naming.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.is_empty() || wanted.len() > MAX_LENGTH {
        return None;
    }
    let wanted = plain(wanted);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates.into_iter().filter(|candidate| candidate.len() <= MAX_LENGTH) {
        let known = plain(candidate);
        // Every letter that one has more is a difference: most names are told apart by their lengths.
        let (short, long) = (wanted.len().min(known.len()), wanted.len().max(known.len()));
        if wanted.is_ascii() && known.is_ascii() && short * 10 < long * 6 {
            continue;
        }
        let likeness = strsim::normalized_damerau_levenshtein(&wanted, &known);
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
    strsim::normalized_damerau_levenshtein(&plain(a), &plain(b))
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
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
