//! `topics create` and `topics check`.

use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::topics::{TopicReport, check, create, lacks_brokers};
use ledger_store::Halted;
use serde::Serialize;

use super::{Context, brokers_flag};
use crate::cli::{Topics, TopicsCreate};
use crate::output::{Column, raw};
use crate::{Exit, Failure};

const COLUMNS: &[Column] = &[
    Column::at("topic", "/topic"),
    Column::at("partitions", "/partitions"),
    Column::at("result", "/result"),
];

#[derive(Serialize)]
struct CheckedTopic {
    topic: String,
    partitions: u32,
    created: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<SettingDifference>,
    /// Why `serve` does not read it, and what to do.
    halts: Option<TopicHalt>,
    result: String,
}

#[derive(Serialize)]
struct TopicHalt {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct SettingDifference {
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
    let options = context.config([brokers_flag(brokers.brokers)])?.kafka;
    let reports = match wanted {
        Some((partitions, replication)) => create(&options, partitions, replication),
        None => check(&options),
    };
    let reports = reports.map_err(|error| {
        let hint = if lacks_brokers(&error) {
            "there are fewer brokers than copies of each partition: give --replication-factor 1 for one broker"
        } else {
            "check kafka.brokers, kafka.client and the rights of this client"
        };
        let message = format!("the topics at {} cannot be looked at or made", options.brokers);
        Failure::caused(message, error).hint(hint)
    })?;
    let fine = reports.iter().all(TopicReport::is_fine);
    let topics = reports.into_iter().map(|report| CheckedTopic::new(report, &options));
    context.print_list(COLUMNS, topics.map(|topic| raw(&topic)))?;
    Ok(if fine { Exit::Done } else { Exit::Difference })
}

impl CheckedTopic {
    fn new(report: TopicReport, options: &KafkaOptions) -> Self {
        let fine = report.is_fine();
        let halts = report.halts(options).map(|Halted { code, message }| TopicHalt { code, message });
        let TopicReport { name, partitions, created, differences, .. } = report;
        let differences: Vec<SettingDifference> = differences
            .into_iter()
            .map(|(setting, wanted, found)| SettingDifference { setting, wanted, found })
            .collect();
        let result = match (partitions, created, fine) {
            (0, _, _) => "missing; `topics create` makes it".to_owned(),
            (_, true, true) => "created".to_owned(),
            (_, false, true) => "as it should be".to_owned(),
            (_, _, false) => {
                let differs = differences.iter().map(|SettingDifference { setting, wanted, found }| {
                    format!("{setting} is {found}, needs {wanted}")
                });
                let halts = halts
                    .iter()
                    .map(|TopicHalt { code, message }| format!("`serve` halts on it ({code}): {message}"));
                differs.chain(halts).collect::<Vec<_>>().join("; ")
            }
        };
        Self { topic: name, partitions, created, differences, halts, result }
    }
}
