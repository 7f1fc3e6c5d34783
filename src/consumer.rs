//! The consumer: performs what the [`line`](crate::line) decides, at the broker and in the database.
//!
//! Reading goes on during a write. The windows that fill up until the next write are the next group.

use std::net::SocketAddr;
use std::time::Duration;

use bson::oid::ObjectId;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use lapin::message::Delivery;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::broker::{BrokerError, Connection, Rejects, Subscription};
use crate::config::Config;
use crate::document::WindowDocument;
use crate::line::{Action, Line, Message, Outcome, Verdict};
use crate::retention::retain;
use crate::shutdown::Shutdown;
use crate::store::{Store, StoreError};
use crate::telemetry::{Server, Telemetry};
use crate::trade::Identity;
use crate::window::{MOST_EPOCHS, Place};

/// How long a shutdown may take. Trades that are unacknowledged by then stay in the queue.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);

/// How long a shutdown waits for rejected messages to be moved. They stay in the queue, too.
const MOVING_LIMIT: Duration = Duration::from_secs(1);

/// The least time from one write to the next. A journaled majority write costs the members of the
/// replica set several times what reading a window costs, however few windows are in it; on the
/// other hand the broker slows down when much is unacknowledged: by a tenth at 2000 trades, by a
/// seventh at 6000 (a classic queue of RabbitMQ 3.10.8 on two cores).
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// The most that AMQP can let a consumer hold unacknowledged.
const LARGEST_PREFETCH: u16 = u16::MAX;

/// How long nothing arrives until the consumer looks whether messages wait in the queue, and from one look
/// to the next.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a line that holds all the broker may send is given to free itself.
const CROWDED_LIMIT: Duration = Duration::from_secs(5);

/// Consumes the configured queue until shutdown is requested, whatever happens to broker and database
/// meanwhile. Returns within five seconds after the request.
pub async fn consume(config: &Config, telemetry: &Telemetry, shutdown: &Shutdown) {
    let too_late = async {
        shutdown.requested().await;
        sleep(SHUTDOWN_LIMIT).await;
    };
    let work = async {
        let open = insist(telemetry, async || {
            let store = Store::new(&config.database).await?;
            store.prepare().await.map(|()| store)
        });
        let Some(store) = shutdown.or(open).await else {
            return;
        };
        tokio::select! {
            () = sessions(config, &store, telemetry, shutdown) => {}
            () = retain(config, &store, telemetry) => {}
        }
    };
    tokio::select! {
        () = work => info!("stopped"),
        () = too_late => warn!("stopped before all was stored: the rest stays in the queue"),
    }
}

/// Why a session ended before a shutdown was requested.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The database is not as it was left.
    #[error(
        "the last window, or the index that keeps window numbers unique, is gone: was the collection \
         dropped, renamed or restored? Continuing after the last window that is there"
    )]
    Displaced,
    /// Rejected messages that cannot be moved have taken all the room.
    #[error("{0} rejected messages wait: making room for more")]
    Crowded(usize),
}

/// One session after the other, each from a new connection to its loss.
async fn sessions(config: &Config, store: &Store, telemetry: &Telemetry, shutdown: &Shutdown) {
    let mut prefetch = config.prefetch();
    let mut last = None;
    loop {
        let open = async {
            insist(telemetry, || store.prepare()).await;
            Session::open(config, store, telemetry, prefetch, last).await
        };
        let Some(session) = shutdown.or(open).await else {
            return;
        };
        last = session.connection.peer();
        match session.run(shutdown).await {
            Ok(()) => return,
            Err(Interruption::Broker(error)) => {
                telemetry.waiting(Server::rabbitmq, error.to_string());
            }
            Err(displaced @ Interruption::Displaced) => warn!("{displaced}"),
            Err(crowded @ Interruption::Crowded(_)) => {
                warn!("{crowded}");
                prefetch = LARGEST_PREFETCH;
            }
        }
    }
}

