//! What is known of a call before it is sent, and what one of its attempts came to.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic::Status;

use super::Asked;
use crate::{
    call::Record,
    dispatch::upload::Until,
    route::RetryRules,
    status::{Fault, Whose},
};

/// What is known of a call before it is sent.
pub(in crate::dispatch) struct Plan {
    /// It does no harm to send it twice.
    pub(in crate::dispatch) repeatable: bool,
    /// How it is sent again; `None`: as its upstream's rules say.
    pub(in crate::dispatch) retry: Option<Arc<RetryRules>>,
    pub(in crate::dispatch) deadline: Option<Until>,
    /// Who waits less than this and gives up says nothing of the upstream.
    pub(in crate::dispatch) fair: Duration,
    pub(in crate::dispatch) key: Option<u64>,
    /// The gateway's own question: it is not counted, and nothing stops it.
    pub(in crate::dispatch) own: bool,
    /// It may become a tunnel.
    pub(in crate::dispatch) tunnel: bool,
    /// Told of each attempt.
    pub(in crate::dispatch) record: Option<Arc<Record>>,
}

impl Plan {
    /// Until when it may take, as things are now.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.as_ref().and_then(Until::at)
    }
}

/// How far an attempt came that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Reach {
    /// No connection could be had.
    Nowhere,
    /// The upstream says, or it is certain, that the application has not seen it.
    Unseen,
    /// It may have been seen.
    Seen,
}

/// What an attempt says of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Verdict {
    /// It has answered, whatever the answer was.
    Good,
    Bad,
    /// Bad, if it has had the time that calls like this have.
    BadIfFair,
    /// It is not to blame.
    Unknown,
}

/// An attempt that failed.
pub(in crate::dispatch) struct Failure {
    pub(in crate::dispatch) status: Status,
    pub(in crate::dispatch) reach: Reach,
    /// A reason to try again, if the call may be repeated.
    pub(in crate::dispatch) passing: bool,
    /// What it says of the endpoint.
    pub(in crate::dispatch) verdict: Verdict,
    /// What the endpoint asks for.
    pub(in crate::dispatch) asked: Option<Asked>,
    /// The status is the upstream's own word.
    pub(in crate::dispatch) said: bool,
}

impl Failure {
    /// What became of a call without an answer.
    pub(in crate::dispatch) fn new(status: Status, reach: Reach) -> Self {
        let upstreams = Fault::of(&status).is_some_and(|fault| fault.whose == Whose::Upstream);
        let verdict = if upstreams { Verdict::Bad } else { Verdict::Unknown };
        Self { status, reach, passing: upstreams, verdict, asked: None, said: false }
    }
}

/// The last attempt's status of several, and what the others said.
pub(super) fn ended(sent: u32, all: &[String], status: &Status) -> Status {
    let mut said: Vec<&str> = Vec::with_capacity(all.len() + 1);
    for one in all.iter().map(String::as_str).chain([status.message()]) {
        if !said.contains(&one) {
            said.push(one);
        }
    }
    let message = format!("{} attempts: {}", sent, said.join("; "));
    let mut ended = Status::with_details_and_metadata(
        status.code(),
        message,
        status.details().to_vec().into(),
        status.metadata().clone(),
    );
    if let Some(fault) = Fault::of(status) {
        ended = fault.clone().on(ended);
    }
    ended
}
