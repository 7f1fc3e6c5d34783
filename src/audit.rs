//! The audit: proves from the database that every trade was counted exactly once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tracing::warn;

use crate::backoff::Backoff;
use crate::ledger::{Range, Ranges};
use crate::store::{AuditedWindow, Store, StoreError};

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
    /// Window numbers that are missing.
    missing: Ranges,
    /// Windows whose `count` differs from the number of trades that they list.
    miscounted: Ranges,
    epochs: BTreeMap<String, Epoch>,
    /// Trades without an identity.
    unidentified: i64,
}

#[derive(Debug, Default)]
struct Epoch {
    windows: i64,
    counted: Ranges,
    doubles: Ranges,
    /// How often trades were counted more than once, in total.
    doubled: u64,
}

impl Audit {
    /// Reads all windows. Waits up to 30 s for the database, and logs why.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        let began = Instant::now();
        let mut backoff = Backoff::default();
        let mut told = String::new();
        loop {
            let error = match Self::read(store).await {
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

    async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut windows = store.audit().await?;
        let mut audit = Self::default();
        while let Some(window) = windows.try_next().await? {
            audit.add(&window);
        }
        Ok(audit)
    }

    /// Adds a window; those of a queue come in the order of their numbers.
    fn add(&mut self, window: &AuditedWindow) {
        let queue = self.queues.entry(window.queue.clone()).or_default();
        let number = window.window.max(0) as u64;
        let expected = queue.missing.count() + queue.windows as u64;
        if number > expected {
            queue.missing.insert_range(Range {
                first: expected,
                last: number - 1,
            });
        }
        queue.windows += 1;
        queue.trades += window.count;
        let mut identified = 0;
        for trades in &window.trades {
            let epoch = queue.epochs.entry(trades.epoch.clone()).or_default();
            let ranges = trades.ranges();
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

    /// Whether every trade up to the highest counted one of each epoch is counted exactly once,
    /// and no window is missing.
    pub fn is_sound(&self) -> bool {
        self.queues.values().all(|queue| {
            queue.missing.count() == 0
                && queue.miscounted.count() == 0
                && queue
                    .epochs
                    .values()
                    .all(|e| e.doubled == 0 && e.counted.gaps().count() == 0)
        })
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<40} {:>9} {:>12} {:>8} {:>8}",
            "QUEUE", "EPOCH", "WINDOWS", "TRADES", "GAPS", "DOUBLES"
        )?;
        for (name, queue) in &self.queues {
            for (epoch_name, epoch) in &queue.epochs {
                let gaps = epoch.counted.gaps();
                writeln!(
                    f,
                    "{name:<12} {epoch_name:<40} {:>9} {:>12} {:>8} {:>8}",
                    epoch.windows,
                    epoch.counted.count(),
                    gaps.count(),
                    epoch.doubled
                )?;
                tell(f, "not counted", &gaps)?;
                tell(f, "counted more than once", &epoch.doubles)?;
            }
            if queue.unidentified > 0 {
                writeln!(
                    f,
                    "{name:<12} {:<40} {:>9} {:>12} {:>8} {:>8}",
                    "(no identity)", "-", queue.unidentified, "-", "-"
                )?;
            }
            writeln!(
                f,
                "{name:<12} {:<40} {:>9} {:>12}",
                "(all)", queue.windows, queue.trades
            )?;
            tell(f, "windows missing", &queue.missing)?;
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
            let trades = trades.iter().map(|(epoch, range)| EpochDocument {
                epoch: (*epoch).into(),
                ranges: vec![*range],
            });
            audit.add(&AuditedWindow {
                queue: "MSFT".into(),
                window: *number,
                count: *count,
                trades: trades.collect(),
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
            told.lines()
                .any(|l| l.split_whitespace().eq(["MSFT", "a", "2", "4", "0", "0"])),
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
        assert!(audit.to_string().contains("not counted: 3-4"), "{audit}");
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
}
