//! OAuth over HTTP: which tokens MCP's endpoint takes (RFC 9728), what the authorization server can do (RFC 8414), and its
//! endpoints. Programs are answered in JSON as OAuth has it, people by pages.

mod ask;
mod page;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{options, response};
use crate::{
    auth::{Client, Means, Presented, now},
    call::Body,
    config::{Authorization, Config, Own, Page},
    gateway::{Gateway, rehearsal::Rehearsed},
    route::Limits,
    services::oauth::{Error, Form, Refused, Registered, Rules, Server, Tokens},
    snapshot::Snapshot,
    status::{self, Refusal, refuse},
    surface::{Failed, Response, rest},
};

/// The longest body of a request.
const MOST_BYTES: usize = 64 << 10;

/// What a request of OAuth's is answered with.
pub(super) struct Asked<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: &'a Snapshot,
    pub(super) page: Page,
    /// Its path as the config has it.
    pub(super) path: &'a str,
    pub(super) request: &'a Parts,
    pub(super) client: Option<Client>,
}

/// Answers a request that is admitted.
///
/// # Errors
/// 405 and the like, in the words of every other route.
pub(super) async fn answer(asked: Asked<'_>, body: Body) -> Result<Response, Status> {
    let methods: &[Method] = match asked.page {
        Page::Authorize => &[Method::GET, Method::POST],
        Page::Token | Page::Register | Page::Revoke => &[Method::POST],
        _ => &[Method::GET, Method::HEAD],
    };
    let method = &asked.request.method;
    if method == Method::OPTIONS {
        return Ok(options());
    }
    if !methods.contains(method) {
        let allow: Vec<_> = methods.iter().cloned().chain([Method::OPTIONS]).collect();
        let message = format!("{} has no {method}", asked.path);
        return Err(refuse(Refusal::MethodNotAllowed { allow }, message));
    }
    if asked.request.extensions.get::<Rehearsed>().is_some() {
        // Who only asks what would become of it gets no tokens.
        return Ok(response(StatusCode::OK, HeaderMap::new(), Bytes::new()));
    }
    let Some(origin) = origin(&asked) else {
        return Err(status::Fault::client().on(Status::invalid_argument("the request names no host")));
    };
    match asked.page {
        Page::ResourceMetadata => Ok(document(&resource(&asked.snapshot.config, &origin))),
        Page::ServerMetadata => Ok(document(&server(&asked.snapshot.config, &origin))),
        _ => {
            let limits = Limits { request_bytes: MOST_BYTES, ..asked.snapshot.config.limits };
            let body = rest::read(&asked.request.headers, body, limits).await?;
            if asked.page == Page::Authorize {
                return ask::answer(&asked, origin, &body).await;
            }
            Ok(match programs(&asked, origin, &body).await {
                Ok(response) => response,
                Err(refused) => refusal(&refused),
            })
        }
    }
}

/// Where the client found the gateway.
fn origin(asked: &Asked<'_>) -> Option<String> {
    let secure = crate::surface::peer(&asked.request.extensions).secure;
    asked.snapshot.config.mcp.oauth.origin.of(&asked.request.uri, &asked.request.headers, secure)
}

/// The authorization server as this request meets it.
fn server_of<'a>(asked: &'a Asked<'_>, origin: String) -> Server<'a> {
    let oauth = &asked.snapshot.config.mcp.oauth;
    let base =
        oauth.scope.iter().map(|scope| (Arc::clone(scope), Arc::from("Use the tools that you may use")));
    let scopes = oauth.scopes.iter().map(|scope| (Arc::clone(&scope.name), Arc::clone(&scope.description)));
    Server {
        directory: &asked.gateway.accounts.directory,
        documents: &asked.gateway.accounts.documents,
        rules: Rules {
            scope: oauth.scope.clone(),
            scopes: base.chain(scopes).collect(),
            registration: oauth.registration,
            documents: oauth.client_documents,
        },
        resource: format!("{origin}{}", asked.snapshot.config.mcp.oauth_path()),
        origin,
        client: asked.client.map(|client| client.address.to_canonical().to_string()).unwrap_or_default(),
    }
}

fn scopes(config: &Config) -> Vec<&str> {
    let oauth = &config.mcp.oauth;
    oauth.scope.iter().chain(oauth.scopes.iter().map(|scope| &scope.name)).map(|scope| &**scope).collect()
}

/// Which tokens MCP's endpoint takes.
fn resource(config: &Config, origin: &str) -> Value {
    let issuer = match config.authorization() {
        Some(Authorization::Issuer(issuer)) => issuer.issuer.clone().unwrap_or_default(),
        _ => origin.to_owned(),
    };
    json!({
        "resource": format!("{origin}{}", config.mcp.oauth_path()),
        "authorization_servers": [issuer],
        "scopes_supported": scopes(config),
        "bearer_methods_supported": ["header"],
        "resource_name": &*config.rest.title,
    })
}

