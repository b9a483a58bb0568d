//! Propylon: one port, one contract, three ways in.
//!
//! Every surface is a codec, which opens its request as one canonical call and closes the outcome as a response in its own
//! protocol; in between there is one road. `ARCHITECTURE.md` has the picture; the modules below stand in the order in which
//! they may use one another, from the bottom up.

pub mod proto;
pub mod status;
pub mod telemetry;

pub mod schema;

pub mod auth;

pub mod route;

pub mod call;

pub mod observe;

pub mod transcode;

pub mod store;

pub mod dispatch;
pub mod policy;

pub mod federation;
pub mod health;
pub mod otlp;

pub mod automation;
pub mod services;

pub mod surface;

pub mod config;

pub mod openapi;

pub mod snapshot;

pub mod gateway;

pub mod server;

pub mod cli;
