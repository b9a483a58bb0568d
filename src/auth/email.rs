//! E-mail addresses as they are compared: of the accounts that they name, and of those whom a rule denies.

use unicode_normalization::UnicodeNormalization as _;

/// An e-mail address as it is compared: in NFKC, without case. Two spellings of one address are one account.
#[must_use]
pub fn email_key(email: &str) -> String {
    // Lower case can leave what composes again, so that a second pass is what makes it stable.
    email.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// True for two spellings of one address.
#[must_use]
pub fn same_email(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        // What `email_key` makes of ASCII, for whom a rule is asked about at every call.
        return one.trim().eq_ignore_ascii_case(other.trim());
    }
    email_key(one) == email_key(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_has_one_key_however_it_is_spelt() {
        let check = |text: &str, want: &str| {
            assert_eq!(email_key(text), want, "{text:?}");
            assert_eq!(email_key(want), want, "{text:?} twice");
            assert!(same_email(text, want) && same_email(want, text), "{text:?}");
            assert!(!same_email(text, "bob@example.com"), "{text:?}");
        };
        check(" Alice@Example.COM ", "alice@example.com");
        check("ALICE+tag@example.com", "alice+tag@example.com");
        // Composed and decomposed, full width, ligatures.
        check("Jose\u{301}@example.com", "josé@example.com");
        check("JOSÉ@example.com", "josé@example.com");
        check("ａlice@example.com", "alice@example.com");
        check("ﬁona@example.com", "fiona@example.com");
        check("İ@example.com", "i\u{307}@example.com");
    }
}
