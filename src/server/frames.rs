//! Counts the frames of an HTTP/2 client (RFC 9113, section 4.1: a header of nine bytes, then the payload) and ends what is
//! a flood. h2 bounds what its frames cost in memory, but answers PING, SETTINGS, WINDOW_UPDATE, PRIORITY and the like as
//! fast as they come, and accepts streams that are reset at once as fast as they are opened.
//!
//! Each connection has two allowances, of control frames and of reset streams. Both grow with time; the first also grows
//! with what the client really uses the connection for, because flow control has its share of frames in every transfer.

use std::{fmt, time::Instant};

const HEADER: usize = 9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Control frames at once, and a second, whatever else happens on the connection; of a client whose address has flooded
/// lately, those that any use begins with.
const CONTROL: (u32, u32) = (1_000, 200);
const CONTROL_WATCHED: (u32, u32) = (200, 100);
/// Each stream allows a few more: its priority, its window, its end.
const CONTROL_OF_A_STREAM: u32 = 4;
/// So does every part of this many bytes that are sent to the client, as it grants windows for them and measures them.
const CONTROL_BYTES: i64 = 64;
/// Resets at once, and a second, counted in halves: a stream earns one of the two that its reset costs, so that a client
/// which gives up some of its calls never runs out.
const RESETS: (u32, u32) = (2_000, 1_000);
const RESETS_WATCHED: (u32, u32) = (200, 100);
const RESET_COST: u32 = 2;
/// So many control frames and resets are read at a time; then other connections have their turn.
const TURN: u32 = 64;
/// After a read with so many, the next is of so many bytes, which hold not many more than a turn; it could bring a thousand.
const CROWD: u32 = 16;
pub(super) const SLICE: usize = 1 << 10;
/// What answering a PING and a SETTINGS takes on the wire, and is no use of the connection.
const PONG: i64 = 17;
const SETTINGS_ACK: i64 = 9;

/// Reads the frame headers of one connection as they pass.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes that belong to no frame header: what is left of a payload, or of the preface.
    skip: usize,
    header: [u8; HEADER],
    /// Bytes of `header` that have come.
    come: usize,
    control: Allowance,
    resets: Allowance,
    /// Bytes sent that have not earned anything yet, without what only answers control frames.
    sent: i64,
    /// Control frames that may still come before others have their turn.
    turn: u32,
    /// The last read had many of them.
    crowded: bool,
    /// The highest stream that the client has opened.
    pub(super) last_stream: u32,
    /// Blocks of headers begun; the last is still open where `open` says so.
    pub(super) blocks: u64,
    pub(super) open: bool,
    /// Frames begun, as far as that matters: none, the client's SETTINGS, more.
    begun: u8,
}

/// A client that sends more of a kind of frame than any use of the connection explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood(&'static str);

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a flood of {} frames", self.0)
    }
}

impl std::error::Error for Flood {}

impl Frames {
    /// A connection whose preface, of `preface` bytes, is still to be read. `watched`: its address has flooded lately.
    pub(super) fn new(preface: usize, watched: bool, now: Instant) -> Self {
        let (control, resets) = if watched { (CONTROL_WATCHED, RESETS_WATCHED) } else { (CONTROL, RESETS) };
        Self {
            skip: preface,
            header: [0; HEADER],
            come: 0,
            control: Allowance::new(control, now),
            resets: Allowance::new(resets, now),
            sent: 0,
            turn: TURN,
            crowded: false,
            last_stream: 0,
            blocks: 0,
            open: false,
            begun: 0,
        }
    }

    /// Whether the client's first frame, its SETTINGS, has come whole (RFC 9113, 3.4).
    pub(super) fn greeted(&self) -> bool {
        self.begun > 1 || (self.begun == 1 && self.skip == 0)
    }

    /// Bytes that were sent to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Whether others should have their turn before more is read; asked once, it is this connection's again.
    pub(super) fn turn_is_over(&mut self) -> bool {
        let over = self.turn == 0;
        if over {
            self.turn = TURN;
        }
        over
    }

    /// The most bytes to read next.
    pub(super) fn slice(&self) -> usize {
        if self.crowded { SLICE } else { usize::MAX }
    }

    /// Whether the client has used up most of what it is allowed, as one does that floods and ends its connection itself.
    pub(super) fn wasted(&mut self, now: Instant) -> bool {
        self.earn_by_what_was_sent();
        self.control.mostly_spent(now) || self.resets.mostly_spent(now)
    }

