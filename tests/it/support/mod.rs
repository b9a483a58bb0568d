//! What the integration tests share: finding the tools of other languages, and running programs that must not
//! outlive their test.

pub(crate) mod by_hand;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod dance;
pub(crate) mod exact;
pub(crate) mod gallery;
pub(crate) mod gateway;
pub(crate) mod library;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod recorder;
pub(crate) mod reflecting;
pub(crate) mod servers;
pub(crate) mod streams;
pub(crate) mod tokens;
pub(crate) mod tools;
