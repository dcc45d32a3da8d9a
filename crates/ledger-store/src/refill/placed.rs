//! By which partitioner the messages of a topic were placed, as the records show that came from there.

use std::fmt;

use ledger_record::record::Stream;

use crate::data_dir::DataDir;
use crate::error::{OpenError, ReadError};
use crate::source::Partitioner;

/// How many keys each partitioner puts where they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedKeys {
    keys: u64,
    fits: [(Partitioner, u64); Partitioner::COMPUTING.len()],
}

impl PlacedKeys {
    /// Looks at every tenant's records that came from the topic, in every shard.
    pub fn in_topic(data: &DataDir, topic: &str) -> Result<Self, OpenError> {
        let mut placed = Self { keys: 0, fits: Partitioner::COMPUTING.map(|partitioner| (partitioner, 0)) };
        let partitions = data.identity(topic)?.map_or(0, |identity| identity.partitions);
        for shard in data.shards()?.into_iter().filter(|shard| shard.topic == topic) {
            let reader = data.read_shard(&shard)?;
            placed.add_shard(&reader.snapshot(), topic, partitions)?;
        }
        Ok(placed)
    }

    fn add_shard(
        &mut self,
        snapshot: &crate::Snapshot<'_>,
        topic: &str,
        partitions: u32,
    ) -> Result<(), ReadError> {
        let mut last = None;
        for record in snapshot.tenant_records()? {
            let record = record?;
            let Stream::Tenant(client) = record.stream else { continue };
            let place = (client, record.source.partition);
            if &*record.source.source == topic && last.as_ref() != Some(&place) {
                self.add(place.0.as_bytes(), place.1, partitions);
                last = Some(place);
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &[u8], partition: u32, partitions: u32) {
        self.keys += 1;
        for (partitioner, fits) in &mut self.fits {
            *fits += u64::from(partitioner.partition(key, partitions) == Some(partition));
        }
    }

    /// How many keys were seen; one that came from two partitions is two.
    #[must_use]
    pub const fn keys(&self) -> u64 {
        self.keys
    }

    /// How many of them the partitioner puts where they came from.
    #[must_use]
    pub fn fits(&self, partitioner: Partitioner) -> u64 {
        self.fits.iter().find(|(known, _)| *known == partitioner).map_or(0, |(_, fits)| *fits)
    }

    /// Those that put every key where it came from; all, when there was none.
    #[must_use]
    pub fn fitting(&self) -> Vec<Partitioner> {
        let fitting = self.fits.iter().filter(|(_, fits)| *fits == self.keys);
        fitting.map(|(partitioner, _)| *partitioner).collect()
    }
}

impl fmt::Display for PlacedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (partitioner, fits)) in self.fits.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{partitioner} {fits} of {}", self.keys)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partitioner_fits_the_keys_that_it_placed_and_none_fits_two() {
        let keys: Vec<String> = (0..40).map(|n| format!("customer-{n}.atlassian.net")).collect();
        let by = |partitioner: Partitioner, placed: &mut PlacedKeys| {
            for key in &keys {
                placed.add(key.as_bytes(), partitioner.partition(key.as_bytes(), 4).unwrap(), 4);
            }
        };
        let none = PlacedKeys { keys: 0, fits: Partitioner::COMPUTING.map(|partitioner| (partitioner, 0)) };
        assert_eq!(none.fitting().len(), 3);
        let mut placed = none.clone();
        by(Partitioner::Crc32, &mut placed);
        assert_eq!((placed.fitting(), placed.keys()), (vec![Partitioner::Crc32], 40));
        by(Partitioner::Murmur2, &mut placed);
        assert_eq!(placed.fitting(), []);
        assert!(placed.fits(Partitioner::Crc32) >= 40 && placed.fits(Partitioner::Crc32) < 80);
        assert!(placed.to_string().contains(" of 80, crc32 "), "{placed}");
    }
}