    /// Bytes that came from it.
    ///
    /// # Errors
    /// They are a flood; the connection must end.
    pub(super) fn come(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let turn = self.turn;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let (head, rest) = bytes.split_at((HEADER - self.come).min(bytes.len()));
            if let Some(space) = self.header.get_mut(self.come..self.come + head.len()) {
                space.copy_from_slice(head);
            }
            self.come += head.len();
            bytes = rest;
            if self.come == HEADER {
                self.come = 0;
                self.frame()?;
            }
        }
        self.crowded = turn - self.turn >= CROWD;
        Ok(())
    }

    fn earn_by_what_was_sent(&mut self) {
        if self.sent >= CONTROL_BYTES {
            self.control.earn(u32::try_from(self.sent / CONTROL_BYTES).unwrap_or(u32::MAX));
            self.sent %= CONTROL_BYTES;
        }
    }

    /// Takes account of the frame whose header is whole.
    fn frame(&mut self) -> Result<(), Flood> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.skip = length as usize;
        self.begun = self.begun.saturating_add(1);
        let name = match kind {
            0x0 if length > 0 || flags & END_STREAM != 0 => return Ok(()),
            0x1 => {
                self.last_stream = self.last_stream.max(stream);
                self.blocks += 1;
                self.open = flags & END_HEADERS == 0;
                self.control.earn(CONTROL_OF_A_STREAM);
                self.resets.earn(RESET_COST - 1);
                return Ok(());
            }
            0x3 => {
                self.turn = self.turn.saturating_sub(1);
                let fits = self.resets.spend(RESET_COST);
                return if fits { Ok(()) } else { Err(Flood("RST_STREAM")) };
            }
            0x0 => "empty DATA",
            0x2 => "PRIORITY",
            0x4 => {
                self.sent = self.sent.saturating_sub(if flags & ACK == 0 { SETTINGS_ACK } else { 0 });
                "SETTINGS"
            }
            0x6 => {
                self.sent = self.sent.saturating_sub(if flags & ACK == 0 { PONG } else { 0 });
                "PING"
            }
            0x8 => "WINDOW_UPDATE",
            0x9 => {
                self.open &= flags & END_HEADERS == 0;
                "CONTINUATION"
            }
            _ => "other control",
        };
        self.turn = self.turn.saturating_sub(1);
        if self.control.spend(1) {
            return Ok(());
        }
        // Only now, so that frames in their usual number cost no more than being counted.
        self.earn_by_what_was_sent();
        if self.control.spend(1) { Ok(()) } else { Err(Flood(name)) }
    }
}

/// So many at once, and so many more each second.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    per_second: u32,
    /// Up to when what time adds has been added.
    grown: Instant,
}

impl Allowance {
    fn new((most, per_second): (u32, u32), now: Instant) -> Self {
        Self { left: most, most, per_second, grown: now }
    }

    fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }

    /// False if there is not so much left.
    fn spend(&mut self, cost: u32) -> bool {
        if self.left < cost {
            // The clock is read only when all else is spent.
            self.grow(Instant::now());
        }
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    fn mostly_spent(&mut self, now: Instant) -> bool {
        if self.left < self.most / 2 {
            self.grow(now);
        }
        self.left < self.most / 2
    }

    fn grow(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.grown).as_millis();
        let more = millis.saturating_mul(u128::from(self.per_second)) / 1000;
        if more > 0 {
            self.grown = now;
            self.earn(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut frame = (payload as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(vec![0xff; payload]);
        frame
    }

    fn frames() -> Frames {
        let mut frames = Frames::new(PREFACE.len(), false, Instant::now());
        frames.come(PREFACE).unwrap();
        frames
    }

    /// How many of a piece pass before a flood is seen; at most `most` are sent.
    fn passes(frames: &mut Frames, piece: &[u8], most: usize) -> (usize, Option<Flood>) {
        for sent in 0..most {
            if let Err(flood) = frames.come(piece) {
                return (sent, Some(flood));
            }
        }
        (most, None)
    }

    #[test]
    fn each_kind_of_flood_is_named() {
        let check = |piece: &[u8], want: &str, about: usize| {
            let (passed, flood) = passes(&mut frames(), piece, 100_000);
            assert_eq!(flood.unwrap().to_string(), format!("a flood of {want} frames"));
            assert!((about - 1..about * 2).contains(&passed), "{want}: {passed}");
        };
        check(&frame(0x6, 0, 0, 8), "PING", 1_000);
        check(&frame(0x6, ACK, 0, 8), "PING", 1_000);
        check(&frame(0x4, 0, 0, 0), "SETTINGS", 1_000);
        check(&frame(0x0, 0, 1, 0), "empty DATA", 1_000);
        check(&frame(0x8, 0, 0, 4), "WINDOW_UPDATE", 1_000);
        check(&frame(0x2, 0, 3, 5), "PRIORITY", 1_000);
        check(&frame(0x9, 0, 3, 0), "CONTINUATION", 1_000);
        check(&frame(0x55, 0, 3, 0), "other control", 1_000);
        let reset = [frame(0x1, 0x5, 1, 20), frame(0x3, 0, 1, 4)].concat();
        check(&reset, "RST_STREAM", 2_000);
    }

    #[test]
    fn who_is_watched_has_less_to_waste() {
        let watched = || Frames::new(0, true, Instant::now());
        let reset = [frame(0x1, 0x5, 1, 20), frame(0x3, 0, 1, 4)].concat();
        for (piece, about) in [(frame(0x6, 0, 0, 8), 200), (reset, 200)] {
            let (passed, flood) = passes(&mut watched(), &piece, 100_000);
            assert!(flood.is_some() && (about - 1..about * 2).contains(&passed), "{passed}");
        }
        // What a connection begins with passes.
        let begin = [frame(0x4, 0, 0, 30), frame(0x8, 0, 0, 4), frame(0x4, ACK, 0, 0), frame(0x6, 0, 0, 8)];
        assert_eq!(passes(&mut watched(), &begin.concat(), 10), (10, None));
    }

    #[test]
    fn a_crowd_of_control_frames_is_read_in_slices() {
        let mut frames = frames();
        let check = |frames: &mut Frames, piece: &[u8], most: usize, over: bool| {
            frames.come(piece).unwrap();
            assert_eq!((frames.slice(), frames.turn_is_over()), (most, over));
        };
        check(&mut frames, &frame(0x6, 0, 0, 8).repeat(15), usize::MAX, false);
        check(&mut frames, &frame(0x6, 0, 0, 8).repeat(16), SLICE, false);
        check(&mut frames, &frame(0x3, 0, 1, 4).repeat(33), SLICE, true);
        check(&mut frames, &frame(0x0, 0, 1, 3_000), usize::MAX, false);
    }

    #[test]
    fn who_leaves_with_its_allowance_spent_has_flooded() {
        let start = Instant::now();
        let check = |pings: usize, after: Duration, want: bool| {
            let mut frames = Frames::new(0, false, start);
            frames.come(&frame(0x6, 0, 0, 8).repeat(pings)).unwrap();
            assert_eq!(frames.wasted(start + after), want, "{pings} after {after:?}");
        };
        check(0, Duration::ZERO, false);
        check(500, Duration::ZERO, false);
        check(600, Duration::ZERO, true);
        check(600, Duration::from_secs(1), false);
        check(999, Duration::from_secs(1), true);
        // A quick download, and its windows.
        let mut frames = frames();
        for _ in 0..900 {
            frames.sent(150);
            frames.come(&frame(0x8, 0, 1, 4)).unwrap();
        }
        assert!(!frames.wasted(start));
    }

    #[test]
    fn what_a_client_needs_is_no_flood() {
        let check = |piece: &[u8]| assert_eq!(passes(&mut frames(), piece, 20_000).1, None);
        // A call with its window, its priority and its end; an upload; a download whose client counts every frame.
        check(
            &[frame(0x1, 0x4, 1, 20), frame(0x8, 0, 1, 4), frame(0x2, 0, 1, 5), frame(0x0, 1, 1, 0)].concat(),
        );
        check(&frame(0x0, 0, 1, 5));
        let mut frames = frames();
        for _ in 0..20_000 {
            frames.sent(150);
            assert_eq!(frames.come(&frame(0x8, 0, 1, 4)), Ok(()));
            assert_eq!(frames.come(&frame(0x6, 0, 0, 8)), Ok(()));
            frames.sent(17);
        }
    }

    #[test]
    fn a_flood_does_not_pay_for_itself() {
        let mut frames = frames();
        let (mut passed, ping) = (0, frame(0x6, 0, 0, 8));
        while passed < 100_000 && frames.come(&ping).is_ok() {
            frames.sent(17);
            passed += 1;
        }
        assert!(passed < 4_000, "{passed}");
    }

    #[test]
    fn headers_are_found_at_any_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(0x4, 0, 0, 12));
        bytes.extend(frame(0x1, 0x4, 7, 300));
        bytes.extend(frame(0x0, 0, 7, 70_000));
        bytes.extend(frame(0x1, 0x0, 9, 10));
        for cut in [1, 2, 3, 7, 9, 100, 1 << 20] {
            let mut frames = Frames::new(PREFACE.len(), false, Instant::now());
            bytes.chunks(cut).for_each(|piece| frames.come(piece).unwrap());
            assert_eq!((frames.last_stream, frames.blocks, frames.open), (9, 2, true), "cut at {cut}");
            frames.come(&frame(0x9, END_HEADERS, 9, 3)).unwrap();
            assert!(!frames.open);
        }
    }

    #[test]
    fn time_makes_good() {
        let start = Instant::now();
        let mut allowance = Allowance::new((10, 100), start);
        assert!(allowance.spend(10));
        allowance.grow(start + Duration::from_millis(55));
        assert_eq!(allowance.left, 5);
        allowance.grow(start + Duration::from_secs(60));
        assert_eq!(allowance.left, 10);
    }
}
