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

/// What says something of the gateway that it does not tell yet.
const OF_HEALTH: [&str; 4] =
    ["health", "health-redis-down", "health-services-all-up", "health-services-one-down"];

#[tokio::test(flavor = "multi_thread")]
async fn dream_with_a_service_that_keeps_accounts() {
    replay("dream", Accounts::Behind, &OF_HEALTH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dream_with_the_gateways_own_accounts() {
    replay("dream", Accounts::Own, &OF_HEALTH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presencepro() {
    replay("presencepro", Accounts::MadeUp, &OF_HEALTH).await;
}
