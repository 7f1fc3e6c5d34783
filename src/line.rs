//! What is decided about the messages of one queue: a state machine that knows neither broker, nor
//! database, nor clock.
//!
//! Each method that changes a [`Line`] is an event: a message was delivered, windows were stored,
//! another consumer was faster, a message was moved. What follows from it are the line's
//! [actions](Line::actions), in the order in which they are to be done, and the windows to
//! [write](Line::write) and rejected trades to [record](Line::record). [`crate::consumer`] performs them.
//!
//! These rules keep every trade in exactly one window:
//! - Windows are numbered, written in order, and one group at a time. A number is given to one window
//!   only: of two consumers that write the same one, the database refuses the second. That one learns
//!   what the first has counted, and drops it from its own windows.
//! - A trade is acknowledged when a stored window holds it.
//! - An invalid message is acknowledged when it is in the queue of rejected messages, and, if it has an
//!   identity, the database knows that. Meanwhile it waits, and nothing waits for it: acknowledging a
//!   window then leaves it out.
//! - If the database is not as this line left it, all that is not acknowledged goes back to the queue.
//!   A new line begins with what the database has.

use std::collections::{BTreeMap, HashSet};

use bson::oid::ObjectId;

use crate::ledger::{EpochId, Ledger, Range, Ranges, Settled, Taken};
use crate::trade::{Identity, Rejection, Trade};
use crate::window::{Average, Entry, FullWindow, Place, Windows};

/// The most ranges that a window's document remembers of earlier windows, and the most rejected trades
/// that are recorded together. With them a document stays far below 200 kB.
const MOST_RANGES: usize = 1000;

/// A message from the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Numbers the deliveries of a channel, ascending.
    pub delivery_tag: u64,
    pub trade: Result<Trade, Rejection>,
    pub identity: Option<Identity<'a>>,
    /// When it was published, in seconds since 1970, if the publisher says so.
    pub timestamp: Option<u64>,
}

/// What became of a delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in a window.
    Counted,
    /// It is in a window, but its identity is not kept: the window has trades of too many epochs.
    CountedWithoutIdentity,
    /// A window holds it already.
    Double,
    /// It waits until it is [moved](Line::moved) to the queue of rejected messages.
    Rejected(Rejection),
    /// Its epoch must be [opened](Line::open_epoch) first. Then deliver it again.
    UnknownEpoch,
}

/// What is to be done at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Acknowledge one delivery.
    Ack(u64),
    /// Acknowledge all deliveries up to one.
    AckUpTo(u64),
    /// Give back what is not acknowledged, and begin with a new line.
    GiveBack,
}

/// Windows to write, in order, after a window that is stored already.
#[derive(Clone, Debug)]
pub struct Group {
    /// The queue's last stored window. If it is not there any more, nothing may be written.
    pub after: Option<Place>,
    pub windows: Vec<NewWindow>,
}

/// A window to write.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWindow {
    pub place: Place,
    pub average: Average,
    /// Which trades went in, for each epoch by its name.
    pub trades: Vec<(String, Ranges)>,
    /// For each of these epochs: all that is settled with this window, as far as it is remembered.
    pub ledger: Vec<(String, Settled)>,
}

/// How writing a group ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All its windows are stored.
    Stored,
    /// These windows follow the last stored one: our own, if an earlier try succeeded unnoticed, or
    /// another consumer's.
    Taken(Vec<StoredWindow>),
    /// The last stored window is gone, or the index that keeps window numbers unique.
    Displaced,
}

/// A window that the database has.
#[derive(Clone, Debug)]
pub struct StoredWindow {
    pub place: Place,
    /// The settled trades that it tells of, for each epoch by its name.
    pub settled: Vec<(String, Ranges)>,
}

/// What an outcome meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// How many windows of this line are stored.
    pub stored: usize,
    /// How many windows of another consumer were found.
    pub foreign: usize,
    /// How many trades were dropped, because the other consumer has counted them.
    pub doubles: usize,
}

/// The unacknowledged messages of one subscription, and what is known of those before.
#[derive(Clone, Debug)]
pub struct Line {
    ledger: Ledger,
    windows: Windows,
    last_stored: Option<Place>,
    is_writing: bool,
    /// The rejected messages that are not acknowledged yet, by delivery tag.
    rejected: BTreeMap<u64, Option<(Box<str>, u64)>>,
    /// Those of them that are moved, but whose identity is not recorded yet.
    moved: Vec<u64>,
    /// Those of them whose identities are being recorded.
    recording: Vec<u64>,
    actions: Vec<Action>,
}

