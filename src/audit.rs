//! The audit: proves from the database that every trade was counted exactly once, or rejected.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tracing::warn;

use crate::backoff::Backoff;
use crate::config::DatabaseConfig;
use crate::document::{AuditedWindow, EpochDocument, SettledDocument, ranges};
use crate::ledger::{Range, Ranges};
use crate::store::{Store, StoreError};

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
    /// The number after the highest.
    next: u64,
    /// Numbers before that are missing.
    missing: Ranges,
    /// The first number of the last gap in them.
    gap: Option<u64>,
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
        let on_purpose: Ranges = match self.removed_below {
            0 => Ranges::default(),
            below => Ranges::from_iter([Range {
                first: 0,
                last: below - 1,
            }]),
        };
        (
            self.missing.intersection(&on_purpose),
            self.missing.without(&on_purpose),
        )
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
    /// What windows say to be settled, though none counts it: rejected trades, recorded or not.
    passed: Ranges,
    /// Its last window so far, and what that says to be settled.
    latest: (u64, Ranges),
    /// What its first window after a gap says to be settled, and the first missing number of the gap.
    earlier: Vec<(u64, Ranges)>,
}

/// What became of the trades of an epoch.
struct Fate {
    /// In a window.
    counted: u64,
    /// In the queue of rejected messages, and in no window.
    rejected: u64,
    /// Those of them of which there is no record: they may wait to be moved.
    unrecorded: Ranges,
    /// Settled in windows that were removed on purpose.
    expired: u64,
    /// None of these, though a later one is in a window.
    missing: Ranges,
    doubled: u64,
}

impl Epoch {
    /// Windows below `removed_below` were removed on purpose.
    fn fate(&self, removed_below: u64) -> Fate {
        let counted = &self.counted;
        let mut settled = counted.clone();
        settled.extend(&self.rejected);
        let unrecorded = self.passed.without(&settled);
        settled.extend(&unrecorded);
        let rejected = settled.count() - counted.count();
        let before = settled.count();
        for (gap, earlier) in &self.earlier {
            if *gap < removed_below {
                settled.extend(earlier);
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
            unrecorded,
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
        if number > queue.next {
            queue.gap = Some(queue.next);
            queue.missing.insert_range(Range {
                first: queue.next,
                last: number - 1,
            });
        }
        queue.next = number + 1;
        queue.windows += 1;
        queue.trades += window.count;
        let mut identified = 0;
        for trades in &window.trades {
            let epoch = queue.epochs.entry(trades.epoch.clone()).or_default();
            let ranges = trades.ranges();
            let ledger = window.ledger.iter().find(|l| l.epoch == trades.epoch);
            let ledger = ledger.map(EpochDocument::settled).unwrap_or_default();
            let latest = (number, ledger.ranges.clone());
            let (latest, before) = std::mem::replace(&mut epoch.latest, latest);
            if let Some(gap) = queue.gap
                && epoch.earlier.last().is_none_or(|(last, _)| *last < gap)
            {
                epoch.earlier.push((gap, ledger.all()));
            }
            let doubles = epoch.counted.intersection(&ranges);
            epoch.windows += 1;
            epoch.doubled += doubles.count();
            epoch.doubles.extend(&doubles);
            epoch.counted.extend(&ranges);
            // What a missing window has counted is not rejected.
            let gap = queue.missing.as_slice().last();
            if gap.is_none_or(|gap| gap.last < latest) {
                let passed = ledger.ranges.without(&before).without(&epoch.counted);
                epoch.passed.extend(&passed);
            }
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
                queue.removed_below = queue.removed_below.max((*removed_below).max(0) as u64);
            }
        }
    }

    /// Whether every trade up to the highest one of each epoch is counted exactly once, rejected, or
    /// expired, and no window is missing but those that were removed on purpose.
    pub fn is_sound(&self) -> bool {
        self.queues.values().all(|queue| {
            let (_, missing) = queue.gone();
            missing.count() == 0
                && queue.miscounted.count() == 0
                && queue.epochs.values().all(|epoch| {
                    let fate = epoch.fate(queue.removed_below);
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
                let fate = epoch.fate(queue.removed_below);
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
                tell(f, "rejected, perhaps not moved yet", &fate.unrecorded)?;
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

    /// Number, count, and one range of sequences for each epoch.
    type Window<'a> = (i64, i64, &'a [(&'a str, [i64; 2])]);

    fn epoch(name: &str, ranges: Vec<[i64; 2]>) -> EpochDocument {
        EpochDocument {
            epoch: name.into(),
            floor: None,
            ranges,
        }
    }

    fn audit(windows: &[Window]) -> Audit {
        let mut audit = Audit::default();
        let mut settled: BTreeMap<&str, Vec<[i64; 2]>> = BTreeMap::new();
        for (number, count, trades) in windows {
            for &(name, [first, last]) in *trades {
                // Windows that are missing have counted all before.
                let next = audit.queues.get("MSFT").map_or(0, |queue| queue.next);
                let first = if *number as u64 > next { 0 } else { first };
                settled.entry(name).or_default().push([first, last]);
            }
            let trade = |&(name, range): &(&str, [i64; 2])| epoch(name, vec![range]);
            let ledger = |&(name, _): &(&str, [i64; 2])| epoch(name, settled[name].clone());
            audit.add(&AuditedWindow {
                queue: "MSFT".into(),
                window: *number,
                count: *count,
                trades: trades.iter().map(trade).collect(),
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

    #[test]
    fn a_rejected_trade_that_a_window_has_passed_is_not_missing() {
        let window = |number, range, settled| AuditedWindow {
            queue: "MSFT".into(),
            window: number,
            count: 3,
            trades: vec![epoch("a", vec![range])],
            ledger: vec![epoch("a", vec![settled])],
        };
        let windows = [
            window(0, [0, 2], [0, 2]),
            window(1, [4, 6], [0, 6]),
            window(2, [8, 10], [0, 10]),
        ];
        let of = |windows: &[AuditedWindow]| {
            let mut audit = Audit::default();
            windows.iter().for_each(|window| audit.add(window));
            audit
        };
        let whole = of(&windows);
        assert!(whole.is_sound(), "{whole}");
        assert!(
            whole.to_string().contains("not moved yet: 3 7\n"),
            "{whole}"
        );
        // What the window in the middle has counted is missing.
        let torn = of(&[windows[0].clone(), windows[2].clone()]);
        assert!(torn.to_string().contains("rejected: 3-7\n"), "{torn}");
        // After windows that were removed on purpose, too.
        let mut expired = of(&windows[1..]);
        removed_below(&mut expired, 1);
        assert!(expired.is_sound(), "{expired}");
        assert!(
            expired.to_string().contains("not moved yet: 7\n"),
            "{expired}"
        );
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
        // Some are removed while an audit reads, after it has read the first ones.
        let mut meanwhile = audit(&[(0, 3, &[("a", [0, 2])]), windows[0], windows[1]]);
        removed_below(&mut meanwhile, 2);
        assert!(meanwhile.is_sound(), "{meanwhile}");
        // But what is gone above the removed ones is missing.
        let mut above = audit(&[windows[0], (4, 3, &[("a", [12, 14])])]);
        removed_below(&mut above, 2);
        assert!(above.to_string().contains("rejected: 9-11\n"), "{above}");
        let mut too_many = audit(&[windows[1]]);
        removed_below(&mut too_many, 2);
        assert!(
            too_many.to_string().contains("windows missing: 2\n"),
            "{too_many}"
        );
        assert!(!too_many.is_sound());
    }
}
