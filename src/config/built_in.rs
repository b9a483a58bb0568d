//! What the gateway has of its own: services and pages, each of which can be switched off, or moved to another prefix.

use std::{collections::BTreeMap, sync::Arc};

/// A built-in service or page, by its name in `[builtin.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// `GET /`
    Index,
    /// `/livez`, `/readyz`
    Probes,
    /// `/metrics`
    Metrics,
    /// `/openapi.json`
    Openapi,
    /// Swagger UI
    Docs,
    /// ReDoc
    Redoc,
    /// The keys of the gateway's own tokens
    Jwks,
    /// The authorization server, for MCP's clients
    Oauth,
    Health,
    Routing,
    Auth,
    Users,
    Admin,
    Playbooks,
    VariableTypes,
    Favorites,
    Galaxy,
    /// MCP over gRPC and REST
    Mcp,
    GrpcHealth,
    Reflection,
}

/// A page of the gateway's own: what `GET` at one path shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// What this is.
    Index,
    /// The process runs.
    Livez,
    /// It takes calls.
    Readyz,
    /// What the instruments show.
    Metrics,
    /// The OpenAPI document.
    Openapi,
    /// Swagger UI; what it consists of is below its path.
    Docs,
    /// ReDoc; what it consists of is below its path.
    Redoc,
    /// The public keys by which others verify the gateway's own tokens.
    Jwks,
    /// OAuth: which tokens MCP's endpoint takes (RFC 9728).
    ResourceMetadata,
    /// OAuth: what the authorization server can do (RFC 8414).
    ServerMetadata,
    /// OAuth: where people are asked whether a program may act for them.
    Authorize,
    /// OAuth: where programs get tokens.
    Token,
    /// OAuth: where programs register (RFC 7591).
    Register,
    /// OAuth: where programs give tokens back (RFC 7009).
    Revoke,
}

/// Where a built-in is, and how its messages look as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltIn {
    /// Off: no REST route, no gRPC, no page, no entry in reflection or OpenAPI.
    pub enabled: bool,
    /// What its paths begin with, in place of [`Own::prefix`]; without a slash at its end, and empty for the root.
    pub prefix: Arc<str>,
    /// JSON names as in the proto file; else lowerCamelCase.
    pub proto_names: bool,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltIns(BTreeMap<Own, BuiltIn>);

impl Own {
    pub const ALL: [Self; 20] = [
        Self::Index,
        Self::Probes,
        Self::Metrics,
        Self::Openapi,
        Self::Docs,
        Self::Redoc,
        Self::Jwks,
        Self::Oauth,
        Self::Health,
        Self::Routing,
        Self::Auth,
        Self::Users,
        Self::Admin,
        Self::Playbooks,
        Self::VariableTypes,
        Self::Favorites,
        Self::Galaxy,
        Self::Mcp,
        Self::GrpcHealth,
        Self::Reflection,
    ];

    /// Its name in the config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Probes => "probes",
            Self::Metrics => "metrics",
            Self::Openapi => "openapi",
            Self::Docs => "docs",
            Self::Redoc => "redoc",
            Self::Jwks => "jwks",
            Self::Oauth => "oauth",
            Self::Health => "health",
            Self::Routing => "routing",
            Self::Auth => "auth",
            Self::Users => "users",
            Self::Admin => "admin",
            Self::Playbooks => "playbooks",
            Self::VariableTypes => "variable_types",
            Self::Favorites => "favorites",
            Self::Galaxy => "galaxy",
            Self::Mcp => "mcp",
            Self::GrpcHealth => "grpc_health",
            Self::Reflection => "reflection",
        }
    }

    /// What its paths begin with unless it is moved; a page's whole path.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Index
            | Self::Probes
            | Self::Health
            | Self::Routing
            | Self::GrpcHealth
            | Self::Reflection => "",
            Self::Metrics => "/metrics",
            Self::Openapi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Redoc => "/redoc",
            Self::Jwks => "/.well-known/jwks.json",
            Self::Oauth => "/oauth",
            Self::Auth => "/api/v1/auth",
            Self::Users => "/api/v1/users",
            Self::Admin => "/admin",
            Self::Playbooks => "/api/playbooks",
            Self::VariableTypes => "/api/variable-types",
            Self::Favorites => "/api/user/favorites",
            Self::Galaxy => "/api/galaxy",
            Self::Mcp => "/api/v1/mcp",
        }
    }

    /// The gRPC services it consists of; none for a page.
    #[must_use]
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Self::Index
            | Self::Probes
            | Self::Metrics
            | Self::Openapi
            | Self::Docs
            | Self::Redoc
            | Self::Jwks
            | Self::Oauth => &[],
            Self::Health => &["propylon.gateway.v1.HealthService"],
            Self::Routing => &["propylon.gateway.v1.RoutingService"],
            Self::Auth => &["propylon.gateway.v1.AuthService"],
            Self::Users => &["propylon.gateway.v1.UserService"],
            Self::Admin => &["propylon.gateway.v1.AdminService"],
            Self::Playbooks => &["propylon.automation.v1.PlaybookService"],
            Self::VariableTypes => &["propylon.automation.v1.VariableTypeService"],
            Self::Favorites => &["propylon.automation.v1.FavoriteService"],
            Self::Galaxy => &["propylon.automation.v1.GalaxyService"],
            Self::Mcp => &["propylon.gateway.v1.McpService"],
            Self::GrpcHealth => &["grpc.health.v1.Health"],
            Self::Reflection => {
                &["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
            }
        }
    }
}

