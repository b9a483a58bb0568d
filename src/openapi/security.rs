//! Who may call: each operation's demand, from the rules of its route, and the ways to say who one is.

use serde_json::{Value, json};
use utoipa::openapi::{
    extensions::Extensions,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use crate::{
    auth::{Access, Rule, Subject},
    config::{Config, Own},
};

const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";
const CERTIFICATE: &str = "client_certificate";

/// The schemes, by name.
pub(super) fn schemes(config: &Config) -> Vec<(&'static str, SecurityScheme)> {
    let auth = config.built_ins.get(Own::Auth);
    let mut token = "A token in `Authorization: Bearer …`: of an issuer that the gateway trusts".to_owned();
    if auth.enabled {
        token.push_str(&format!(", or the access token that `POST {}/login` answers", auth.prefix));
    }
    token.push('.');
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(token))
        .build();
    let key =
        ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key, as an admin makes them."));
    let mut schemes = vec![(BEARER, SecurityScheme::Http(bearer)), (API_KEY, SecurityScheme::ApiKey(key))];
    if by_certificate(config) {
        let words = "A client certificate, of an authority that the gateway trusts. A token or a key beside it says who calls.";
        let description = Some(words.to_owned());
        schemes.push((CERTIFICATE, SecurityScheme::MutualTls { description, extensions: None }));
    }
    schemes
}

fn by_certificate(config: &Config) -> bool {
    config.callers.certificates.is_some()
}

/// What an operation demands of its callers.
#[derive(Default)]
pub(super) struct Demand {
    /// Any one of these; none at all for an operation that everyone may call.
    pub(super) requirements: Vec<SecurityRequirement>,
    /// In words; empty where everyone may call.
    pub(super) words: String,
    /// The same for programs, where more is demanded than to be known.
    pub(super) extensions: Option<Extensions>,
}

impl Demand {
    /// True where somebody may be turned away.
    pub(super) fn any(&self) -> bool {
        !self.requirements.is_empty()
    }

    pub(super) fn of(access: &Access, config: &Config) -> Self {
        if access.is_public() {
            return Self::default();
        }
        let rules: Vec<&Rule> =
            access.rules().iter().map(|rule| &**rule).filter(|rule| !rule.public).collect();
        let places: Vec<&Subject> =
            rules.iter().flat_map(|rule| &rule.allow).filter(|subject| of_place(subject)).collect();
        let bare = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
        let mut requirements = vec![bare(BEARER), bare(API_KEY)];
        requirements.extend(by_certificate(config).then(|| bare(CERTIFICATE)));
        // Who calls from the right place need not say who it is.
        let by_place = rules.iter().all(|rule| rule.allow.iter().any(of_place)) && !rules.is_empty();
        if by_place {
            requirements.push(SecurityRequirement::default());
        }
        let mut said = Vec::new();
        let mut extensions = Vec::new();
        for (what, key, joint, list) in [
            ("role", "x-required-roles", " or ", collect(&rules, |rule| &rule.roles)),
            ("permission", "x-required-permissions", " and ", collect(&rules, |rule| &rule.permissions)),
            ("scope", "x-required-scopes", " and ", collect(&rules, |rule| &rule.scopes)),
            ("tier", "x-required-tiers", " or ", collect(&rules, |rule| &rule.tiers)),
        ] {
            if list.is_empty() {
                continue;
            }
            said.push(format!("the {what} `{}`", list.join(&format!("`{joint}`"))));
            extensions.push((key, json!(list)));
        }
        let mut words = match said.as_slice() {
            [] => "Needs a caller who says who it is.".to_owned(),
            said => format!("Needs {}.", said.join(" and ")),
        };
        if by_place && places.contains(&&Subject::Loopback) {
            words.push_str(" Callers on the gateway's own machine need none of it.");
        } else if by_place {
            words.push_str(" Callers of some networks need none of it.");
        }
        let extensions =
            (!extensions.is_empty()).then(|| Extensions::from_iter::<Vec<(&str, Value)>>(extensions));
        Self { requirements, words, extensions }
    }
}

fn of_place(subject: &Subject) -> bool {
    matches!(subject, Subject::Loopback | Subject::Network(_))
}

/// All names of one kind, each once.
fn collect<'a>(rules: &[&'a Rule], of: fn(&Rule) -> &Vec<std::sync::Arc<str>>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for rule in rules {
        for name in of(rule) {
            if !found.contains(&&**name) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::CertificateCallers;

    #[test]
    fn a_demand_says_what_its_rules_ask() {
        let check = |rules: Vec<Rule>, requirements: &Value, words: &str, extensions: &Value| {
            let access = Access::all(rules.into_iter().map(Arc::new).collect());
            let demand = Demand::of(&access, &Config::default());
            assert_eq!(serde_json::to_value(&demand.requirements).unwrap(), *requirements);
            assert_eq!(demand.words, words);
            assert_eq!(serde_json::to_value(demand.extensions.unwrap_or_default()).unwrap(), *extensions);
        };
        let known = json!([{"bearer": []}, {"api_key": []}]);
        let perhaps = json!([{"bearer": []}, {"api_key": []}, {}]);
        check(vec![Rule::public("p")], &json!([]), "", &json!({}));
        check(vec![Rule::authenticated("a")], &known, "Needs a caller who says who it is.", &json!({}));
        let own = " Callers on the gateway's own machine need none of it.";
        check(
            vec![Rule::role("a", "admin").or_loopback()],
            &perhaps,
            &format!("Needs the role `admin`.{own}"),
            &json!({"x-required-roles": ["admin"]}),
        );
        // One rule that asks is enough to be asked.
        check(
            vec![Rule::authenticated("b"), Rule::role("a", "admin").or_loopback()],
            &known,
            "Needs the role `admin`.",
            &json!({"x-required-roles": ["admin"]}),
        );
        let texts = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect::<Vec<Arc<str>>>();
        let rule = Rule { roles: texts(&["a", "b"]), scopes: texts(&["s", "t"]), ..Rule::authenticated("r") };
        check(
            vec![rule, Rule::public("p")],
            &known,
            "Needs the role `a` or `b` and the scope `s` and `t`.",
            &json!({"x-required-roles": ["a", "b"], "x-required-scopes": ["s", "t"]}),
        );
        check(Vec::new(), &known, "Needs a caller who says who it is.", &json!({}));
    }

    #[test]
    fn a_certificate_is_a_way_to_be_known_where_clients_are_asked_for_one() {
        let mut config = Config::default();
        let names = |config: &Config| schemes(config).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&config), [BEARER, API_KEY]);
        config.callers.certificates = Some(CertificateCallers::default());
        assert_eq!(names(&config), [BEARER, API_KEY, CERTIFICATE]);
        let scheme = serde_json::to_value(&schemes(&config)[2].1).unwrap();
        assert_eq!(scheme["type"], "mutualTLS");
        let access = Access::all(vec![Arc::new(Rule::authenticated("a"))]);
        let demanded = serde_json::to_value(&Demand::of(&access, &config).requirements).unwrap();
        assert_eq!(demanded, json!([{"bearer": []}, {"api_key": []}, {"client_certificate": []}]));
    }
}
