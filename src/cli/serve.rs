//! `propylon serve`: the gateway on a config file, or whole on embedded defaults.

use std::{
    io::{IsTerminal as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
};
use tracing::info;

use super::{Failure, Serve, check, ending, paint::Paint, say, say_error, warn, words::Words};
use crate::{
    config::{Config, Source as Written, Sources, colours},
    dispatch::worker,
    gateway::{Gateway, Source, StartError, door, log, operator_door},
    server,
    services::{accounts::FirstAdmin, admin::Mistake},
    store::AT_START,
};

/// What the end is called in the log's events.
const STOPPING: &str = "gateway_stopping";
/// How long the operator's listener may take to end once all others have.
const LAST: Duration = Duration::from_secs(2);
/// How many connections it may have at once.
const OPERATORS: usize = 256;
/// How long telemetry may take that waits to be sent, whatever is left of the drain.
const LEAST_FLUSH: Duration = Duration::from_secs(1);
const MOST_FLUSH: Duration = Duration::from_secs(10);
/// How long after the drain's deadline a worker may take to end.
const LATE_WORKER: Duration = Duration::from_millis(500);

pub(super) fn run(arguments: &Serve) -> Result<(), Failure> {
    let sources = Sources::of_process(arguments.config.as_deref()).with_flag(
        "--listen",
        "gateway.listen",
        arguments.listen.as_deref(),
    );
    if let Some(file) = &sources.file
        && file.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
    {
        let file = file.display();
        return Err(Failure::config(format!(
            "{file} is no file that can be read again, as each reload does"
        )));
    }
    let (_, written) = load(&sources)?;
    let source = Source::new(sources.file.clone(), move || read(&sources));
    serve(&written, source, |words, paint| say(words.for_a_person(paint).trim_end()))
}

/// The config of these sources, and where each of its keys was written; its warnings are told to whoever started the command.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn load(sources: &Sources) -> Result<(Config, Written), Failure> {
    let mut loaded = sources.inspect();
    if loaded.is_wrong() {
        // All that is wrong is told at once, as `check` tells it.
        loaded = check::rehearsed(loaded)?;
    }
    let written = loaded.source.clone();
    let (config, warnings) = loaded.accept().map_err(wrong)?;
    if !warnings.is_empty() {
        warn(&format!("the config can be run on, and something in it is strange\n\n{warnings}\n"));
    }
    Ok((config, written))
}

/// Refuses to start, with everything that is wrong.
pub(super) fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::config(format!("the config is wrong\n\n{error}"))
}

/// The config for a reload: read anew, a line for each mistake.
fn read(sources: &Sources) -> Result<Config, Vec<Mistake>> {
    let mistake = |(subject, message)| Mistake { subject, message };
    let accepted = sources.load().accept();
    accepted
        .map(|(config, _)| config)
        .map_err(|error| error.report().lines().into_iter().map(mistake).collect())
}