/// A look at a queue from which nothing arrives.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// How many messages wait.
    waiting: u32,
    /// The queue's last stored window, if some wait and the database tells.
    last: Option<Option<Place>>,
}

impl Look {
    /// Whether, since an earlier look, messages have waited and no consumer has stored any. A hot standby
    /// sees that the active consumer stores them.
    fn tells_of_a_standstill_since(&self, earlier: &Self) -> bool {
        self.waiting > 0 && earlier.waiting > 0 && self.last.is_some() && self.last == earlier.last
    }
}

/// One subscription, and the messages read from it. When it ends, the broker delivers again what is not
/// acknowledged, and the database knows which trades were counted.
struct Session<'a> {
    config: &'a Config,
    store: &'a Store,
    telemetry: &'a Telemetry,
    /// Held for the subscription: dropping it ends the connection.
    connection: Connection,
    subscription: Subscription,
    prefetch: u16,
    rejects: Rejects,
    /// None until the first delivery: a hot standby may wait for days, and begins with what the database
    /// has then.
    line: Option<Line>,
    write: Option<LocalBoxFuture<'a, Outcome>>,
    /// How many windows are being written.
    writing: usize,
    write_began: Instant,
    record: Option<LocalBoxFuture<'a, ()>>,
    look: Option<LocalBoxFuture<'a, Result<Look, BrokerError>>>,
    next_look: Instant,
    /// None if something has arrived since.
    last_look: Option<Look>,
    /// Since when the line holds all that the broker may send, and waits for more.
    crowded_since: Option<Instant>,
    /// Whether it has been told that trades are counted without their identities.
    told_of_epochs: bool,
}

impl<'a> Session<'a> {
    /// Subscribes to the queue; keeps trying until it can. `last` is the broker of the last session: another
    /// one comes first.
    async fn open(
        config: &'a Config,
        store: &'a Store,
        telemetry: &'a Telemetry,
        prefetch: u16,
        last: Option<SocketAddr>,
    ) -> Self {
        let (connection, subscription) = subscribe(config, telemetry, prefetch, last).await;
        telemetry.ready(Server::rabbitmq);
        telemetry.windows_in_flight(0);
        telemetry.rejected_waiting(0);
        Self {
            config,
            store,
            telemetry,
            connection,
            subscription,
            prefetch,
            rejects: Rejects::new(&config.broker, telemetry),
            line: None,
            write: None,
            writing: 0,
            write_began: Instant::now(),
            record: None,
            look: None,
            next_look: Instant::now() + SILENCE,
            last_look: None,
            crowded_since: None,
            told_of_epochs: false,
        }
    }

    /// Consumes until shutdown is requested.
    ///
    /// # Errors
    /// When the session must end before. Open a new one then.
    async fn run(mut self, shutdown: &Shutdown) -> Result<(), Interruption> {
        let mut group = Vec::new();
        let mut stopping_since = None;
        loop {
            self.perform_actions().await?;
            let stopping = stopping_since.is_some();
            self.begin_write(stopping);
            self.begin_record();
            if let Some(since) = stopping_since
                && self.is_finished(since)
            {
                break;
            }
            let full = self.full_windows();
            let write_waits = self.write.is_none() && full > 0;
            let may_read = !stopping && full < self.config.windows_in_flight;
            if !may_read {
                self.postpone_look();
            }
            let may_look = self.look.is_none();
            tokio::select! {
                biased;
                () = shutdown.requested(), if !stopping => {
                    info!("stopping");
                    stopping_since = Some(Instant::now());
                    self.subscription.cancel().await?;
                }
                outcome = wait_for(&mut self.write) => self.written(outcome),
                () = wait_for(&mut self.record) => self.recorded(),
                () = sleep_until(self.write_began + WRITE_INTERVAL), if write_waits => {}
                delivery_tag = self.rejects.moved() => self.moved(delivery_tag),
                taken = self.subscription.take(&mut group), if may_read => {
                    taken?;
                    self.accept(&mut group).await;
                }
                look = wait_for(&mut self.look) => self.looked(look)?,
                () = sleep_until(self.next_look), if may_look => self.begin_look(),
                () = sleep(Duration::from_millis(200)), if self.rejected() > 0 => {
                    self.notice_crowd()?;
                }
            }
        }
        // Closing gives the deliveries that are not acknowledged back to the queue.
        if let Err(error) = self.connection.close().await {
            debug!(%error, "closing the connection");
        }
        Ok(())
    }

