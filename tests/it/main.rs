//! The one integration-test binary. `real_clients` drives the gateway's binary with the clients that people use
//! (grpcio, grpcurl, buf, a browser) before an upstream of published services; `conformance` runs the protobuf
//! conformance suite over the converter. `support` finds the tools for it and runs them.

mod conformance;
mod dispatch;
mod failures;
mod real_clients;
mod support;
mod surfaces;
mod tidy;
