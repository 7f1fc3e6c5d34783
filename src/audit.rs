//! The audit: proves from the database that every trade was counted exactly once, or rejected.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tracing::warn;

use crate::backoff::Backoff;
use crate::config::DatabaseConfig;
use crate::ledger::{Range, Ranges, Settled};
use crate::store::{AuditedWindow, SettledDocument, Store, StoreError, ranges};

/// How long an audit waits for the database: longer than members need to elect a primary.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the windows of all queues hold.
#[derive(Debug, Default)]
pub struct Audit {
    queues: BTreeMap<String, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    windows: i64,
    trades: i64,
    /// The lowest window number that is there.
    first: Option<u64>,
    /// The number after the highest.
    next: u64,
    /// Numbers between them that are missing.
    missing: Ranges,
    /// Windows below this were removed on purpose.
    removed_below: u64,
    /// Windows whose `count` differs from the number of trades that they list.
    miscounted: Ranges,
    epochs: BTreeMap<String, Epoch>,
    /// Trades without an identity.
    unidentified: i64,
}

impl Queue {
    /// The windows that are gone: on purpose, and for no known reason.
    fn gone(&self) -> (Ranges, Ranges) {
        let mut gone = self.missing.clone();
        if let Some(first @ 1..) = self.first {
            gone.insert_range(Range {
                first: 0,
                last: first - 1,
            });
        }
        let on_purpose: Ranges = match self.removed_below {
            0 => Ranges::default(),
            below => Ranges::from_iter([Range {
                first: 0,
                last: below - 1,
            }]),
        };
        (gone.intersection(&on_purpose), gone.without(&on_purpose))
    }
}

#[derive(Debug, Default)]
struct Epoch {
    windows: i64,
    counted: Ranges,
    doubles: Ranges,
    /// How often trades were counted more than once, in total.
    doubled: u64,
    rejected: Ranges,
    /// What its first window says to be settled before it.
    earlier: Settled,
}

/// What became of the trades of an epoch.
struct Fate {
    /// In a window.
    counted: u64,
    /// In the queue of rejected messages, and in no window.
    rejected: u64,
    /// Settled in windows that were removed on purpose.
    expired: u64,
    /// None of these, though a later one is in a window.
    missing: Ranges,
    doubled: u64,
}

impl Epoch {
    /// `expired` says whether windows were removed on purpose.
    fn fate(&self, expired: bool) -> Fate {
        let counted = &self.counted;
        let mut settled = counted.clone();
        settled.extend(&self.rejected);
        let rejected = settled.count() - counted.count();
        let before = settled.count();
        if expired {
            settled.extend(&self.earlier.ranges);
            if let below @ 1.. = self.earlier.floor {
                settled.insert_range(Range {
                    first: 0,
                    last: below - 1,
                });
            }
        }
        // What comes after the highest counted trade may still be on its way: a rejected trade is settled
        // at once, a valid one with its window.
        let missing = counted
            .as_slice()
            .last()
            .map_or_else(Ranges::default, |end| {
                let up_to_end = Range {
                    first: 0,
                    last: end.last,
                };
                Ranges::from_iter([up_to_end]).without(&settled)
            });
        Fate {
            counted: counted.count(),
            rejected,
            expired: settled.count() - before,
            missing,
            doubled: self.doubled,
        }
    }
}

