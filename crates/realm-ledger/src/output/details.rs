//! One thing in full: a line for each value, nested names joined by dots, in the order of the text.

use std::fmt;
use std::io::{self, Write};

use super::escape_control;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Prints every value of an object.
pub(crate) fn details(out: &mut dyn Write, item: &RawValue) -> io::Result<()> {
    let shown: Shown = serde_json::from_str(item.get()).map_err(io::Error::other)?;
    let mut lines = Vec::new();
    shown.flatten("", &mut lines);
    // Names too: a server somewhere may have made them up.
    let lines: Vec<_> =
        lines.iter().map(|(name, value)| (escape_control(name), escape_control(value))).collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in lines {
        writeln!(out, "{name:width$}  {value}")?;
    }
    Ok(())
}

/// JSON that remembers the order of its members.
enum Shown {
    Text(String),
    Object(Vec<(String, Shown)>),
    Array(Vec<Shown>),
}

impl Shown {
    fn flatten(&self, name: &str, lines: &mut Vec<(String, String)>) {
        match self {
            Self::Object(members) => {
                for (member, value) in members {
                    let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                    value.flatten(&name, lines);
                }
            }
            Self::Array(items) if items.iter().any(|item| !matches!(item, Self::Text(_))) => {
                lines.extend(items.iter().map(|item| (name.to_owned(), item.in_line())));
            }
            value => lines.push((name.to_owned(), value.in_line())),
        }
    }

    fn in_line(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Object(members) => {
                let said: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name} {}", value.in_line())).collect();
                said.join(", ")
            }
            Self::Array(items) => items.iter().map(Self::in_line).collect::<Vec<_>>().join(", "),
        }
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Shown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shown, E> {
        Ok(Shown::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shown, E> {
        Ok(Shown::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shown, E> {
        Ok(Shown::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shown, E> {
        Ok(Shown::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shown, E> {
        Ok(Shown::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shown, E> {
        Ok(Shown::Text(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shown, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Shown::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shown, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Shown::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_get_names_with_dots_in_their_own_order() {
        let text = r#"{"z":1,"b":{"c":"x"},"d":[{"seq":4,"code":"odd"},{"seq":5}],"e":["p","q"]}"#;
        let mut out = Vec::new();
        details(&mut out, &RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "z    1\nb.c  x\nd    seq 4, code odd\nd    seq 5\ne    p, q\n"
        );
    }
}
