//! The database: one document for each window, with the trades that it counts. What no window tells is in
//! a second collection: which trades were rejected, and which windows were removed on purpose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{
    Acknowledgment, ClientOptions, IndexOptions, ReadConcern, Tls, WriteConcern,
};
use mongodb::{Client, Collection, Database, IndexModel};
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::DatabaseConfig;
use crate::document::{
    AuditedWindow, EpochDocument, SCHEMA_VERSION, SettledDocument, WindowDocument, first_version,
    pairs, ranges,
};
use crate::ledger::{Ranges, Settled};
use crate::line;
use crate::tls::DATABASE;
use crate::window::Place;

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
    /// Says why, if it is TLS.
    #[error("no primary can be reached{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Unreachable(Option<String>),
    #[error("{}", reason(.0))]
    MongoDb(#[from] Error),
    #[error("{message} ({code})")]
    Write { code: i32, message: String },
    #[error(
        "window {window} of {queue} was stored by a newer stock-consumer (schemaVersion {version}, this one \
         knows {SCHEMA_VERSION}): update this one"
    )]
    Newer {
        queue: String,
        window: i64,
        version: i32,
    },
}

/// The problem, in words that do not change while it lasts.
fn reason(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::DnsResolve { message, .. } => {
            format!("the host in MONGODB_URL (mongodb+srv) cannot be looked up: {message}")
        }
        ErrorKind::Authentication { .. } => "the user or the password is refused".into(),
        ErrorKind::Command(error) => format!("{} ({})", error.message, error.code_name),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => {
            "the connection was lost".into()
        }
        kind => kind.to_string(),
    }
}

impl StoreError {
    /// Whether the database refused a window because its number is taken.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Write { code: 11000, .. })
    }

    /// Whether the database refused a window because the index [`FENCE`] is missing.
    pub fn is_unfenced(&self) -> bool {
        matches!(self, Self::Write { code: 2, message } if message.contains("hint provided"))
    }
}

/// The fields of a stored window that another consumer needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(rename = "_id")]
    id: ObjectId,
    queue: String,
    window: i64,
    #[serde(default = "first_version")]
    schema_version: i32,
    trades: Vec<EpochDocument>,
    ledger: Vec<EpochDocument>,
}

impl Stored {
    const FIELDS: [&str; 5] = ["queue", "window", "schemaVersion", "trades", "ledger"];

    /// Its place.
    ///
    /// # Errors
    /// [`StoreError::Newer`]
    fn place(&self) -> Result<Place, StoreError> {
        if self.schema_version > SCHEMA_VERSION {
            return Err(StoreError::Newer {
                queue: self.queue.clone(),
                window: self.window,
                version: self.schema_version,
            });
        }
        Ok(Place {
            number: self.window,
            id: self.id,
        })
    }

    fn settled_window(&self) -> Result<line::StoredWindow, StoreError> {
        let place = self.place()?;
        let epochs = self.trades.iter().chain(&self.ledger);
        let settled = epochs.map(|epoch| (epoch.epoch.clone(), epoch.ranges()));
        Ok(line::StoredWindow {
            place,
            settled: settled.collect(),
        })
    }
}

/// The fields of a stored window that tell its age.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Aged {
    window: i64,
    closed_at: DateTime,
}

/// The index that keeps window numbers of a queue unique.
pub const FENCE: &str = "fence";

/// How many rejected trades of an epoch are looked for, in records. Others leave gaps in the ledger, which
/// costs nothing but space.
const RECORDS: i64 = 1000;

/// More windows than a consumer may have stored without having acknowledged them.
const RECENT_WINDOWS: i64 = 65;

/// How many windows are removed in one step.
pub const STEP: usize = 1000;

/// How much longer than its windows the record of a rejected trade stays: it may have waited that long.
const WAITING_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A command's size is limited to 16 MiB.
const LARGEST_WRITE: usize = 8 << 20;

/// The windows of all queues in one collection. Reads ask the primary for what a majority has. A write
/// is complete when a majority has it in its journal.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    windows: Collection<WindowDocument>,
    /// Its name is that of the windows' collection with `.settled`.
    settled: Collection<SettledDocument>,
    trouble: Trouble,
}