impl Page {
    /// Those with a place of their own; where [`Page::ResourceMetadata`] is, the endpoint that it is about says.
    pub const ALL: [Self; 13] = [
        Self::Index,
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::Openapi,
        Self::Docs,
        Self::Redoc,
        Self::Jwks,
        Self::ServerMetadata,
        Self::Authorize,
        Self::Token,
        Self::Register,
        Self::Revoke,
    ];

    /// The built-in that switches and moves it.
    #[must_use]
    pub fn own(self) -> Own {
        match self {
            Self::Index => Own::Index,
            Self::Livez | Self::Readyz => Own::Probes,
            Self::Metrics => Own::Metrics,
            Self::Openapi => Own::Openapi,
            Self::Docs => Own::Docs,
            Self::Redoc => Own::Redoc,
            Self::Jwks => Own::Jwks,
            Self::ResourceMetadata
            | Self::ServerMetadata
            | Self::Authorize
            | Self::Token
            | Self::Register
            | Self::Revoke => Own::Oauth,
        }
    }

    /// True for what programs read that run in the pages of others, and that nobody's cookies have a say in.
    #[must_use]
    pub fn for_every_page(self) -> bool {
        match self {
            Self::ResourceMetadata | Self::ServerMetadata | Self::Token | Self::Register | Self::Revoke => {
                true
            }
            Self::Index
            | Self::Livez
            | Self::Readyz
            | Self::Metrics
            | Self::Openapi
            | Self::Docs
            | Self::Redoc
            | Self::Jwks
            | Self::Authorize => false,
        }
    }

    /// Its name, in words for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Openapi => "openapi",
            Self::Docs => "docs",
            Self::Redoc => "redoc",
            Self::Jwks => "jwks",
            Self::ResourceMetadata => "oauth-protected-resource",
            Self::ServerMetadata => "oauth-authorization-server",
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Register => "register",
            Self::Revoke => "revoke",
        }
    }
}

impl BuiltIn {
    /// As it is when nothing is said.
    fn of(own: Own) -> Self {
        Self { enabled: true, prefix: own.prefix().into(), proto_names: true }
    }
}

impl Default for BuiltIns {
    fn default() -> Self {
        Self(Own::ALL.map(|own| (own, BuiltIn::of(own))).into())
    }
}

impl BuiltIns {
    /// The settings of one.
    #[must_use]
    pub fn get(&self, own: Own) -> BuiltIn {
        // Every name is there from the default on, and none is ever taken out.
        self.0.get(&own).cloned().unwrap_or_else(|| BuiltIn::of(own))
    }

    /// False: there are no accounts here, nothing is kept of any, and no token issued.
    #[must_use]
    pub fn has_accounts(&self) -> bool {
        [Own::Auth, Own::Users].into_iter().any(|own| self.get(own).enabled)
    }

    /// False for a gRPC service of a built-in that is switched off.
    #[must_use]
    pub fn has_service(&self, service: &str) -> bool {
        Self::of_service(service).is_none_or(|own| self.get(own).enabled)
    }

    /// Changes one.
    pub fn set(&mut self, own: Own, built_in: BuiltIn) {
        self.0.insert(own, built_in);
    }

    /// True for one whose paths are not where they are by default.
    #[must_use]
    pub fn is_moved(&self, own: Own) -> bool {
        *self.get(own).prefix != *own.prefix()
    }

    /// The key that says where one's paths are, or its table where nothing says so.
    #[must_use]
    pub fn key(&self, own: Own) -> String {
        let behind = if self.is_moved(own) { ".prefix" } else { "" };
        format!("builtin.{}{behind}", own.name())
    }

    /// The paths of the pages that are switched on.
    #[must_use]
    pub fn pages(&self) -> Vec<(String, Page)> {
        Page::ALL
            .into_iter()
            .filter_map(|page| {
                let built_in = self.get(page.own());
                let path = match page {
                    Page::ServerMetadata => format!("/.well-known/{}", page.name()),
                    Page::Livez
                    | Page::Readyz
                    | Page::Authorize
                    | Page::Token
                    | Page::Register
                    | Page::Revoke => format!("{}/{}", built_in.prefix, page.name()),
                    // A page at the root has the root's path.
                    _ if built_in.prefix.is_empty() => "/".to_owned(),
                    _ => built_in.prefix.to_string(),
                };
                // What shows a document is nothing without it, nor are keys without what they sign.
                let needed = match page {
                    Page::Docs | Page::Redoc => self.get(Own::Openapi).enabled,
                    Page::Jwks
                    | Page::ResourceMetadata
                    | Page::ServerMetadata
                    | Page::Authorize
                    | Page::Token
                    | Page::Register
                    | Page::Revoke => self.has_accounts(),
                    Page::Index | Page::Livez | Page::Readyz | Page::Metrics | Page::Openapi => true,
                };
                (built_in.enabled && needed).then_some((path, page))
            })
            .collect()
    }

    /// The path of a page, where it is switched on.
    #[must_use]
    pub fn path_of(&self, page: Page) -> Option<String> {
        self.pages().into_iter().find(|(_, known)| *known == page).map(|(path, _)| path)
    }

    /// The built-in that a gRPC service belongs to.
    #[must_use]
    pub fn of_service(service: &str) -> Option<Own> {
        Own::ALL.into_iter().find(|own| own.services().contains(&service))
    }
}
