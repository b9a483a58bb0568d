//! What a field with a name like this likely holds, for examples: an address where it says `email`, a time where it says
//! `created_at`.

use serde_json::{Value, json};

/// Texts by the last words of a field's name, the more exact first.
const TEXTS: [(&str, &str); 64] = [
    ("next_page_token", "bmV4dA"),
    ("page_token", ""),
    ("email", "ann@example.com"),
    ("email_address", "ann@example.com"),
    ("uuid", "0190163d-8694-739b-aea5-966c26f8ad90"),
    ("guid", "0190163d-8694-739b-aea5-966c26f8ad90"),
    ("id", "a1b2c3"),
    ("first_name", "Ann"),
    ("given_name", "Ann"),
    ("last_name", "Example"),
    ("family_name", "Example"),
    ("surname", "Example"),
    ("full_name", "Ann Example"),
    ("display_name", "Ann Example"),
    ("user_name", "ann"),
    ("username", "ann"),
    ("login", "ann"),
    ("host_name", "www.example.com"),
    ("hostname", "www.example.com"),
    ("file_name", "report.pdf"),
    ("filename", "report.pdf"),
    ("author", "Ann Example"),
    ("owner", "ann"),
    ("password", "Correct-Horse-7"),
    ("image_url", "https://example.com/picture.png"),
    ("avatar_url", "https://example.com/picture.png"),
    ("url", "https://example.com/"),
    ("uri", "https://example.com/"),
    ("link", "https://example.com/"),
    ("href", "https://example.com/"),
    ("website", "https://example.com/"),
    ("homepage", "https://example.com/"),
    ("domain", "example.com"),
    ("host", "www.example.com"),
    ("ip", "192.0.2.1"),
    ("ip_address", "192.0.2.1"),
    ("time_zone", "Europe/Amsterdam"),
    ("timezone", "Europe/Amsterdam"),
    ("at", "2026-01-31T12:00:00Z"),
    ("time", "2026-01-31T12:00:00Z"),
    ("timestamp", "2026-01-31T12:00:00Z"),
    ("datetime", "2026-01-31T12:00:00Z"),
    ("date", "2026-01-31"),
    ("birthday", "2026-01-31"),
    ("phone", "+1 555 0100"),
    ("phone_number", "+1 555 0100"),
    ("country", "NL"),
    ("country_code", "NL"),
    ("currency", "EUR"),
    ("currency_code", "EUR"),
    ("language", "en"),
    ("language_code", "en"),
    ("locale", "en-GB"),
    ("city", "Amsterdam"),
    ("postal_code", "1011 AB"),
    ("zip", "1011 AB"),
    ("zip_code", "1011 AB"),
    ("street", "1 Main Street"),
    ("mime_type", "text/plain"),
    ("media_type", "text/plain"),
    ("content_type", "text/plain"),
    ("color", "#3366cc"),
    ("version", "1.0.0"),
    ("order_by", "name"),
];

/// Whole numbers by the same.
const NUMBERS: [(&str, i32); 11] = [
    ("page_size", 20),
    ("limit", 20),
    ("port", 8080),
    ("year", 2026),
    ("month", 1),
    ("day", 31),
    ("age", 30),
    ("width", 640),
    ("height", 480),
    ("percent", 50),
    ("quantity", 2),
];

/// Others.
const FRACTIONS: [(&str, f64); 6] = [
    ("latitude", 52.37),
    ("lat", 52.37),
    ("longitude", 4.89),
    ("lng", 4.89),
    ("price", 9.5),
    ("amount", 9.5),
];

/// A text for a field of this name, its proto's; the name in words where it says nothing of what it holds.
pub(super) fn text(name: &str) -> String {
    of(&TEXTS, name).map_or_else(|| name.replace('_', " "), |text| (*text).to_owned())
}

/// A whole number.
pub(super) fn whole(name: &str) -> i32 {
    of(&NUMBERS, name).copied().unwrap_or(1)
}

/// A number that need not be whole.
pub(super) fn fraction(name: &str) -> Value {
    of(&FRACTIONS, name).map_or(json!(1.5), |fraction| json!(fraction))
}

/// The value of the longest words that a name ends with: `shipping_postal_code` is a `postal_code`.
fn of<'v, V>(values: &'v [(&str, V)], name: &str) -> Option<&'v V> {
    let ends = |words: &str| {
        name.strip_suffix(words).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    let ending = values.iter().filter(|(words, _)| ends(words));
    ending.max_by_key(|(words, _)| words.len()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_likely_in_it() {
        let check = |name: &str, want: &str| assert_eq!(text(name), want, "{name}");
        check("email", "ann@example.com");
        check("contact_email", "ann@example.com");
        check("id", "a1b2c3");
        check("customer_id", "a1b2c3");
        check("external_uuid", "0190163d-8694-739b-aea5-966c26f8ad90");
        check("created_at", "2026-01-31T12:00:00Z");
        check("start_date", "2026-01-31");
        check("avatar_url", "https://example.com/picture.png");
        check("callback_url", "https://example.com/");
        check("shipping_postal_code", "1011 AB");
        check("page_token", "");
        check("next_page_token", "bmV4dA");
        // What only ends with the letters is no such word.
        check("grid", "grid");
        check("format", "format");
        check("shelf_title", "shelf title");
        assert_eq!((whole("page_size"), whole("release_year"), whole("pages")), (20, 2026, 1));
        assert_eq!((fraction("latitude"), fraction("weight")), (json!(52.37), json!(1.5)));
    }
}
