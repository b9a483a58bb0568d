//! Server-sent events as they come: `text/event-stream` of the HTML standard, 9.2.6. Only what an event holds is kept.
//!
//! ```text
//! stream = *event;  event = *( field / comment ) end-of-line;  end-of-line = CR LF / LF / CR
//! ```

use std::collections::VecDeque;

/// A stream that is taken apart.
#[derive(Debug)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    ready: VecDeque<Vec<u8>>,
    /// The most bytes of one event.
    most: usize,
}

/// An event is longer than may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Events {
    /// `most`: the most bytes of one event.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            ready: VecDeque::new(),
            most,
        }
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// An event is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_of_line(),
                byte => {
                    if self.line.len() + self.data.len() >= self.most {
                        return Err(TooLong);
                    }
                    self.line.push(*byte);
                }
            }
        }
        Ok(())
    }

    /// The data of the next event.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) && !data.is_empty() {
                self.ready.push_back(data);
            }
            return;
        }
        let Some(value) = line.strip_prefix(b"data") else { return };
        let value = match value {
            [] => value,
            [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
            _ => return,
        };
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let stream = b": hello\r\nid: 1\r\ndata: a\r\ndata:b\r\n\r\nevent: message\ndata: {\"x\":1}\n\n\rdata\n\ndata: last\r\rdata: half";
        for size in [1, 2, 3, 7, stream.len()] {
            let mut events = Events::new(1000);
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                events.push(piece).unwrap();
                while let Some(event) = events.take() {
                    found.push(String::from_utf8(event).unwrap());
                }
            }
            assert_eq!(found, ["a\nb", "{\"x\":1}", "last"], "{size}");
        }
    }

    #[test]
    fn no_event_is_without_end() {
        let mut events = Events::new(10);
        assert_eq!(events.push(b"data: 0123\n"), Ok(()));
        assert_eq!(events.push(b"data: 4567890"), Err(TooLong));
    }
}
