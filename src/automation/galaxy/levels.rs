//! The first two levels of the catalogue: the popular namespaces at the start, all others in the background, a few a second.
//! What the database has from not long ago is not asked for again, so that a process that begins goes on where another ended.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::{
    api,
    catalogue::{Catalogue, Key, NAMESPACE},
    client::Failure,
    progress::{Board, Phase},
};
use crate::store::Micros;

/// How many popular namespaces are asked for at the same time.
const AT_ONCE: usize = 4;
/// How old what the database has may be, and how soon all is read again.
const ROUND: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a namespace is tried that cannot be read.
const TRIES: u32 = 3;
/// How long Galaxy is left alone that cannot be reached: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Level one: asks for each once. Those that could not be had, though they may be there.
pub(super) async fn popular(catalogue: &Arc<Catalogue>, names: Vec<String>) -> Vec<String> {
    let of = names.len();
    let asked = stream::iter(names).map(|name| {
        let catalogue = Arc::clone(catalogue);
        async move {
            let asked = catalogue.get(&Key::Namespace(name.clone())).await;
            asked.err().filter(|failure| *failure != Failure::Missing).map(|_| name)
        }
    });
    let left: Vec<String> = asked.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    match left.len() {
        0 => info!(of, "the popular namespaces of Galaxy were read"),
        left => {
            warn!(left, of, "not all popular namespaces of Galaxy could be read; they are asked for again")
        }
    }
    left
}

/// Asks for what is left of them until nothing is.
pub(super) async fn popular_again(catalogue: &Arc<Catalogue>, mut left: Vec<String>) {
    let mut failures = 1;
    while !left.is_empty() {
        sleep(wait(failures)).await;
        failures += 1;
        left = popular(catalogue, left).await;
    }
}

/// Level two: all namespaces, again and again. `rate`: how many a second.
pub(super) async fn all(catalogue: &Arc<Catalogue>, rate: u32, board: &Board) {
    loop {
        board.phase(Phase::Listing);
        let names = listed(catalogue, board).await;
        read(catalogue, names, rate, board).await;
        board.change(|progress| {
            progress.phase = Phase::Complete;
            progress.finished_at = Some(Micros::now());
        });
        let progress = board.now();
        info!(total = progress.total, failed = progress.failed, "all namespaces of Galaxy were read");
        sleep(ROUND).await;
    }
}

/// The names of all namespaces, as soon as Galaxy tells them.
async fn listed(catalogue: &Catalogue, board: &Board) -> Vec<String> {
    let mut failures = 0;
    loop {
        // Without any namespace it is no Galaxy: not yet, or not at this address.
        let listed = match api::names(&catalogue.client).await {
            Ok(names) if names.is_empty() => Err(Failure::Away("it lists none".to_owned())),
            Err(Failure::Missing) => Err(Failure::Away("there is no list at its address".to_owned())),
            listed => listed,
        };
        match listed {
            Ok(names) => return names,
            Err(failure) => {
                if failures == 0 {
                    warn!("the namespaces of Galaxy cannot be listed yet: {failure}");
                }
                failures += 1;
                rest(&failure, failures, Phase::Listing, board).await;
            }
        }
    }
}

async fn read(catalogue: &Arc<Catalogue>, names: Vec<String>, rate: u32, board: &Board) {
    let since = Micros::now().before(ROUND);
    let known: HashSet<String> =
        catalogue.store.names(NAMESPACE, since).await.unwrap_or_default().into_iter().collect();
    let total = names.len();
    let mut waiting: VecDeque<(String, u32)> =
        names.into_iter().filter(|name| !known.contains(name)).map(|name| (name, 0)).collect();
    board.change(|progress| {
        progress.phase = Phase::Reading;
        (progress.total, progress.done, progress.failed) = (total, total - waiting.len(), 0);
    });
    let mut turn = interval(Duration::from_secs(1) / rate.max(1));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    while let Some((name, tries)) = waiting.pop_front() {
        turn.tick().await;
        match catalogue.flight(&Key::Namespace(name.clone())).await {
            // One that is listed and not there has gone meanwhile.
            Ok(_) | Err(Failure::Missing) => {
                failures = 0;
                board.change(|progress| progress.done += 1);
            }
            Err(failure) => {
                failures += 1;
                match (&failure, tries + 1) {
                    // It was not asked for.
                    (Failure::Paused(_), _) => waiting.push_front((name, tries)),
                    (_, TRIES..) => {
                        warn!(namespace = name, "a namespace of Galaxy cannot be read: {failure}");
                        board.change(|progress| progress.failed += 1);
                    }
                    (_, tries) => waiting.push_back((name, tries)),
                }
                rest(&failure, failures, Phase::Reading, board).await;
            }
        }
    }
}

/// Leaves Galaxy alone for as long as it says; longer and longer where it says nothing.
async fn rest(failure: &Failure, failures: u32, then: Phase, board: &Board) {
    match failure {
        Failure::Paused(time) => {
            board.phase(Phase::Paused);
            sleep(*time).await;
            board.phase(then);
        }
        _ => sleep(wait(failures)).await,
    }
}

/// Longer after each failure.
fn wait(failures: u32) -> Duration {
    (FIRST_WAIT * 2_u32.saturating_pow(failures.clamp(1, 16) - 1)).min(LONGEST_WAIT)
}
