//! The two structured fields: `descriptor` and `policy`.
//!
//! Checked in this order: `descriptor.version`, `descriptor.baseUrl`, the keys and URLs of
//! `descriptor.regionBaseUrls` in their order; `policy.mode`, then the number that the mode needs.

use ledger_record::rejection::Rejection;
use std::borrow::Cow;
use std::collections::BTreeMap;

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::limits::POLICY_MAX_DAYS;
use ledger_core::policy::Policy;
use ledger_core::realm::{InvalidRealm, Realm};

use crate::decode::refusal;
use crate::decode::url::is_absolute_http;
use crate::decode::validate::{TEXT, without_secrets};
use crate::decode::value::Value;

const OBJECT: &str = "expected an object";
const URL: &str = "expected an absolute http or https URL";
const REGION: &str = "expected a region key other than GLOBAL, which is also called default";
const REGION_TWICE: &str = "two keys are the same region";
const MODE: &str = "expected descriptor, off, days, indefinite or subscription";
const DAYS: &str = "expected a whole number from 1 to 36500";
const GRACE_DAYS: &str = "expected a whole number from 0 to 36500";

const REGIONS_PATH: &str = "descriptor.regionBaseUrls";

/// Reads `descriptor`; none when it is absent.
pub(super) fn read_descriptor(mut value: Value<'_>) -> Result<Option<Descriptor>, Rejection> {
    if value.is_absent() {
        return Ok(None);
    }
    if !matches!(value, Value::Object(_)) {
        return Err(refusal::invalid("descriptor", OBJECT));
    }
    let version = match value.take_member("version") {
        Value::Text(text) => Some(without_secrets(text)),
        version if version.is_absent() => None,
        _ => return Err(refusal::invalid("descriptor.version", TEXT)),
    };
    let base_url = read_url(value.take_member("baseUrl"), || "descriptor.baseUrl".to_owned())?
        .ok_or_else(|| refusal::missing("descriptor.baseUrl"))?;
    let region_base_urls = read_regions(value.take_member("regionBaseUrls"))?;
    let data_residency = read_data_residency(value.take_member("dataResidency"));
    Ok(Some(Descriptor { version, base_url, region_base_urls, data_residency }))
}

fn read_regions(value: Value<'_>) -> Result<BTreeMap<Realm, String>, Rejection> {
    let members = match value {
        Value::Object(members) => members,
        value if value.is_absent() => return Ok(BTreeMap::new()),
        _ => return Err(refusal::invalid(REGIONS_PATH, OBJECT)),
    };
    let mut urls: BTreeMap<Realm, Option<String>> = BTreeMap::new();
    for (key, url) in members {
        let path = || region_path(&key);
        let region = Realm::parse(&key).ok().filter(|realm| *realm != Realm::GLOBAL);
        let region = region.ok_or_else(|| refusal::invalid(path(), REGION))?;
        let url = read_url(url, path)?;
        if urls.insert(region, url).is_some() {
            return Err(refusal::invalid(path(), REGION_TWICE));
        }
    }
    Ok(urls.into_iter().filter_map(|(region, url)| Some((region, url?))).collect())
}

/// The path of a region's URL. A key that cannot be a realm's is not repeated: it may be anything.
fn region_path(key: &str) -> String {
    match Realm::parse(key) {
        Err(InvalidRealm::NotAKey) => REGIONS_PATH.to_owned(),
        Ok(_) | Err(InvalidRealm::Nothing) => format!("{REGIONS_PATH}.{key}"),
    }
}

fn read_url(value: Value<'_>, path: impl Fn() -> String) -> Result<Option<String>, Rejection> {
    match value {
        Value::Text(text) => {
            let url = without_secrets(text);
            if is_absolute_http(&url) { Ok(Some(url)) } else { Err(refusal::invalid(path(), URL)) }
        }
        value if value.is_absent() => Ok(None),
        _ => Err(refusal::invalid(path(), URL)),
    }
}

fn read_data_residency(mut value: Value<'_>) -> Option<DataResidency> {
    let residency = DataResidency {
        realm_persistence: value.take_member("realmPersistence").into_setting(),
        realm_persistence_days: value.take_member("realmPersistenceDays").into_setting(),
    };
    let has_neither =
        residency.realm_persistence == Setting::Absent && residency.realm_persistence_days == Setting::Absent;
    (!has_neither).then_some(residency)
}

/// Reads `policy`; none when it is absent.
pub(super) fn read_policy(mut value: Value<'_>) -> Result<Option<Policy>, Rejection> {
    if value.is_absent() {
        return Ok(None);
    }
    if !matches!(value, Value::Object(_)) {
        return Err(refusal::invalid("policy", OBJECT));
    }
    let mode = match value.take_member("mode") {
        Value::Text(mode) => mode,
        mode if mode.is_absent() => return Err(refusal::missing("policy.mode")),
        _ => Cow::Borrowed(""),
    };
    Ok(Some(match &*mode {
        "descriptor" => Policy::Descriptor,
        "off" => Policy::Off,
        "days" => Policy::Days { days: read_days(value.take_member("days"), "policy.days", 1, DAYS)? },
        "indefinite" => Policy::Indefinite,
        "subscription" => Policy::Subscription {
            grace_days: read_days(value.take_member("graceDays"), "policy.graceDays", 0, GRACE_DAYS)?,
        },
        _ => return Err(refusal::invalid("policy.mode", MODE)),
    }))
}

fn read_days(
    value: Value<'_>,
    path: &'static str,
    least: u32,
    expected: &'static str,
) -> Result<u32, Rejection> {
    match value {
        Value::Whole(days) => u32::try_from(days)
            .ok()
            .filter(|days| (least..=POLICY_MAX_DAYS).contains(days))
            .ok_or_else(|| refusal::invalid(path, expected)),
        value if value.is_absent() => Err(refusal::missing(path)),
        _ => Err(refusal::invalid(path, expected)),
    }
}