/// What is wrong with TLS, as far as the driver's latest look at a member tells. Its errors do not say it.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn get(&self) -> Option<String> {
        self.lock().clone()
    }

    /// What notes it.
    fn watch(&self, encrypted: bool) -> EventHandler<SdamEvent> {
        let trouble = self.clone();
        EventHandler::callback(move |event| match event {
            SdamEvent::ServerHeartbeatSucceeded(_) => *trouble.lock() = None,
            SdamEvent::ServerHeartbeatFailed(failed) => {
                *trouble.lock() = match failed.failure.kind.as_ref() {
                    ErrorKind::Io(error) => DATABASE.explain(error, encrypted),
                    _ => None,
                }
            }
            _ => {}
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Prepares the client. The first request connects.
    ///
    /// # Errors
    /// When the connection string names hosts that cannot be looked up (`mongodb+srv`), or files that
    /// cannot be used.
    pub async fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let mut options = ClientOptions::parse(&config.url).await?;
        let trouble = Trouble::default();
        if let Some(Tls::Enabled(tls)) = &mut options.tls
            && tls.ca_file_path.is_none()
        {
            // The system's authorities, or those of SSL_CERT_FILE. The driver has authorities of its own,
            // and takes them only when there are no others.
            tls.ca_file_path = openssl_probe::probe().cert_file;
        }
        let encrypted = matches!(options.tls, Some(Tls::Enabled(_)));
        options.sdam_event_handler = Some(trouble.watch(encrypted));
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
            settled: database.collection(&format!("{}.settled", config.collection)),
            database,
            trouble,
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
                FENCE,
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
        self.timed(self.windows.create_indexes(indexes)).await?;
        let epochs = doc! { "queue": 1, "epoch": 1, "_id": -1 };
        let ages = doc! { "queue": 1, "recordedAt": 1 };
        let indexes = [
            index("epochs", epochs, None, None),
            index("ages", ages, None, None),
        ];
        self.timed(self.settled.create_indexes(indexes))
            .await
            .map(drop)
    }

    /// The queue's last window.
    pub async fn last_window(&self, queue: &str) -> Result<Option<Place>, StoreError> {
        let windows = self.stored();
        let last = windows
            .find_one(doc! { "queue": queue, "window": { "$exists": true } })
            .sort(doc! { "window": -1 })
            .projection(fields(&Stored::FIELDS));
        self.timed(last).await?.map(|last| last.place()).transpose()
    }

    /// Which trades of an epoch are settled. A few look-ups, however many windows there are.
    pub async fn ledger(&self, queue: &str, epoch: &str) -> Result<Settled, StoreError> {
        let windows = self.stored();
        let last = windows
            .find_one(doc! { "queue": queue, "ledger.epoch": epoch, "window": { "$exists": true } })
            .sort(doc! { "window": -1 })
            .projection(fields(&Stored::FIELDS));
        let last = self.timed(last).await?;
        let ledgers = last.iter().flat_map(|last| &last.ledger);
        let mut settled = ledgers
            .filter(|ledger| ledger.epoch == epoch)
            .map(EpochDocument::settled)
            .next()
            .unwrap_or_default();
        if let Some(last) = last.filter(|_| settled.floor > 0) {
            // The ledger is short. What may be delivered again, the latest windows know exactly.
            let from = last.window - RECENT_WINDOWS;
            for window in self.windows_from(queue, from).await? {
                let trades = window.trades.iter().filter(|trades| trades.epoch == epoch);
                trades.for_each(|trades| settled.extend(&trades.ranges()));
            }
        }
        let records = self
            .settled
            .find(doc! { "queue": queue, "epoch": epoch })
            .sort(doc! { "_id": -1 })
            .limit(RECORDS);
        let records: Vec<SettledDocument> = self
            .timed(async { records.await?.try_collect().await })
            .await?;
        for record in records {
            if let SettledDocument::Rejected { rejected, .. } = record {
                settled.extend(&ranges(&rejected));
            }
        }
        Ok(settled)
    }

    /// The windows that follow one, or all if there is none yet, in order, at most 1000. None if that one
    /// is not there any more.
    pub async fn windows_after(
        &self,
        queue: &str,
        after: Option<Place>,
    ) -> Result<Option<Vec<line::StoredWindow>>, StoreError> {
        let from = after.map_or(0, |after| after.number);
        let is_there = |found: &[Stored]| {
            after.is_none_or(|after| {
                found
                    .first()
                    .is_some_and(|first| first.window == after.number && first.id == after.id)
            })
        };
        let mut found = self.windows_from(queue, from).await?;
        if !is_there(&found) {
            // A new primary may not know yet what a majority has. This read waits until it does.
            let concern = ReadConcern::linearizable();
            found = self.windows_read(queue, from, concern).await?;
        }
        if !is_there(&found) {
            return Ok(None);
        }
        let following = found.iter().skip(usize::from(after.is_some()));
        let following = following.map(Stored::settled_window);
        following.collect::<Result<_, _>>().map(Some)
    }

    async fn windows_from(&self, queue: &str, number: i64) -> Result<Vec<Stored>, StoreError> {
        self.windows_read(queue, number, ReadConcern::majority())
            .await
    }

    async fn windows_read(
        &self,
        queue: &str,
        number: i64,
        concern: ReadConcern,
    ) -> Result<Vec<Stored>, StoreError> {
        let windows = self.stored();
        let windows = windows
            .find(doc! { "queue": queue, "window": { "$gte": number } })
            .sort(doc! { "window": 1 })
            .limit(1001)
            .projection(fields(&Stored::FIELDS))
            .read_concern(concern);
        self.timed(async { windows.await?.try_collect().await })
            .await
    }

    /// Writes windows in order, and stops at the first one that is refused: a window is never stored
    /// before its predecessor. To write the same documents again changes nothing.
    ///
    /// # Errors
    /// Also if the index [`FENCE`] is missing, because somebody has dropped, renamed or replaced the
    /// collection. Then nothing is stored.
    pub async fn write(&self, documents: &[WindowDocument]) -> Result<(), StoreError> {
        let (mut updates, mut size) = (Vec::new(), 0);
        for document in documents {
            let document = bson::serialize_to_document(document).map_err(Error::from)?;
            let bytes = bson::serialize_to_vec(&document)
                .map_err(Error::from)?
                .len();
            if size + bytes > LARGEST_WRITE && !updates.is_empty() {
                self.update(std::mem::take(&mut updates)).await?;
                size = 0;
            }
            size += bytes;
            // An insert would be done without the index, too. An update that must use it is not.
            updates.push(doc! {
                "q": {
                    "queue": document.get("queue"),
                    "window": document.get("window"),
                    "_id": document.get("_id"),
                },
                "u": document,
                "upsert": true,
                "hint": FENCE,
            });
        }
        self.update(updates).await
    }

    async fn update(&self, updates: Vec<Document>) -> Result<(), StoreError> {
        let command = doc! {
            "update": self.windows.name(),
            "updates": updates,
            "ordered": true,
            "writeConcern": {
                "w": "majority",
                "j": true,
                "wtimeout": REQUEST_TIMEOUT.as_millis() as i64,
            },
        };
        let answer = self.timed(self.database.run_command(command)).await?;
        let errors = answer.get_array("writeErrors").ok();
        let error = errors.and_then(|errors| errors.first()?.as_document());
        let error = error.or_else(|| answer.get_document("writeConcernError").ok());
        error.map_or(Ok(()), |error| {
            Err(StoreError::Write {
                code: error.get_i32("code").unwrap_or_default(),
                message: error.get_str("errmsg").unwrap_or_default().into(),
            })
        })
    }

    /// Records which trades were moved to the queue of rejected messages, for each epoch. To record them
    /// twice does no harm.
    pub async fn record(
        &self,
        queue: &str,
        rejected: &[(String, Ranges)],
    ) -> Result<(), StoreError> {
        let recorded_at = DateTime::now();
        let records = rejected
            .iter()
            .map(|(epoch, ranges)| SettledDocument::Rejected {
                queue: queue.into(),
                epoch: epoch.clone(),
                rejected: pairs(ranges),
                recorded_at,
            });
        self.timed(self.settled.insert_many(records))
            .await
            .map(drop)
    }

    /// Limits the time of a request. A request that timed out may still take effect.
    async fn timed<T>(
        &self,
        request: impl IntoFuture<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match timeout(REQUEST_TIMEOUT, request.into_future()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if matches!(*error.kind, ErrorKind::ServerSelection { .. }) => {
                Err(StoreError::Unreachable(self.trouble.get()))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(match self.trouble.get() {
                None => StoreError::TimedOut,
                trouble => StoreError::Unreachable(trouble),
            }),
        }
    }

    /// Removes up to [`STEP`] of the queue's oldest windows, if they closed longer ago than `retention`, and
    /// returns their number. The newest ones stay whatever their age: they tell which trades are counted
    /// that the broker may deliver again. What is removed is noted before, for the audit.
    pub async fn remove_old(&self, queue: &str, retention: Duration) -> Result<usize, StoreError> {
        let now = self.now().await?;
        let Some(last) = self.last_window(queue).await? else {
            return Ok(0);
        };
        let oldest = self.oldest_windows(queue, last.number - RECENT_WINDOWS + 1);
        let oldest = oldest.await?;
        let Some((next, oldest)) = oldest.split_last() else {
            return Ok(0);
        };
        let limit = before(now, retention);
        let is_old = |window: &&Aged| window.closed_at < limit;
        let old = oldest.iter().take_while(is_old).count();
        if let Some(newest) = oldest[..old].last() {
            self.remove_below(queue, newest.window + 1).await?;
        }
        // The audit needs the records of what was rejected since the first window that stays.
        let first = oldest.get(old).unwrap_or(next);
        let limit = limit.min(first.closed_at);
        self.remove_records(queue, before(limit, WAITING_LIMIT))
            .await?;
        Ok(old)
    }

    /// The earlier time of two clocks, so that one that is fast does not remove everything: this
    /// machine's and the database's.
    async fn now(&self) -> Result<DateTime, StoreError> {
        let hello = self
            .timed(self.database.run_command(doc! { "hello": 1 }))
            .await?;
        let now = DateTime::now();
        let theirs = hello.get_datetime("localTime");
        Ok(theirs.map_or(now, |theirs| now.min(*theirs)))
    }

    /// At most [`STEP`] windows, and the one after them, up to a number.
    async fn oldest_windows(&self, queue: &str, up_to: i64) -> Result<Vec<Aged>, StoreError> {
        let windows = self.windows.clone_with_type::<Aged>();
        let windows = windows
            .find(doc! { "queue": queue, "window": { "$lte": up_to } })
            .sort(doc! { "window": 1 })
            .limit(STEP as i64 + 1)
            .projection(fields(&["window", "closedAt"]));
        self.timed(async { windows.await?.try_collect().await })
            .await
    }

    async fn remove_below(&self, queue: &str, number: i64) -> Result<(), StoreError> {
        let settled = self.settled.clone_with_type::<Document>();
        let noted = settled
            .update_one(
                doc! { "_id": queue },
                doc! { "$set": { "queue": queue }, "$max": { "removedBelow": number } },
            )
            .upsert(true);
        self.timed(noted).await?;
        let old = doc! { "queue": queue, "window": { "$lt": number } };
        self.timed(self.windows.delete_many(old)).await.map(drop)
    }

    async fn remove_records(&self, queue: &str, limit: DateTime) -> Result<(), StoreError> {
        let settled = self.settled.clone_with_type::<Document>();
        let old = settled
            .find(doc! { "queue": queue, "recordedAt": { "$lt": limit } })
            .limit(STEP as i64)
            .projection(doc! { "_id": 1 });
        let old: Vec<Document> = self.timed(async { old.await?.try_collect().await }).await?;
        let ids: Vec<&Bson> = old.iter().filter_map(|record| record.get("_id")).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let these = doc! { "_id": { "$in": ids } };
        self.timed(settled.delete_many(these)).await.map(drop)
    }

    fn stored(&self) -> Collection<Stored> {
        self.windows.clone_with_type()
    }

    /// All windows, queue by queue, in the order of their numbers.
    pub async fn audit(&self) -> Result<mongodb::Cursor<AuditedWindow>, StoreError> {
        let windows = self.windows.clone_with_type::<AuditedWindow>();
        let windows = windows
            .find(doc! { "window": { "$exists": true } })
            .sort(doc! { "queue": 1, "window": 1 })
            .projection(fields(&["queue", "window", "count", "trades", "ledger"]));
        self.timed(windows).await
    }

    /// All that is settled without being in a window.
    pub async fn settled(&self) -> Result<mongodb::Cursor<SettledDocument>, StoreError> {
        self.timed(self.settled.find(doc! {})).await
    }
}

/// A projection to these fields and `_id`.
fn fields(names: &[&str]) -> Document {
    names
        .iter()
        .map(|name| ((*name).to_owned(), Bson::from(1)))
        .collect()
}

fn before(time: DateTime, span: Duration) -> DateTime {
    DateTime::from_millis(time.timestamp_millis() - span.as_millis() as i64)
}
