//! A message that stays as it is on the wire: who holds it checks it without recursion, and keeps it without loss.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

/// The fields of a message as they came; groups and numbers of fixed width, which its type has none of, are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Raw(Vec<u8>);

impl Raw {
    /// The wire's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Raw {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into())
    }
}

impl From<Raw> for Bytes {
    fn from(raw: Raw) -> Self {
        raw.0.into()
    }
}

impl Message for Raw {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match wire_type {
            WireType::LengthDelimited => {
                let mut value = Vec::new();
                encoding::bytes::merge(wire_type, &mut value, buf, ctx)?;
                encoding::encode_key(tag, wire_type, &mut self.0);
                encoding::encode_varint(value.len() as u64, &mut self.0);
                self.0.extend_from_slice(&value);
            }
            WireType::Varint => {
                let value = encoding::decode_varint(buf)?;
                encoding::encode_key(tag, wire_type, &mut self.0);
                encoding::encode_varint(value, &mut self.0);
            }
            WireType::SixtyFourBit | WireType::ThirtyTwoBit | WireType::StartGroup | WireType::EndGroup => {
                encoding::skip_field(wire_type, tag, buf, ctx)?;
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_goes_out() {
        let value = |number| prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(number)) };
        let fields = [("a".to_owned(), value(0.1)), ("b".to_owned(), value(-0.0))].into();
        let message = prost_types::Struct { fields };
        let sent = message.encode_to_vec();
        let raw = Raw::decode(sent.as_slice()).unwrap();
        assert_eq!((raw.as_bytes(), raw.encode_to_vec()), (sent.as_slice(), sent.clone()));
        // A length beyond the end, and a field of no number.
        assert!(Raw::decode(&[0x0a, 0x05, 0x00][..]).is_err());
        assert!(Raw::decode(&[0x02, 0x00][..]).is_err());
        // Fields that no such message has do no harm.
        assert_eq!(Raw::decode(&[0x15, 1, 2, 3, 4][..]).unwrap(), Raw::default());
    }
}
