//! Which trades are settled: counted in a window, or moved to the queue of rejected messages. Sets of
//! sequence numbers, for each epoch of a queue.
//!
//! Publishers number their trades without gaps, and a queue keeps their order, so these sets are
//! nearly always one range that grows at its end. That case costs one comparison. A publisher that
//! leaves gaps makes more ranges. The oldest of too many are forgotten: a trade from there is neither
//! counted nor dropped, because nobody knows whether it is new.

use std::collections::{HashMap, HashSet};

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

    /// The set of one sequence number.
    pub fn one(sequence: u64) -> Self {
        Self(vec![Range {
            first: sequence,
            last: sequence,
        }])
    }

    /// How many sequence numbers are in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|r| r.last - r.first + 1).sum()
    }

    pub fn contains(&self, sequence: u64) -> bool {
        let after = self.0.partition_point(|r| r.first <= sequence);
        after > 0 && sequence <= self.0[after - 1].last
    }

    /// Adds one sequence number.
    pub fn insert(&mut self, sequence: u64) {
        if !self.extend_end(sequence) && !self.contains(sequence) {
            self.insert_range(Range {
                first: sequence,
                last: sequence,
            });
        }
    }

    /// Adds a sequence number if it is the one after the highest. Returns whether it is.
    fn extend_end(&mut self, sequence: u64) -> bool {
        match self.0.last_mut() {
            Some(end) if sequence == end.last + 1 => {
                end.last = sequence;
                true
            }
            _ => false,
        }
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

    /// The sequence numbers that are not in another set.
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for range in &self.0 {
            let mut next = range.first;
            let start = other.0.partition_point(|r| r.last < range.first);
            for taken in other.0[start..]
                .iter()
                .take_while(|r| r.first <= range.last)
            {
                if taken.first > next {
                    rest.push(Range {
                        first: next,
                        last: taken.first - 1,
                    });
                }
                next = taken.last + 1;
            }
            if next <= range.last {
                rest.push(Range {
                    first: next,
                    last: range.last,
                });
            }
        }
        Self(rest)
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

/// What is known of the trades of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Below this, a trade that is not in `ranges` may be settled too: that has been forgotten.
    pub floor: u64,
    /// The settled trades, as far as they are remembered.
    pub ranges: Ranges,
}

impl Settled {
    /// What remains of it in `most` ranges, at least 1: the newest.
    pub fn newest(&self, most: usize) -> Self {
        let ranges = self.ranges.as_slice();
        let forgotten = ranges.len().saturating_sub(most.max(1));
        if forgotten == 0 {
            return self.clone();
        }
        Self {
            floor: ranges[forgotten].first.max(self.floor),
            ranges: Ranges(ranges[forgotten..].to_vec()),
        }
    }

    /// All trades that may be settled.
    pub fn all(&self) -> Ranges {
        let mut all = self.ranges.clone();
        if let below @ 1.. = self.floor {
            all.insert_range(Range {
                first: 0,
                last: below - 1,
            });
        }
        all
    }

    /// Adds settled trades.
    pub fn extend(&mut self, added: &Ranges) {
        self.ranges.extend(added);
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        if self.ranges.0.len() > REMEMBERED_RANGES {
            // Half of them, so that this is rare.
            *self = self.newest(REMEMBERED_RANGES / 2);
        }
    }
}

/// How many ranges of one epoch are remembered. Half of them are more than one consumer may hold
/// unacknowledged, so that redelivered trades are recognized even if none follows another.
const REMEMBERED_RANGES: usize = 1 << 17;

/// How many epochs are remembered, besides those of trades that are not stored yet. Others are read
/// from the database again when one of their trades comes.
const REMEMBERED_EPOCHS: usize = 1000;

/// An epoch of a [`Ledger`], by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochId(usize);

/// What becomes of a trade that is taken into a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in no window yet.
    New,
    /// It is settled, or in one of this consumer's windows.
    Double,
    /// It is so old that it may be settled.
    TooLate,
}

#[derive(Clone, Debug)]
struct Epoch {
    name: Box<str>,
    /// The trades in durably stored windows of any consumer, and the rejected ones before them.
    stored: Settled,
    /// `stored`, and the trades in this consumer's windows that are not stored yet.
    taken: Settled,
    /// Rejected trades that no window has passed yet.
    rejected: Settled,
}

/// The settled trades of one queue, as far as this consumer knows them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// A forgotten epoch leaves a free place.
    epochs: Vec<Option<Epoch>>,
    by_name: HashMap<Box<str>, EpochId>,
    /// The epoch of the last look-up: nearly always that of the next one, too.
    latest: usize,
}

