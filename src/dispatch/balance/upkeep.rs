//! What is done for an upstream in the background: its names are looked up again and again, and each of its endpoints is asked
//! how it is. It ends when the upstream goes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{Balance, Endpoint, HealthKind, HealthRules, random};

/// How the endpoints of one protocol are asked.
pub(in crate::dispatch) trait Ask<T>: Send + Sync + 'static {
    /// Asks once.
    ///
    /// # Errors
    /// What speaks against the endpoint, in words that follow its name.
    fn ask(&self, endpoint: Arc<Endpoint<T>>, kind: HealthKind) -> BoxFuture<'static, Result<(), String>>;

    /// Listens to what the endpoint says by itself, until that ends. False: it says nothing, and never will.
    fn listen(&self, _: Arc<Endpoint<T>>, _: HealthKind) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(false))
    }
}

/// Tasks that end with this.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Upkeep(Vec<AbortHandle>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Upkeep {
    /// Begins on the current runtime.
    pub(in crate::dispatch) fn begin<T: Send + Sync + 'static>(
        balance: &Arc<Balance<T>>,
        ask: impl Ask<T>,
    ) -> Self {
        let mut tasks = Vec::new();
        if balance.names.change() {
            tasks.push(tokio::spawn(names(Arc::clone(balance))).abort_handle());
        }
        if let Some(rules) = &balance.rules.health {
            let checks = checks(Arc::clone(balance), rules.clone(), Arc::new(ask));
            tasks.push(tokio::spawn(checks).abort_handle());
        }
        Self(tasks)
    }
}

/// Looks names up, now and at their interval.
async fn names<T>(balance: Arc<Balance<T>>) {
    loop {
        balance.look_up().await;
        sleep(balance.rules.resolve_interval).await;
    }
}

impl<T> Balance<T> {
    async fn look_up(&self) {
        let failures = {
            let _looking = self.looking.lock().await;
            let failures = self.names.look_up().await;
            self.adopt();
            failures
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for why in failures.iter().filter(|why| !told.contains(why)) {
            let kept = if self.set.load().endpoints.is_empty() { "" } else { "; what it had last stays" };
            tracing::warn!("{} {why}{kept}", self.label);
        }
        *told = failures;
    }
}

/// Has a task for each endpoint that there is.
async fn checks<T: Send + Sync + 'static>(
    balance: Arc<Balance<T>>,
    rules: HealthRules,
    ask: Arc<impl Ask<T>>,
) {
    let mut checked: HashMap<(usize, SocketAddr), Upkeep> = HashMap::new();
    loop {
        let set = balance.set.load_full();
        checked.retain(|key, _| set.endpoints.iter().any(|endpoint| key_of(endpoint) == *key));
        for endpoint in &set.endpoints {
            checked.entry(key_of(endpoint)).or_insert_with(|| {
                let asking = asking(Arc::clone(endpoint), rules.clone(), Arc::clone(&ask));
                let listening = listening(Arc::clone(endpoint), rules.clone(), Arc::clone(&ask));
                Upkeep(vec![tokio::spawn(asking).abort_handle(), tokio::spawn(listening).abort_handle()])
            });
        }
        // A name may not have been looked up yet.
        sleep(rules.interval.min(Duration::from_secs(1))).await;
    }
}

fn key_of<T>(endpoint: &Endpoint<T>) -> (usize, SocketAddr) {
    (endpoint.origin, endpoint.address)
}

/// Asks one endpoint at the interval, give or take a tenth, so that replicas do not ask all at once.
async fn asking<T: Send + Sync + 'static>(
    endpoint: Arc<Endpoint<T>>,
    rules: HealthRules,
    ask: Arc<impl Ask<T>>,
) {
    loop {
        let limit = rules.timeout;
        let asked = match &rules.kind {
            HealthKind::Tcp => {
                let connecting = async {
                    let connected = TcpStream::connect(endpoint.address).await;
                    connected.map(drop).map_err(|error| format!("cannot be connected to: {error}"))
                };
                timeout(limit, connecting).await
            }
            kind => timeout(limit, ask.ask(Arc::clone(&endpoint), kind.clone())).await,
        };
        let answer = asked.unwrap_or_else(|_| Err(format!("did not answer within {limit:?}")));
        note(&endpoint, answer, rules.healthy_after, rules.unhealthy_after);
        sleep(rules.interval - rules.interval / 10 + random::up_to(rules.interval / 5)).await;
    }
}

async fn listening<T: Send + Sync + 'static>(
    endpoint: Arc<Endpoint<T>>,
    rules: HealthRules,
    ask: Arc<impl Ask<T>>,
) {
    while ask.listen(Arc::clone(&endpoint), rules.kind.clone()).await {
        sleep(rules.interval).await;
    }
}

/// Takes an answer for what it says; a change is logged.
pub(in crate::dispatch) fn note<T>(
    endpoint: &Endpoint<T>,
    answer: Result<(), String>,
    healthy_after: u32,
    unhealthy_after: u32,
) {
    if !endpoint.checked(answer.is_ok(), healthy_after, unhealthy_after) {
        return;
    }
    match answer {
        Ok(()) => tracing::info!("{} is healthy again", endpoint.label),
        Err(why) => tracing::warn!("{} is not healthy: it {why}", endpoint.label),
    }
}
