//! `[[http_rules]]` checked: each has a selector, one verb and a path template that is one.

use super::Check;
use crate::{
    config::settings,
    schema::{HttpRule, Template, Verb},
};

impl Check<'_> {
    pub(super) fn http_rules(&mut self, written: Vec<settings::HttpRule>) -> Vec<HttpRule> {
        let mut rules = Vec::with_capacity(written.len());
        for (index, rule) in written.into_iter().enumerate() {
            let path = format!("http_rules[{index}]");
            let selector = rule.selector.clone();
            if selector.is_empty() && !self.found.below(&format!("{path}.selector")) {
                self.found.add(path.clone(), "the rule has no selector (package.Service.Method)");
            }
            self.http_rule(&path, &selector, rule, true, &mut rules);
        }
        rules
    }

    fn http_rule(
        &mut self,
        path: &str,
        selector: &str,
        rule: settings::HttpRule,
        first: bool,
        rules: &mut Vec<HttpRule>,
    ) {
        let nested = !rule.selector.is_empty() || !rule.additional_bindings.is_empty();
        if nested && !first {
            let message =
                format!("an additional binding of {selector:?} has a selector or bindings of its own");
            self.found.add(path, message);
        }
        let verbs = [
            (Verb::Get, "get", rule.get),
            (Verb::Put, "put", rule.put),
            (Verb::Post, "post", rule.post),
            (Verb::Delete, "delete", rule.delete),
            (Verb::Patch, "patch", rule.patch),
        ];
        let mut verbs: Vec<_> =
            verbs.into_iter().filter_map(|(verb, key, template)| Some((verb, key, template?))).collect();
        verbs.extend(rule.custom.map(|custom| (Verb::parse(&custom.kind), "custom.path", custom.path)));
        // An empty one is a missing path of a custom verb, which has been said.
        let said = |key: &str, template: &str| key == "custom.path" && template.is_empty();
        for (_, key, template) in verbs.iter().filter(|(_, key, template)| !said(key, template)) {
            self.found.take(
                format!("{path}.{key}"),
                Template::parse(template).map(drop).map_err(|problem| problem.to_string()),
            );
        }
        // One without a path, which is wrong, still says which methods it is for.
        let incomplete = |key: String| HttpRule::new(selector, Verb::Get, "").of_entry(key);
        match verbs.as_slice() {
            [(_, key, _)] if self.found.below(&format!("{path}.{key}")) => {
                rules.push(incomplete(format!("{path}.{key}")));
            }
            [(verb, key, template)] => rules.push(
                HttpRule::new(selector, verb.clone(), template)
                    .of_entry(format!("{path}.{key}"))
                    .with_body(rule.body)
                    .with_response_body(rule.response_body),
            ),
            // What was wrong with the only one has been said.
            [] if self.found.below(path) => rules.push(incomplete(path.to_owned())),
            _ => {
                rules.push(incomplete(path.to_owned()));
                let message = format!(
                    "{selector:?} wants exactly one of get, put, post, delete, patch, custom; it has {}",
                    verbs.len()
                );
                self.found.add(path, message);
            }
        }
        if first {
            for (index, binding) in rule.additional_bindings.into_iter().enumerate() {
                let path = format!("{path}.additional_bindings[{index}]");
                self.http_rule(&path, selector, binding, false, rules);
            }
        }
    }
}
