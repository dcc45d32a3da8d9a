//! The names of the logs.

use ledger_store::ShardId;

/// Stands for the name of the topic.
const TOPIC: &str = "{topic}";

/// How origins are made: `evidence.origin`, `/`, the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(String);

/// No origins can be made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It could not be the name of a key.
    #[error("a name without spaces and plus signs, such as \"ledger.example.com/{{topic}}\"")]
    Name,
    /// Two topics would have logs of the same name.
    #[error("a name with {{topic}} in it, as there are several topics")]
    Ambiguous,
}

impl Default for Origins {
    fn default() -> Self {
        Self(TOPIC.to_owned())
    }
}

impl Origins {
    /// Origins that begin like this, for so many topics.
    pub fn new(name: &str, topics: usize) -> Result<Self, OriginError> {
        let is_name = !name.is_empty()
            && name.len() <= 400
            && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control());
        if !is_name {
            return Err(OriginError::Name);
        }
        if topics > 1 && !name.contains(TOPIC) {
            return Err(OriginError::Ambiguous);
        }
        Ok(Self(name.to_owned()))
    }

    /// What the origins of a topic's logs begin with.
    pub fn name(&self, topic: &str) -> String {
        self.0.replace(TOPIC, topic)
    }

    /// The origin of a shard's log.
    pub fn origin(&self, shard: &ShardId) -> String {
        format!("{}/{}", self.name(&shard.topic), shard.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_has_a_name_of_its_own() {
        let shard = |topic: &str, partition| ShardId { topic: topic.to_owned(), partition };
        assert_eq!(Origins::default().origin(&shard("realm.lifecycle", 7)), "realm.lifecycle/7");
        let one = Origins::new("ledger.example.com/realm", 1).unwrap();
        assert_eq!(one.origin(&shard("realm.lifecycle", 7)), "ledger.example.com/realm/7");
        assert_eq!(Origins::new("ledger.example.com/realm", 2), Err(OriginError::Ambiguous));
        let several = Origins::new("ledger.example.com/{topic}", 2).unwrap();
        assert_eq!(several.origin(&shard("a", 0)), "ledger.example.com/a/0");
        for wrong in ["", "a b", "a+b", "a\tb"] {
            assert_eq!(Origins::new(wrong, 1), Err(OriginError::Name), "{wrong:?}");
        }
    }
}
