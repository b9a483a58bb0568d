//! What one of `[[routes]]` says of its calls, each rule in place of the general one.

use std::{sync::Arc, time::Duration};

use crate::{
    auth::Rule,
    route::{Cors, HeaderRules, RetryChanges},
};

/// Rules of a route, each in place of the general one.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub timeout: Option<Duration>,
    pub request_bytes: Option<usize>,
    pub response_bytes: Option<usize>,
    pub cors: Option<Arc<Cors>>,
    /// What is changed of headers.
    pub headers: Option<Arc<HeaderRules>>,
    /// Which calls are sent again, and how.
    pub retry: Option<RetryChanges>,
    /// Who may call.
    pub access: Option<Arc<Rule>>,
}
