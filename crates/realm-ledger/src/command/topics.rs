//! `topics create` and `topics check`.

use ledger_ingest::kafka::topics::{TopicReport, check, create};
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
    source: ledger_ingest::kafka::KafkaError,
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partitions: u32,
    created: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<SettingDiffers>,
    result: String,
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
        let error = NoCluster { brokers: options.brokers.clone(), source };
        Failure::new(error).hint("check kafka.brokers, kafka.client and the rights of this client")
    })?;
    let fine = reports.iter().all(TopicReport::is_fine);
    let mut printer = context.printer(COLUMNS);
    for report in reports {
        printer.item(&raw(&Line::of(report))?)?;
    }
    printer.finish()?;
    Ok(if fine { Exit::Done } else { Exit::Difference })
}

impl Line {
    fn of(report: TopicReport) -> Self {
        let fine = report.is_fine();
        let TopicReport { name, partitions, created, differences } = report;
        let said: Vec<String> = differences
            .iter()
            .map(|(setting, wanted, found)| format!("{setting} is {found}, needs {wanted}"))
            .collect();
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
        Self { topic: name, partitions, created, differences, result }
    }
}
