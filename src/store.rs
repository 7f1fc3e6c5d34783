//! The database: one document for each window, with the trades that it counts.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, doc};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind, InsertManyError};
use mongodb::options::{Acknowledgment, ClientOptions, IndexOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Collection, IndexModel};
use serde::{Deserialize, Serialize};

use crate::config::DatabaseConfig;
use crate::ledger::{EpochId, Ledger, Range, Ranges};
use crate::window::{Average, FullWindow, Place, Side};

/// How long one request to the database may take. After that its outcome is unknown. A lost primary
/// must be noticed even if its host is silent.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request looks for a primary. It is shorter, so that the error says that there is none.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a request to the database failed. The outcome of a failed write is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    #[error("{}", reason(.0))]
    MongoDb(#[from] Error),
}

/// The problem, in words that do not change while it lasts.
fn reason(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } => "no primary can be reached".into(),
        ErrorKind::Authentication { .. } => "the user or the password is refused".into(),
        ErrorKind::Command(error) => format!("{} ({})", error.message, error.code_name),
        ErrorKind::InsertMany(InsertManyError {
            write_errors: Some(errors),
            ..
        }) => errors
            .first()
            .map_or_else(String::new, |error| error.message.clone()),
        ErrorKind::InsertMany(InsertManyError {
            write_concern_error: Some(error),
            ..
        }) => {
            format!("{} ({})", error.message, error.code_name)
        }
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => {
            "the connection was lost".into()
        }
        kind => kind.to_string(),
    }
}

impl StoreError {
    /// Whether the database refused a document because its place is taken.
    pub fn is_duplicate(&self) -> bool {
        let Self::MongoDb(error) = self else {
            return false;
        };
        match error.kind.as_ref() {
            ErrorKind::InsertMany(error) => error
                .write_errors
                .iter()
                .flatten()
                .any(|error| error.code == 11000),
            _ => false,
        }
    }
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
    pub queue: String,
    /// Counts 0, 1, 2, … in the queue. A unique index makes it the fence between consumers.
    pub window: i64,
    /// Which trades went in.
    pub trades: Vec<EpochDocument>,
    /// For each epoch in `trades`: all its trades that went into this window or an earlier one.
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
    pub ranges: Vec<[i64; 2]>,
}

impl EpochDocument {
    fn new(epoch: &str, ranges: &Ranges) -> Self {
        // Sequence numbers are at most i64::MAX: see `trade::Identity`.
        let pair = |range: &Range| [range.first as i64, range.last as i64];
        Self {
            epoch: epoch.into(),
            ranges: ranges.as_slice().iter().map(pair).collect(),
        }
    }

    /// The set of sequence numbers. Ignores invalid pairs.
    pub fn ranges(&self) -> Ranges {
        let range = |&[first, last]: &[i64; 2]| {
            (0 <= first && first <= last).then_some(Range {
                first: first as u64,
                last: last as u64,
            })
        };
        self.ranges.iter().filter_map(range).collect()
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

/// The documents of full windows, oldest first. They continue the stored windows that `ledger` knows.
/// Every window must have its place.
pub fn documents<'a>(
    company: &str,
    queue: &str,
    ledger: &Ledger,
    windows: impl Iterator<Item = (&'a FullWindow, Place)>,
) -> Vec<WindowDocument> {
    // The trades of each epoch that are stored once the windows before the current one are.
    let mut ahead: Vec<(EpochId, Ranges)> = Vec::new();
    let mut documents = Vec::new();
    let closed_at = DateTime::now();
    for (window, place) in windows {
        let Some(average) = Average::of(&window.entries) else {
            continue;
        };
        let (mut trades, mut counted) = (Vec::new(), Vec::new());
        for (epoch, ranges) in window.ranges() {
            let at = ahead
                .iter()
                .position(|(e, _)| *e == epoch)
                .unwrap_or_else(|| {
                    ahead.push((epoch, ledger.stored(epoch).clone()));
                    ahead.len() - 1
                });
            ahead[at].1.extend(&ranges);
            let name = ledger.name(epoch);
            trades.push(EpochDocument::new(name, &ranges));
            counted.push(EpochDocument::new(name, &ahead[at].1));
        }
        let date = |seconds: u64| DateTime::from_millis((seconds as i64).saturating_mul(1000));
        documents.push(WindowDocument {
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
            closed_at,
            queue: queue.into(),
            window: place.number,
            trades,
            ledger: counted,
        });
    }
    documents
}

/// The fields of a stored window that another consumer needs.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredWindow {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    pub window: i64,
    pub trades: Vec<EpochDocument>,
}

/// The fields of a stored window that an audit reads.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditedWindow {
    pub queue: String,
    pub window: i64,
    pub count: i64,
    pub trades: Vec<EpochDocument>,
}

#[derive(Deserialize)]
struct LedgerOnly {
    ledger: Vec<EpochDocument>,
}

