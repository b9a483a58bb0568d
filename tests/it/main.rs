//! The one integration-test binary: the gateway as its callers meet it.
//!
//! `automation` are playbooks, variable types and favourites over each surface and both databases; `accounts` are users from their registration to their end, over each surface, both kinds of stores and replicas;
//! `surfaces` is one table of calls through every surface; `check` is what is said of a wrong config; `credentials` are what
//! the config has for its upstreams; `bad_input` is a row for each mistake of a client's, over each
//! surface; `resilience` is upstreams with several instances, under load and one rule at a time; `callers` is who may call, how often, and what is told of it; `streaming` is what streams owe both sides; `proxy` is plain HTTP on its way to upstreams, `times` how long these may take, `smuggling` what could be read in two ways on it, `bodies` what bodies owe both sides; `routing` is which of several routes a request meets; `failures` are upstreams that misbehave; `dispatch` is the road to
//! upstreams on its own; `routes` is what the config says of routes, built-ins and error bodies; `schemas` is where
//! contracts come from and what becomes of them; `reload` reads the config again, `reload_load` under load, `many_routes` with ten thousand routes; `startup` is
//! what a gateway says when it starts, or cannot; `explain` holds what is explained against what is served; `mcp` is the gateway as agents meet it; `openapi` is
//! the document and the pages, as tools and a browser see them, `schemathesis` the document against the gateway; `readme` runs README.md; `real_clients` drives the
//! gateway's binary with the clients that people use (grpcio, grpcurl, buf, a browser) before an upstream of published
//! services; `health` is how the gateway says how it and what it stands on are; `deploy` is the image, the compose file and the manifests; `conformance` runs the protobuf conformance suite over the converter; `stores` runs one suite over SQLite and
//! PostgreSQL, and one over memory and Redis, with servers that come and go; `telemetry` is what is told of calls; `tls` is the port with
//! certificates, and what stands beside it; `traces` are calls as a collector sees them, and collectors that are away; `tidy` holds the rules about the source.
//! `support` has the worlds, the clients and the tools.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are no tests to clippy; what cannot go on fails"
)]

mod accounts;
mod automation;
mod bad_input;
mod bodies;
mod callers;
mod check;
mod conformance;
mod connections;
mod contracts;
mod credentials;
mod deploy;
mod dispatch;
mod drain;
mod edge;
mod explain;
mod failures;
mod floods;
mod health;
mod many_routes;
mod mcp;
mod openapi;
mod proxy;
mod readme;
mod real_clients;
mod reload;
mod reload_load;
mod resilience;
mod routes;
mod routing;
mod schemas;
mod schemathesis;
mod smuggling;
mod startup;
mod stores;
mod streaming;
mod support;
mod surfaces;
mod telemetry;
mod tidy;
mod times;
mod tls;
mod traces;
