//! The base64 of `application/grpc-web-text`, as it streams: RFC 4648 section 4 with padding, any number of such texts one after
//! the other (each flush of a writer may be padded), cut anywhere.
//!
//! ```text
//! body  = *group
//! group = 4DIGIT / 3DIGIT "=" / 2DIGIT "=="          ; what is over in a padded group's last digit is zero
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tonic::Status;

use crate::status::Fault;

/// Characters of a group.
const GROUP: usize = 4;

/// Decodes a text given in pieces; where it is cut makes no difference.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a group.
    held: [u8; GROUP],
    held_bytes: usize,
    /// Characters decoded so far.
    offset: usize,
}

impl Decoder {
    /// Decodes one more piece; keeps what does not end a group.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming the first bad group and its offset.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<Vec<u8>, Status> {
        let mut out = Vec::with_capacity((self.held_bytes + piece.len()) / GROUP * 3);
        if self.held_bytes > 0 {
            let (taken, rest) = piece.split_at((GROUP - self.held_bytes).min(piece.len()));
            self.hold(taken);
            piece = rest;
            if self.held_bytes < GROUP {
                return Ok(out);
            }
            let group = self.held;
            self.held_bytes = 0;
            self.groups(&group, &mut out)?;
        }
        let (whole, rest) = piece.split_at(piece.len() / GROUP * GROUP);
        self.groups(whole, &mut out)?;
        self.hold(rest);
        Ok(out)
    }

    /// Ends the text.
    ///
    /// # Errors
    /// INVALID_ARGUMENT where it ends within a group.
    pub fn finish(&mut self) -> Result<(), Status> {
        let held_bytes = std::mem::take(&mut self.held_bytes);
        if held_bytes == 0 {
            return Ok(());
        }
        let groups = format!("the request's base64 ends within a group of four, after {held_bytes} of it");
        Err(Fault::client().on(Status::invalid_argument(groups)))
    }

    fn hold(&mut self, piece: &[u8]) {
        for (space, byte) in self.held.iter_mut().skip(self.held_bytes).zip(piece) {
            *space = *byte;
        }
        self.held_bytes += piece.len();
    }

    /// Decodes whole groups; padding may end any of them.
    fn groups(&mut self, mut groups: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        while !groups.is_empty() {
            let padding = memchr::memchr(b'=', groups);
            let end = padding.map_or(groups.len(), |place| (place / GROUP + 1) * GROUP);
            let (text, rest) = groups.split_at(end.min(groups.len()));
            if STANDARD.decode_vec(text, out).is_err() {
                return Err(self.bad_group(text));
            }
            self.offset += text.len();
            groups = rest;
        }
        Ok(())
    }

    fn bad_group(&self, text: &[u8]) -> Status {
        let (place, group) = text
            .chunks(GROUP)
            .enumerate()
            .find(|(_, group)| STANDARD.decode(group).is_err())
            .unwrap_or((0, text));
        let offset = self.offset + place * GROUP;
        let shown = String::from_utf8_lossy(group);
        let message = format!("the request's text is not base64 at byte {offset}: {shown:?}");
        Fault::client().on(Status::invalid_argument(message))
    }
}

/// Encodes one piece by itself, padded, so that nothing is held back from a client that waits for it.
pub(super) fn encode(piece: &[u8]) -> String {
    STANDARD.encode(piece)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    fn decode(text: &[u8], chunk: usize) -> Result<Vec<u8>, String> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in text.chunks(chunk) {
            out.extend(decoder.push(piece).map_err(|s| s.message().to_owned())?);
        }
        decoder.finish().map_err(|s| s.message().to_owned())?;
        Ok(out)
    }

    #[test]
    fn tables() {
        let check = |text: &str, want: Result<&str, &str>| {
            for chunk in 1..=text.len().max(1) {
                let want = want.map(|w| w.as_bytes().to_vec()).map_err(ToOwned::to_owned);
                assert_eq!(decode(text.as_bytes(), chunk), want, "{text:?} by {chunk}");
            }
        };
        check("", Ok(""));
        check("YQ==", Ok("a"));
        check("YWI=", Ok("ab"));
        check("YWJj", Ok("abc"));
        check("YQ==YWI=YWJjYQ==", Ok("aababca"));
        check("YWJjYWJjYWJjYWJj", Ok("abcabcabcabc"));
        check("YWJjYW*jYWJj", Err("the request's text is not base64 at byte 4: \"YW*j\""));
        check("YWJjYQ=aYWJj", Err("the request's text is not base64 at byte 4: \"YQ=a\""));
        check("====", Err("the request's text is not base64 at byte 0: \"====\""));
        check("Y===", Err("the request's text is not base64 at byte 0: \"Y===\""));
        check("YR==", Err("the request's text is not base64 at byte 0: \"YR==\""));
        check("YWJj\r\nYQ", Err("the request's text is not base64 at byte 4: \"\\r\\nYQ\""));
        check("-_-_", Err("the request's text is not base64 at byte 0: \"-_-_\""));
        check("YWJjYQ", Err("the request's base64 ends within a group of four, after 2 of it"));
        check("YWJjY", Err("the request's base64 ends within a group of four, after 1 of it"));
    }

    #[test]
    fn a_bad_text_is_the_clients_fault() {
        let status = Decoder::default().push(b"!!!!").unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Fault::of(&status), Some(&Fault::client()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8), chunk in 1..50_usize) {
            let text: String = pieces.iter().map(|piece| encode(piece)).collect();
            prop_assert_eq!(decode(text.as_bytes(), chunk), Ok(pieces.concat()));
        }

        #[test]
        fn where_it_is_cut_makes_no_difference(text in "[AQYg=*]{0,40}", chunk in 1..9_usize) {
            prop_assert_eq!(decode(text.as_bytes(), chunk), decode(text.as_bytes(), 1000));
        }
    }
}