    fn full_windows(&self) -> usize {
        self.line.as_ref().map_or(0, Line::full_windows)
    }

    fn rejected(&self) -> usize {
        self.line.as_ref().map_or(0, Line::rejected)
    }

    async fn perform_actions(&mut self) -> Result<(), Interruption> {
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        for action in line.actions() {
            match action {
                Action::Ack(delivery_tag) => self.subscription.ack(delivery_tag).await?,
                Action::AckUpTo(delivery_tag) => self.subscription.ack_up_to(delivery_tag).await?,
                Action::GiveBack => return Err(Interruption::Displaced),
            }
        }
        self.telemetry.windows_in_flight(line.full_windows());
        self.telemetry.rejected_waiting(line.rejected());
        Ok(())
    }

    /// Nothing is on its way any more, or it takes too long.
    fn is_finished(&self, stopping_since: Instant) -> bool {
        let nothing_to_store = self.write.is_none() && self.record.is_none();
        let all_moved = self.rejected() == 0 || stopping_since.elapsed() >= MOVING_LIMIT;
        nothing_to_store && all_moved
    }

    /// Adds the trades of a group of deliveries to windows, and moves invalid ones aside.
    async fn accept(&mut self, group: &mut Vec<Delivery>) {
        self.postpone_look();
        self.telemetry.trades_read(group.len());
        let (config, store, telemetry) = (self.config, self.store, self.telemetry);
        let queue = &config.broker.queue;
        let line = match &mut self.line {
            Some(line) => line,
            None => {
                let last = insist(telemetry, || store.last_window(queue)).await;
                self.line.insert(Line::new(config.batch_size.into(), last))
            }
        };
        let mut doubles = 0;
        for delivery in group.drain(..) {
            if delivery.redelivered {
                telemetry.redelivered(queue, redeliveries(&delivery));
            }
            let properties = &delivery.properties;
            let kind = properties.kind().as_ref().map(|kind| kind.as_str());
            let id = properties.message_id().as_ref().map(|id| id.as_str());
            let identity = Identity::read(kind, id);
            let message = Message {
                delivery_tag: delivery.delivery_tag,
                trade: config.rules.parse(&delivery.data),
                identity,
                timestamp: *properties.timestamp(),
            };
            let verdict = match (line.deliver(&message), identity) {
                (Verdict::UnknownEpoch, Some(Identity { epoch, .. })) => {
                    let stored = insist(telemetry, || store.ledger(queue, epoch)).await;
                    let settled = stored.ranges.count();
                    info!(epoch, settled, "a publisher's run begins or goes on");
                    line.open_epoch(epoch, stored);
                    line.deliver(&message)
                }
                (verdict, _) => verdict,
            };
            match verdict {
                Verdict::Counted | Verdict::UnknownEpoch => {}
                Verdict::CountedWithoutIdentity => {
                    if !std::mem::replace(&mut self.told_of_epochs, true) {
                        warn!(
                            "a window has trades of more than {MOST_EPOCHS} publishers' runs: those of \
                             further ones are counted as often as they come"
                        );
                    }
                }
                Verdict::Double => doubles += 1,
                Verdict::Rejected(rejection) => {
                    telemetry.trade_rejected(&rejection);
                    telemetry.rejected_waiting(line.rejected());
                    self.rejects.publish(delivery, rejection);
                }
            }
        }
        telemetry.trades_skipped(doubles);
    }

