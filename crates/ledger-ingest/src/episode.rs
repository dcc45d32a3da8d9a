//! What fails again and again is told when it begins and when it ends, and not in between.

use std::time::{Duration, Instant};

/// A time in which something fails.
#[derive(Debug, Default)]
pub(crate) struct Episode(Option<Instant>);

impl Episode {
    /// It failed. Answers whether it did not before.
    pub(crate) fn fails(&mut self) -> bool {
        let is_new = self.0.is_none();
        self.0.get_or_insert_with(Instant::now);
        is_new
    }

    /// It did not fail. Answers for how long it did, if it did before.
    pub(crate) fn ends(&mut self) -> Option<Duration> {
        self.0.take().map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_and_the_end_are_told() {
        let mut episode = Episode::default();
        assert_eq!(episode.ends(), None);
        assert_eq!([episode.fails(), episode.fails(), episode.fails()], [true, false, false]);
        assert!(episode.ends().is_some());
        assert_eq!((episode.ends(), episode.fails()), (None, true));
    }
}
