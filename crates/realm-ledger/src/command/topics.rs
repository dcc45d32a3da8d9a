//! `topics create` and `topics check`.

use ledger_ingest::kafka::{KafkaError, KafkaOptions};
use ledger_ingest::topics::{TopicReport, check, create, lacks_brokers};
use ledger_store::Halted;
use serde::Serialize;

use super::{Context, brokers_flag};
use crate::cli::{Topics, TopicsCreate};
use crate::output::{Column, raw};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::of("topic", "/topic"),
    Column::of("partitions", "/partitions"),
    Column::of("result", "/result"),
];

/// The cluster could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the topics at {brokers} cannot be looked at or made")]
struct NoCluster {
    brokers: String,
    #[source]
    source: KafkaError,
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partitions: u32,
    created: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<SettingDiffers>,
    /// That `serve` does not read it, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    halts: Option<Halts>,
    result: String,
}

#[derive(Serialize)]
struct Halts {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct SettingDiffers {
    setting: String,
    wanted: String,
    found: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, command: Topics) -> Result<Exit, Failure> {
    let (brokers, wanted) = match command {
        Topics::Create(TopicsCreate { brokers, partitions, replication_factor }) => {
            (brokers, Some((partitions, replication_factor)))
        }
        Topics::Check(brokers) => (brokers, None),
    };
    let options = context.config(&brokers_flag(brokers.brokers))?.config.kafka;
    let reports = match wanted {
        Some((partitions, replication)) => create(&options, partitions, replication),
        None => check(&options),
    };
    let reports = reports.map_err(|source| {
        let hint = hint(&source);
        Failure::new(NoCluster { brokers: options.brokers.clone(), source }).hint(hint)
    })?;
    let fine = reports.iter().all(TopicReport::is_fine);
    let mut printer = context.printer(COLUMNS);
    for report in reports {
        printer.item(&raw(&Line::of(report, &options))?)?;
    }
    printer.finish()?;
    Ok(if fine { Exit::Done } else { Exit::Difference })
}

fn hint(error: &KafkaError) -> &'static str {
    if lacks_brokers(error) {
        "there are fewer brokers than copies of each partition: give --replication-factor 1 for one broker"
    } else {
        "check kafka.brokers, kafka.client and the rights of this client"
    }
}

impl Line {
    fn of(report: TopicReport, options: &KafkaOptions) -> Self {
        let (fine, halts) = (report.is_fine(), report.halts(options));
        let TopicReport { name, partitions, created, differences, .. } = report;
        let said = differences
            .iter()
            .map(|(setting, wanted, found)| format!("{setting} is {found}, needs {wanted}"));
        let halts = halts.map(|Halted { code, message }| Halts { code, message });
        let refused =
            halts.iter().map(|Halts { code, message }| format!("`serve` halts on it ({code}): {message}"));
        let said: Vec<String> = said.chain(refused).collect();
        let result = match (partitions, created, fine) {
            (0, _, _) => "missing; `topics create` makes it".to_owned(),
            (_, true, true) => "created".to_owned(),
            (_, false, true) => "as it should be".to_owned(),
            (_, _, false) => said.join("; "),
        };
        let differences = differences
            .into_iter()
            .map(|(setting, wanted, found)| SettingDiffers { setting, wanted, found })
            .collect();
        Self { topic: name, partitions, created, differences, halts, result }
    }
}
