//! A question as path and query string, and back.
//!
//! The fields of a question are the parameters of its route, by their names in camelCase; those that the route names
//! are parts of its path. A field that is a struct stands for its own fields. Nothing is written for `None`, and what
//! is not given is read as `None`.
//!
//! Reading is strict: a parameter that the question does not have, or that is given twice, is refused, and so is a
//! value that is not what is expected. The problem names the parameter; where a struct as a whole is wrong, its last
//! field.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::realm::Realm;
use ledger_core::state::Status;
use ledger_core::time::Timestamp;
use ledger_record::json::time::{format_instant, parse_instant};
use ledger_record::json::{self, INTEGER_MAX};
use ledger_record::rejection::Reason;
use percent_encoding::percent_decode_str;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::Value as Json;

use super::problem::Problem;
use super::{Question, Request};
use crate::problem::ProblemKind;

/// Reads a question, or what else a route takes, from the named parts of its path and its query string.
pub(crate) fn read<Q: de::DeserializeOwned>(path: Vec<(String, String)>, query: &str) -> Result<Q, Problem> {
    let malformed =
        |error| Problem::new(ProblemKind::InvalidParameter, format!("the query cannot be read: {error}"));
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(malformed)?;
    refuse_other_bytes(query, &pairs)?;
    read_pairs(path, pairs)
}

/// Bytes that are no UTF-8 are read as another text, of which nothing is known: a false answer.
fn refuse_other_bytes(query: &str, pairs: &[(String, String)]) -> Result<(), Problem> {
    let is_text = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    let given = query.split('&').filter(|pair| !pair.is_empty());
    match given.zip(pairs).find(|(given, _)| !is_text(given)) {
        Some((_, (name, _))) => Err(Problem::with(ProblemKind::InvalidParameter, name, "expected UTF-8")),
        None => Ok(()),
    }
}

/// The same from all of its parameters, those apart that the route names.
pub(crate) fn read_pairs<Q: de::DeserializeOwned>(
    path: Vec<(String, String)>,
    pairs: Vec<(String, String)>,
) -> Result<Q, Problem> {
    let in_path: Vec<String> = path.iter().map(|(name, _)| name.clone()).collect();
    let mut left = BTreeMap::new();
    for (name, value) in path.into_iter().chain(pairs) {
        if left.contains_key(&name) {
            return Err(Problem::with(ProblemKind::UnknownParameter, &name, "it is given twice"));
        }
        left.insert(name, value);
    }
    let given = GivenParameters { left: RefCell::new(left), known: RefCell::default() };
    let question = Q::deserialize(ParameterValue { given: &given, name: "" }).map_err(|error| {
        let Invalid { parameter, detail } = error;
        let kind = match &parameter {
            Some("cursor") => ProblemKind::InvalidCursor,
            Some(name) if in_path.iter().any(|part| part == name) => ProblemKind::InvalidKey,
            _ => ProblemKind::InvalidParameter,
        };
        Problem::with(kind, parameter.unwrap_or_default(), detail)
    })?;
    if let Some(name) = given.left.borrow().keys().next() {
        let known = given.known.borrow();
        let known: Vec<&str> =
            known.iter().copied().filter(|known| !in_path.iter().any(|part| part == known)).collect();
        let detail = match &known[..] {
            [] => "this route takes no parameters".to_owned(),
            known => format!("this route takes {}", known.join(", ")),
        };
        return Err(Problem::with(ProblemKind::UnknownParameter, name, detail));
    }
    Ok(question)
}

/// The request that asks a question.
pub fn request(question: &impl Question) -> Request {
    fn fields<Q: Question>(_: &Q) -> (&'static str, bool) {
        (Q::ROUTE, Q::IN_BODY)
    }
    let (route, in_body) = fields(question);
    // Only text and numbers: neither of the two fails.
    if in_body {
        let body = Some(json::to_string(question).unwrap_or_default());
        return Request { path: route.to_owned(), parameters: Vec::new(), body };
    }
    let fields = serde_json::from_slice(&json::to_vec(question).unwrap_or_default()).unwrap_or_default();
    let mut parameters = BTreeMap::new();
    flatten(String::new(), fields, &mut parameters);
    let mut path = String::new();
    for (at, part) in route.split(['{', '}']).enumerate() {
        let is_name = at % 2 == 1;
        let value = if is_name { parameters.remove(part).unwrap_or_default() } else { String::new() };
        path.push_str(if is_name { "" } else { part });
        encode_into(&mut path, &value);
    }
    Request { path, parameters: parameters.into_iter().collect(), body: None }
}

/// The client key and the app key that a question names.
pub(super) fn keys(question: &impl Question) -> (Option<String>, Option<String>) {
    let fields = serde_json::from_slice(&json::to_vec(question).unwrap_or_default()).unwrap_or_default();
    let mut named = BTreeMap::new();
    flatten(String::new(), fields, &mut named);
    (named.remove("clientKey"), named.remove("appKey").or_else(|| named.remove("app")))
}

