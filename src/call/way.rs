//! The ways in.

/// The method of a request whose head could not be read.
pub const UNREAD: &str = "-";

/// The way a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Grpc,
    GrpcWeb,
    /// JSON over a gRPC method's binding.
    Rest,
    /// A tool's call, or what else MCP asks for.
    Mcp,
    /// What is answered in HTTP itself: an HTTP upstream, a page, a response of the config's.
    Http,
}

impl Way {
    /// Its name in logs and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::Rest => "rest",
            Self::Mcp => "mcp",
            Self::Http => "http",
        }
    }
}
