//! What is known of the config's own `http_rules` before any upstream has said which methods it has: which of them would
//! never be reached, and which select nothing.

use std::{collections::HashSet, sync::Arc};

use super::{Mistake, build::Build};
use crate::{
    route::router::Router,
    schema::{HttpRule, Schema, Template, Verb},
};

impl Build<'_> {
    /// Tells of each rule whose requests a page, a method of the gateway's own, a path of `[[routes]]` or an earlier rule
    /// has. Rules of the gateway's own methods are told of where these are entered.
    pub(super) fn configured_rules(&mut self, built_in: &Schema) {
        let config = self.config;
        let own: Vec<&str> = built_in
            .methods()
            .filter(|method| config.built_ins.has_service(method.service_name()))
            .map(|method| &*method.full_name)
            .collect();
        let mut among = Router::new(config.rest.paths);
        for (place, rule) in config.http_rules.iter().enumerate() {
            let Some(entry) = &rule.entry else { continue };
            let Ok(template) = Template::parse(&rule.template) else { continue };
            if own.iter().any(|method| rule.selects(method)) {
                continue;
            }
            let (verb, selector) = (&rule.verb, &rule.selector);
            let hidden = match self.shadows.of(&self.built.rest, verb, &template) {
                Some(what) => Some(format!("{rule} of {selector} would never be reached: there is {what}")),
                None => self.twin(rule, verb, &template).or_else(|| {
                    // Of rules that select the same methods the last counts.
                    let later = config.http_rules.get(place + 1..).unwrap_or_default();
                    let counts = !selector.contains(['*', ','])
                        && !later.iter().any(|other| other.selector != *selector && other.selects(selector));
                    let added = || among.insert(verb, &template, selector.as_str(), ());
                    counts.then(added)?.err().map(|conflict| conflict.to_string())
                }),
            };
            if let Some(message) = hidden {
                self.hidden.insert(Arc::clone(entry));
                self.mistakes.push(Mistake::new(&**entry, message));
            }
        }
    }

    /// A path of `[[routes]]` that matches the same requests.
    fn twin(&self, rule: &HttpRule, verb: &Verb, template: &Template) -> Option<String> {
        let mut paths = self.built.rest.at(template);
        let (_, route, _) = paths.find(|(known, label, _)| *known == verb && label.starts_with("routes["))?;
        Some(format!("two bindings match the same requests: {rule} of {} and that of {route}", rule.selector))
    }
}

/// A mistake for every rule that selects none of `methods`, once an entry.
pub(super) fn unmatched_selectors(configured: &[HttpRule], methods: &[&str]) -> Vec<Mistake> {
    let mut entries = HashSet::new();
    let mut mistakes = Vec::new();
    for rule in configured.iter().filter(|rule| !rule.selector.is_empty()) {
        if methods.iter().any(|method| rule.selects(method)) {
            continue;
        }
        let entry = rule.entry.as_deref().and_then(|key| key.split('.').next()).unwrap_or("http_rules");
        if !entries.insert(entry) {
            continue;
        }
        let message = format!("{:?} selects no method that is known", rule.selector);
        let mut mistake =
            Mistake::new(format!("{entry}.selector"), message).needing(&["upstreams", "builtin"]);
        mistake.told = mistake.told.near(&rule.selector, methods.iter().copied());
        mistakes.push(mistake);
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_without_method_is_told_once_with_the_nearest() {
        let rule = |selector: &str, entry: &str| HttpRule::new(selector, Verb::Get, "/x").of_entry(entry);
        let rules = [
            rule("shop.Books.Update", "http_rules[0].get"),
            rule("shop.Books.Updat", "http_rules[1].get"),
            rule("shop.Books.Updat", "http_rules[1].additional_bindings[0].put"),
            rule("other.*", "http_rules[2].get"),
        ];
        let mistakes = unmatched_selectors(&rules, &["shop.Books.Update"]);
        let told: Vec<_> = mistakes
            .iter()
            .map(|mistake| (mistake.told.path.as_str(), mistake.told.suggestion.as_deref()))
            .collect();
        let want = [("http_rules[1].selector", Some("shop.Books.Update")), ("http_rules[2].selector", None)];
        assert_eq!(told, want);
    }
}