/// What the authorization server can do: what works, and nothing else.
fn server(config: &Config, origin: &str) -> Value {
    let at = |page: Page| {
        let path = config.built_ins.path_of(page).unwrap_or_default();
        format!("{origin}{path}")
    };
    let oauth = &config.mcp.oauth;
    let mut said = json!({
        "issuer": origin,
        "authorization_endpoint": at(Page::Authorize),
        "token_endpoint": at(Page::Token),
        "revocation_endpoint": at(Page::Revoke),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": scopes(config),
        "authorization_response_iss_parameter_supported": true,
        "protected_resources": [format!("{origin}{}", config.mcp.oauth_path())],
    });
    if let Some(members) = said.as_object_mut() {
        if oauth.registration {
            members.insert("registration_endpoint".to_owned(), at(Page::Register).into());
        }
        if oauth.client_documents {
            members.insert("client_id_metadata_document_supported".to_owned(), true.into());
        }
        if config.callers.secret.is_none() && config.built_ins.get(Own::Jwks).enabled {
            members.insert("jwks_uri".to_owned(), at(Page::Jwks).into());
        }
    }
    said
}

/// The endpoints of programs.
async fn programs(asked: &Asked<'_>, origin: String, body: &[u8]) -> Result<Response, Refused> {
    let server = server_of(asked, origin);
    if asked.page == Page::Register {
        is(&asked.request.headers, "application/json", "invalid_client_metadata")?;
        let Registered(said) = server.register(body).await?;
        return Ok(answered(StatusCode::CREATED, &said));
    }
    let form = form(&asked.request.headers, body)?;
    if asked.page == Page::Token {
        let Tokens { access, refresh, lifetime, scopes } = server.token(&form).await?;
        let said = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime.as_millis().div_ceil(1000),
            "refresh_token": refresh,
            "scope": scopes.join(" "),
        });
        return Ok(answered(StatusCode::OK, &said));
    }
    if !server.give_back(&form).await? {
        // It may be an access token; whatever else it is, is no matter.
        let bearer = HeaderValue::try_from(format!("Bearer {}", form.need("token")?));
        let headers = bearer.into_iter().map(|bearer| (header::AUTHORIZATION, bearer)).collect();
        if let Ok(Some(presented)) = Presented::read(&headers)
            && let Ok(caller) = asked.snapshot.policies.verifier.verify(&presented, now()).await
            && caller.means == Means::Own
        {
            server.end(&caller, form.need("client_id")?).await?;
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response(StatusCode::OK, headers, Bytes::new()))
}

/// The parameters of a body. A program that has another way to say who it is than by its id is told that there is none.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Error> {
    is(headers, "application/x-www-form-urlencoded", "invalid_request")?;
    let text = std::str::from_utf8(body)
        .map_err(|_| Error { code: "invalid_request", why: "the body is no form".to_owned() })?;
    Form::read(text)
}

fn is(headers: &HeaderMap, wanted: &str, code: &'static str) -> Result<(), Error> {
    let mut said = headers.get_all(header::CONTENT_TYPE).iter();
    let (one, more) = (said.next().and_then(|said| said.to_str().ok()), said.next().is_some());
    let essence = one.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) && !more {
        return Ok(());
    }
    Err(Error { code, why: format!("the content-type is {wanted}") })
}

/// A document that is the same for everybody who found the gateway here.
fn document(said: &Value) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, super::A_MINUTE);
    // It says where that is.
    headers.insert(header::VARY, HeaderValue::from_static("host"));
    response(StatusCode::OK, headers, said.to_string().into())
}

/// An answer that nobody keeps.
fn answered(status: StatusCode, said: &Value) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response(status, headers, said.to_string().into())
}

/// A refusal to a program (RFC 6749, 5.2).
fn refusal(refused: &Refused) -> Response {
    let (code, why, http, status) = match refused {
        Refused::Oauth(Error { code: code @ "invalid_client", why }) => {
            (*code, why.as_str(), StatusCode::UNAUTHORIZED, None)
        }
        Refused::Oauth(Error { code, why }) => (*code, why.as_str(), StatusCode::BAD_REQUEST, None),
        Refused::Status(status) => {
            let code = match status.code() {
                Code::ResourceExhausted | Code::Unavailable => "temporarily_unavailable",
                Code::PermissionDenied => "access_denied",
                _ => "server_error",
            };
            (code, status.message(), status::http(status), Some(status))
        }
    };
    let mut response = answered(http, &json!({"error": code, "error_description": told(why)}));
    if let Some(status) = status {
        let wait = rest::error_headers(status, http).remove(header::RETRY_AFTER);
        response.headers_mut().extend(wait.map(|wait| (header::RETRY_AFTER, wait)));
    }
    let grpc = status.map_or(Code::InvalidArgument, Status::code);
    response.extensions_mut().insert(Failed { code: grpc, message: format!("{code}: {why}"), number: None });
    response
}

/// What an `error_description` may hold (RFC 6749, 5.2).
fn told(why: &str) -> String {
    let fits = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    why.chars().map(|c| if fits(c) { c } else { '\'' }).collect()
}