impl Line {
    /// A line that continues after the queue's last stored window.
    pub fn new(window_size: usize, last_stored: Option<Place>) -> Self {
        Self {
            ledger: Ledger::default(),
            windows: Windows::new(window_size),
            last_stored,
            is_writing: false,
            rejected: BTreeMap::new(),
            moved: Vec::new(),
            recording: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// The actions that follow from the events since the last call.
    pub fn actions(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }

    pub fn full_windows(&self) -> usize {
        self.windows.full().len()
    }

    /// How many rejected messages are not acknowledged yet.
    pub fn rejected(&self) -> usize {
        self.rejected.len()
    }

    /// How many messages this line holds while it waits for more: it has no full window.
    pub fn held_while_waiting(&self) -> Option<usize> {
        let waits = self.windows.full().is_empty();
        waits.then(|| self.windows.open_len() + self.rejected.len())
    }

    /// Event: a message was delivered.
    pub fn deliver(&mut self, message: &Message<'_>) -> Verdict {
        let Message {
            delivery_tag,
            identity,
            timestamp,
            ..
        } = *message;
        let trade = match &message.trade {
            Ok(trade) => *trade,
            Err(rejection) => return self.reject(delivery_tag, identity, rejection.clone()),
        };
        let mut verdict = Verdict::Counted;
        let mut counted_as = None;
        if let Some(Identity { epoch, sequence }) = identity {
            let found = self.ledger.find(epoch);
            match found {
                _ if !self.windows.admits(found) => verdict = Verdict::CountedWithoutIdentity,
                None => return Verdict::UnknownEpoch,
                Some(epoch) => match self.ledger.take(epoch, sequence) {
                    Taken::New => counted_as = Some((epoch, sequence)),
                    Taken::Double => {
                        // The window need not be stored: its own copy is still unacknowledged.
                        self.actions.push(Action::Ack(delivery_tag));
                        return Verdict::Double;
                    }
                    Taken::TooLate => {
                        return self.reject(delivery_tag, identity, Rejection::TooLate);
                    }
                },
            }
        }
        self.windows.push(Entry {
            trade,
            identity: counted_as,
            timestamp,
            delivery_tag,
        });
        verdict
    }

    fn reject(
        &mut self,
        delivery_tag: u64,
        identity: Option<Identity<'_>>,
        rejection: Rejection,
    ) -> Verdict {
        let identity = identity.map(|identity| (identity.epoch.into(), identity.sequence));
        self.rejected.insert(delivery_tag, identity);
        Verdict::Rejected(rejection)
    }

    /// Event: this is what the database knows of an epoch.
    pub fn open_epoch(&mut self, name: &str, stored: Settled) {
        if self.ledger.is_full() {
            let identities = self.windows.entries().filter_map(|entry| entry.identity);
            let in_use: HashSet<EpochId> = identities.map(|(epoch, _)| epoch).collect();
            self.ledger.forget_all_but(&in_use);
        }
        self.ledger.open(name, stored);
    }

    /// The full windows, to be written. None if there is none, or while others are being written.
    /// `new_id` makes the `_id`s of their documents.
    pub fn write(&mut self, mut new_id: impl FnMut() -> ObjectId) -> Option<Group> {
        if self.is_writing || self.windows.full().is_empty() {
            return None;
        }
        self.is_writing = true;
        let mut last = self.last_stored;
        for window in self.windows.full_mut() {
            let place = *window
                .place
                .get_or_insert_with(|| next_place(last, new_id()));
            last = Some(place);
        }
        Some(Group {
            after: self.last_stored,
            windows: self.new_windows(),
        })
    }

    fn new_windows(&self) -> Vec<NewWindow> {
        // What is settled of each epoch once the windows before the current one are stored.
        let mut ahead: BTreeMap<EpochId, Settled> = BTreeMap::new();
        let mut windows = Vec::new();
        for window in self.windows.full() {
            let (Some(average), Some(place)) = (Average::of(&window.entries), window.place) else {
                continue;
            };
            let ranges = window.ranges();
            let most = MOST_RANGES / ranges.len().max(1);
            let (mut trades, mut ledger) = (Vec::new(), Vec::new());
            for (epoch, ranges) in ranges {
                let settled = ahead
                    .entry(epoch)
                    .or_insert_with(|| self.ledger.stored(epoch, MOST_RANGES));
                settled.extend(&ranges);
                let name = self.ledger.name(epoch);
                trades.push((name.to_owned(), ranges));
                ledger.push((name.to_owned(), settled.newest(most)));
            }
            windows.push(NewWindow {
                place,
                average,
                trades,
                ledger,
            });
        }
        windows
    }

    /// Event: writing a group of so many windows has ended.
    pub fn written(&mut self, windows: usize, outcome: Outcome) -> Settlement {
        self.is_writing = false;
        let mut settlement = Settlement::default();
        let mut stored = Vec::new();
        match outcome {
            Outcome::Stored => {
                stored.extend((0..windows).map_while(|_| self.settle_oldest()));
            }
            Outcome::Taken(found) => {
                for window in found {
                    let oldest = self.windows.full().front().and_then(|oldest| oldest.place);
                    if oldest.is_some_and(|place| place.id == window.place.id) {
                        stored.extend(self.settle_oldest());
                        continue;
                    }
                    settlement.foreign += 1;
                    self.last_stored = Some(window.place);
                    for (epoch, ranges) in &window.settled {
                        self.ledger.settle(epoch, ranges);
                    }
                }
            }
            Outcome::Displaced => self.actions.push(Action::GiveBack),
        }
        settlement.stored = stored.len();
        self.acknowledge(&stored);
        for window in stored {
            self.windows.recycle(window);
        }
        if settlement.foreign > 0 {
            let doubles = self.windows.drop_stored(&self.ledger);
            settlement.doubles = doubles.len();
            self.actions.extend(doubles.into_iter().map(Action::Ack));
        }
        settlement
    }

    fn settle_oldest(&mut self) -> Option<FullWindow> {
        let window = self.windows.pop_full()?;
        for (epoch, ranges) in window.ranges() {
            self.ledger.settle_in(epoch, &ranges);
        }
        self.last_stored = window.place;
        Some(window)
    }

    /// Acknowledges the trades of stored windows: at once, up to the first rejected message that still
    /// waits.
    fn acknowledge(&mut self, windows: &[FullWindow]) {
        let Some(last) = windows.last().and_then(|window| window.entries.last()) else {
            return;
        };
        let first_rejected = self.rejected.keys().next().copied().unwrap_or(u64::MAX);
        if last.delivery_tag < first_rejected {
            self.actions.push(Action::AckUpTo(last.delivery_tag));
            return;
        }
        let (before, after): (Vec<u64>, Vec<u64>) = windows
            .iter()
            .flat_map(|window| &window.entries)
            .map(|entry| entry.delivery_tag)
            .partition(|tag| *tag < first_rejected);
        let before = before.last().copied().map(Action::AckUpTo);
        let after = after.into_iter().map(Action::Ack);
        self.actions.extend(before.into_iter().chain(after));
    }

    /// Event: a message is in the queue of rejected messages now.
    pub fn moved(&mut self, delivery_tag: u64) {
        match self.rejected.get(&delivery_tag) {
            Some(Some(_)) => self.moved.push(delivery_tag),
            Some(None) => {
                self.rejected.remove(&delivery_tag);
                self.actions.push(Action::Ack(delivery_tag));
            }
            None => {}
        }
    }

    /// The identities of moved messages, to be recorded for each epoch. None if there are none, or while
    /// others are being recorded.
    pub fn record(&mut self) -> Option<Vec<(String, Ranges)>> {
        if !self.recording.is_empty() || self.moved.is_empty() {
            return None;
        }
        let some = self.moved.len().min(MOST_RANGES);
        self.recording = self.moved.drain(..some).collect();
        let mut epochs: BTreeMap<&str, Ranges> = BTreeMap::new();
        for tag in &self.recording {
            if let Some(Some((epoch, sequence))) = self.rejected.get(tag) {
                epochs.entry(epoch).or_default().insert(*sequence);
            }
        }
        let named = |(name, ranges): (&str, Ranges)| (name.to_owned(), ranges);
        Some(epochs.into_iter().map(named).collect())
    }

    /// Event: the database has recorded them.
    pub fn recorded(&mut self) {
        for tag in std::mem::take(&mut self.recording) {
            if let Some(Some((epoch, sequence))) = self.rejected.remove(&tag) {
                let one = Range {
                    first: sequence,
                    last: sequence,
                };
                self.ledger.settle(&epoch, &Ranges::from_iter([one]));
            }
            self.actions.push(Action::Ack(tag));
        }
    }
}

/// The place after a queue's last window. The newest window has the highest `_id`, so the new `_id` is
/// higher than the last one even if a faster clock made that.
fn next_place(last: Option<Place>, mut id: ObjectId) -> Place {
    if let Some(last) = last
        && id <= last.id
    {
        let bytes = id.bytes();
        let [_, _, _, _, a, b, c, d, e, f, g, h] = bytes;
        let seconds = (last.id.timestamp().timestamp_millis() / 1000) as u32 + 1;
        id = ObjectId::from_parts(seconds, [a, b, c, d, e], [f, g, h]);
    }
    Place {
        number: last.map_or(0, |last| last.number + 1),
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_windows_have_higher_ids_whatever_the_clocks_say() {
        let first = next_place(None, ObjectId::new());
        assert_eq!(first.number, 0);
        let second = next_place(Some(first), ObjectId::new());
        assert_eq!(second.number, 1);
        assert!(second.id > first.id);
        let ahead = ObjectId::from_parts(u32::MAX - 1, [0xff; 5], [0xff; 3]);
        let last = Place {
            number: 1,
            id: ahead,
        };
        assert!(next_place(Some(last), ObjectId::new()).id > ahead);
    }
}