fn flatten(name: String, value: Json, into: &mut BTreeMap<String, String>) {
    let text = match value {
        Json::Object(fields) => {
            return fields.into_iter().for_each(|(name, value)| flatten(name, value, into));
        }
        Json::String(text) => text,
        other => other.to_string(),
    };
    into.insert(name, text);
}

/// A key as a part of a path.
fn encode_into(path: &mut String, text: &str) {
    // A segment of dots alone would be taken for a step in the path.
    let is_step = matches!(text, "." | "..");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !is_step) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

/// What was given, without what was read so far, and the names that were looked for.
struct GivenParameters {
    left: RefCell<BTreeMap<String, String>>,
    known: RefCell<Vec<&'static str>>,
}

/// The parameter of a name, or all of them as a struct.
#[derive(Clone, Copy)]
struct ParameterValue<'g> {
    given: &'g GivenParameters,
    name: &'static str,
}

/// A parameter is not what is expected.
#[derive(Debug)]
struct Invalid {
    parameter: Option<&'static str>,
    detail: String,
}

impl Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

impl de::Error for Invalid {
    fn custom<T: Display>(detail: T) -> Self {
        Self { parameter: None, detail: detail.to_string() }
    }
}

impl ParameterValue<'_> {
    fn text(self) -> Result<String, Invalid> {
        self.given.known.borrow_mut().push(self.name);
        self.given.left.borrow_mut().remove(self.name).ok_or_else(|| de::Error::missing_field(self.name))
    }

    fn parsed<T: std::str::FromStr>(self, expected: &str) -> Result<T, Invalid> {
        self.text()?.parse().map_err(|_| de::Error::custom(format_args!("expected {expected}")))
    }
}

const NUMBER: &str = "a whole number";

const NUMBER_OF_JSON: &str = "a whole number up to 9007199254740991, the largest that JSON holds exactly";

impl<'de> Deserializer<'de> for ParameterValue<'_> {
    type Error = Invalid;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        if self.given.left.borrow().contains_key(self.name) {
            return visitor.visit_some(self);
        }
        self.given.known.borrow_mut().push(self.name);
        visitor.visit_none()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_bool(self.parsed("true or false")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_u32(self.parsed(NUMBER)?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        match self.parsed(NUMBER_OF_JSON)? {
            number @ 0..=INTEGER_MAX => visitor.visit_u64(number),
            _ => Err(de::Error::custom(format_args!("expected {NUMBER_OF_JSON}"))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_map(Fields { given: self.given, rest: fields, name: self.name })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// The fields of a struct, each of them, given or not.
struct Fields<'g> {
    given: &'g GivenParameters,
    rest: &'static [&'static str],
    name: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Invalid;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Invalid> {
        let Some((name, rest)) = self.rest.split_first() else { return Ok(None) };
        (self.name, self.rest) = (name, rest);
        let name: StrDeserializer<'_, Invalid> = self.name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Invalid> {
        let value = ParameterValue { given: self.given, name: self.name };
        // Of a struct that is wrong as a whole, the field that was read last.
        seed.deserialize(value).map_err(|error| {
            let last = self.given.known.borrow().last().copied();
            Invalid { parameter: error.parameter.or(last), ..error }
        })
    }
}

/// A value that is written as text; `#[serde(with = "text")]`.
pub(super) mod text {
    use super::{Deserialize as _, Deserializer, Serialize as _, Serializer, Text, de};

    pub(in crate::query) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.write().serialize(to)
    }

    pub(in crate::query) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        T::read(text.as_deref()).map_err(|expected| de::Error::custom(format_args!("expected {expected}")))
    }
}

/// Reads a number that is 0 unless it is given.
pub(super) fn or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Reads a flag that alone, without a value, is `true`.
pub(super) fn flag_alone<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None => Ok(None),
        Some("") => Ok(Some(true)),
        Some(text) => text.parse().map(Some).map_err(|_| de::Error::custom("expected true or false")),
    }
}

/// A value that is written as text, or is not there.
pub(super) trait Text: Sized {
    /// What was expected instead is the error.
    fn read(text: Option<&str>) -> Result<Self, Cow<'static, str>>;
    fn write(&self) -> Option<Cow<'_, str>>;
}

impl<T: Text> Text for Option<T> {
    fn read(text: Option<&str>) -> Result<Self, Cow<'static, str>> {
        text.map(|text| T::read(Some(text))).transpose()
    }

    fn write(&self) -> Option<Cow<'_, str>> {
        self.as_ref().and_then(T::write)
    }
}

macro_rules! text {
    ($($type:ty: $read:expr, $write:expr, $expected:expr;)+) => {$(
        impl Text for $type {
            fn read(text: Option<&str>) -> Result<Self, Cow<'static, str>> {
                let read: fn(&str) -> Option<Self> = $read;
                text.and_then(read).ok_or_else(|| $expected.into())
            }

            fn write(&self) -> Option<Cow<'_, str>> {
                let write: fn(&Self) -> Cow<'_, str> = $write;
                Some(write(self))
            }
        }
    )+};
}

