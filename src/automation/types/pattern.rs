//! A custom type's pattern: a regular expression that the whole text matches, or a filter. Expressions are those that can be
//! matched in time linear in the text (no look-around, no back-references), and small once compiled.

use regex_automata::meta::{BuildError, Builder, Config, Regex};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, Look},
};

use super::{Verdict, json, yaml};

/// The longest pattern, in characters.
pub(in crate::automation) const MOST: usize = 500;
/// The most bytes that an expression has once compiled, and that its search may use to be fast.
const COMPILED: usize = 512 << 10;
const SEARCH: usize = 512 << 10;
/// How deep an expression may be.
const NESTED: u32 = 50;

/// A pattern that can be used.
#[derive(Debug)]
pub(in crate::automation) enum Pattern {
    Json,
    Yaml,
    Expression(Box<Regex>),
}

impl Pattern {
    /// # Errors
    /// What is wrong with it, with the place.
    pub(in crate::automation) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("it is needed: a regular expression, or a filter such as \"| from_json\"".to_owned());
        }
        let characters = text.chars().count();
        if characters > MOST {
            return Err(format!("it has {characters} characters; the most is {MOST}"));
        }
        if text.contains('\0') {
            return Err("it has no NUL".to_owned());
        }
        let Some(filter) = text.strip_prefix('|') else { return expression(text) };
        match filter.trim() {
            "from_json" => Ok(Self::Json),
            "from_yaml" => Ok(Self::Yaml),
            other => Err(format!("Filtre inconnu: {other}; there are from_json and from_yaml")),
        }
    }

    /// Whether a text is a value.
    pub(in crate::automation) fn verdict(&self, text: &str) -> Verdict {
        match self {
            Self::Json => Verdict::read(json::read(text)),
            Self::Yaml => Verdict::read(yaml::read(text)),
            Self::Expression(regex) => Verdict::matched(regex.is_match(text), text),
        }
    }
}

fn expression(text: &str) -> Result<Pattern, String> {
    let parsed = ParserBuilder::new().nest_limit(NESTED).build().parse(text).map_err(|error| {
        let (at, what) = match &error {
            regex_syntax::Error::Parse(error) => (error.span().start.column, error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (error.span().start.column, error.kind().to_string()),
            other => (1, other.to_string()),
        };
        format!("Regexp invalide: at character {at}: {what}")
    })?;
    // As it was parsed and not as it was written: no bracket or comment in it can get out of the anchors.
    let whole = Hir::concat(vec![Hir::look(Look::Start), parsed, Hir::look(Look::End)]);
    let config = Config::new().nfa_size_limit(Some(COMPILED)).hybrid_cache_capacity(SEARCH);
    let built = Builder::new().configure(config).build_from_hir(&whole);
    let regex = built.map_err(|error: BuildError| match error.size_limit() {
        Some(_) => "Regexp invalide: it is too large once its repetitions are written out".to_owned(),
        None => format!("Regexp invalide: {error}"),
    })?;
    Ok(Pattern::Expression(Box::new(regex)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_whole_text_is_matched() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(Pattern::parse(pattern).unwrap().verdict(text).valid, want, "{pattern} {text:?}");
        };
        check(r"^(\d{1,3}\.){3}\d{1,3}$", "10.0.0.1", true);
        check(r"^(\d{1,3}\.){3}\d{1,3}$", "10.0.0.1x", false);
        check("a|ab", "ab", true);
        check("a|ab", "abc", false);
        check("a", "xa", false);
        check("a$", "a\n", false);
        check("(?m)a$", "a\nb", false);
        check("(?x) a # the letter", "a", true);
        check("a.b", "a\nb", false);
        check("é+", "éé", true);
        check("(?i)é", "É", true);
    }

    #[test]
    fn filters_are_known_by_their_names() {
        assert!(matches!(Pattern::parse("| from_json"), Ok(Pattern::Json)));
        assert!(matches!(Pattern::parse("|from_yaml  "), Ok(Pattern::Yaml)));
        let why = Pattern::parse("| to_nice_json").unwrap_err();
        assert!(why.starts_with("Filtre inconnu: to_nice_json;"), "{why}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let check = |pattern: &str, want: &str| {
            let why = Pattern::parse(pattern).unwrap_err();
            assert!(why.starts_with(want), "{pattern}: {why}");
        };
        check("([", "Regexp invalide: at character 2: unclosed character class");
        check(r"ab(?=\d)", "Regexp invalide: at character 3: look-around");
        check(r"(a)\1", "Regexp invalide: at character 4: backreferences");
        check("a)(b", "Regexp invalide: at character 2: unopened group");
        check(&"(".repeat(300), "Regexp invalide: at character");
        check(&"a".repeat(501), "it has 501 characters");
        check("a\0", "it has no NUL");
        check("  ", "it is needed");
        check(r"((((\w{9}){9}){9}){9}){9}", "Regexp invalide: it is too large");
    }

    /// What takes other engines for ever, at the longest text there is.
    #[test]
    fn no_expression_takes_long() {
        let mut texts = vec!["a".repeat(super::super::MOST_TEXT - 1) + "!"];
        texts.push("aA1é ".repeat(super::super::MOST_TEXT / 6));
        for pattern in [
            "(a+)+",
            "(a|aa)+",
            "(a|a?)+",
            "(.*)*x",
            r"(\w+\s?)*\d",
            "([a-z]+)*[A-Z]{20}",
            "(.{1,20}){1,20}",
            r"(?i)(\pL{1,9}.?){1,3}",
        ] {
            let Ok(pattern) = Pattern::parse(pattern) else { continue };
            for text in &texts {
                let began = Instant::now();
                pattern.verdict(text);
                assert!(began.elapsed() < Duration::from_secs(5), "{pattern:?} {:?}", began.elapsed());
            }
        }
    }
}
