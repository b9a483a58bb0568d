//! Propylon: one port, one contract, four ways in.
pub mod call;
pub mod dispatch;
pub mod route;
pub mod schema;
pub mod status;
