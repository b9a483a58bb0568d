//! What the gateway tells of its calls: a line of the access log each, and numbers.

mod access_log;
mod dashboards;
mod exposition;
mod metrics;
mod pushed;
mod stats;
mod streams;
mod tools;
mod unread;
