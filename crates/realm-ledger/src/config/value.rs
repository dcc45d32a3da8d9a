//! How a value is written in a file, in the environment and on the command line.
//!
//! Sizes and durations carry their unit: `"256MiB"`, `"60s"`. A bare number is refused: it could be bytes or megabytes.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

/// A value as it was given, before its setting is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GivenValue {
    /// From the environment or a flag: its type is that of the setting.
    Word(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Number(i64),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML array of strings.
    Texts(Vec<String>),
    /// A TOML table inside of another.
    Table(BTreeMap<String, GivenValue>),
    /// A TOML array of tables.
    Tables(Vec<BTreeMap<String, GivenValue>>),
    /// What no setting takes.
    Other,
}

impl GivenValue {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).map_or(Self::Other, Self::Number)
            }
            DeValue::Boolean(switch) => Self::Switch(*switch),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.clone().into_owned()),
                    _ => None,
                });
                let tables = || items.iter().map(|item| Self::members(item.get_ref())).collect::<Option<_>>();
                let texts = texts.collect::<Option<_>>().map(Self::Texts);
                texts.or_else(|| tables().map(Self::Tables)).unwrap_or(Self::Other)
            }
            DeValue::Table(_) => Self::members(value).map_or(Self::Other, Self::Table),
            DeValue::Float(_) | DeValue::Datetime(_) => Self::Other,
        }
    }

    fn members(value: &DeValue<'_>) -> Option<BTreeMap<String, Self>> {
        let DeValue::Table(members) = value else { return None };
        let member = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            (ToString::to_string(name.get_ref()), Self::from_toml(value.get_ref()))
        };
        Some(members.iter().map(member).collect())
    }

    pub(super) fn tables(self) -> Option<Vec<BTreeMap<String, Self>>> {
        match self {
            Self::Tables(tables) => Some(tables),
            Self::Texts(none) if none.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    pub(super) fn table(self) -> Option<BTreeMap<String, Self>> {
        match self {
            Self::Table(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn texts(self) -> Option<Vec<String>> {
        match self {
            Self::Word(text) => Some(
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            ),
            Self::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub(super) fn switch(self) -> Option<bool> {
        match self {
            Self::Word(text) => text.parse().ok(),
            Self::Switch(switch) => Some(switch),
            _ => None,
        }
    }

    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Word(text) => text.parse().ok(),
            Self::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A property of librdkafka is a text, also where TOML has a type for it.
    pub(super) fn property(self) -> Option<String> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Switch(switch) => Some(switch.to_string()),
            Self::Texts(_) | Self::Table(_) | Self::Tables(_) | Self::Other => None,
        }
    }

    pub(super) fn duration(self) -> Option<Duration> {
        let (number, unit) = split_unit(&self.text()?)?;
        let (_, factor_ms) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        Some(Duration::from_millis(number.checked_mul(*factor_ms)?))
    }

    pub(super) fn bytes(self) -> Option<u64> {
        let (number, unit) = split_unit(&self.text()?)?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*factor)
    }
}

/// Largest first: the first that divides a value is how it is shown.
const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn split_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start().to_owned()))
}

pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // A day reads better as hours, until it is several.
    let units = if millis < 2 * 86_400_000 { &DURATIONS[1..] } else { &DURATIONS[..] };
    with_unit(millis, units, "0s")
}

pub(super) fn show_bytes(bytes: u64) -> String {
    with_unit(bytes, &SIZES, "0B")
}

fn with_unit(number: u64, units: &[(&str, u64)], zero: &str) -> String {
    if number == 0 {
        return zero.to_owned();
    }
    let fits = units.iter().find(|(_, factor)| number.is_multiple_of(*factor));
    fits.map_or_else(|| number.to_string(), |(name, factor)| format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> GivenValue {
        GivenValue::Word(text.to_owned())
    }

    #[test]
    fn sizes_and_durations_need_their_unit() {
        assert_eq!(word("256MiB").bytes(), Some(256 << 20));
        assert_eq!(word("64 KiB").bytes(), Some(64 << 10));
        assert_eq!(word("60s").duration(), Some(Duration::from_mins(1)));
        assert_eq!(word("500ms").duration(), Some(Duration::from_millis(500)));
        for wrong in ["256", "256MB", "MiB", "-1s", "1.5s", "", "99999999999999TiB"] {
            assert_eq!(word(wrong).bytes(), None, "{wrong}");
            assert_eq!(word(wrong).duration(), None, "{wrong}");
        }
        assert_eq!(GivenValue::Number(256).bytes(), None);
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        for millis in [1, 500, 1000, 90_000, 3_600_000, 86_400_000, 172_800_000, 0] {
            let duration = Duration::from_millis(millis);
            assert_eq!(word(&show_duration(duration)).duration(), Some(duration));
        }
        for bytes in [0, 1, 1024, 1025, 8 << 20, 3 << 40] {
            assert_eq!(word(&show_bytes(bytes)).bytes(), Some(bytes));
        }
        assert_eq!(show_duration(Duration::from_hours(24)), "24h");
    }

    #[test]
    fn a_word_of_the_environment_is_what_the_setting_wants() {
        assert_eq!(word("a, b,,c").texts(), Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(word("true").switch(), Some(true));
        assert_eq!(word("yes").switch(), None);
        assert_eq!(word("12").number(), Some(12));
        assert_eq!(GivenValue::Text("12".into()).number(), None, "a file has types of its own");
    }
}
