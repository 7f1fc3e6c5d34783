//! Which trades have been counted: sets of sequence numbers, for each epoch of a queue.
//!
//! Publishers number their trades without gaps, and a queue keeps their order, so these sets are
//! nearly always one range that grows at its end. That case costs one comparison.

/// The sequence numbers `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u64,
    pub last: u64,
}

/// A set of sequence numbers: ranges in ascending order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// How many sequence numbers are in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|r| r.last - r.first + 1).sum()
    }

    pub fn contains(&self, sequence: u64) -> bool {
        let after = self.0.partition_point(|r| r.first <= sequence);
        after > 0 && sequence <= self.0[after - 1].last
    }

    /// Adds one sequence number. Returns whether it was missing.
    pub fn insert(&mut self, sequence: u64) -> bool {
        if let Some(end) = self.0.last_mut()
            && sequence == end.last + 1
        {
            end.last = sequence;
            return true;
        }
        let missing = !self.contains(sequence);
        if missing {
            self.insert_range(Range {
                first: sequence,
                last: sequence,
            });
        }
        missing
    }

    /// Adds all sequence numbers of a range, whether or not some are there already.
    pub fn insert_range(&mut self, added: Range) {
        // The ranges from `start` up to `end` overlap or touch the added one: they become one.
        let start = self.0.partition_point(|r| r.last + 1 < added.first);
        let end = self.0.partition_point(|r| r.first <= added.last + 1);
        let merged = self.0[start..end].iter().fold(added, |all, r| Range {
            first: all.first.min(r.first),
            last: all.last.max(r.last),
        });
        self.0.splice(start..end, [merged]);
    }

    /// Adds all sequence numbers of another set.
    pub fn extend(&mut self, other: &Self) {
        for &range in &other.0 {
            self.insert_range(range);
        }
    }

    /// The sequence numbers that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for range in &other.0 {
            let start = self.0.partition_point(|r| r.last < range.first);
            for own in self.0[start..].iter().take_while(|r| r.first <= range.last) {
                common.0.push(Range {
                    first: own.first.max(range.first),
                    last: own.last.min(range.last),
                });
            }
        }
        common
    }

    /// The sequence numbers from 0 up to the highest in the set that are not in it.
    pub fn gaps(&self) -> Self {
        let mut next = 0;
        let mut gaps = Self::default();
        for range in &self.0 {
            if range.first > next {
                gaps.0.push(Range {
                    first: next,
                    last: range.first - 1,
                });
            }
            next = range.last + 1;
        }
        gaps
    }
}

impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut set = Self::default();
        for range in ranges {
            set.insert_range(range);
        }
        set
    }
}

/// An epoch of a [`Ledger`], by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochId(usize);

#[derive(Debug)]
struct Epoch {
    name: Box<str>,
    /// The trades in durably stored windows of any consumer.
    stored: Ranges,
    /// `stored`, and the trades in this consumer's windows that are not stored yet.
    taken: Ranges,
}

/// The trades in the windows of one queue, as far as this consumer knows them.
#[derive(Debug, Default)]
pub struct Ledger {
    epochs: Vec<Epoch>,
    /// The epoch of the last look-up: nearly always that of the next one, too.
    latest: usize,
}

impl Ledger {
    /// Finds an epoch, if it has been [opened](Self::open).
    pub fn find(&mut self, name: &str) -> Option<EpochId> {
        let is_latest = |epoch: &Epoch| *epoch.name == *name;
        if !self.epochs.get(self.latest).is_some_and(is_latest) {
            self.latest = self.epochs.iter().position(is_latest)?;
        }
        Some(EpochId(self.latest))
    }

    /// Opens an epoch of which the database has the trades `stored`.
    pub fn open(&mut self, name: &str, stored: Ranges) -> EpochId {
        self.epochs.push(Epoch {
            name: name.into(),
            taken: stored.clone(),
            stored,
        });
        self.latest = self.epochs.len() - 1;
        EpochId(self.latest)
    }

    /// Takes a trade into a window. Returns false if a window already holds it.
    pub fn take(&mut self, epoch: EpochId, sequence: u64) -> bool {
        self.epochs[epoch.0].taken.insert(sequence)
    }