impl Ledger {
    /// Finds an epoch, if it has been [opened](Self::open).
    pub fn find(&mut self, name: &str) -> Option<EpochId> {
        let latest = self.epochs.get(self.latest).and_then(Option::as_ref);
        if latest.is_none_or(|epoch| *epoch.name != *name) {
            self.latest = self.by_name.get(name)?.0;
        }
        Some(EpochId(self.latest))
    }

    /// Opens an epoch of which the database has the trades `stored`.
    pub fn open(&mut self, name: &str, stored: Settled) -> EpochId {
        let epoch = Epoch {
            name: name.into(),
            taken: stored.clone(),
            stored,
            rejected: Settled::default(),
        };
        let free = self.epochs.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.epochs.push(None);
            self.epochs.len() - 1
        });
        self.epochs[place] = Some(epoch);
        self.by_name.insert(name.into(), EpochId(place));
        self.latest = place;
        EpochId(place)
    }

    /// Whether it is time to [forget](Self::forget_all_but) epochs before another is opened.
    pub fn is_full(&self) -> bool {
        self.by_name.len() >= REMEMBERED_EPOCHS
    }

    /// Forgets all epochs but those of trades that are not stored yet.
    pub fn forget_all_but(&mut self, in_use: &HashSet<EpochId>) {
        self.by_name.retain(|_, epoch| in_use.contains(epoch));
        for (place, epoch) in self.epochs.iter_mut().enumerate() {
            if !in_use.contains(&EpochId(place)) {
                *epoch = None;
            }
        }
    }

    /// Takes a trade into a window, if it is new.
    pub fn take(&mut self, epoch: EpochId, sequence: u64) -> Taken {
        let Some(Epoch { taken, .. }) = &mut self.epochs[epoch.0] else {
            return Taken::TooLate;
        };
        if taken.ranges.extend_end(sequence) {
            return Taken::New;
        }
        if taken.ranges.contains(sequence) {
            return Taken::Double;
        }
        if sequence < taken.floor {
            return Taken::TooLate;
        }
        taken.ranges.insert(sequence);
        taken.forget_oldest();
        Taken::New
    }

    pub fn name(&self, epoch: EpochId) -> &str {
        self.epochs[epoch.0]
            .as_ref()
            .map_or("", |epoch| &epoch.name)
    }

    /// The trades of an epoch in durably stored windows, and the rejected ones: the newest `most` ranges.
    pub fn stored(&self, epoch: EpochId, most: usize) -> Settled {
        self.epochs[epoch.0]
            .as_ref()
            .map_or_else(Settled::default, |epoch| epoch.stored.newest(most))
    }

    /// Notes that these trades are settled: in a durably stored window, or rejected. Ignores epochs that
    /// are not open: theirs are read from the database when they are opened.
    pub fn settle(&mut self, name: &str, ranges: &Ranges) {
        if let Some(&epoch) = self.by_name.get(name) {
            self.settle_in(epoch, ranges);
        }
    }

    /// As [`settle`](Self::settle), of an open epoch.
    pub fn settle_in(&mut self, epoch: EpochId, ranges: &Ranges) {
        let passed = self.rejected_before(epoch, ranges);
        if let Some(epoch) = &mut self.epochs[epoch.0] {
            epoch.rejected.ranges = epoch.rejected.ranges.without(&passed);
            for ranges in [ranges, &passed] {
                epoch.stored.extend(ranges);
                epoch.taken.extend(ranges);
            }
        }
    }

    /// Notes that a trade of an open epoch is rejected. It is settled once a window has passed it, so that
    /// it leaves no gap.
    pub fn reject(&mut self, epoch: EpochId, sequence: u64) {
        if let Some(epoch) = &mut self.epochs[epoch.0] {
            epoch.rejected.extend(&Ranges::one(sequence));
        }
    }

    /// The rejected trades that a window with these trades passes.
    pub fn rejected_before(&self, epoch: EpochId, ranges: &Ranges) -> Ranges {
        let (Some(epoch), Some(last)) = (&self.epochs[epoch.0], ranges.as_slice().last()) else {
            return Ranges::default();
        };
        if epoch.rejected.ranges.as_slice().is_empty() {
            return Ranges::default();
        }
        let up_to_last = Range {
            first: 0,
            last: last.last,
        };
        let passed = epoch
            .rejected
            .ranges
            .intersection(&Ranges(vec![up_to_last]));
        // If a valid trade has the same identity, that one is in a window.
        passed.without(&epoch.taken.ranges)
    }

    pub fn is_settled(&self, epoch: EpochId, sequence: u64) -> bool {
        let epoch = self.epochs[epoch.0].as_ref();
        epoch.is_some_and(|epoch| epoch.stored.ranges.contains(sequence))
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
                ranges.insert(sequence);
                oracle.insert(sequence);
                prop_assert!(is_canonical(&ranges), "{:?}", ranges);
            }
            prop_assert_eq!(&set(&ranges), &oracle);
            prop_assert_eq!(ranges.count(), oracle.len() as u64);
            for sequence in 0..90 {
                prop_assert_eq!(ranges.contains(sequence), oracle.contains(&sequence));
            }
        }

        #[test]
        fn sets_of_ranges_add_subtract_and_intersect(a in ranges(), b in ranges()) {
            let (a, b): (Ranges, Ranges) = (a.into_iter().collect(), b.into_iter().collect());
            prop_assert!(is_canonical(&a), "{:?}", a);
            let common = a.intersection(&b);
            prop_assert_eq!(set(&common), &set(&a) & &set(&b));
            let rest = a.without(&b);
            prop_assert!(is_canonical(&rest), "{:?}", rest);
            prop_assert_eq!(set(&rest), &set(&a) - &set(&b));
            let mut both = a.clone();
            both.extend(&b);
            prop_assert!(is_canonical(&both), "{:?}", both);
            prop_assert_eq!(set(&both), &set(&a) | &set(&b));
        }
    }

    fn settled(ranges: &[Range]) -> Settled {
        Settled {
            floor: 0,
            ranges: ranges.iter().copied().collect(),
        }
    }

    #[test]
    fn a_trade_is_taken_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.find("a"), None);
        let a = ledger.open("a", settled(&[Range { first: 0, last: 9 }]));
        let b = ledger.open("b", Settled::default());
        assert_eq!(
            ledger.take(a, 9),
            Taken::Double,
            "counted before this consumer started"
        );
        assert_eq!(ledger.take(a, 10), Taken::New);
        assert_eq!(
            ledger.take(a, 10),
            Taken::Double,
            "the publisher sent it twice"
        );
        assert_eq!(ledger.take(b, 10), Taken::New, "another epoch");
        assert!(!ledger.is_settled(a, 10), "taken, but not stored yet");
        assert_eq!((ledger.find("b"), ledger.find("a")), (Some(b), Some(a)));
    }

    #[test]
    fn what_another_consumer_stored_is_not_taken_again() {
        let mut ledger = Ledger::default();
        let a = ledger.open("a", Settled::default());
        assert_eq!(ledger.take(a, 3), Taken::New);
        let foreign = [Range { first: 0, last: 4 }].into_iter().collect();
        ledger.settle("a", &foreign);
        ledger.settle("not opened", &foreign);
        assert!(ledger.is_settled(a, 3));
        assert_eq!(ledger.take(a, 4), Taken::Double);
        assert_eq!(ledger.take(a, 5), Taken::New);
        assert_eq!(ledger.find("not opened"), None);
    }

    #[test]
    fn of_too_many_ranges_the_newest_are_remembered_and_older_trades_are_too_late() {
        let mut ledger = Ledger::default();
        let a = ledger.open("a", Settled::default());
        let last = 2 * REMEMBERED_RANGES as u64;
        for sequence in (0..=last).step_by(2) {
            assert_eq!(ledger.take(a, sequence), Taken::New);
        }
        assert_eq!(ledger.take(a, last), Taken::Double);
        assert_eq!(ledger.take(a, last - 1), Taken::New, "a late one");
        assert_eq!(ledger.take(a, 0), Taken::TooLate, "taken, but forgotten");
        assert_eq!(ledger.take(a, 1), Taken::TooLate, "new, but who knows?");
    }

    #[test]
    fn a_short_form_keeps_the_newest_ranges_and_says_where_they_begin() {
        let ranges: Vec<Range> = (0..9)
            .map(|n| Range {
                first: 3 * n,
                last: 3 * n + 1,
            })
            .collect();
        let whole = settled(&ranges);
        assert_eq!(whole.newest(9), whole);
        let short = whole.newest(2);
        assert_eq!((short.floor, short.ranges.as_slice()), (21, &ranges[7..]));
        assert_eq!(short.newest(1).floor, 24);
    }

    #[test]
    fn epochs_without_trades_in_flight_can_be_forgotten_and_opened_again() {
        let mut ledger = Ledger::default();
        let opened: Vec<EpochId> = (0..REMEMBERED_EPOCHS)
            .map(|n| ledger.open(&n.to_string(), Settled::default()))
            .collect();
        assert!(ledger.is_full());
        assert_eq!(ledger.take(opened[7], 5), Taken::New);
        ledger.forget_all_but(&HashSet::from([opened[7]]));
        assert!(!ledger.is_full());
        assert_eq!(ledger.find("8"), None);
        assert_eq!(ledger.find("7"), Some(opened[7]));
        assert_eq!(ledger.take(opened[7], 5), Taken::Double);
        let again = ledger.open("8", settled(&[Range { first: 0, last: 3 }]));
        assert_ne!(again, opened[7]);
        assert_eq!(ledger.take(again, 3), Taken::Double);
        assert_eq!((ledger.name(again), ledger.name(opened[7])), ("8", "7"));
    }
}
