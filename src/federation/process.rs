//! An MCP server as a child process: messages are lines on its standard input and output, what it writes to its standard error
//! goes into the log. It has a process group of its own, and whatever of that is left when it ends, or is no longer wanted, is
//! killed. Source: the specification, basic/transports, stdio.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command as Spawn},
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::Status;
use tracing::{info, warn};

use super::message::Incoming;
use crate::status::Fault;

/// Messages that wait to be written.
const QUEUE: usize = 64;
/// Messages of one request that wait to be read.
const UNREAD: usize = 256;
/// How long a process has to end by itself once its standard input is closed, and once it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// The longest line of its standard error that is logged whole.
const MOST_SAID: usize = 4 << 10;

/// Lines that are no messages, such as greetings, before it is taken for something else than a server.
const MOST_STRANGE: usize = 20;

/// What is started.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    pub program: String,
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    pub folder: Option<PathBuf>,
}

/// Its environment has secrets.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program, self.arguments.join(" "))
    }
}

/// A process that runs, or has run. When it is dropped the process is ended.
pub(super) struct Process {
    /// `MCP server "files"`
    label: Arc<str>,
    out: mpsc::Sender<String>,
    waiting: Arc<Waiting>,
    /// Dropped, it ends the process.
    _wanted: watch::Sender<()>,
    /// Closed once nothing of it is left.
    ended: watch::Receiver<()>,
}

/// Who waits for messages: requests by their ids, and who hears what is about none of them.
#[derive(Default)]
struct Waiting {
    requests: Mutex<HashMap<u64, mpsc::Sender<Incoming>>>,
    over: AtomicBool,
    /// Notifications that are about no request.
    heard: Mutex<Option<mpsc::Sender<Incoming>>>,
}

/// The messages of one request.
pub(super) struct Heard {
    id: u64,
    messages: mpsc::Receiver<Incoming>,
    process: Arc<Process>,
}

impl Process {
    /// Starts one, on the current runtime.
    ///
    /// # Errors
    /// UNAVAILABLE: it cannot be started.
    pub(super) fn start(label: &Arc<str>, command: &Command, most: usize) -> Result<Self, Status> {
        let mut spawn = Spawn::new(&command.program);
        spawn.args(&command.arguments).env_clear().envs(command.environment.iter().map(|(n, v)| (n, v)));
        spawn.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What it starts belongs to it, and signals from a terminal are for the gateway alone.
        spawn.process_group(0).kill_on_drop(true);
        if let Some(folder) = &command.folder {
            spawn.current_dir(folder);
        }
        let cannot = |why: &dyn fmt::Display| {
            let message = format!("{label} cannot be started ({}): {why}", command.program);
            Fault::upstream().unsent().on(Status::unavailable(message))
        };
        let mut child = spawn.spawn().map_err(|error| cannot(&error))?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(cannot(&"it has no standard streams"));
        };
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (out, mut lines) = mpsc::channel::<String>(QUEUE);
        let waiting = Arc::new(Waiting::default());
        let (wanted, mut unwanted) = watch::channel(());
        let (gone, ended) = watch::channel(());
        let writing = async move {
            while let Some(mut line) = lines.recv().await {
                line.push('\n');
                if input.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        let (said, name) = (Arc::clone(label), Arc::clone(label));
        tokio::spawn(async move { log(&said, BufReader::new(errors)).await });
        let (readers, read) = (Arc::clone(&waiting), Arc::clone(label));
        tokio::spawn(async move {
            let _gone = gone;
            // Its input is closed by dropping `writing`.
            let by_itself = {
                let reading = readers.read(&read, BufReader::new(output), most);
                tokio::pin!(writing, reading);
                tokio::select! {
                    () = &mut reading => true,
                    status = child.wait() => { told(&name, &status); true }
                    _ = unwanted.changed() => false,
                    () = &mut writing => false,
                }
            };
            readers.end();
            end(&mut child, group, by_itself).await;
        });
        Ok(Self { label: Arc::clone(label), out, waiting, _wanted: wanted, ended })
    }

    /// True once it takes no more messages.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.over.load(Ordering::Relaxed) || self.out.is_closed()
    }

    /// What is closed once nothing of it is left.
    pub(super) fn end(&self) -> watch::Receiver<()> {
        self.ended.clone()
    }

    /// Sends a request and hears what comes of it.
    ///
    /// # Errors
    /// UNAVAILABLE: it has ended, or takes nothing within the time.
    pub(super) async fn ask(
        self: &Arc<Self>,
        id: u64,
        message: String,
        limit: Duration,
    ) -> Result<Heard, Status> {
        let (sender, messages) = mpsc::channel(UNREAD);
        self.waiting.lock().insert(id, sender);
        let heard = Heard { id, messages, process: Arc::clone(self) };
        self.say(message, limit).await?;
        // It may have ended before it was noted who waits.
        if self.is_over() { Err(self.ended()) } else { Ok(heard) }
    }