    pub fn name(&self, epoch: EpochId) -> &str {
        &self.epochs[epoch.0].name
    }

    /// The trades of an epoch in durably stored windows.
    pub fn stored(&self, epoch: EpochId) -> &Ranges {
        &self.epochs[epoch.0].stored
    }

    /// Notes that a window with these trades is durably stored. Ignores epochs that are not open: their
    /// ranges are read from the database when they are opened.
    pub fn store(&mut self, name: &str, ranges: &Ranges) {
        if let Some(epoch) = self.find(name) {
            self.store_in(epoch, ranges);
        }
    }

    /// Notes that a window with these trades of an open epoch is durably stored.
    pub fn store_in(&mut self, epoch: EpochId, ranges: &Ranges) {
        let epoch = &mut self.epochs[epoch.0];
        epoch.stored.extend(ranges);
        epoch.taken.extend(ranges);
    }

    pub fn is_stored(&self, epoch: EpochId, sequence: u64) -> bool {
        self.epochs[epoch.0].stored.contains(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.0.iter().flat_map(|r| r.first..=r.last).collect()
    }

    fn is_canonical(ranges: &Ranges) -> bool {
        ranges.0.iter().all(|r| r.first <= r.last)
            && ranges.0.windows(2).all(|w| w[0].last + 1 < w[1].first)
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let range = (0u64..60, 0u64..8).prop_map(|(first, length)| Range {
            first,
            last: first + length,
        });
        prop::collection::vec(range, 0..12)
    }

    proptest! {
        #[test]
        fn a_set_of_sequences_behaves_as_a_set(sequences in prop::collection::vec(0u64..80, 0..200)) {
            let (mut ranges, mut oracle) = (Ranges::default(), BTreeSet::new());
            for sequence in sequences {
                prop_assert_eq!(ranges.insert(sequence), oracle.insert(sequence));
                prop_assert!(is_canonical(&ranges), "{:?}", ranges);
            }
            prop_assert_eq!(&set(&ranges), &oracle);
            prop_assert_eq!(ranges.count(), oracle.len() as u64);
            for sequence in 0..90 {
                prop_assert_eq!(ranges.contains(sequence), oracle.contains(&sequence));
            }
        }

        #[test]
        fn sets_of_ranges_add_intersect_and_tell_their_gaps(a in ranges(), b in ranges()) {
            let (a, b): (Ranges, Ranges) = (a.into_iter().collect(), b.into_iter().collect());
            prop_assert!(is_canonical(&a), "{:?}", a);
            let common = a.intersection(&b);
            prop_assert_eq!(set(&common), &set(&a) & &set(&b));
            let mut both = a.clone();
            both.extend(&b);
            prop_assert!(is_canonical(&both), "{:?}", both);
            prop_assert_eq!(set(&both), &set(&a) | &set(&b));
            let all: BTreeSet<u64> = set(&a).last().map(|&last| (0..=last).collect()).unwrap_or_default();
            prop_assert_eq!(set(&a.gaps()), &all - &set(&a));
        }
    }

    #[test]
    fn a_trade_is_taken_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.find("a"), None);
        let a = ledger.open("a", [Range { first: 0, last: 9 }].into_iter().collect());
        let b = ledger.open("b", Ranges::default());
        assert!(!ledger.take(a, 9), "counted before this consumer started");
        assert!(ledger.take(a, 10));
        assert!(!ledger.take(a, 10), "the publisher sent it twice");
        assert!(ledger.take(b, 10), "another epoch");
        assert!(!ledger.is_stored(a, 10), "taken, but not stored yet");
        assert_eq!((ledger.find("b"), ledger.find("a")), (Some(b), Some(a)));
    }

    #[test]
    fn what_another_consumer_stored_is_not_taken_again() {
        let mut ledger = Ledger::default();
        let a = ledger.open("a", Ranges::default());
        assert!(ledger.take(a, 3));
        let foreign = [Range { first: 0, last: 4 }].into_iter().collect();
        ledger.store("a", &foreign);
        ledger.store("not opened", &foreign);
        assert!(ledger.is_stored(a, 3));
        assert!(!ledger.take(a, 4));
        assert!(ledger.take(a, 5));
        assert_eq!(ledger.find("not opened"), None);
    }
}