const KEY: &str = "1 to 255 bytes of UTF-8 without control characters";

text! {
    ClientKey: |text| Self::new(text).ok(), |key| key.as_str().into(), KEY;
    AppKey: |text| Self::new(text).ok(), |key| key.as_str().into(), KEY;
    EventId: |text| Self::new(text).ok(), |id| id.as_str().into(), KEY;
    Realm: |text| Self::parse(text).ok(), |realm| realm.as_str().to_owned().into(),
        "a realm, GLOBAL (or default) or a region key such as EU: [A-Z][A-Z0-9-]{1,15}";
    // A plus sign that was not encoded arrives as a space; no instant has one.
    Timestamp: |text| parse_instant(&text.replace(' ', "+")).ok(), |instant| format_instant(*instant).into(),
        "an instant in RFC 3339, such as 2026-03-01T10:00:00.000Z";
    Status: |text| Self::ALL.iter().copied().find(|status| status.as_str() == text),
        |status| status.as_str().into(), "NONE, INSTALLED or UNINSTALLED";
    Reason: |text| Self::ALL.iter().copied().find(|reason| reason.as_str() == text),
        |reason| reason.as_str().into(), reasons();
}

fn reasons() -> String {
    format!("one of {}", Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use ledger_store::{KnowledgeBound, ShardId};

    use super::super::{
        AsOf, AsOfAll, Filter, InstallationsQuery, ProofQuery, ReplayQuery, TenantQuery, WindowFilter,
    };
    use super::*;

    /// A question comes back from the request that asks it.
    fn comes_back<Q: Question + PartialEq + fmt::Debug>(question: &Q, in_path: &[(&str, &str)]) -> Request {
        let asked = request(question);
        let query = serde_urlencoded::to_string(&asked.parameters).unwrap();
        let in_path = in_path.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(&read::<Q>(in_path.collect(), &query).unwrap(), question);
        asked
    }

    fn given(request: &Request) -> Vec<(&str, &str)> {
        request.parameters.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    #[test]
    fn keys_are_encoded_in_paths() {
        let encoded = |text: &str| {
            let mut path = String::new();
            encode_into(&mut path, text);
            path
        };
        assert_eq!(encoded("acme.atlassian.net"), "acme.atlassian.net");
        assert_eq!(encoded("jira:a/b c?ü"), "jira%3Aa%2Fb%20c%3F%C3%BC");
        assert_eq!(encoded(".."), "%2E%2E");
    }

    #[test]
    fn a_question_is_a_path_with_parameters() {
        let client = ClientKey::new("a/b").unwrap();
        let as_of =
            AsOf { at: Some(Timestamp::from_millis(0)), known: KnowledgeBound::Seq(4), min_position: None };
        let asked = comes_back(&TenantQuery { client, as_of }, &[("clientKey", "a/b")]);
        assert_eq!(asked.path, "/v1/tenants/a%2Fb");
        assert_eq!(given(&asked), [("at", "1970-01-01T00:00:00.000Z"), ("knownSeq", "4")]);
    }

    #[test]
    fn a_bundle_is_asked_for_with_all_that_was_given() {
        let client = ClientKey::new("t").unwrap();
        let bare = ProofQuery { client, app: None, pinned: None, partition: None, topic: None };
        assert!(comes_back(&bare, &[("clientKey", "t")]).parameters.is_empty());
        // Without the app, the payloads of all apps would be handed out.
        let (app, topic) = (Some(AppKey::new("app").unwrap()), Some("t".to_owned()));
        let asked = ProofQuery { app, pinned: Some(9), partition: Some(3), topic, ..bare };
        let asked = comes_back(&asked, &[("clientKey", "t")]);
        assert_eq!(given(&asked), [("appKey", "app"), ("partition", "3"), ("pinned", "9"), ("topic", "t")]);
    }

    #[test]
    fn groups_of_parameters_come_back() {
        let instant = Timestamp::from_millis(1);
        for window in [None, Some(WindowFilter::Open), Some(WindowFilter::ClosingBefore(instant))] {
            let filter =
                Filter { window, status: Some(Status::Installed), drift: Some(true), ..Filter::default() };
            let as_of = AsOfAll { at: None, known_at: Some(instant) };
            comes_back(&InstallationsQuery { filter, as_of, ..InstallationsQuery::default() }, &[]);
        }
        let shard = Some(ShardId { topic: "t".to_owned(), partition: 0 });
        comes_back(&ReplayQuery { shard, from_position: 7, ..ReplayQuery::default() }, &[]);
        let half = read::<ReplayQuery>(Vec::new(), "partition=0").unwrap_err().into_json();
        assert_eq!((&*half.code, half.parameter.as_deref()), ("invalid-parameter", Some("topic")));
    }
}