/// Runs a gateway until SIGTERM or SIGINT. `written` says where each key of the config was written, and `source` reads it,
/// now and at each reload. Once it listens and its upstreams had their first chance it says so: to a person
/// at a terminal by `greet`, else in one line.
pub(super) fn serve(
    written: &Written,
    source: Source,
    greet: impl FnOnce(&Words<'_>, Paint),
) -> Result<(), Failure> {
    let config = source.read().map_err(|mistakes| wrong(StartError::Config(mistakes)))?;
    log::start(config.log);
    let mut rules = server::Rules {
        header_bytes: config.header_bytes,
        headers: config.headers,
        connections: config.connections,
        proxy_protocol: config.proxy_protocol.as_slice().into(),
    };
    rules.connections.max = server::raise_open_files(rules.connections.max, config.workers)
        .map_err(|few| Failure::system(few.to_string()))?;
    let listeners = server::listen(config.listen, config.workers)
        .map_err(|error| ending::cannot_listen("--listen", config.listen, &error))?;
    let address = listeners
        .first()
        .ok_or_else(|| Failure::system("no worker to listen"))?
        .local_addr()
        .map_err(Failure::system)?;
    let operators = operators_listener(config.admin)?;
    let admin = operators.as_ref().map(TcpListener::local_addr).transpose().map_err(Failure::system)?;
    let main = runtime()?;
    let gateway = main.block_on(Gateway::start(config, source)).map_err(|error| match error {
        StartError::Config(_) => wrong(written.report(&error.mistakes())),
        StartError::Machine(why) => Failure::system(why),
    })?;
    // What cannot start says so in a sentence, and nothing before it.
    info!(target: AT_START, event = "gateway_starting", "the gateway starts its workers");
    let server = server::Server::new(rules.clone());
    let (stop, stopping) = watch::channel(false);
    let (ending, mut ended) = mpsc::channel(1);
    // It drains last: who looks after the gateway sees it stop.
    let (stop_last, stopping_last) = watch::channel(false);
    let last = operators
        .map(|listener| {
            let server = server::Server::new(of_operators(&rules));
            let (door, ending) = (operator_door(&gateway), Ending(ending.clone()));
            let runtime = runtime()?;
            let serve = move || {
                let _ending = ending;
                runtime.block_on(server.serve(listener, door, stopping_last));
                runtime.shutdown_background();
            };
            thread::Builder::new().name("admin".to_owned()).spawn(serve).map_err(Failure::system)
        })
        .transpose()?;
    let workers = listeners
        .into_iter()
        .enumerate()
        .map(|(index, listener)| {
            let (runtime, door, stopping) = (runtime()?, door(&gateway), stopping.clone());
            let (server, ending) = (server.clone(), Ending(ending.clone()));
            let lag = gateway.lag();
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let _ending = ending;
                    worker::set(index);
                    let _watched = runtime.spawn(async move { lag.watch().await });
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
    let (config, catalog, stores) = (gateway.config(), gateway.catalog(), gateway.stores());
    let words = Words { config: &config, catalog: &catalog, address, admin, stores: &stores };
    if std::io::stdout().is_terminal() {
        greet(&words, Paint::new(colours()));
    } else {
        say(&words.for_a_program());
    }
    info!(target: AT_START, event = "gateway_started", "the gateway listens on {address}");
    if let Some(admin) = gateway.first_admin() {
        tell_of(&admin);
    }
    let asked = main.block_on(async {
        tokio::select! {
            () = signals.until_stop(&gateway) => true,
            // Nobody asked it to: the others finish what they have.
            _ = ended.recv() => false,
        }
    });
    // As the config is now, not as it was at the start.
    let drain = gateway.config().drain;
    // Readiness goes first: who balances sees it while calls are still taken.
    gateway.drain();
    let why = if asked { "asked to stop" } else { "a worker has ended" };
    if drain.delay.is_zero() {
        info!(event = STOPPING, "{why}; no more calls are taken, and those in flight finished");
    } else {
        info!(
            event = STOPPING,
            "{why}; calls are taken for another {:?}, those in flight then finished", drain.delay
        );
    }
    let hurried = main.block_on(async {
        tokio::select! {
            () = tokio::time::sleep(drain.delay) => false,
            // Whoever asks twice has waited long enough.
            () = signals.until_stop(&gateway) => true,
        }
    });
    let until = Instant::now() + drain.timeout;
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
    let _ = stop_last.send(true);
    if let Some(last) = last.filter(|_| matches!(drained, Some(Ok(Ok(()))))) {
        let joined = main.spawn_blocking(move || last.join());
        main.block_on(async {
            tokio::select! {
                // What is left is somebody who watches.
                _ = joined => {}
                () = tokio::time::sleep(LAST) => {}
                () = signals.until_stop(&gateway) => {}
            }
        });
    }
    // What the last calls tell is sent within what is left of the drain.
    let left = until.saturating_duration_since(Instant::now()).clamp(LEAST_FLUSH, MOST_FLUSH);
    let left = if drained.is_some() { left } else { LEAST_FLUSH };
    main.block_on(async {
        tokio::select! {
            () = gateway.finish_telemetry(left) => {}
            () = signals.until_stop(&gateway) => {}
        }
    });
    main.block_on(gateway.end_servers());
    main.block_on(gateway.close_stores());
    main.shutdown_background();
    log::flush();
    match drained {
        None => info!("what is in flight is closed"),
        Some(Ok(Ok(()))) if asked => {}
        Some(Ok(Ok(()))) => return Err(Failure::system("a worker has ended; the log says why")),
        Some(_) => return Err(Failure::bug("a worker has ended by a bug; the log says how it came there")),
    }
    info!(event = "gateway_stopped", "stopped");
    Ok(())
}

/// The operator's listener, if there is to be one.
fn operators_listener(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let listeners = server::listen(address, 1);
    let mut listeners =
        listeners.map_err(|error| ending::cannot_listen("[admin] listen =", address, &error))?;
    Ok(listeners.pop())
}

/// What its connections are held to: few are enough, and they are counted apart, so that it is reached when the others are
/// used up.
fn of_operators(rules: &server::Rules) -> server::Rules {
    let mut connections = rules.connections;
    connections.max = connections.max.min(OPERATORS);
    connections.max_per_address = connections.max_per_address.min(OPERATORS);
    server::Rules { connections, proxy_protocol: [].into(), ..*rules }
}

/// Tells of the admin that this start has made, whatever the log's level: nobody else knows the password. Who collects
/// stdout gets one line there, and a password never: it is on stderr then, beside the log.
fn tell_of(FirstAdmin { email, password }: &FirstAdmin) {
    let words = match password {
        Some(password) => {
            format!("an admin was made: {email}, with the password {password} (shown this once)")
        }
        None => format!("an admin was made: {email}"),
    };
    if std::io::stdout().is_terminal() {
        say(&format!("\n  {words}"));
    } else if std::io::stderr().is_terminal() {
        say_error(&words);
    } else {
        let said =
            serde_json::json!({ "message": "an admin was made", "email": email, "password": password });
        let _ = writeln!(std::io::stderr(), "{said}");
    }
}

/// Tells that a worker's thread has ended, however.
struct Ending(mpsc::Sender<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        // One is enough.
        let _ = self.0.try_send(());
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
