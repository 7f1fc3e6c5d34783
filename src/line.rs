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

use crate::ledger::{EpochId, Ledger, Ranges, Settled, Taken};
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
        let mut named = None;
        if let Some(Identity { epoch, sequence }) = identity {
            named = Some((epoch.into(), sequence));
            // A trade that is too late is valid: if it comes again, it must not be taken for a double.
            if rejection != Rejection::TooLate
                && let Some(epoch) = self.ledger.find(epoch)
            {
                self.ledger.reject(epoch, sequence);
            }
        }
        self.rejected.insert(delivery_tag, named);
        Verdict::Rejected(rejection)
    }

    /// Event: this is what the database knows of an epoch.
    pub fn open_epoch(&mut self, name: &str, stored: Settled) {
        if self.ledger.is_full() {
            let identities = self.windows.entries().filter_map(|entry| entry.identity);
            let in_use: HashSet<EpochId> = identities.map(|(epoch, _)| epoch).collect();
            self.ledger.forget_all_but(&in_use);
        }
        let floor = stored.floor;
        let opened = self.ledger.open(name, stored);
        for (epoch, sequence) in self.rejected.values().flatten() {
            if **epoch == *name && *sequence >= floor {
                self.ledger.reject(opened, *sequence);
            }
        }
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
                settled.extend(&self.ledger.rejected_before(epoch, &ranges));
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

    /// Acknowledges the trades of stored windows, each window by itself: so a quorum queue hands out the next
    /// trades while it still works through the rest. What comes after a rejected message that still waits is
    /// acknowledged trade by trade.
    fn acknowledge(&mut self, windows: &[FullWindow]) {
        let first_rejected = self.rejected.keys().next().copied().unwrap_or(u64::MAX);
        for window in windows {
            let (before, after): (Vec<u64>, Vec<u64>) = window
                .entries
                .iter()
                .map(|entry| entry.delivery_tag)
                .partition(|tag| *tag < first_rejected);
            let before = before.last().copied().map(Action::AckUpTo);
            let after = after.into_iter().map(Action::Ack);
            self.actions.extend(before.into_iter().chain(after));
        }
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
            self.rejected.remove(&tag);
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
        let [_, _, _, _, a, b, c, d, e, f, g, h] = id.bytes();
        let seconds = (last.id.timestamp().timestamp_millis() / 1000) as u32;
        let at = |seconds| ObjectId::from_parts(seconds, [a, b, c, d, e], [f, g, h]);
        id = Some(at(seconds))
            .filter(|id| *id > last.id)
            .unwrap_or_else(|| at(seconds + 1));
    }
    Place {
        number: last.map_or(0, |last| last.number + 1),
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Range;
    use crate::trade::EventType;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, VecDeque};

    const SIZE: usize = 3;

    /// A message of the model: a trade of an epoch, valid or not.
    #[derive(Clone, Copy, Debug)]
    struct Sent {
        epoch: usize,
        sequence: u64,
        valid: bool,
    }

    const EPOCHS: [&str; 3] = ["a", "b", "filler"];

    impl Sent {
        fn message(&self, delivery_tag: u64) -> Message<'static> {
            let trade = Trade {
                event_type: EventType::Buy,
                price: 1.0,
            };
            Message {
                delivery_tag,
                trade: if self.valid {
                    Ok(trade)
                } else {
                    Err(Rejection::NotJson)
                },
                identity: Some(Identity {
                    epoch: EPOCHS[self.epoch],
                    sequence: self.sequence,
                }),
                timestamp: None,
            }
        }

        fn identity(&self) -> (String, u64) {
            (EPOCHS[self.epoch].to_owned(), self.sequence)
        }
    }

    /// The broker and the database, as simple as can be.
    #[derive(Default)]
    struct World {
        ready: VecDeque<Sent>,
        windows: Vec<NewWindow>,
        recorded: Vec<(String, Ranges)>,
        moved: BTreeSet<(String, u64)>,
        /// Writes of consumers that are gone, which may still take effect.
        late: Vec<Group>,
    }

    impl World {
        /// Writes in order, and stops at the first number that is taken. Returns whether all went in.
        fn apply(&mut self, group: &Group) -> bool {
            group.windows.iter().all(|window| {
                let number = window.place.number as usize;
                match self.windows.get(number) {
                    Some(taken) => taken.place.id == window.place.id,
                    None => {
                        assert_eq!(
                            number,
                            self.windows.len(),
                            "a window before its predecessor"
                        );
                        self.windows.push(window.clone());
                        true
                    }
                }
            })
        }

        fn windows_after(&self, after: Option<Place>) -> Vec<StoredWindow> {
            let from = after.map_or(0, |after| after.number + 1) as usize;
            let stored = |window: &NewWindow| StoredWindow {
                place: window.place,
                settled: window.trades.clone(),
            };
            self.windows[from..].iter().map(stored).collect()
        }

        fn ledger(&self, epoch: &str) -> Settled {
            let trades = self.windows.iter().flat_map(|window| &window.trades);
            let mut settled = Settled::default();
            for (name, ranges) in trades.chain(&self.recorded) {
                if name == epoch {
                    settled.extend(ranges);
                }
            }
            settled
        }

        /// How often each trade is in a window.
        fn counted(&self) -> BTreeMap<(String, u64), usize> {
            let mut counted = BTreeMap::new();
            for (name, ranges) in self.windows.iter().flat_map(|window| &window.trades) {
                for range in ranges.as_slice() {
                    for sequence in range.first..=range.last {
                        *counted.entry((name.clone(), sequence)).or_default() += 1;
                    }
                }
            }
            counted
        }
    }

    /// A consumer of the model: does what the line decides, when it is told to.
    struct Consumer {
        line: Line,
        next_tag: u64,
        unacknowledged: BTreeMap<u64, Sent>,
        to_move: VecDeque<u64>,
        group: Option<Group>,
        record: Option<Vec<(String, Ranges)>>,
    }

    impl Consumer {
        fn start(world: &World) -> Self {
            Self {
                line: Line::new(SIZE, world.windows.last().map(|window| window.place)),
                next_tag: 1,
                unacknowledged: BTreeMap::new(),
                to_move: VecDeque::new(),
                group: None,
                record: None,
            }
        }

        fn deliver(&mut self, world: &mut World) {
            let Some(sent) = world.ready.pop_front() else {
                return;
            };
            let tag = self.next_tag;
            self.next_tag += 1;
            self.unacknowledged.insert(tag, sent);
            let message = sent.message(tag);
            let mut verdict = self.line.deliver(&message);
            if verdict == Verdict::UnknownEpoch {
                let name = EPOCHS[sent.epoch];
                self.line.open_epoch(name, world.ledger(name));
                verdict = self.line.deliver(&message);
            }
            match verdict {
                Verdict::Rejected(_) => {
                    assert!(!sent.valid, "none is so late here");
                    self.to_move.push_back(tag);
                }
                Verdict::Counted | Verdict::Double => assert!(sent.valid),
                other => panic!("{other:?}"),
            }
        }

        fn write(&mut self) {
            if self.group.is_none() {
                self.group = self.line.write(ObjectId::new);
            }
        }

        /// The database answers the write that is under way, or the answer is lost.
        fn answer(&mut self, world: &mut World, is_lost: bool) {
            let Some(group) = &self.group else {
                return;
            };
            let found = world.windows_after(group.after);
            let outcome = if found.is_empty() {
                let all = world.apply(group);
                (all && !is_lost).then_some(Outcome::Stored)
            } else {
                Some(Outcome::Taken(found))
            };
            if let Some(outcome) = outcome {
                let windows = group.windows.len();
                self.group = None;
                self.line.written(windows, outcome);
            }
        }

        fn move_one(&mut self, world: &mut World) {
            if let Some(tag) = self.to_move.pop_front() {
                world.moved.insert(self.unacknowledged[&tag].identity());
                self.line.moved(tag);
            }
        }

        fn record(&mut self, world: &mut World, is_answered: bool) {
            if self.record.is_none() {
                self.record = self.line.record();
            }
            if let Some(record) = &self.record {
                world.recorded.extend(record.clone());
                if is_answered {
                    self.record = None;
                    self.line.recorded();
                }
            }
        }

        fn perform(&mut self, world: &World) {
            let actions: Vec<Action> = self.line.actions().collect();
            for action in actions {
                let tags: Vec<u64> = match action {
                    Action::Ack(tag) => vec![tag],
                    Action::AckUpTo(tag) => {
                        assert!(
                            self.unacknowledged.contains_key(&tag),
                            "the broker knows no {tag}"
                        );
                        self.unacknowledged
                            .range(..=tag)
                            .map(|(tag, _)| *tag)
                            .collect()
                    }
                    Action::GiveBack => panic!("nothing is dropped here"),
                };
                for tag in tags {
                    let sent = self.unacknowledged.remove(&tag).expect("acknowledged once");
                    if !sent.valid {
                        assert!(
                            world.moved.contains(&sent.identity()),
                            "{sent:?} is not moved"
                        );
                        let settled = world.ledger(EPOCHS[sent.epoch]);
                        assert!(
                            settled.ranges.contains(sent.sequence),
                            "{sent:?} is not recorded"
                        );
                    }
                }
            }
        }

        /// Its deliveries go back to the head of the queue. A write may still be on its way.
        fn crash(self, world: &mut World) {
            for (_, sent) in self.unacknowledged.into_iter().rev() {
                world.ready.push_front(sent);
            }
            world.late.extend(self.group);
        }
    }

    fn story() -> impl Strategy<Value = Vec<Sent>> {
        // Which epoch; whether the trade is valid; how far back the publisher repeats itself.
        let steps = prop::collection::vec(
            (
                0..2usize,
                0..8u8,
                prop_oneof![8 => Just(0u64), 1 => 1..5u64],
            ),
            1..60,
        );
        steps.prop_map(|steps| {
            let mut next = [0u64; 2];
            let mut sent: Vec<Sent> = Vec::new();
            for (epoch, kind, back) in steps {
                let again = next[epoch].checked_sub(back).filter(|_| back > 0);
                let earlier = again.and_then(|sequence| {
                    sent.iter()
                        .find(|s| s.epoch == epoch && s.sequence == sequence)
                        .copied()
                });
                sent.push(earlier.unwrap_or_else(|| {
                    next[epoch] += 1;
                    Sent {
                        epoch,
                        sequence: next[epoch] - 1,
                        valid: kind > 0,
                    }
                }));
            }
            sent
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Two consumers of one queue, in any order of deliveries, answers, lost answers and crashes.
        #[test]
        fn every_trade_is_counted_once_whatever_the_order_of_events(
            sent in story(),
            events in prop::collection::vec((0..2usize, 0..14u8), 0..300),
        ) {
            let mut world = World { ready: sent.iter().copied().collect(), ..World::default() };
            let mut consumers = [Consumer::start(&world), Consumer::start(&world)];
            for (which, event) in events {
                let consumer = &mut consumers[which];
                match event {
                    0..=3 => consumer.deliver(&mut world),
                    4..=5 => consumer.write(),
                    6..=7 => consumer.answer(&mut world, false),
                    8 => consumer.answer(&mut world, true),
                    9..=10 => consumer.move_one(&mut world),
                    11 => consumer.record(&mut world, true),
                    12 => consumer.record(&mut world, false),
                    _ => {
                        let fresh = Consumer::start(&world);
                        std::mem::replace(consumer, fresh).crash(&mut world);
                        if let Some(group) = world.late.pop() {
                            // It takes effect now, or never.
                            if group.after.map_or(0, |after| after.number + 1) as usize <= world.windows.len() {
                                world.apply(&group);
                            }
                        }
                    }
                }
                consumers[which].perform(&world);
            }
            let [first, mut last] = consumers;
            first.crash(&mut world);
            // The last one has all the time it needs, and trades enough to fill the last window.
            let filler = (0..2 * SIZE as u64).map(|sequence| Sent { epoch: 2, sequence, valid: true });
            world.ready.extend(filler);
            for _ in 0..2 * sent.len() + 10 * SIZE {
                last.deliver(&mut world);
                last.write();
                last.answer(&mut world, false);
                last.move_one(&mut world);
                last.record(&mut world, true);
                last.perform(&world);
            }
            let counted = world.counted();
            for (trade, times) in &counted {
                prop_assert_eq!(*times, 1, "{:?}", trade);
            }
            prop_assert!(world.ready.is_empty());
            prop_assert!(last.unacknowledged.len() < SIZE, "an open window: {:?}", last.unacknowledged);
            for sent in &sent {
                let identity = sent.identity();
                prop_assert_eq!(counted.contains_key(&identity), sent.valid, "{:?}", sent);
                prop_assert!(sent.valid || world.moved.contains(&identity), "{:?}", sent);
            }
            for pair in world.windows.windows(2) {
                prop_assert!(pair[0].place.id < pair[1].place.id);
                prop_assert_eq!(pair[0].average.count, SIZE);
            }
        }
    }

    fn trade(delivery_tag: u64, sequence: u64) -> Message<'static> {
        let sent = Sent {
            epoch: 0,
            sequence,
            valid: true,
        };
        sent.message(delivery_tag)
    }

    /// A line of windows of two trades that has opened epoch `a`.
    fn line() -> Line {
        let mut line = Line::new(2, None);
        line.open_epoch("a", Settled::default());
        line
    }

    fn store(line: &mut Line) -> Vec<Action> {
        let group = line.write(ObjectId::new).expect("a full window");
        line.written(group.windows.len(), Outcome::Stored);
        line.actions().collect()
    }

    #[test]
    fn a_rejected_message_that_waits_keeps_no_trade_from_being_acknowledged() {
        let mut line = line();
        let invalid = Message {
            trade: Err(Rejection::NotJson),
            identity: None,
            ..trade(2, 0)
        };
        assert_eq!(line.deliver(&trade(1, 0)), Verdict::Counted);
        assert_eq!(
            line.deliver(&invalid),
            Verdict::Rejected(Rejection::NotJson)
        );
        line.deliver(&trade(3, 1));
        assert_eq!(store(&mut line), [Action::AckUpTo(1), Action::Ack(3)]);
        line.deliver(&trade(4, 2));
        line.deliver(&trade(5, 3));
        assert_eq!(store(&mut line), [Action::Ack(4), Action::Ack(5)]);
        line.moved(2);
        assert_eq!(line.actions().collect::<Vec<_>>(), [Action::Ack(2)]);
        line.deliver(&trade(6, 4));
        line.deliver(&trade(7, 5));
        assert_eq!(store(&mut line), [Action::AckUpTo(7)]);
    }

    #[test]
    fn windows_that_are_stored_together_are_acknowledged_one_by_one() {
        let mut line = line();
        for number in 0..4 {
            line.deliver(&trade(number + 1, number));
        }
        assert_eq!(store(&mut line), [Action::AckUpTo(2), Action::AckUpTo(4)]);
    }

    #[test]
    fn a_rejected_trade_is_acknowledged_when_it_is_recorded_and_leaves_no_gap() {
        let mut line = line();
        let invalid = Message {
            trade: Err(Rejection::NotJson),
            ..trade(2, 1)
        };
        line.deliver(&trade(1, 0));
        line.deliver(&invalid);
        line.moved(2);
        assert_eq!(line.actions().next(), None);
        assert_eq!(line.record(), Some(vec![("a".to_owned(), Ranges::one(1))]));
        assert_eq!(line.record(), None, "one after the other");
        line.recorded();
        assert_eq!(line.actions().collect::<Vec<_>>(), [Action::Ack(2)]);
        line.deliver(&trade(3, 2));
        let group = line.write(ObjectId::new).expect("a full window");
        let (_, ledger) = &group.windows[0].ledger[0];
        assert_eq!(ledger.ranges.as_slice(), [Range { first: 0, last: 2 }]);
    }

    #[test]
    fn a_trade_from_before_the_ledger_is_rejected_as_too_late() {
        let mut line = Line::new(2, None);
        let known = Settled {
            floor: 100,
            ranges: Ranges::from_iter([Range {
                first: 100,
                last: 150,
            }]),
        };
        line.open_epoch("a", known);
        assert_eq!(
            line.deliver(&trade(1, 99)),
            Verdict::Rejected(Rejection::TooLate)
        );
        assert_eq!(line.deliver(&trade(2, 100)), Verdict::Double);
    }

    #[test]
    fn a_window_remembers_a_bounded_number_of_ranges_and_epochs() {
        let mut line = Line::new(1000, None);
        for number in 0..30_000u64 {
            let message = trade(number, 2 * number);
            if line.deliver(&message) == Verdict::UnknownEpoch {
                line.open_epoch("a", Settled::default());
                line.deliver(&message);
            }
        }
        let group = line.write(ObjectId::new).expect("30 full windows");
        let sizes = group
            .windows
            .iter()
            .map(|window| window.ledger[0].1.ranges.as_slice().len());
        assert!(sizes.max() == Some(MOST_RANGES));
        assert_eq!(group.windows[29].ledger[0].1.floor, 2 * 29_000);

        let mut line = Line::new(1000, None);
        let mut without_identity = 0;
        for number in 0..1000u64 {
            let epoch = format!("run {number}");
            let message = Message {
                identity: Some(Identity {
                    epoch: &epoch,
                    sequence: 0,
                }),
                ..trade(number, 0)
            };
            match line.deliver(&message) {
                Verdict::CountedWithoutIdentity => without_identity += 1,
                _ => {
                    line.open_epoch(&epoch, Settled::default());
                    assert_eq!(line.deliver(&message), Verdict::Counted);
                }
            }
        }
        assert_eq!(without_identity, 1000 - crate::window::MOST_EPOCHS);
    }

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
        let mut next = next_place(Some(last), ObjectId::new());
        assert!(next.id > ahead);
        for _ in 0..1000 {
            let after = next_place(Some(next), ObjectId::new());
            assert!(after.id > next.id);
            next = after;
        }
        // The counter takes part, but the time does not run away.
        assert_eq!(next.id.bytes()[..4], u32::MAX.to_be_bytes());
    }
}
