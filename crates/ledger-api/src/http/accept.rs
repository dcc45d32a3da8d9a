//! What form of an answer a client prefers (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

/// What every question is answered as.
const JSON: &str = "application/json";

/// The form that the client names and likes best, if it does not like JSON better. Of two that it likes alike the first of
/// `forms`. None: JSON, also where it takes nothing that there is.
pub(super) fn preferred(headers: &HeaderMap, forms: &[&'static str]) -> Option<&'static str> {
    let json = quality(headers, JSON).map_or(0, |(_, quality)| quality);
    let named = forms.iter().filter_map(|form| {
        let (Range::Exact, quality @ 1..) = quality(headers, form)? else { return None };
        (quality >= json).then_some((*form, quality))
    });
    // The last of equals is the greatest.
    named.rev().max_by_key(|(_, quality)| *quality).map(|(form, _)| form)
}

/// How exactly a range means a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Range {
    Any,
    Kind,
    Exact,
}

/// By the range that means it most exactly: how much a media type is liked, in thousandths.
fn quality(headers: &HeaderMap, media_type: &str) -> Option<(Range, u16)> {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let ranges = accepted.flat_map(|value| value.split(','));
    let of = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let range = match name.split_once('/')? {
            ("*", "*") => Range::Any,
            (kind, "*") => media_type.split('/').next()?.eq_ignore_ascii_case(kind).then_some(Range::Kind)?,
            _ => name.eq_ignore_ascii_case(media_type).then_some(Range::Exact)?,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((range, weight.map_or(1000, thousandths)))
    };
    ranges.filter_map(of).max()
}

/// A weight has up to three digits behind its point. What is none counts for nothing.
fn thousandths(weight: &str) -> u16 {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{whole}{part:0<3}");
    let is_weight =
        matches!(whole, "0" | "1") && part.len() <= 3 && part.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|number| is_weight && *number <= 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const EVENTS: &str = "text/event-stream";
    const LINES: &str = "application/x-ndjson";

    fn of(accept: &'static str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        preferred(&headers, &[EVENTS, LINES])
    }

    #[test]
    fn a_form_is_given_to_a_client_that_names_it_and_likes_nothing_better() {
        assert_eq!(of("text/event-stream"), Some(EVENTS));
        assert_eq!(of("Application/X-NDJSON; q=0.5, */*;q=0.1"), Some(LINES));
        assert_eq!(of("application/x-ndjson, application/json"), Some(LINES));
        assert_eq!(of("application/x-ndjson;q=0.9, application/json"), None);
        assert_eq!(of("application/json;q=0.2, application/x-ndjson;q=0.3"), Some(LINES));
        assert_eq!(of("text/event-stream;q=0.5, application/x-ndjson"), Some(LINES));
        assert_eq!(of("application/x-ndjson, text/event-stream"), Some(EVENTS));
        for none in [
            "",
            "*/*",
            "application/*",
            "text/*",
            "application/x-ndjson;q=0",
            "application/x-ndjson;q=x",
            "x",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &[LINES]), None);
    }

    #[test]
    fn weights_have_three_digits() {
        assert_eq!(
            ["1", "1.000", "0.5", "0.25", "0.001", "0", "0."].map(thousandths),
            [1000, 1000, 500, 250, 1, 0, 0]
        );
        assert_eq!(["", "2", "1.5", "0.1234", "-1", ".5", "0.x"].map(thousandths), [0; 7]);
    }
}
