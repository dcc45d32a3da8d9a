//! Closed sets of words, and values that are read from text: how they are written is said here, once.
//!
//! A format for people writes a word as it is, one for machines its number, which is its place in the set: a new word
//! stands last. Text that not every value may have is checked wherever it comes from.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A closed set of words, each with the word that is used everywhere outside.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize,
        )]
        $vis enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used everywhere outside.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

/// Reads a value that is written as text.
pub fn read_text<'de, D: Deserializer<'de>, T, E: Display>(
    deserializer: D,
    new: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(new, PhantomData))
}

/// As [`read_text`], for a type whose name a format may want to know, such as one that checks more than the
/// type does.
pub(crate) fn read_named<'de, D: Deserializer<'de>, T, E: Display>(
    deserializer: D,
    name: &'static str,
    new: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(name, TextVisitor(new, PhantomData))
}

struct TextVisitor<F, T>(F, PhantomData<T>);

impl<'de, F: FnOnce(&str) -> Result<T, E>, T, E: Display> Visitor<'de> for TextVisitor<F, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<X: Error>(self, text: &str) -> Result<T, X> {
        (self.0)(text).map_err(X::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, text: D) -> Result<T, D::Error> {
        text.deserialize_str(self)
    }
}

/// Reads a map: no key twice. People may write the keys in any order and `null` for a value that is not there; a
/// format for machines has one order.
pub(crate) fn read_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V> {
        by_people: bool,
        entries: PhantomData<(K, V)>,
    }

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map: BTreeMap<K, Option<V>> = BTreeMap::new();
            while let Some(key) = entries.next_key::<K>()? {
                let value = if self.by_people { entries.next_value()? } else { Some(entries.next_value()?) };
                let in_order = map.last_key_value().is_none_or(|(last, _)| *last < key);
                if !(in_order || self.by_people) || map.insert(key, value).is_some() {
                    return Err(A::Error::custom(REPEATED));
                }
            }
            Ok(map.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
        }
    }

    let by_people = deserializer.is_human_readable();
    deserializer.deserialize_map(Entries { by_people, entries: PhantomData })
}

/// Writes a list that people see only when there is something in it: to serde a list named `IfAny`.
pub(crate) fn if_any<S: Serializer, T: Serialize>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct("IfAny", list)
}

/// What is wrong with a map.
pub const REPEATED: &str = "two keys are the same";