    /// Sends a message that nothing is heard of.
    ///
    /// # Errors
    /// UNAVAILABLE, as of [`Process::ask`].
    pub(super) async fn say(&self, message: String, limit: Duration) -> Result<(), Status> {
        match timeout(limit, self.out.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.ended()),
            Err(_) => {
                let message = format!("{} reads nothing", self.label);
                Err(Fault::upstream().on(Status::unavailable(message)))
            }
        }
    }

    /// Hears notifications that are about no request.
    pub(super) fn hear(&self) -> mpsc::Receiver<Incoming> {
        let (sender, receiver) = mpsc::channel(UNREAD);
        let mut heard = self.waiting.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // Of one that has ended nothing more is heard.
        *heard = (!self.is_over()).then_some(sender);
        receiver
    }

    fn ended(&self) -> Status {
        Fault::upstream().on(Status::unavailable(format!("{} has ended", self.label)))
    }
}

impl Heard {
    /// The next message about the request.
    ///
    /// # Errors
    /// UNAVAILABLE: the process has ended.
    pub(super) async fn next(&mut self) -> Result<Incoming, Status> {
        self.messages.recv().await.ok_or_else(|| self.process.ended())
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.process.waiting.lock().remove(&self.id);
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Incoming>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads messages until there are no more.
    async fn read(&self, label: &Arc<str>, mut output: impl AsyncBufRead + Unpin, most: usize) {
        let (mut line, mut strange) = (Vec::new(), 0);
        loop {
            match next_line(&mut output, &mut line, most).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    warn!("{label}: its standard output cannot be read on: {why}");
                    return;
                }
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match Incoming::read(&line) {
                Ok(message) => self.pass(message),
                Err(why) if strange < MOST_STRANGE => {
                    strange += 1;
                    warn!("{label}: a line of its standard output is no message of MCP: {why}");
                }
                Err(_) => {
                    warn!("{label} does not speak MCP, and is ended");
                    return;
                }
            }
        }
    }

    /// Gives a message to whom it is for. Who does not read what is for it loses it.
    fn pass(&self, message: Incoming) {
        let id = match &message {
            Incoming::Notification { method, .. } if is_about_all(method) => {
                if let Some(heard) = &*self.heard.lock().unwrap_or_else(PoisonError::into_inner) {
                    drop(heard.try_send(message));
                }
                return;
            }
            Incoming::Answer { id, .. } => id.parse().ok(),
            Incoming::Notification { params, .. } => {
                params.get("progressToken").and_then(|token| token.get().parse().ok())
            }
            Incoming::Request { .. } => None,
        };
        let requests = self.lock();
        let whose = match id {
            Some(id) => requests.get(&id),
            // A process is one caller's: what names no request is about the one that goes on.
            None => requests.iter().max_by_key(|(id, _)| **id).map(|(_, whose)| whose),
        };
        if let Some(whose) = whose {
            drop(whose.try_send(message));
        }
    }

    /// Nobody will hear anything any more.
    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.lock().clear();
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", self.label)
    }
}

/// True for what is said to everyone.
fn is_about_all(method: &str) -> bool {
    method.ends_with("/list_changed") || method == "notifications/resources/updated"
}

/// Reads one line, without its end. False at the end of all.
async fn next_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    most: usize,
) -> Result<bool, String> {
    line.clear();
    loop {
        let read = from.fill_buf().await.map_err(|error| error.to_string())?;
        if read.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = memchr::memchr(b'\n', read);
        let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
        if line.len() + part.len() > most {
            return Err(format!("a line is longer than {most} bytes"));
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Logs what it says.
async fn log(label: &Arc<str>, mut errors: impl AsyncBufRead + Unpin) {
    let mut line = Vec::new();
    loop {
        let read = errors.fill_buf().await;
        let Ok(read) = read else { return };
        if read.is_empty() {
            return;
        }
        let end = memchr::memchr(b'\n', read);
        let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        errors.consume(used);
        if end.is_some() || line.len() > MOST_SAID {
            let said: String = String::from_utf8_lossy(&line)
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            if !said.trim().is_empty() {
                info!("{label} says: {}", said.trim_end());
            }
            line.clear();
        }
    }
}

fn told(label: &Arc<str>, status: &std::io::Result<std::process::ExitStatus>) {
    match status {
        Ok(status) => warn!("{label} has ended by itself: {status}"),
        Err(error) => warn!("{label}: its end cannot be waited for: {error}"),
    }
}

/// Ends it, and whatever of its group is left. Its standard input is closed already.
async fn end(child: &mut Child, group: Option<Pid>, ended: bool) {
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    if !ended && timeout(GRACE, child.wait()).await.is_err() {
        // It may have gone in between.
        let _ = signal(Signal::TERM);
        let _ = timeout(GRACE, child.wait()).await;
    }
    // What it has started outlives it otherwise.
    let _ = signal(Signal::KILL);
    let _ = child.kill().await;
}
