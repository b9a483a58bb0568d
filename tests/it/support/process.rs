//! Programs that a test starts: their output line by line, every wait bounded, killed with all their children
//! when the test lets go of them.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a wait looks again.
const STEP: Duration = Duration::from_millis(10);

/// A running program. Dropped, it is killed with its process group and waited for.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts a program with its stdin open (many servers end when it closes) and its output kept.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Failure> {
        Self::spawn(name, command.stdout(Stdio::piped()))
    }

    fn spawn(name: &str, command: &mut Command) -> Result<Self, Failure> {
        let mut child = command
            // The tests' own switches; to the gateway they would be keys that are not there.
            .env_remove("PROPYLON_REQUIRE")
            .env_remove("PROPYLON_BIN")
            .env_remove("PROPYLON_OUTAGE_SECONDS")
            .env_remove("PROPYLON_OUTAGE_RATE")
            .env_remove("PROPYLON_REWRITE")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure(format!("{name} does not start: {error}")))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Vec::new();
        if let Some(output) = child.stdout.take() {
            readers.push(keep_lines(output, Arc::clone(&lines)));
        }
        if let Some(output) = child.stderr.take() {
            readers.push(keep_lines(output, Arc::clone(&lines)));
        }
        Ok(Self { name: name.to_owned(), child, lines, readers })
    }

    /// Starts a program whose stdout is a terminal. What it prints there comes with all its colours.
    pub(crate) fn start_on_terminal(name: &str, command: &mut Command) -> Result<Self, Failure> {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        // linux/fcntl.h: the terminal is for the program's output alone, not to rule over this process.
        const O_NOCTTY: i32 = 0o400;
        let failed = |error: String| Failure(format!("{name}: no terminal for it: {error}"));
        let open = || -> rustix::io::Result<_> {
            let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
            grantpt(&ours)?;
            unlockpt(&ours)?;
            let path = ptsname(&ours, Vec::new())?;
            Ok((ours, path))
        };
        let (ours, path) = open().map_err(|error| failed(error.to_string()))?;
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        let theirs = File::options().read(true).write(true).custom_flags(O_NOCTTY).open(path);
        command.stdout(theirs.map_err(|error| failed(error.to_string()))?);
        let started = Self::spawn(name, command);
        // Else the command keeps the terminal open, and its output has no end.
        command.stdout(Stdio::null());
        let mut started = started?;
        started.readers.push(keep_lines(File::from(ours), Arc::clone(&started.lines)));
        Ok(started)
    }

    /// Everything printed so far, stdout and stderr together.
    pub(crate) fn output(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a line that contains `words` and returns what follows them on it.
    pub(crate) fn wait_for(&mut self, words: &str, limit: Duration) -> Result<String, Failure> {
        let begun = Instant::now();
        loop {
            // Asked before the output is read: what an ended program printed is then complete.
            let ended = self.ended()?.is_some();
            let output = self.output();
            if let Some((_, rest)) = output.lines().find_map(|line| line.split_once(words)) {
                return Ok(rest.trim().to_owned());
            }
            if ended || begun.elapsed() > limit {
                let why = if ended { "ended" } else { "was too slow" };
                return Err(Failure(format!(
                    "{} {why} without printing «{words}»; it printed:\n{output}",
                    self.name
                )));
            }
            std::thread::sleep(STEP);
        }
    }

    /// Waits for the end and returns what was printed; an error when it failed or took longer than `limit`.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<String, Failure> {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.ended()? {
                let output = self.output();
                let failure = || Failure(format!("{}: {status}:\n{output}", self.name));
                return if status.success() { Ok(output) } else { Err(failure()) };
            }
            std::thread::sleep(STEP);
        }
        Err(Failure(format!("{} did not end within {limit:?}; it printed:\n{}", self.name, self.output())))
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (`TERM`, `HUP`) to the process alone.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} to {}", self.name);
    }

    /// Waits for the end and returns the exit code; an error when it took longer than `limit`, or a signal ended it.
    pub(crate) fn exit_code(&mut self, limit: Duration) -> Result<i32, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                let by_signal = || Failure(format!("{}: {status}:\n{}", self.name, self.output()));
                return status.code().ok_or_else(by_signal);
            }
            if begun.elapsed() > limit {
                return Err(Failure(format!(
                    "{} did not end within {limit:?}; it printed:\n{}",
                    self.name,
                    self.output()
                )));
            }
            std::thread::sleep(STEP);
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let status = self.child.try_wait().map_err(|error| Failure(format!("{}: {error}", self.name)))?;
        if status.is_some() {
            self.kill_group();
            for reader in self.readers.drain(..) {
                // A reader ends with its pipe; one that panicked has nothing more to say.
                let _ = reader.join();
            }
        }
        Ok(status)
    }

    /// Kills whatever is left of the program's process group, such as a browser that a driver started.
    fn kill_group(&self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill_group();
        let _ = self.child.wait();
    }
}

/// Why a test failed, with what the program printed. Its `Debug`, which libtest shows, is the plain text.
pub(crate) struct Failure(pub(crate) String);

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads a pipe to its end, line by line.
fn keep_lines(output: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            // A terminal ends its lines with \r\n.
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let text = String::from_utf8_lossy(line).into_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    })
}
