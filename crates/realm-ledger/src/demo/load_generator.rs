//! Ordinary tenants: they install, restart, leave, and sometimes come back.

use ledger_core::time::Timestamp;

use super::cast::{ROADMAP, TIMESHEETS, WHITEBOARD};
use super::{EventDraft, Sample, SeededRandom, ago};

const APPS: &[&str] = &[ROADMAP, TIMESHEETS, TIMESHEETS, WHITEBOARD];
const REALMS: &[&str] = &["EU", "EU", "US", "US", "AU", "DE", "GLOBAL"];

/// Days that the tenants have lived before the demo begins.
const PAST_DAYS: i64 = 40;

/// Events in the past, for each tenant.
const EVENTS_PER_TENANT: u64 = 4;

/// Tenants that go on as long as the demo runs.
#[derive(Debug, Clone)]
pub(crate) struct LoadGenerator {
    dice: SeededRandom,
    tenants: Vec<SampleTenant>,
    count: u64,
}

#[derive(Debug, Clone)]
struct SampleTenant {
    client: String,
    app: &'static str,
    product: &'static str,
    /// Where the app is, or was last.
    realm: &'static str,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    New,
    Installed,
    Disabled,
    Gone,
}

impl LoadGenerator {
    pub(super) fn new(seed: u64, tenants: u32) -> Self {
        let mut dice = SeededRandom(seed);
        let tenants = (0..tenants).map(|number| SampleTenant::new(number, &mut dice)).collect();
        Self { dice, tenants, count: 0 }
    }

    /// What they did up to `now`, in order.
    pub(super) fn until(&mut self, now: Timestamp) -> Vec<Sample> {
        let begin = ago(now, PAST_DAYS, 0).as_millis();
        let events = self.tenants.len() as u64 * EVENTS_PER_TENANT;
        let span = u64::try_from(now.as_millis() - begin).unwrap_or_default();
        let mut times: Vec<u64> = (0..events).map(|_| self.dice.below(span)).collect();
        times.sort_unstable();
        let at = |offset: u64| Timestamp::from_millis(begin + i64::try_from(offset).unwrap_or_default());
        times.into_iter().map(|offset| self.next(at(offset))).collect()
    }

    /// The next thing that one of them does.
    pub(crate) fn next(&mut self, at: Timestamp) -> Sample {
        self.count += 1;
        let place = self.dice.below(self.tenants.len() as u64);
        let id = format!("crowd-{:06}", self.count);
        match self.tenants.get_mut(usize::try_from(place).unwrap_or_default()) {
            Some(tenant) => tenant.act(&id, at, &mut self.dice).sent(),
            None => EventDraft::new(&id, "product-moved", at)
                .with("clientKey", "nobody")
                .with("productRealm", "EU")
                .sent(),
        }
    }
}

impl SampleTenant {
    fn new(number: u32, dice: &mut SeededRandom) -> Self {
        let product = dice.pick(REALMS).copied().unwrap_or("GLOBAL");
        let app = dice.pick(APPS).copied().unwrap_or(ROADMAP);
        let client = match number % 3 {
            0 => format!("team-{number:04}.atlassian.net"),
            1 => format!("jira:{}", uuid(dice)),
            _ => uuid(dice),
        };
        Self { client, app, product, realm: product, life: Life::New }
    }

    fn act(&mut self, id: &str, at: Timestamp, dice: &mut SeededRandom) -> EventDraft {
        let draft = |kind: &str| {
            EventDraft::new(id, kind, at).with("clientKey", self.client.as_str()).with("appKey", self.app)
        };
        match self.life {
            Life::New => {
                self.life = Life::Installed;
                draft("installed").with("endpointRealm", self.realm).with("productRealm", self.product)
            }
            Life::Installed => match dice.below(10) {
                0..4 => draft("installed").with("endpointRealm", self.realm),
                4..6 => {
                    self.life = Life::Disabled;
                    draft("disabled")
                }
                6..8 => {
                    self.life = Life::Gone;
                    draft("uninstalled").with("endpointRealm", self.realm)
                }
                8 => draft("data-located").with("realm", self.realm),
                _ => draft("subscription-observed").with("state", "ACTIVE"),
            },
            Life::Disabled => {
                self.life = Life::Installed;
                draft("enabled")
            }
            Life::Gone => {
                self.life = Life::Installed;
                if dice.chance(15) {
                    self.product = dice.pick(REALMS).copied().unwrap_or("GLOBAL");
                    self.realm = self.product;
                }
                draft("installed").with("endpointRealm", self.realm).with("productRealm", self.product)
            }
        }
    }
}

/// Of the usual shape; as unique as the dice.
fn uuid(dice: &mut SeededRandom) -> String {
    let (high, low) = (dice.roll(), dice.roll());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}
