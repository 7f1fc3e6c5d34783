//! Windows of trades: collecting them in the order of delivery, and averaging them.

use std::collections::VecDeque;

use bson::oid::ObjectId;

use crate::ledger::{EpochId, Ledger, Ranges};
use crate::trade::{EventType, Trade};

/// A trade in a window, and its delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub trade: Trade,
    /// Its identity, if the publisher sends one.
    pub identity: Option<(EpochId, u64)>,
    /// When it was published, in seconds since 1970, if the publisher says so.
    pub timestamp: Option<u64>,
    /// The delivery tag that acknowledges it.
    pub delivery_tag: u64,
}

/// Mean and number of the trades on one side of the market.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    pub count: usize,
    /// None when there was no trade on this side.
    pub average_price: Option<f64>,
}

/// Statistics of a window's prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    pub count: usize,
    /// The arithmetic mean of all prices.
    pub average_price: f64,
    pub buy: Side,
    pub sell: Side,
    pub min_price: f64,
    pub max_price: f64,
    /// The publishing times of the first and last trade, in seconds since 1970.
    pub first_trade_at: Option<u64>,
    pub last_trade_at: Option<u64>,
}

impl Average {
    /// Averages the trades of a window; none when it is empty.
    pub fn of(entries: &[Entry]) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        let prices = || entries.iter().map(|e| e.trade.price);
        let side = |event_type| {
            let of_side = || {
                entries
                    .iter()
                    .filter(move |e| e.trade.event_type == event_type)
            };
            let count = of_side().count();
            Side {
                count,
                average_price: (count > 0).then(|| mean(count, of_side().map(|e| e.trade.price))),
            }
        };
        Some(Self {
            count: entries.len(),
            average_price: mean(entries.len(), prices()),
            buy: side(EventType::Buy),
            sell: side(EventType::Sell),
            min_price: prices().fold(f64::INFINITY, f64::min),
            max_price: prices().fold(0.0, f64::max),
            first_trade_at: first.timestamp,
            last_trade_at: last.timestamp,
        })
    }
}

/// The mean of `count` prices, all above 0.
///
/// Adding n numbers of one sign one after the other has a relative error of at most n · 2⁻⁵³,
/// whatever their sizes (Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.2):
/// 1e-11 for the largest window that can be configured. Only an overflow needs care.
fn mean(count: usize, prices: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = count as f64;
    let mean = prices.clone().sum::<f64>() / count;
    if mean.is_finite() {
        return mean;
    }
    prices.map(|price| price / count).sum::<f64>().min(f64::MAX)
}

/// A full window, on its way to the database.
#[derive(Clone, Debug)]
pub struct FullWindow {
    pub entries: Vec<Entry>,
    /// The window's number in the queue, and its document's `_id`. Both stay the same when the write is
    /// repeated, because an earlier try may have succeeded.
    pub place: Option<Place>,
}

/// A window's number in its queue, and the `_id` of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub number: i64,
    pub id: ObjectId,
}

impl FullWindow {
    /// The sequence numbers that the window holds, for each epoch.
    pub fn ranges(&self) -> Vec<(EpochId, Ranges)> {
        let mut epochs: Vec<(EpochId, Ranges)> = Vec::new();
        for (epoch, sequence) in self.entries.iter().filter_map(|entry| entry.identity) {
            // Consecutive trades are nearly always of the same epoch.
            let at = epochs
                .iter()
                .rposition(|(e, _)| *e == epoch)
                .unwrap_or_else(|| {
                    epochs.push((epoch, Ranges::default()));
                    epochs.len() - 1
                });
            epochs[at].1.insert(sequence);
        }
        epochs
    }
}

/// The most epochs that one window counts with their identities: its document lists them. A publisher
/// begins an epoch when it starts, so more than two are rare.
pub const MOST_EPOCHS: usize = 100;

/// The unacknowledged trades: one open window, and before it the full ones that are not stored yet.
#[derive(Clone, Debug)]
pub struct Windows {
    size: usize,
    open: Vec<Entry>,
    /// The epochs in the open window; the last trade's is at the end.
    open_epochs: Vec<EpochId>,
    full: VecDeque<FullWindow>,
    /// The memory of stored windows, for reuse.
    spare: Vec<Vec<Entry>>,
}

