//! `propylon serve`: the gateway on a config file, or whole on embedded defaults.

use std::{io::IsTerminal as _, path::Path, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::info;

use super::{Failure, Serve, ending, paint::Paint, say, words::Words};
use crate::{
    config::{Config, ConfigError, colours, listen_address},
    dispatch::worker,
    gateway::{Gateway, Source, StartError, door},
    server,
    services::{accounts::FirstAdmin, admin::Mistake},
};

/// How long after the drain's deadline a worker may take to end.
const LATE_WORKER: Duration = Duration::from_millis(500);

pub(super) fn run(arguments: &Serve) -> Result<(), Failure> {
    let (file, listen) = (arguments.config.clone(), arguments.listen.clone());
    let read = move || read(file.as_deref(), listen.as_deref());
    serve(Source::new(arguments.config.clone(), read), |words, paint| {
        say(words.for_a_person(paint).trim_end())
    })
}

/// Reads the config: the file, and over it the command line.
pub(super) fn read(file: Option<&Path>, listen: Option<&str>) -> Result<Config, Vec<Mistake>> {
    let mistake = |error: ConfigError| vec![Mistake { subject: String::new(), message: error.to_string() }];
    let mut config = match file {
        Some(file) => Config::read(file).map_err(mistake)?,
        None => Config::default(),
    };
    if let Some(listen) = listen {
        config.listen = listen_address(listen).map_err(mistake)?;
    }
    Ok(config)
}

/// Runs a gateway until SIGTERM or SIGINT. Once it listens and its upstreams had their first chance it says so: to a person
/// at a terminal by `greet`, else in one line.
pub(super) fn serve(source: Source, greet: impl FnOnce(&Words<'_>, Paint)) -> Result<(), Failure> {
    let config = source.read().map_err(|mistakes| Failure::config(StartError(mistakes)))?;
    start_log();
    let drain = config.drain;
    let mut rules = server::Rules {
        header_bytes: config.header_bytes,
        connections: config.connections,
        drain: drain.timeout,
    };
    let listeners = server::listen(config.listen, config.workers)
        .map_err(|error| ending::cannot_listen(config.listen, &error))?;
    let address = listeners
        .first()
        .ok_or_else(|| Failure::system("no worker to listen"))?
        .local_addr()
        .map_err(Failure::system)?;
    let main = runtime()?;
    let file = source.file.clone();
    let gateway = main.block_on(Gateway::start(config, source)).map_err(|error| match file {
        Some(file) => Failure::config(format!("{}: {error}", file.display())),
        None => Failure::config(error),
    })?;
    rules.connections.max = server::raise_open_files(rules.connections.max);
    let server = server::Server::new(rules);
    let (stop, stopping) = watch::channel(false);
    let workers = listeners
        .into_iter()
        .enumerate()
        .map(|(index, listener)| {
            let (runtime, door, stopping) = (runtime()?, door(&gateway), stopping.clone());
            let server = server.clone();
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    worker::set(index);
                    runtime.block_on(server.serve(listener, door, stopping));
                    runtime.shutdown_background();
                })
                .map_err(Failure::system)
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Before anyone is told that there is something to signal.
    let mut signals = {
        let _inside = main.enter();
        Signals::listen().map_err(Failure::system)?
    };
    let words = Words { config: &gateway.config(), catalog: &gateway.catalog(), address };
    if std::io::stdout().is_terminal() {
        greet(&words, Paint::new(colours()));
    } else {
        say(&words.for_a_program());
    }
    if let Some(admin) = gateway.first_admin() {
        say(&made(&admin, std::io::stdout().is_terminal()));
    }
    main.block_on(signals.until_stop(&gateway));
    // Readiness goes first: who balances sees it while calls are still taken.
    gateway.drain();
    info!("asked to stop; calls are taken for another {:?}, those in flight then finished", drain.delay);
    let hurried = main.block_on(async {
        tokio::select! {
            () = tokio::time::sleep(drain.delay) => false,
            // Whoever asks twice has waited long enough.
            () = signals.until_stop(&gateway) => true,
        }
    });
    // The receivers are the workers': none left means that there is nothing to stop.
    let _ = stop.send(true);
    let joined = main.spawn_blocking(|| workers.into_iter().try_for_each(thread::JoinHandle::join));
    let drained = main.block_on(async {
        tokio::select! {
            biased;
            () = std::future::ready(()), if hurried => None,
            joined = joined => Some(joined),
            () = signals.until_stop(&gateway) => None,
            // A worker closes what is left when its time is up. One that does not is not waited for.
            () = tokio::time::sleep(drain.timeout + LATE_WORKER) => None,
        }
    });
    main.block_on(gateway.close_stores());
    main.shutdown_background();
    match drained {
        None => info!("what is in flight is closed"),
        Some(Ok(Ok(()))) => {}
        Some(_) => return Err(Failure::bug("a worker has ended by a bug; the log says how it came there")),
    }
    info!("stopped");
    Ok(())
}

/// Tells of the admin that this start has made. Nobody else knows the password.
fn made(admin: &FirstAdmin, person: bool) -> String {
    let FirstAdmin { email, password } = admin;
    if !person {
        let said =
            serde_json::json!({ "message": "an admin was made", "email": email, "password": password });
        return said.to_string();
    }
    match password {
        Some(password) => {
            format!("  An admin was made: {email}, with the password {password} (shown this once).")
        }
        None => format!("  An admin was made: {email}."),
    }
}

/// A runtime on the current thread: each worker has one, so that a call never crosses threads.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::system)
}

/// The signals that the process listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT. Each SIGHUP until then is a reload.
    async fn until_stop(&mut self, gateway: &Gateway) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                // Not waited for: a signal to stop may come meanwhile.
                _ = self.hangup.recv() => drop(gateway.reload("SIGHUP")),
            }
        }
    }
}

/// The log goes to stderr: for a person on a terminal, as JSON otherwise.
pub(super) fn start_log() {
    // h2 warns of what clients send, a line for each frame of theirs: that is for clients to read.
    let level = tracing_subscriber::EnvFilter::new("info,h2=off");
    let log = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
    // A second start in one process (a test) keeps the first log.
    let _ = if std::io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
}
