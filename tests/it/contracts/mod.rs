//! The contracts of the reference systems, replayed case by case against the binary with the system's preset.
//! One stand-in, which records, plays all their services; the stores are real.

mod client;
mod contract;
mod expect;
mod explained;
mod matcher;
mod replay;
mod stand_in;
mod telling;
mod world;

use self::{replay::replay, world::Accounts};

#[tokio::test(flavor = "multi_thread")]
async fn dream_with_a_service_that_keeps_accounts() {
    replay("dream", Accounts::Behind, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dream_with_the_gateways_own_accounts() {
    replay("dream", Accounts::Own, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presencepro() {
    replay("presencepro", Accounts::MadeUp, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn friday() {
    replay("friday", Accounts::MadeUp, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twinmcp() {
    replay("twinmcp", Accounts::Kept, &[]).await;
}
