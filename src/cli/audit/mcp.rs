//! What is looked for in what a config says of tools for agents.

use super::{
    Severity,
    findings::{Found, exposed, finding, is_local},
};
use crate::{
    config::{Authorization, BuiltIns, Config},
    route::Origins,
};

/// What agents may do by tools, and who may have them do it.
pub(super) fn tools(config: &Config) -> Found {
    let mcp = &config.mcp;
    let mut found = Vec::new();
    if !mcp.enabled || mcp.expose.is_empty() {
        return found;
    }
    for (at, glob) in mcp.expose.iter().enumerate() {
        let text = glob.to_string();
        if text.starts_with('*') && !glob.is_exact() && !text.contains('/') {
            found.push(finding(
                Severity::Low,
                format!("mcp.expose[{at}]"),
                format!("{text:?} makes a tool of every method there is, and of what is added tomorrow"),
                "name the services or methods that agents are meant to call",
            ));
        }
        for method in OWN {
            let service = method.split('/').next().unwrap_or_default();
            let there = BuiltIns::of_service(service).is_some_and(|own| config.built_ins.get(own).enabled);
            if there
                && glob.matches(method, true)
                && !mcp.hide.iter().any(|hidden| hidden.matches(method, true))
            {
                found.push(finding(
                    Severity::High,
                    format!("mcp.expose[{at}]"),
                    format!("{method} is a tool: what an agent reads somewhere may have it change accounts"),
                    "take it out, or name it in mcp.hide",
                ));
            }
        }
    }
    if config.cors.origins == Origins::Any && exposed(config) {
        found.push(finding(
            Severity::Medium,
            "cors.origins",
            "pages of any origin may use the tools, in the name of whoever's network their reader is in",
            "name the origins whose pages may",
        ));
    }
    found
}

/// Where programs get tokens for tools.
pub(super) fn oauth(config: &Config) -> Found {
    let mut found = Vec::new();
    let Some(Authorization::Own) = config.authorization() else { return found };
    let oauth = &config.mcp.oauth;
    let host = oauth.origin.0.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    let named = host.is_some_and(|url| url.scheme_str() == Some("https") || url.host().is_some_and(is_local));
    if exposed(config) && config.tls.is_none() && !named {
        found.push(finding(
            Severity::Medium,
            "mcp.oauth.url",
            "people log in at /oauth/authorize, and tokens go out, in plain text",
            "say the https address that clients use, or switch it off (mcp.oauth.enabled = false)",
        ));
    }
    if exposed(config) && oauth.origin.0.is_none() && config.hosts.is_empty() {
        found.push(finding(
            Severity::Low,
            "mcp.oauth.url",
            "tokens are made for whatever name a client has asked by",
            "say the address that clients use, or name the hosts that are served ([gateway] hosts)",
        ));
    }
    found
}

/// Methods of the gateway's own that no agent should call without being told to.
const OWN: [&str; 4] = [
    "propylon.gateway.v1.AdminService/UpdateUser",
    "propylon.gateway.v1.AdminService/CreateApiKey",
    "propylon.gateway.v1.AuthService/Login",
    "propylon.gateway.v1.UserService/DeleteAccount",
];
