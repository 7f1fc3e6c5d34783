//! What the database holds: the documents of windows, and what is settled without being in a window.

use bson::DateTime;
use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::ledger::{Range, Ranges, Settled};
use crate::line::NewWindow;
use crate::window::Side;

/// The form of [`WindowDocument`]. Documents without a version have the first form; later ones only add
/// fields that may be missing. A consumer refuses to continue after a form that it does not know.
pub const SCHEMA_VERSION: i32 = 2;

pub fn first_version() -> i32 {
    1
}

/// A stored window: the average for readers, and the ledger for consumers.
///
/// Every reader of the collection knows `company` and `avgPrice`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowDocument {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    pub company: String,
    pub avg_price: f64,
    pub count: i32,
    pub buy: SideDocument,
    pub sell: SideDocument,
    pub min_price: f64,
    pub max_price: f64,
    pub first_trade_at: Option<DateTime>,
    pub last_trade_at: Option<DateTime>,
    pub closed_at: DateTime,
    /// See [`SCHEMA_VERSION`].
    #[serde(default = "first_version")]
    pub schema_version: i32,
    pub queue: String,
    /// Counts 0, 1, 2, … in the queue. A unique index makes it the fence between consumers.
    pub window: i64,
    /// Which trades went in.
    pub trades: Vec<EpochDocument>,
    /// For each epoch in `trades`: all its trades that went into this window or an earlier one, or were
    /// rejected, as far as that is remembered.
    pub ledger: Vec<EpochDocument>,
}

/// The trades on one side of the market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SideDocument {
    pub count: i32,
    /// Null when there was none.
    pub avg_price: Option<f64>,
}

/// Sequence numbers of one epoch, as `[first, last]` pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochDocument {
    pub epoch: String,
    /// Only in a ledger: below this number, ranges are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<i64>,
    pub ranges: Vec<[i64; 2]>,
}

/// A set of sequence numbers, as pairs. They are at most `i64::MAX`: see [`crate::trade::Identity`].
pub fn pairs(ranges: &Ranges) -> Vec<[i64; 2]> {
    let pair = |range: &Range| [range.first as i64, range.last as i64];
    ranges.as_slice().iter().map(pair).collect()
}

/// The set of sequence numbers. Ignores invalid pairs.
pub fn ranges(pairs: &[[i64; 2]]) -> Ranges {
    let range = |&[first, last]: &[i64; 2]| {
        (0 <= first && first <= last).then_some(Range {
            first: first as u64,
            last: last as u64,
        })
    };
    pairs.iter().filter_map(range).collect()
}

impl EpochDocument {
    fn new(epoch: String, ranges: &Ranges) -> Self {
        Self {
            epoch,
            floor: None,
            ranges: pairs(ranges),
        }
    }

    fn ledger(epoch: String, settled: &Settled) -> Self {
        Self {
            floor: (settled.floor > 0).then_some(settled.floor as i64),
            ..Self::new(epoch, &settled.ranges)
        }
    }

    /// What a ledger remembers.
    pub fn settled(&self) -> Settled {
        Settled {
            floor: self.floor.unwrap_or(0).max(0) as u64,
            ranges: self.ranges(),
        }
    }

    /// The set of sequence numbers.
    pub fn ranges(&self) -> Ranges {
        ranges(&self.ranges)
    }
}

impl From<Side> for SideDocument {
    fn from(side: Side) -> Self {
        Self {
            count: side.count as i32,
            avg_price: side.average_price,
        }
    }
}

impl WindowDocument {
    /// The document of a window that closes now.
    pub fn new(company: &str, queue: &str, window: NewWindow) -> Self {
        let NewWindow {
            place,
            average,
            trades,
            ledger,
        } = window;
        let date = |seconds: u64| DateTime::from_millis((seconds as i64).saturating_mul(1000));
        Self {
            id: place.id,
            company: company.into(),
            avg_price: average.average_price,
            count: average.count as i32,
            buy: average.buy.into(),
            sell: average.sell.into(),
            min_price: average.min_price,
            max_price: average.max_price,
            first_trade_at: average.first_trade_at.map(date),
            last_trade_at: average.last_trade_at.map(date),
            closed_at: DateTime::now(),
            schema_version: SCHEMA_VERSION,
            queue: queue.into(),
            window: place.number,
            trades: trades
                .into_iter()
                .map(|(epoch, ranges)| EpochDocument::new(epoch, &ranges))
                .collect(),
            ledger: ledger
                .into_iter()
                .map(|(epoch, settled)| EpochDocument::ledger(epoch, &settled))
                .collect(),
        }
    }
}

/// The fields of a stored window that an audit reads.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AuditedWindow {
    pub queue: String,
    pub window: i64,
    pub count: i64,
    pub trades: Vec<EpochDocument>,
    pub ledger: Vec<EpochDocument>,
}

/// What is settled without being in a window: one of the two, for a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum SettledDocument {
    /// These trades of an epoch were moved to the queue of rejected messages.
    Rejected {
        queue: String,
        epoch: String,
        rejected: Vec<[i64; 2]>,
        #[serde(rename = "recordedAt")]
        recorded_at: DateTime,
    },
    /// The windows below this number were removed on purpose. Its `_id` is the queue.
    Removed {
        queue: String,
        #[serde(rename = "removedBelow")]
        removed_below: i64,
    },
}
