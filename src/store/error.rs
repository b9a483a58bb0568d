//! What a store can answer instead of what was asked for. Short, because only three things matter to a caller: try
//! again later, this cannot be, or something is broken.

use std::{borrow::Cow, collections::HashMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::status::{Fault, Refusal, Whose};

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The store cannot be reached, or took too long. Nothing is known of what was asked: it may have happened.
    Away {
        /// `database` or `redis`
        store: &'static str,
        /// When it makes sense to ask again.
        retry_after: Duration,
        /// For the log; it may name addresses, so no client sees it.
        why: Cow<'static, str>,
    },
    /// What was asked for cannot be, as things are. Nothing was changed.
    Conflict(Conflict),
    /// The store answered what it never should (a malformed row, a refused statement). For the log.
    Broken(String),
}

/// Why something cannot be, as things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another account has this e-mail address.
    EmailTaken,
    /// It would leave no active account with the role `admin`.
    LastAdmin,
}

impl StoreError {
    /// The failure as a client sees it: UNAVAILABLE with a `google.rpc.RetryInfo`, ALREADY_EXISTS, FAILED_PRECONDITION
    /// or INTERNAL. What the log needs to know is not in it.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = match self {
            Self::Away { store, retry_after, .. } => {
                let details = ErrorDetails::with_retry_info(Some(*retry_after));
                let message = format!("the gateway's {store} cannot be reached just now; try again");
                Status::with_error_details(Code::Unavailable, message, details)
            }
            Self::Conflict(Conflict::EmailTaken) => {
                let details = ErrorDetails::with_error_info("EMAIL_TAKEN", "propylon", HashMap::new());
                Status::with_error_details(Code::AlreadyExists, "this e-mail is registered already", details)
            }
            Self::Conflict(Conflict::LastAdmin) => {
                Status::failed_precondition("this would leave no active account with the role admin")
            }
            Self::Broken(_) => Status::internal("the gateway's database gave an answer that makes no sense"),
        };
        let whose = if matches!(self, Self::Conflict(_)) { Whose::Client } else { Whose::Gateway };
        let refusal = matches!(self, Self::Conflict(Conflict::LastAdmin)).then_some(Refusal::Conflict);
        Fault { refusal, whose, retry: false }.on(status)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { store, why, .. } => write!(f, "{store}: {why}"),
            Self::Conflict(Conflict::EmailTaken) => f.write_str("the e-mail is taken"),
            Self::Conflict(Conflict::LastAdmin) => f.write_str("the last admin cannot go"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        error.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_says_when_to_come_back_and_nothing_else() {
        let away = StoreError::Away {
            store: "database",
            retry_after: Duration::from_millis(1500),
            why: "10.0.0.7:5432 refused".into(),
        };
        let status = away.status();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("10.0.0.7"), "{}", status.message());
        let info = status.get_details_retry_info().unwrap();
        assert_eq!(info.retry_delay, Some(Duration::from_millis(1500)));
        assert_eq!(Fault::of(&status).unwrap().whose, Whose::Gateway);
        assert_eq!(StoreError::Conflict(Conflict::EmailTaken).status().code(), Code::AlreadyExists);
        assert_eq!(StoreError::Conflict(Conflict::LastAdmin).status().code(), Code::FailedPrecondition);
        assert_eq!(StoreError::Broken("row 7".into()).status().code(), Code::Internal);
    }
}