/// The windows of all queues in one collection. Reads ask the primary for what a majority has. A write
/// is complete when a majority has it in its journal.
#[derive(Clone, Debug)]
pub struct Store {
    windows: Collection<WindowDocument>,
}

impl Store {
    /// Prepares the client. The first request connects.
    ///
    /// # Errors
    /// When the connection string names hosts that cannot be looked up (`mongodb+srv`).
    pub async fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let mut options = ClientOptions::parse(&config.url).await?;
        options
            .app_name
            .get_or_insert_with(|| "stock-consumer".into());
        options
            .server_selection_timeout
            .get_or_insert(SELECTION_TIMEOUT);
        options
            .connect_timeout
            .get_or_insert(Duration::from_secs(2));
        options.heartbeat_freq.get_or_insert(Duration::from_secs(2));
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria = None;
        // The consumer repeats writes itself, with the same `_id`s. The driver's retryable writes would
        // cost every member a second document for each write.
        options.retry_writes = Some(false);
        options.write_concern = Some(
            WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .journal(true)
                .w_timeout(REQUEST_TIMEOUT)
                .build(),
        );
        let database = Client::with_options(options)?.database(&config.database);
        Ok(Self {
            windows: database.collection(&config.collection),
        })
    }

    /// Creates the indexes that consumers and readers need.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let ours = doc! { "window": { "$exists": true } };
        let index = |name: &str, keys, unique: Option<bool>, filter| {
            let options = IndexOptions::builder()
                .name(name.to_owned())
                .unique(unique)
                .partial_filter_expression(filter)
                .build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let indexes = [
            index(
                "fence",
                doc! { "queue": 1, "window": 1 },
                Some(true),
                Some(ours.clone()),
            ),
            index(
                "epochs",
                doc! { "queue": 1, "ledger.epoch": 1, "window": -1 },
                None,
                Some(ours),
            ),
            index("latest", doc! { "company": 1, "_id": -1 }, None, None),
        ];
        timed(self.windows.create_indexes(indexes)).await.map(drop)
    }

    /// The queue's last window.
    pub async fn last_window(&self, queue: &str) -> Result<Option<Place>, StoreError> {
        let windows = self.read::<StoredWindow>();
        let last = windows
            .find_one(doc! { "queue": queue, "window": { "$exists": true } })
            .sort(doc! { "window": -1 })
            .projection(doc! { "window": 1, "trades": 1 });
        let last = timed(last).await?;
        Ok(last.map(|last| Place {
            number: last.window,
            id: last.id,
        }))
    }

    /// Which trades of an epoch the queue's windows hold. One look-up, however many windows.
    pub async fn ledger(&self, queue: &str, epoch: &str) -> Result<Ranges, StoreError> {
        let windows = self.read::<LedgerOnly>();
        let last = windows
            .find_one(doc! { "queue": queue, "ledger.epoch": epoch, "window": { "$exists": true } })
            .sort(doc! { "window": -1 })
            .projection(doc! { "ledger": 1 });
        let epochs = timed(last)
            .await?
            .map(|last| last.ledger)
            .unwrap_or_default();
        Ok(epochs
            .iter()
            .find(|e| e.epoch == epoch)
            .map(EpochDocument::ranges)
            .unwrap_or_default())
    }

    /// The queue's windows from a number on, in order, at most 1000.
    pub async fn windows_from(
        &self,
        queue: &str,
        number: i64,
    ) -> Result<Vec<StoredWindow>, StoreError> {
        let windows = self.read::<StoredWindow>();
        let windows = windows
            .find(doc! { "queue": queue, "window": { "$gte": number } })
            .sort(doc! { "window": 1 })
            .limit(1000)
            .projection(doc! { "window": 1, "trades": 1 });
        timed(async { windows.await?.try_collect().await }).await
    }

    /// Writes windows in order, and stops at the first one that is refused: a window is never stored
    /// before its predecessor.
    pub async fn insert(&self, documents: &[WindowDocument]) -> Result<(), StoreError> {
        timed(self.windows.insert_many(documents).ordered(true))
            .await
            .map(drop)
    }

    /// The same collection, read as a part of each document.
    fn read<T: Send + Sync>(&self) -> Collection<T> {
        self.windows.clone_with_type()
    }

    /// All windows, queue by queue, in the order of their numbers.
    pub async fn audit(&self) -> Result<mongodb::Cursor<AuditedWindow>, StoreError> {
        let windows = self.read::<AuditedWindow>();
        let windows = windows
            .find(doc! { "window": { "$exists": true } })
            .sort(doc! { "queue": 1, "window": 1 })
            .projection(doc! { "queue": 1, "window": 1, "count": 1, "trades": 1 });
        timed(windows).await
    }
}

/// Limits the time of a request. A request that timed out may still take effect.
async fn timed<T>(request: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request.into_future()).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(StoreError::TimedOut),
    }
}
