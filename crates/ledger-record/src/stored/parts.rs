//! The small parts that stored values are made of.
//!
//! ```text
//! length    n u8, if n < 255                       FF ‖ n u32 LE, else
//! Text      length ‖ UTF-8
//! List      length ‖ elements
//! Place     as Text                                a realm
//! Instant   i64 LE                                 milliseconds since the Unix epoch
//! Code      u8                                     a word of a closed set, see `codes`
//! tagged    u8 ‖ payload                           a choice
//! Option    00, or 01 ‖ value                      bincode's own
//! ```

use std::fmt::Debug;

use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;

/// A first byte that says that the length follows in four.
const LONG: u8 = u8::MAX;

fn encode_length<E: Encoder>(length: usize, encoder: &mut E) -> Result<(), EncodeError> {
    match u8::try_from(length) {
        Ok(short) if short != LONG => short.encode(encoder),
        _ => {
            let long = u32::try_from(length).map_err(|_| EncodeError::Other("longer than 4 GiB"))?;
            LONG.encode(encoder)?;
            long.encode(encoder)
        }
    }
}

fn encode_bytes<E: Encoder>(bytes: &[u8], encoder: &mut E) -> Result<(), EncodeError> {
    encode_length(bytes.len(), encoder)?;
    encoder.writer().write(bytes)
}

fn decode_length<D: Decoder>(decoder: &mut D) -> Result<usize, DecodeError> {
    let short = byte(decoder)?;
    if short != LONG {
        return Ok(usize::from(short));
    }
    decoder.claim_bytes_read(4)?;
    let mut long = [0; 4];
    decoder.reader().read(&mut long)?;
    let long = u32::from_le_bytes(long);
    if long < u32::from(LONG) {
        return Err(DecodeError::Other("a short length in the long form"));
    }
    usize::try_from(long).map_err(|_| DecodeError::OutsideUsizeRange(u64::from(long)))
}

fn byte<D: Decoder>(decoder: &mut D) -> Result<u8, DecodeError> {
    decoder.claim_bytes_read(1)?;
    let mut byte = [0; 1];
    decoder.reader().read(&mut byte)?;
    Ok(byte[0])
}

/// Reads the tag of a choice, or a code.
pub(super) fn decode_tag<D: Decoder>(decoder: &mut D) -> Result<u8, DecodeError> {
    byte(decoder)
}

/// Text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Encode for Text<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_bytes(self.0.as_bytes(), encoder)
    }
}

impl<'de, C> BorrowDecode<'de, C> for Text<'de> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let length = decode_length(decoder)?;
        decoder.claim_bytes_read(length)?;
        let bytes = decoder.borrow_reader().take_bytes(length)?;
        std::str::from_utf8(bytes).map(Self).map_err(|inner| DecodeError::Utf8 { inner })
    }
}

/// Several of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T: Encode> Encode for List<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_length(self.0.len(), encoder)?;
        self.0.iter().try_for_each(|element| element.encode(encoder))
    }
}

impl<'de, C, T: BorrowDecode<'de, C>> BorrowDecode<'de, C> for List<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let length = decode_length(decoder)?;
        // Grows with what is really there: the length may be damaged.
        let mut elements = Vec::new();
        for _ in 0..length {
            elements.push(T::borrow_decode(decoder)?);
        }
        Ok(Self(elements))
    }
}

/// A realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) Realm);

impl Encode for Place {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_bytes(self.0.as_bytes(), encoder)
    }
}

impl<'de, C> BorrowDecode<'de, C> for Place {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let Text(text) = Text::borrow_decode(decoder)?;
        // Reading a realm upper-cases it, and `default` is `GLOBAL`; stored ones are as they are written.
        let realm = Realm::parse(text).ok().filter(|realm| realm.as_str() == text);
        realm.map(Self).ok_or(DecodeError::Other("not a realm"))
    }
}

/// An instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Encode for Instant {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.as_millis().encode(encoder)
    }
}

impl<'de, C> BorrowDecode<'de, C> for Instant {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        i64::borrow_decode(decoder).map(|ms| Self(Timestamp::from_millis(ms)))
    }
}

/// A text of its own.
pub(crate) fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.0.to_owned())
}

/// The realm that was stored.
pub(crate) fn place(realm: Option<Place>) -> Option<Realm> {
    realm.map(|realm| realm.0)
}

/// The instant that was stored.
pub(crate) fn instant(at: Option<Instant>) -> Option<Timestamp> {
    at.map(|at| at.0)
}

/// A word of a closed set, with a frozen number.
pub(crate) trait Coded: Copy + Debug {
    /// Its number.
    fn code(self) -> u8;
    /// The word of a number.
    fn from_code(code: u8) -> Option<Self>;
}

/// A word of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code<T>(pub(crate) T);

impl<T: Coded> Encode for Code<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.code().encode(encoder)
    }
}

impl<'de, C, T: Coded> BorrowDecode<'de, C> for Code<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let code = decode_tag(decoder)?;
        T::from_code(code).map(Self).ok_or(DecodeError::Other("a code that is never written"))
    }
}

/// A choice between payloads, with a frozen tag for each.
macro_rules! tagged {
    ($(#[$doc:meta])* $vis:vis enum $name:ident $(<$life:lifetime>)? {
        $($tag:literal => $variant:ident($payload:ty),)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis enum $name $(<$life>)? { $($variant($payload),)+ }

        impl $(<$life>)? bincode::Encode for $name $(<$life>)? {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                encoder: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                match self {
                    $(Self::$variant(payload) => {
                        bincode::Encode::encode(&($tag as u8), encoder)?;
                        bincode::Encode::encode(payload, encoder)
                    })+
                }
            }
        }

        impl<'de $(: $life, $life)?, C> bincode::BorrowDecode<'de, C> for $name $(<$life>)? {
            fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                match $crate::stored::parts::decode_tag(decoder)? {
                    $($tag => bincode::BorrowDecode::borrow_decode(decoder).map(Self::$variant),)+
                    _ => Err(bincode::error::DecodeError::Other("a tag that is never written")),
                }
            }
        }
    };
}
pub(crate) use tagged;
