//! One thing in full: a line for each value, nested names joined by dots, in the order of the text.

use std::fmt;
use std::io::{self, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Error, from_str};

use super::escape_control;

/// Prints every value of an object.
pub(crate) fn details(out: &mut dyn Write, item: &RawValue) -> io::Result<()> {
    let mut lines = Vec::new();
    flatten("", item, &mut lines).map_err(io::Error::other)?;
    // Names too: a server somewhere may have made them up.
    let lines: Vec<_> =
        lines.iter().map(|(name, value)| (escape_control(name), escape_control(value))).collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in lines {
        writeln!(out, "{name:width$}  {value}")?;
    }
    Ok(())
}

fn flatten(name: &str, value: &RawValue, lines: &mut Vec<(String, String)>) -> Result<(), Error> {
    if is_object(value) {
        let OrderedMembers(members) = from_str(value.get())?;
        for (member, value) in members {
            let name = if name.is_empty() { member } else { format!("{name}.{member}") };
            flatten(&name, &value, lines)?;
        }
        return Ok(());
    }
    if value.get().starts_with('[') {
        let items: Vec<Box<RawValue>> = from_str(value.get())?;
        if items.iter().any(|item| is_object(item) || item.get().starts_with('[')) {
            for item in &items {
                lines.push((name.to_owned(), in_line(item)?));
            }
            return Ok(());
        }
    }
    lines.push((name.to_owned(), in_line(value)?));
    Ok(())
}

/// A value in one line, as a person reads it.
fn in_line(value: &RawValue) -> Result<String, Error> {
    let text = value.get();
    let parts: Result<Vec<String>, Error> = match text.as_bytes().first() {
        Some(b'{') => {
            let OrderedMembers(members) = from_str(text)?;
            members.iter().map(|(name, value)| Ok(format!("{name} {}", in_line(value)?))).collect()
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = from_str(text)?;
            items.iter().map(|item| in_line(item)).collect()
        }
        Some(b'"') => return from_str(text),
        _ if text == "null" => return Ok(String::new()),
        _ => return Ok(text.to_owned()),
    };
    Ok(parts?.join(", "))
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// The members of an object in the order of the text, which a map would sort.
struct OrderedMembers(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for OrderedMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = OrderedMembers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedMembers, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(OrderedMembers(members))
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
