//! A request that has ended, as its observers see it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use tonic::Code;

use super::{Arrived, Asked, Traced};
use crate::{
    auth::Principal,
    call::{
        Way,
        attempt::{Attempt, Attempts},
    },
    route::{Binding, Destination, Route},
    telemetry::{Credentials, Label},
};

/// What became of a request, for its observers.
#[derive(Debug)]
pub struct Ended<'a> {
    pub arrived: &'a Arrived,
    pub way: Way,
    /// `None` for what was refused before anything looked for one.
    pub route: Option<&'a Arc<Route>>,
    /// The path template that was found.
    pub binding: Option<&'a Binding>,
    /// Who called, if policies found out.
    pub principal: Option<&'a Principal>,
    /// Where the call came from: whom a trusted proxy spoke for, or the connection's other end.
    pub client: IpAddr,
    pub(super) attempts: &'a Attempts,
    /// What a trace tells of it.
    pub traced: &'a Traced,
    /// `None`: the client went away before there was an answer.
    pub http_status: Option<StatusCode>,
    /// The gRPC status of the call, where it has one: a plain HTTP answer has none unless it is a failure of ours.
    pub code: Option<Code>,
    /// What the caller was told went wrong.
    pub message: Option<&'a str>,
    /// Bytes of the response's body that the server took.
    pub response_bytes: u64,
    /// From the request's head to the end of the response's body, or of the tunnel.
    pub took: Duration,
    /// Of a stream, a tunnel or an answer that came bit by bit, whose length says little: to the head of the response.
    pub head: Option<Duration>,
    /// What was asked for, of a request of MCP.
    pub asked: Option<&'a Asked>,
    /// The client went away before the end of the response.
    pub cancelled: bool,
    /// It was a stream or a tunnel: how long it took says nothing.
    pub streams: bool,
    /// What became of the credentials that it brought, if it did.
    pub credentials: Option<Credentials>,
    /// The limit that has refused it.
    pub limited: Option<&'static str>,
}

impl Ended<'_> {
    /// What its route is called wherever it is told of: the path's template, or the method of gRPC's; with the place for what
    /// its calls are counted by. `None` where nothing was found.
    #[must_use]
    pub fn called(&self) -> Option<(&Arc<str>, &Label)> {
        if let Some(binding) = self.binding {
            return Some((&binding.template, &binding.label));
        }
        let route = self.route.filter(|route| route.destination != Destination::Nothing);
        route.map(|route| (&route.name, &route.label))
    }

    /// How long its client waited: for all of it, or for the beginning of what goes on for as long as somebody likes.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.head.unwrap_or(self.took)
    }

    /// Its attempts, in the order in which they began.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.all()
    }
}
