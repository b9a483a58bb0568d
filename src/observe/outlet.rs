//! Where the lines of the access log go: into a buffer, which a thread of its own writes out, so that no request waits for
//! whoever reads the log. Lines that come together are written together. What would make the buffer grow without end, because
//! nobody reads, is left out and counted.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The most bytes that wait to be written.
const MOST_BYTES: usize = 8 << 20;
/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(5);
/// How long a flush may take.
const FLUSH: Duration = Duration::from_secs(1);

/// A way out for whole lines.
#[derive(Debug, Clone)]
pub struct Outlet(Arc<Shared>, Lost);

/// How a line says that lines were left out, and how many.
type Lost = fn(u64) -> String;

/// As JSON.
#[must_use]
pub fn lost_in_json(lost: u64) -> String {
    format!(
        "{{\"level\":\"warn\",\"target\":\"propylon::access\",\"message\":\"the log was not read in time\",\"lost\":{lost}}}\n"
    )
}

/// For a person.
#[must_use]
pub fn lost_in_text(lost: u64) -> String {
    format!(" WARN the log was not read in time: {lost} lines are lost\n")
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The writer is to look.
    look: Condvar,
    /// All that had come has been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that were left out since the last that was not.
    lost: u64,
    /// The writer waits to be woken.
    asleep: bool,
    /// The writer has something in its hands.
    writing: bool,
    /// Somebody waits until all is written.
    hurry: bool,
}

impl Outlet {
    /// Begins to write to `out`, on a thread that ends with the process; `lost` says what was left out.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(mut out: impl Write + Send + 'static, lost: Lost) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                let lines = writer.next();
                // A log that cannot be written can be told of nowhere.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                writer.done(lines);
            }
        })?;
        Ok(Self(shared, lost))
    }

    /// Adds one line, its end included.
    pub fn write(&self, line: &[u8]) {
        let mut state = self.0.state();
        if state.waiting.len() + line.len() > MOST_BYTES {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let lost = mem::take(&mut state.lost);
            state.waiting.extend_from_slice((self.1)(lost).as_bytes());
        }
        state.waiting.extend_from_slice(line);
        let wake = mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.0.look.notify_one();
        }
    }

    /// Waits until what was added is written, for a second at most.
    pub fn flush(&self) {
        let mut state = self.0.state();
        state.hurry = true;
        self.0.look.notify_one();
        let busy = |state: &mut State| !state.waiting.is_empty() || state.writing;
        let waited = self.0.written.wait_timeout_while(state, FLUSH, busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, and takes all there are a moment later.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            state.asleep = true;
            state = self.look.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let gathered = self.look.wait_timeout_while(state, GATHER, |state| !state.hurry);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        mem::take(&mut state.waiting)
    }

    /// Gives the buffer back to be filled again.
    fn done(&self, mut lines: Vec<u8>) {
        lines.clear();
        let mut state = self.state();
        state.writing = false;
        if state.waiting.is_empty() && lines.capacity() <= MOST_BYTES / 64 {
            state.waiting = lines;
        }
        drop(state);
        self.written.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Says what is written to it, and takes it only while its gate is open.
    struct Gated(mpsc::Sender<Vec<u8>>, Arc<Mutex<()>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.1.lock().unwrap();
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn outlet() -> (Outlet, mpsc::Receiver<Vec<u8>>, Arc<Mutex<()>>) {
        let (sender, written) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        (Outlet::to(Gated(sender, Arc::clone(&gate)), lost_in_json).unwrap(), written, gate)
    }

    #[test]
    fn lines_come_out_whole_and_in_their_order() {
        let (outlet, written, _) = outlet();
        for line in 0..1000 {
            outlet.write(format!("{line}\n").as_bytes());
        }
        outlet.flush();
        let want: String = (0..1000).map(|line| format!("{line}\n")).collect();
        assert_eq!(written.try_iter().flatten().collect::<Vec<_>>(), want.as_bytes());
        outlet.write(b"one more\n");
        assert_eq!(written.recv_timeout(Duration::from_secs(10)).unwrap(), b"one more\n");
    }

    #[test]
    fn who_does_not_read_loses_lines_and_is_told_how_many() {
        let (outlet, written, gate) = outlet();
        let closed = gate.lock().unwrap();
        let line = vec![b'x'; MOST_BYTES / 4];
        outlet.write(b"first\n");
        // In the writer's hands, before there are more than the buffer holds.
        while !outlet.0.state().writing {
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..6 {
            outlet.write(&line);
        }
        outlet.write(b"still fits not\n");
        drop(closed);
        outlet.flush();
        outlet.write(b"last\n");
        outlet.flush();
        let all = written.try_iter().flatten().collect::<Vec<_>>();
        let text = String::from_utf8(all).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(text.matches(&line).count(), 4);
        assert!(
            text.starts_with("first\nxxx") && text.ends_with("\"lost\":3}\nlast\n"),
            "{}",
            &text[text.len() - 99..]
        );
    }
}