impl Audit {
    /// Reads all windows. Waits up to 30 s for the database, and logs why.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let began = Instant::now();
        let mut backoff = Backoff::default();
        let mut told = String::new();
        loop {
            let error = match Self::read(database).await {
                Err(error) if began.elapsed() < PATIENCE => error.to_string(),
                outcome => return outcome,
            };
            if error != told {
                warn!(reason = error, "waiting for the database");
                told = error;
            }
            backoff.pause().await;
        }
    }

    async fn read(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let store = Store::new(database).await?;
        let mut audit = Self::default();
        // First the windows: a trade that is rejected meanwhile is not missed.
        let mut windows = store.audit().await?;
        while let Some(window) = windows.try_next().await? {
            audit.add(&window);
        }
        let mut settled = store.settled().await?;
        while let Some(document) = settled.try_next().await? {
            audit.add_settled(&document);
        }
        Ok(audit)
    }

    /// Adds a window; those of a queue come in the order of their numbers.
    fn add(&mut self, window: &AuditedWindow) {
        let queue = self.queues.entry(window.queue.clone()).or_default();
        let number = window.window.max(0) as u64;
        if queue.first.is_some() && number > queue.next {
            queue.missing.insert_range(Range {
                first: queue.next,
                last: number - 1,
            });
        }
        queue.first.get_or_insert(number);
        queue.next = number + 1;
        queue.windows += 1;
        queue.trades += window.count;
        let mut identified = 0;
        for trades in &window.trades {
            let epoch = queue.epochs.entry(trades.epoch.clone()).or_default();
            let ranges = trades.ranges();
            if epoch.windows == 0 {
                let ledger = window.ledger.iter().find(|l| l.epoch == trades.epoch);
                epoch.earlier = ledger.map(|ledger| ledger.settled()).unwrap_or_default();
            }
            let doubles = epoch.counted.intersection(&ranges);
            epoch.windows += 1;
            epoch.doubled += doubles.count();
            epoch.doubles.extend(&doubles);
            epoch.counted.extend(&ranges);
            identified += ranges.count() as i64;
        }
        queue.unidentified += window.count - identified;
        if identified > window.count {
            queue.miscounted.insert(number);
        }
    }

    fn add_settled(&mut self, document: &SettledDocument) {
        match document {
            SettledDocument::Rejected {
                queue,
                epoch,
                rejected,
                ..
            } => {
                let queue = self.queues.entry(queue.clone()).or_default();
                let epoch = queue.epochs.entry(epoch.clone()).or_default();
                epoch.rejected.extend(&ranges(rejected));
            }
            SettledDocument::Removed {
                queue,
                removed_below,
            } => {
                let queue = self.queues.entry(queue.clone()).or_default();
                queue.removed_below = (*removed_below).max(0) as u64;
            }
        }
    }

    /// Whether every trade up to the highest one of each epoch is counted exactly once, rejected, or
    /// expired, and no window is missing but those that were removed on purpose.
    pub fn is_sound(&self) -> bool {
        self.queues.values().all(|queue| {
            let (expired, missing) = queue.gone();
            let expired = expired.count() > 0;
            missing.count() == 0
                && queue.miscounted.count() == 0
                && queue.epochs.values().all(|epoch| {
                    let fate = epoch.fate(expired);
                    fate.doubled == 0 && fate.missing.count() == 0
                })
        })
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<40} {:>9} {:>12} {:>8} {:>8} {:>8} {:>8}",
            "QUEUE", "EPOCH", "WINDOWS", "TRADES", "GAPS", "DOUBLES", "REJECTED", "EXPIRED"
        )?;
        for (name, queue) in &self.queues {
            let (expired, missing) = queue.gone();
            for (epoch_name, epoch) in &queue.epochs {
                let fate = epoch.fate(expired.count() > 0);
                writeln!(
                    f,
                    "{name:<12} {epoch_name:<40} {:>9} {:>12} {:>8} {:>8} {:>8} {:>8}",
                    epoch.windows,
                    fate.counted,
                    fate.missing.count(),
                    fate.doubled,
                    fate.rejected,
                    fate.expired
                )?;
                tell(f, "missing: neither counted nor rejected", &fate.missing)?;
                tell(f, "counted more than once", &epoch.doubles)?;
            }
            if queue.unidentified > 0 {
                writeln!(
                    f,
                    "{name:<12} {:<40} {:>9} {:>12} {:>8} {:>8} {:>8} {:>8}",
                    "(no identity)", "-", queue.unidentified, "-", "-", "-", "-"
                )?;
            }
            writeln!(
                f,
                "{name:<12} {:<40} {:>9} {:>12}",
                "(all)", queue.windows, queue.trades
            )?;
            tell(f, "windows removed on purpose", &expired)?;
            tell(f, "windows missing", &missing)?;
            tell(
                f,
                "windows that hold more trades than they say",
                &queue.miscounted,
            )?;
        }
        let verdict = match (self.queues.is_empty(), self.is_sound()) {
            (true, _) => "no windows yet",
            (_, true) => "every trade is counted exactly once",
            (_, false) => "NOT SOUND: see above",
        };
        writeln!(f, "{verdict}")
    }
}