    /// Begins to write all full windows: if the last write is long enough ago, or half of the windows
    /// that may be in flight are waiting, so that reading does not have to pause.
    fn begin_write(&mut self, stopping: bool) {
        let Some(line) = &mut self.line else {
            return;
        };
        let is_due = self.write_began.elapsed() >= WRITE_INTERVAL
            || line.full_windows() * 2 >= self.config.windows_in_flight;
        if !(stopping || is_due) {
            return;
        }
        let Some(group) = line.write(ObjectId::new) else {
            return;
        };
        let (company, queue) = (&self.config.rules.company, &self.config.broker.queue);
        let documents = group
            .windows
            .into_iter()
            .map(|window| WindowDocument::new(company, queue, window))
            .collect::<Vec<_>>();
        self.writing = documents.len();
        self.write_began = Instant::now();
        let write = write(self.store, self.telemetry, queue, group.after, documents);
        self.write = Some(write.boxed_local());
    }

    fn written(&mut self, outcome: Outcome) {
        self.write = None;
        let Some(line) = &mut self.line else {
            return;
        };
        let settlement = line.written(self.writing, outcome);
        for _ in 0..settlement.stored {
            self.telemetry.window_stored(self.write_began.elapsed());
        }
        self.telemetry.trades_skipped(settlement.doubles);
        if settlement.foreign > 0 {
            info!(
                windows = settlement.foreign,
                doubles = settlement.doubles,
                "another consumer stored windows of this queue"
            );
        }
    }

    /// Begins to record which trades were rejected.
    fn begin_record(&mut self) {
        let Some(rejected) = self.line.as_mut().and_then(Line::record) else {
            return;
        };
        let (store, telemetry) = (self.store, self.telemetry);
        let queue = &self.config.broker.queue;
        let record = async move { insist(telemetry, || store.record(queue, &rejected)).await };
        self.record = Some(record.boxed_local());
    }

    fn recorded(&mut self) {
        self.record = None;
        if let Some(line) = &mut self.line {
            line.recorded();
        }
    }

    fn moved(&mut self, delivery_tag: u64) {
        if let Some(line) = &mut self.line {
            line.moved(delivery_tag);
        }
    }

    fn postpone_look(&mut self) {
        self.next_look = Instant::now() + SILENCE;
        self.last_look = None;
    }

    /// Begins to look whether the broker holds back what waits in the queue. A quorum queue does that when
    /// its member beside the consumer falls far behind the others: it hands out what never arrives (seen with
    /// RabbitMQ 4.3, after all brokers of a busy cluster had been restarted). Another broker helps.
    fn begin_look(&mut self) {
        let (store, queue) = (self.store, &self.config.broker.queue);
        let waiting = self.subscription.waiting(queue);
        let look = async move {
            let waiting = waiting.await?;
            let last = match waiting {
                0 => None,
                _ => store.last_window(queue).await.ok(),
            };
            Ok(Look { waiting, last })
        };
        self.look = Some(look.boxed_local());
    }

    /// # Errors
    /// When the broker does not answer, or holds messages back.
    fn looked(&mut self, look: Result<Look, BrokerError>) -> Result<(), Interruption> {
        self.look = None;
        self.next_look = Instant::now() + SILENCE;
        let look = look?;
        let standstill = self
            .last_look
            .replace(look)
            .is_some_and(|earlier| look.tells_of_a_standstill_since(&earlier));
        if standstill && !self.is_crowded() {
            return Err(BrokerError::HeldBack(look.waiting).into());
        }
        Ok(())
    }

    /// Whether the line waits for more, but holds all that the broker may send.
    fn is_crowded(&self) -> bool {
        let held = self.line.as_ref().and_then(Line::held_while_waiting);
        held.is_some_and(|held| held >= self.prefetch.into())
    }

