//! `[access]` checked, and the `access` of a route.

use std::sync::Arc;

use super::{super::ConfigError, settings};
use crate::{
    auth::{Entry, Pattern, Rule, Rulebook, Subject},
    schema::did_you_mean,
};

/// Puts the rules into the book.
pub(super) fn access(written: settings::Access, book: &mut Rulebook) -> Result<(), ConfigError> {
    match written.default.as_deref() {
        None => {}
        Some("authenticated") => book.default = Arc::new(Rule::authenticated("access.default")),
        Some("public") => book.default = Arc::new(Rule::public("access.default")),
        Some(other) => {
            let near = did_you_mean(other, ["authenticated", "public"]);
            return Err(ConfigError(format!(
                "access.default: {other:?} is neither \"authenticated\" nor \"public\"{near}"
            )));
        }
    }
    for (number, written) in written.rules.into_iter().enumerate() {
        let key: Arc<str> = format!("access.rules[{number}]").into();
        let patterns = patterns(&key, &written.patterns)?;
        let what = Arc::new(rule(&key, written)?);
        book.access.push(Entry { key, patterns, what });
    }
    twice(book)
}

/// Two rules for one pattern: which is meant, is not for us to guess.
fn twice(book: &Rulebook) -> Result<(), ConfigError> {
    let mut seen: Vec<(&Pattern, &str)> = Vec::new();
    for entry in &book.access {
        for pattern in &entry.patterns {
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == pattern) {
                return Err(ConfigError(format!("{}: {pattern} has a rule already, {first}", entry.key)));
            }
            seen.push((pattern, &entry.key));
        }
    }
    Ok(())
}

pub(super) fn patterns(key: &str, written: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    if written.is_empty() {
        return Err(ConfigError(format!("{key}.match: it is about nothing; name methods or paths")));
    }
    let parse =
        |text: &String| Pattern::parse(text).map_err(|why| ConfigError(format!("{key}.match: {why}")));
    written.iter().map(parse).collect()
}

/// One rule.
///
/// # Errors
/// It contradicts itself, or names somebody in a way that is none.
pub(in crate::config) fn rule(key: &str, written: settings::AccessRule) -> Result<Rule, ConfigError> {
    let settings::AccessRule { patterns: _, public, roles, permissions, scopes, tiers, allow, deny } =
        written;
    let public = public.unwrap_or(false);
    let asks = [("roles", &roles), ("permissions", &permissions), ("scopes", &scopes), ("tiers", &tiers)];
    for (name, list) in asks {
        if public && !list.is_empty() {
            return Err(ConfigError(format!(
                "{key}.{name}: a public rule asks for no {name}; take one of the two"
            )));
        }
        if list.iter().any(String::is_empty) {
            return Err(ConfigError(format!("{key}.{name}: one of them is empty")));
        }
    }
    let subjects = |name: &str, list: Vec<String>| {
        let parse =
            |text: &String| Subject::parse(text).map_err(|why| ConfigError(format!("{key}.{name}: {why}")));
        list.iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    Ok(Rule {
        name: key.into(),
        public,
        roles: texts(roles),
        permissions: texts(permissions),
        scopes: texts(scopes),
        tiers: texts(tiers),
        allow: subjects("allow", allow)?,
        deny: subjects("deny", deny)?,
    })
}

pub(super) fn texts(list: Vec<String>) -> Vec<Arc<str>> {
    list.into_iter().map(Arc::from).collect()
}
