//! The endpoint that takes no tokens but those made for it (`/mcp/oauth`): what OAuth adds to it as a resource server. Who
//! calls without such a token, or with too little let do, is told where to get what is missing.
//!
//! Source: RFC 6750, 3; RFC 9728, 5.1; MCP, basic/authorization.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE, request::Parts};
use tonic::Status;

use super::toolbox::Offer;
use crate::{
    auth::{Principal, Resource, Unmet},
    call::Call,
    policy::insufficient_scope,
    route::Glob,
    surface::peer,
};

/// What is wanted of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    pub resource: Arc<Resource>,
    /// The path where it is told which tokens these are.
    pub metadata: Arc<str>,
    /// What every request must have been let do, whatever it asks for.
    pub scope: Option<Arc<str>>,
    /// What some tools want beside.
    pub tools: Vec<ToolScope>,
}

/// A scope that tools want, at this endpoint alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolScope {
    pub scope: Arc<str>,
    /// Which: by their methods, `package.Service/Method`, or by their names.
    pub tools: Vec<Glob>,
}

impl Protection {
    /// What one is told who is refused.
    pub(super) fn challenge(&self, head: &Parts) -> Challenge {
        let secure = peer(&head.extensions).secure;
        let origin = self.resource.origin.of(&head.uri, &head.headers, secure);
        Challenge {
            metadata: origin.map(|origin| format!("{origin}{}", self.metadata)),
            scope: self.scope.clone(),
            bare: !head.headers.contains_key(http::header::AUTHORIZATION),
        }
    }

    /// Refuses a caller who was not let use the endpoint at all.
    ///
    /// # Errors
    /// 403 that names the scope.
    pub(super) fn entry(&self, caller: Option<&Principal>) -> Result<(), Status> {
        let wanted: Vec<_> = self.scope.iter().cloned().collect();
        has(caller, &wanted)
    }

    /// Refuses a caller who was not let use a tool. `found`: what the rules about its method say.
    ///
    /// # Errors
    /// 403 that names every scope that the call needs.
    pub(super) fn tool(
        &self,
        call: &Call,
        name: &str,
        offer: &Offer,
        found: &Result<(), Unmet>,
    ) -> Result<(), Status> {
        let method = offer.in_rules();
        let named = self.tools.iter().filter(|scope| {
            scope.tools.iter().any(|glob| glob.matches(method, false) || glob.matches(name, false))
        });
        let by_rules: &[Arc<str>] = match found {
            Err(Unmet::Scope(scopes)) => scopes,
            _ => &[],
        };
        let all = self.scope.iter().chain(named.map(|scope| &scope.scope)).chain(by_rules);
        let mut wanted: Vec<Arc<str>> = Vec::new();
        for scope in all {
            if !wanted.contains(scope) {
                wanted.push(Arc::clone(scope));
            }
        }
        has(call.caller.principal.as_deref(), &wanted)
    }
}

fn has(caller: Option<&Principal>, wanted: &[Arc<str>]) -> Result<(), Status> {
    let has = |scope: &Arc<str>| caller.is_some_and(|caller| caller.scopes.contains(scope));
    if wanted.iter().all(has) { Ok(()) } else { Err(insufficient_scope("this call", wanted)) }
}

/// What the endpoint says of itself to one whom it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    metadata: Option<String>,
    scope: Option<Arc<str>>,
    /// The request had no credentials.
    pub(super) bare: bool,
}

impl Challenge {
    /// Adds to what a refusal asks for, where it asks for anything: where tokens are had, and what for.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let Some(said) = headers.get(WWW_AUTHENTICATE).and_then(|said| said.to_str().ok()) else { return };
        let Some(said) = said.strip_prefix("Bearer") else { return };
        let said = said.trim_start();
        let mut parts = Vec::new();
        if !said.is_empty() {
            parts.push(said.to_owned());
        }
        parts.extend(self.metadata.as_ref().map(|metadata| format!("resource_metadata=\"{metadata}\"")));
        if !said.contains(" scope=\"") && !said.starts_with("scope=\"") {
            parts.extend(self.scope.as_ref().map(|scope| format!("scope=\"{scope}\"")));
        }
        if let Ok(value) = HeaderValue::try_from(format!("Bearer {}", parts.join(", ")).trim_end()) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are_had_and_what_for() {
        let challenge = Challenge {
            metadata: Some("https://gw/.well-known/oauth-protected-resource/mcp/oauth".to_owned()),
            scope: Some("mcp".into()),
            bare: true,
        };
        let check = |said: Option<&'static str>, want: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.extend(said.map(|said| (WWW_AUTHENTICATE, HeaderValue::from_static(said))));
            challenge.write(&mut headers);
            let got = headers.get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(got, want, "{said:?}");
        };
        const AT: &str = "resource_metadata=\"https://gw/.well-known/oauth-protected-resource/mcp/oauth\"";
        check(None, None);
        check(Some("Basic realm=\"x\""), Some("Basic realm=\"x\""));
        check(Some("Bearer"), Some(&format!("Bearer {AT}, scope=\"mcp\"")));
        check(
            Some("Bearer error=\"invalid_token\", error_description=\"the token has expired\""),
            Some(&format!(
                "Bearer error=\"invalid_token\", error_description=\"the token has expired\", {AT}, scope=\"mcp\""
            )),
        );
        check(
            Some("Bearer error=\"insufficient_scope\", scope=\"mcp books\""),
            Some(&format!("Bearer error=\"insufficient_scope\", scope=\"mcp books\", {AT}")),
        );
    }
}