impl Windows {
    /// `size` is the number of trades in a window, at least 1.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            open: Vec::with_capacity(size),
            open_epochs: Vec::new(),
            full: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Whether the open window can count a trade of an epoch; of one that is not open, if it is none.
    pub fn admits(&self, epoch: Option<EpochId>) -> bool {
        self.open_epochs.len() < MOST_EPOCHS
            || epoch.is_some_and(|epoch| self.open_epochs.contains(&epoch))
    }

    /// Adds a trade; the windows keep the order in which trades are added.
    pub fn push(&mut self, entry: Entry) {
        self.open.push(entry);
        if let Some((epoch, _)) = entry.identity
            && self.open_epochs.last() != Some(&epoch)
        {
            self.open_epochs.retain(|other| *other != epoch);
            self.open_epochs.push(epoch);
        }
        if self.open.len() == self.size {
            let empty = self
                .spare
                .pop()
                .unwrap_or_else(|| Vec::with_capacity(self.size));
            self.full.push_back(FullWindow {
                entries: std::mem::replace(&mut self.open, empty),
                place: None,
            });
            self.open_epochs.clear();
        }
    }

    /// The trades in windows, in the order of delivery.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let full = self.full.iter().flat_map(|window| &window.entries);
        full.chain(&self.open)
    }

    /// The full windows, oldest first.
    pub fn full(&self) -> &VecDeque<FullWindow> {
        &self.full
    }

    pub fn full_mut(&mut self) -> &mut VecDeque<FullWindow> {
        &mut self.full
    }

    /// How many trades the open window holds.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Removes the oldest full window, once it is stored.
    pub fn pop_full(&mut self) -> Option<FullWindow> {
        self.full.pop_front()
    }

    /// Keeps a stored window's memory for reuse.
    pub fn recycle(&mut self, window: FullWindow) {
        let mut entries = window.entries;
        entries.clear();
        self.spare.push(entries);
    }

    /// Drops the trades that another consumer has stored meanwhile, and divides the rest into windows
    /// again. Returns the delivery tags of the dropped trades.
    pub fn drop_stored(&mut self, ledger: &Ledger) -> Vec<u64> {
        let full = std::mem::take(&mut self.full);
        let open = std::mem::take(&mut self.open);
        self.open_epochs.clear();
        let mut dropped = Vec::new();
        for entries in full.into_iter().map(|w| w.entries).chain([open]) {
            for &entry in &entries {
                match entry.identity {
                    Some((epoch, sequence)) if ledger.is_settled(epoch, sequence) => {
                        dropped.push(entry.delivery_tag);
                    }
                    _ => self.push(entry),
                }
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Range, Settled, Taken};
    use proptest::prelude::*;

    fn entry(price: f64, event_type: EventType) -> Entry {
        Entry {
            trade: Trade { event_type, price },
            identity: None,
            timestamp: None,
            delivery_tag: 0,
        }
    }

    /// A non-negative number of any size, exactly: a binary integer, lowest bits first, in units
    /// of 2⁻¹⁰⁷⁴, the smallest double.
    fn exact_sum(prices: &[f64]) -> Vec<u64> {
        let mut sum = vec![0u64; 36];
        for price in prices {
            let bits = price.to_bits();
            let (exponent, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
            let (mantissa, shift) = match exponent {
                0 => (fraction, 0),
                _ => (fraction | 1 << 52, exponent - 1),
            };
            let mut carry = u128::from(mantissa) << (shift % 64);
            for word in &mut sum[(shift / 64) as usize..] {
                carry += u128::from(*word);
                *word = carry as u64;
                carry >>= 64;
            }
        }
        sum
    }

    /// Divides by long division, and rounds down to a double of (at least) 52 significant bits.
    fn exact_mean(prices: &[f64]) -> f64 {
        let mut words = exact_sum(prices);
        let (divisor, mut rest) = (prices.len() as u128, 0u128);
        for word in words.iter_mut().rev() {
            let dividend = rest << 64 | u128::from(*word);
            *word = (dividend / divisor) as u64;
            rest = dividend % divisor;
        }
        let top = words.iter().rposition(|&w| w != 0).unwrap_or(0);
        let value = |at: usize| {
            // 2⁻¹⁰⁷⁴ has no exact reciprocal among the doubles: scale in two steps.
            let exponent = 64 * at as i32 - 1074;
            words[at] as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
        };
        value(top) + if top > 0 { value(top - 1) } else { 0.0 }
    }

    fn agree(computed: f64, exact: f64) -> bool {
        (computed - exact).abs() <= exact * 1e-9
    }

    proptest! {
        #[test]
        fn the_mean_agrees_with_exact_arithmetic(
            prices in prop::collection::vec(
                prop_oneof![50.0..550.0, 1e-300..1e-290, 1e-9..1e9, 1e290..1.7e308],
                1..1000,
            )
        ) {
            let entries: Vec<_> = prices.iter().map(|&p| entry(p, EventType::Buy)).collect();
            let average = Average::of(&entries).expect("not empty");
            let exact = exact_mean(&prices);
            prop_assert!(agree(average.average_price, exact), "{} is not {exact}", average.average_price);
            prop_assert_eq!(average.buy.average_price, Some(average.average_price));
            prop_assert!(average.min_price <= average.average_price * (1.0 + 1e-12));
            prop_assert!(average.average_price <= average.max_price * (1.0 + 1e-12));
        }

        #[test]
        fn each_side_is_averaged_alone(sides in prop::collection::vec((any::<bool>(), 1.0..1e6), 1..300)) {
            let entries: Vec<_> = sides
                .iter()
                .map(|&(buy, price)| entry(price, if buy { EventType::Buy } else { EventType::Sell }))
                .collect();
            let average = Average::of(&entries).expect("not empty");
            for (side, is_buy) in [(average.buy, true), (average.sell, false)] {
                let prices: Vec<f64> = sides.iter().filter(|s| s.0 == is_buy).map(|s| s.1).collect();
                prop_assert_eq!(side.count, prices.len());
                match side.average_price {
                    Some(price) => prop_assert!(agree(price, exact_mean(&prices))),
                    None => prop_assert!(prices.is_empty()),
                }
            }
        }
    }

    #[test]
    fn the_oracle_is_right_where_the_answer_is_known() {
        assert_eq!(exact_mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(exact_mean(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(exact_mean(&[5e-324]), 5e-324);
    }

    #[test]
    fn the_largest_prices_do_not_overflow() {
        let entries = vec![entry(f64::MAX, EventType::Sell); 1000];
        let average = Average::of(&entries).expect("not empty");
        assert!(agree(average.average_price, f64::MAX));
        assert_eq!(
            average.buy,
            Side {
                count: 0,
                average_price: None
            }
        );
    }

    #[test]
    fn an_empty_window_has_no_average() {
        assert_eq!(Average::of(&[]), None);
    }

    fn fill(
        windows: &mut Windows,
        ledger: &mut Ledger,
        epoch: EpochId,
        tags: std::ops::Range<u64>,
    ) {
        for tag in tags {
            assert_eq!(ledger.take(epoch, tag), Taken::New);
            windows.push(Entry {
                identity: Some((epoch, tag)),
                delivery_tag: tag,
                ..entry(1.0, EventType::Buy)
            });
        }
    }

    fn tags(windows: &Windows) -> Vec<Vec<u64>> {
        let tags = |entries: &[Entry]| entries.iter().map(|e| e.delivery_tag).collect();
        windows
            .full
            .iter()
            .map(|w| tags(&w.entries))
            .chain([tags(&windows.open)])
            .collect()
    }

    #[test]
    fn windows_are_cut_at_their_exact_size() {
        let (mut windows, mut ledger) = (Windows::new(3), Ledger::default());
        let epoch = ledger.open("e", Settled::default());
        fill(&mut windows, &mut ledger, epoch, 0..8);
        assert_eq!(tags(&windows), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        let first = windows.pop_full().expect("two are full");
        let range = [Range { first: 0, last: 2 }].into_iter().collect();
        assert_eq!(first.ranges(), [(epoch, range)]);
        windows.recycle(first);
        fill(&mut windows, &mut ledger, epoch, 8..10);
        assert_eq!(tags(&windows), [vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
    }

    #[test]
    fn trades_that_another_consumer_stored_are_dropped_and_the_rest_moves_up() {
        let (mut windows, mut ledger) = (Windows::new(3), Ledger::default());
        let epoch = ledger.open("e", Settled::default());
        fill(&mut windows, &mut ledger, epoch, 0..8);
        windows.full_mut()[0].place = Some(Place {
            number: 7,
            id: ObjectId::new(),
        });
        ledger.settle("e", &[Range { first: 1, last: 4 }].into_iter().collect());
        assert_eq!(windows.drop_stored(&ledger), [1, 2, 3, 4]);
        assert_eq!(tags(&windows), [vec![0, 5, 6], vec![7]]);
        assert_eq!(
            windows.full()[0].place,
            None,
            "another content needs another _id"
        );
    }
}