    /// Notices that rejected messages, which cannot be moved, leave no room for valid ones.
    ///
    /// # Errors
    /// When a session with a larger prefetch count would have more room.
    fn notice_crowd(&mut self) -> Result<(), Interruption> {
        if !self.is_crowded() {
            self.crowded_since = None;
            return Ok(());
        }
        let since = *self.crowded_since.get_or_insert_with(Instant::now);
        if since.elapsed() < CROWDED_LIMIT {
            return Ok(());
        }
        if self.prefetch < LARGEST_PREFETCH {
            return Err(Interruption::Crowded(self.rejected()));
        }
        let reason = "rejected messages that cannot be moved have taken all the room";
        self.telemetry.waiting(Server::rabbitmq, reason);
        Ok(())
    }
}

/// Connects, and subscribes as soon as the queue is there and free.
async fn subscribe(
    config: &Config,
    telemetry: &Telemetry,
    prefetch: u16,
    last: Option<SocketAddr>,
) -> (Connection, Subscription) {
    let mut backoff = Backoff::default();
    loop {
        let connection = match Connection::open(&config.broker, "trades", last).await {
            Ok(connection) => connection,
            Err(error) => {
                telemetry.waiting(Server::rabbitmq, error.to_string());
                backoff.pause().await;
                continue;
            }
        };
        backoff = Backoff::default();
        loop {
            match Subscription::open(&connection, &config.broker.queue, prefetch).await {
                Ok(subscription) => return (connection, subscription),
                Err(BrokerError::QueueTaken) => telemetry.standing_by(),
                Err(error) => telemetry.waiting(Server::rabbitmq, error.to_string()),
            }
            backoff.pause().await;
            if !connection.is_open() {
                break;
            }
        }
    }
}

/// Writes windows until they, or others with their numbers, are durably stored. If the outcome of a
/// try is unknown, it is repeated with the same documents, so that no trade counts twice.
async fn write(
    store: &Store,
    telemetry: &Telemetry,
    queue: &str,
    after: Option<Place>,
    documents: Vec<WindowDocument>,
) -> Outcome {
    let mut backoff = Backoff::default();
    loop {
        match try_to_write(store, queue, after, &documents).await {
            Ok(Some(outcome)) => {
                telemetry.ready(Server::mongodb);
                return outcome;
            }
            Ok(None) => {}
            Err(error) => telemetry.waiting(Server::mongodb, error.to_string()),
        }
        backoff.pause().await;
    }
}

/// None if the windows' numbers are taken, but by which windows is not known yet.
async fn try_to_write(
    store: &Store,
    queue: &str,
    after: Option<Place>,
    documents: &[WindowDocument],
) -> Result<Option<Outcome>, StoreError> {
    match store.windows_after(queue, after).await? {
        None => return Ok(Some(Outcome::Displaced)),
        Some(found) if !found.is_empty() => return Ok(Some(Outcome::Taken(found))),
        Some(_) => {}
    }
    match store.write(documents).await {
        Ok(()) => Ok(Some(Outcome::Stored)),
        Err(error) if error.is_unfenced() => Ok(Some(Outcome::Displaced)),
        Err(error) if error.is_duplicate() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the database until it answers.
async fn insist<T>(telemetry: &Telemetry, request: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let mut backoff = Backoff::default();
    loop {
        match request().await {
            Ok(answer) => {
                telemetry.ready(Server::mongodb);
                return answer;
            }
            Err(error) => telemetry.waiting(Server::mongodb, error.to_string()),
        }
        backoff.pause().await;
    }
}

/// How often the broker has delivered a message in vain; quorum queues tell it.
fn redeliveries(delivery: &Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref();
    let count =
        headers.and_then(|headers| headers.inner().get("x-delivery-count")?.as_long_long_int());
    count.unwrap_or(0)
}

/// Waits for work that is under way; for ever if there is none.
async fn wait_for<T>(work: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
