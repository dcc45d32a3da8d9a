//! Foreign producers with their default settings and partitioners.

use std::process::{Command, Output, Stdio};
use std::thread;

use super::install::Installation;
use super::{Cluster, Message};
use crate::python;

/// A client that partners use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Client {
    /// Java's own, by Kafka's console producer.
    Java,
    /// confluent-kafka for Python, which is librdkafka.
    Confluent,
}

impl Cluster {
    /// Produces keyed messages of text by another client.
    pub fn produce_by_client(&self, client: Client, topic: &str, messages: &[Message]) {
        let lines: String = messages.iter().map(line).collect();
        let output = match client {
            Client::Confluent => {
                let mut script = python::script("produce.py");
                script.args([self.bootstrap(), topic]);
                python::answer(script, &lines)
            }
            Client::Java => self.console_producer(topic, &lines),
        };
        assert!(output.status.success(), "{client:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn console_producer(&self, topic: &str, lines: &str) -> Output {
        use std::io::Write as _;
        let mut child = Command::new("java")
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-cp", &Installation::locate().class_path()])
            .args(["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", self.bootstrap()])
            .args(["--topic", topic, "--reader-property", "parse.key=true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start java");
        let mut stdin = child.stdin.take().expect("a pipe");
        thread::scope(|scope| {
            // A process that ends early closes the pipe; its exit code is checked.
            scope.spawn(move || stdin.write_all(lines.as_bytes()));
            child.wait_with_output().expect("wait for java")
        })
    }
}

/// Key, tab, value, the input of both producers.
fn line(message: &Message) -> String {
    let text = |part: &Option<Vec<u8>>| {
        String::from_utf8(part.clone().expect("a keyed message of text")).expect("a text")
    };
    format!("{}\t{}\n", text(&message.key), text(&message.value))
}