/// The first ranges of a set, if it has any.
fn tell(f: &mut fmt::Formatter<'_>, what: &str, ranges: &Ranges) -> fmt::Result {
    const SHOWN: usize = 10;
    let all = ranges.as_slice();
    if all.is_empty() {
        return Ok(());
    }
    write!(f, "  {what}:")?;
    for Range { first, last } in &all[..all.len().min(SHOWN)] {
        match first == last {
            true => write!(f, " {first}")?,
            false => write!(f, " {first}-{last}")?,
        }
    }
    let more = all.len().saturating_sub(SHOWN);
    writeln!(
        f,
        "{}",
        if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EpochDocument;

    /// Number, count, and one range of sequences for each epoch.
    type Window<'a> = (i64, i64, &'a [(&'a str, [i64; 2])]);

    fn audit(windows: &[Window]) -> Audit {
        let mut audit = Audit::default();
        for (number, count, trades) in windows {
            let epoch = |&(epoch, range): &(&str, [i64; 2])| EpochDocument {
                epoch: epoch.into(),
                floor: None,
                ranges: vec![range],
            };
            let ledger = |&(epoch, [_, last]): &(&str, [i64; 2])| EpochDocument {
                epoch: epoch.into(),
                floor: None,
                ranges: vec![[0, last]],
            };
            audit.add(&AuditedWindow {
                queue: "MSFT".into(),
                window: *number,
                count: *count,
                trades: trades.iter().map(epoch).collect(),
                ledger: trades.iter().map(ledger).collect(),
            });
        }
        audit
    }

    #[test]
    fn whole_windows_without_gap_or_double_are_sound() {
        let audit = audit(&[
            (0, 3, &[("a", [0, 2])]),
            (1, 4, &[("a", [3, 3]), ("b", [0, 1])]),
            (2, 3, &[]),
        ]);
        assert!(audit.is_sound(), "{audit}");
        let told = audit.to_string();
        assert!(
            told.contains("every trade is counted exactly once"),
            "{told}"
        );
        assert!(
            told.lines().any(|l| l
                .split_whitespace()
                .eq(["MSFT", "a", "2", "4", "0", "0", "0", "0"])),
            "{told}"
        );
        assert!(
            told.lines()
                .any(|l| l.split_whitespace().eq(["MSFT", "(all)", "3", "10"])),
            "{told}"
        );
        assert!(
            told.lines()
                .any(|l| l.contains("(no identity)") && l.contains(" 4 ")),
            "{told}"
        );
    }

    #[test]
    fn a_gap_is_found() {
        let audit = audit(&[(0, 3, &[("a", [0, 2])]), (1, 3, &[("a", [5, 7])])]);
        assert!(!audit.is_sound());
        assert!(audit.to_string().contains("rejected: 3-4\n"), "{audit}");
    }

    #[test]
    fn a_double_is_found() {
        let audit = audit(&[(0, 3, &[("a", [0, 2])]), (1, 3, &[("a", [2, 4])])]);
        assert!(!audit.is_sound());
        assert!(
            audit.to_string().contains("counted more than once: 2\n"),
            "{audit}"
        );
    }

    #[test]
    fn a_missing_window_and_a_wrong_count_are_found() {
        let missing = audit(&[
            (0, 3, &[("a", [0, 2])]),
            (4, 3, &[("a", [3, 5])]),
            (6, 1, &[("a", [6, 6])]),
        ]);
        assert!(!missing.is_sound());
        assert!(
            missing.to_string().contains("windows missing: 1-3 5\n"),
            "{missing}"
        );
        assert!(!audit(&[(0, 2, &[("a", [0, 2])])]).is_sound());
    }

    fn removed_below(audit: &mut Audit, number: i64) {
        audit.add_settled(&SettledDocument::Removed {
            queue: "MSFT".into(),
            removed_below: number,
        });
    }

    #[test]
    fn a_rejected_trade_is_not_missing() {
        let mut audit = audit(&[(0, 3, &[("a", [0, 2])]), (1, 3, &[("a", [5, 7])])]);
        audit.add_settled(&SettledDocument::Rejected {
            queue: "MSFT".into(),
            epoch: "a".into(),
            // One more than the gap: it was counted, too, which is no double.
            // And one that came before those of its time were counted.
            rejected: vec![[3, 5], [20, 20]],
            recorded_at: bson::DateTime::now(),
        });
        let told = audit.to_string();
        assert!(audit.is_sound(), "{told}");
        assert!(
            told.lines().any(|l| l
                .split_whitespace()
                .eq(["MSFT", "a", "2", "6", "0", "0", "3", "0"])),
            "{told}"
        );
    }

    #[test]
    fn what_was_removed_on_purpose_is_expired_and_the_rest_is_proved() {
        let windows: [Window; 2] = [(2, 3, &[("a", [6, 8])]), (3, 3, &[("a", [9, 11])])];
        let by_hand = audit(&windows);
        assert!(!by_hand.is_sound());
        assert!(
            by_hand.to_string().contains("windows missing: 0-1\n"),
            "{by_hand}"
        );
        assert!(by_hand.to_string().contains("rejected: 0-5\n"), "{by_hand}");
        let mut expired = audit(&windows);
        removed_below(&mut expired, 2);
        let told = expired.to_string();
        assert!(expired.is_sound(), "{told}");
        assert!(told.contains("windows removed on purpose: 0-1\n"), "{told}");
        assert!(
            told.lines().any(|l| l
                .split_whitespace()
                .eq(["MSFT", "a", "2", "6", "0", "0", "0", "6"])),
            "{told}"
        );
        let mut too_many = audit(&[windows[1]]);
        removed_below(&mut too_many, 2);
        assert!(
            too_many.to_string().contains("windows missing: 2\n"),
            "{too_many}"
        );
        assert!(!too_many.is_sound());
    }
}
