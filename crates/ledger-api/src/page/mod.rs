//! The page: what a browser is given under `/`, to look at the ledger with.
//!
//! ```text
//!   GET / ─► index.html ─► /page/main.js and the modules it imports ─► /v1, as any other client
//! ```
//!
//! In goes a path, out come bytes that were compiled in: plain ES modules, CSS and HTML of our own, from `assets`. There is
//! no third-party file and no build step before cargo. The modules ask the public HTTP interface and nothing else, and
//! where the page is stands in the fragment of the URL, which browsers do not send. So nothing here knows a tenant, and
//! nothing here needs a credential.
//!
//! The policy of each answer allows what comes from this server only: no inline script or style, no other host.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ledger_record::hash::Hash;

use crate::problem::ProblemKind;
use crate::query::Problem;

/// A file of the page.
#[derive(Debug, Clone, Copy)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal: $media_type:expr,)+) => {
        &[$(Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("assets/", $name)),
        },)+]
    };
}

const INDEX: Asset =
    Asset { name: "index.html", media_type: HTML, bytes: include_bytes!("assets/index.html") };

const ASSETS: &[Asset] = assets! {
    "page.css": CSS,
    "icon.svg": SVG,
    "api.js": SCRIPT,
    "asof.js": SCRIPT,
    "canonical.js": SCRIPT,
    "cards.js": SCRIPT,
    "dom.js": SCRIPT,
    "explain.js": SCRIPT,
    "history.js": SCRIPT,
    "lists.js": SCRIPT,
    "main.js": SCRIPT,
    "merkle.js": SCRIPT,
    "operate.js": SCRIPT,
    "proof.js": SCRIPT,
    "quarantine.js": SCRIPT,
    "record.js": SCRIPT,
    "route.js": SCRIPT,
    "start.js": SCRIPT,
    "statement.js": SCRIPT,
    "table.js": SCRIPT,
    "tenant.js": SCRIPT,
    "time.js": SCRIPT,
    "timeline.js": SCRIPT,
    "verify.js": SCRIPT,
    "verifying.js": SCRIPT,
    "whatif.js": SCRIPT,
    "words.js": SCRIPT,
};

/// Own files only. Bars of charts are SVG attributes, which the policy does not concern.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `GET /` and the files that it loads.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| answer(INDEX, &headers)))
        .route("/page/{name}", get(asset))
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let missing = || Problem::new(ProblemKind::NoSuchRoute, "the page has no such file");
    Ok(answer(*found.ok_or_else(missing)?, &headers))
}

/// The file, or that the browser has it already. It asks each time, so a new build is seen at once.
fn answer(asset: Asset, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", Hash::of(&[asset.bytes]).to_text());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|given| given.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let guards = [
        (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, guards).into_response();
    }
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type))];
    (guards, media_type, asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a browser fetches before the first view: the bound of the specification.
    const MOST_BYTES: usize = 150 * 1024;

    #[test]
    fn page_is_light() {
        let bytes: usize = ASSETS.iter().chain([&INDEX]).map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= MOST_BYTES, "the page has {bytes} bytes");
    }

    #[test]
    fn every_file_is_served_and_every_import_is_a_file() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/assets");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<String> =
            ASSETS.iter().chain([&INDEX]).map(|asset| asset.name.to_owned()).collect();
        assert_eq!(there, served);
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for import in text.lines().filter_map(|line| line.split(" from \"./").nth(1)) {
                let name = import.trim_end_matches(['"', ';']);
                assert!(served.contains(name), "{} imports {name}", asset.name);
            }
        }
    }

    #[test]
    fn files_have_no_inline_script_or_style_and_no_other_host() {
        for asset in ASSETS.iter().chain([&INDEX]) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for refused in ["style=\"", "<style", "innerHTML", "eval(", "onclick=\"", "import("] {
                assert!(!text.contains(refused), "{} has {refused}", asset.name);
            }
            let hosts = text.matches("http").count();
            let namespace = text.matches("http://www.w3.org/2000/svg").count();
            assert!(
                hosts == namespace + text.matches("from https or").count(),
                "{} names a host",
                asset.name
            );
        }
    }
}
