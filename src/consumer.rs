//! The consumer: performs what the [`line`](crate::line) of each queue decides, at the broker and in the
//! database.
//!
//! Each queue is read by itself: a session of its own, with its own windows, waits for its own troubles. All
//! share the connections to broker and database.
//!
//! Reading goes on during a write. The windows that fill up until the next write are the next group.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{Instrument, debug, error_span, info, warn};

use crate::backoff::Backoff;
use crate::broker::{BrokerError, Connection, Rejects, Subscription};
use crate::config::{Config, QueueConfig};
use crate::connections::Connections;
use crate::delivery::{Delivery, Group};
use crate::document::WindowDocument;
use crate::line::{Action, Line, Message, Outcome, Verdict};
use crate::retention::retain;
use crate::shutdown::Shutdown;
use crate::store::{Store, StoreError};
use crate::telemetry::{QueueTelemetry, Server, Telemetry, Wait};
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

/// How many queues may be subscribed to at the same time.
const TURNS: usize = 4;

/// How long a queue may keep others from their turn.
const TURN: Duration = Duration::from_secs(1);

/// The least time from one try to subscribe to the next, on average, if many queues are missing.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// Consumes the configured queues until shutdown is requested, whatever happens to broker and database
/// meanwhile. Returns within five seconds after the request.
pub async fn consume(config: &Config, telemetry: &Telemetry, shutdown: &Shutdown) {
    let too_late = async {
        shutdown.requested().await;
        sleep(SHUTDOWN_LIMIT).await;
    };
    let telemetries: Vec<QueueTelemetry> = config
        .queues
        .iter()
        .map(|queue| telemetry.queue(&queue.name))
        .collect();
    let turns = Semaphore::new(TURNS);
    let store = OnceCell::new();
    let open =
        async |telemetry| insist(telemetry, || store.get_or_try_init(|| open_store(config))).await;
    let [trades, rejected] = ["trades", "rejected"].map(|purpose| {
        let queues = match &config.queues[..] {
            [only] => only.name.clone(),
            queues => format!("{} queues", queues.len()),
        };
        Connections::new(
            &config.broker,
            format!("stock-consumer {queues} ({purpose})"),
        )
    });
    let queues = std::iter::zip(&config.queues, &telemetries).map(|(queue, telemetry)| {
        let span = error_span!("consume", queue = queue.name);
        let (open, trades, rejected, turns) = (&open, &trades, &rejected, &turns);
        let work = async move {
            let Some(store) = shutdown.or(open(telemetry)).await else {
                return;
            };
            let desk = Desk {
                config,
                queue,
                store,
                telemetry,
                trades,
                rejected,
                turns,
            };
            sessions(desk, shutdown).await;
        };
        work.instrument(span)
    });
    let remove = async {
        let Some(first) = telemetries.first() else {
            return;
        };
        retain(config, open(first).await, &telemetries).await;
    };
    let work = async {
        tokio::select! {
            _ = join_all(queues) => {}
            () = remove => {}
        }
        if let Some(connection) = trades.current()
            && let Err(error) = connection.close().await
        {
            debug!(%error, "closing the connection");
        }
    };
    tokio::select! {
        () = work => info!("stopped"),
        () = too_late => warn!("stopped before all was stored: the rest stays in the queue"),
    }
}

/// Opens the database, with the indexes that it needs.
async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let store = Store::new(&config.database).await?;
    store.prepare().await.map(|()| store)
}

/// What the sessions of one queue work with.
#[derive(Clone, Copy)]
struct Desk<'a> {
    config: &'a Config,
    queue: &'a QueueConfig,
    store: &'a Store,
    telemetry: &'a QueueTelemetry,
    /// For all queues.
    trades: &'a Connections,
    /// For all queues.
    rejected: &'a Connections,
    /// To subscribe.
    turns: &'a Semaphore,
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

impl Interruption {
    /// Whether the broker does not answer.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Broker(BrokerError::TimedOut(_)))
    }

    /// Whether another connection may help.
    fn calls_for_another_connection(&self) -> bool {
        self.is_silence() || matches!(self, Self::Broker(BrokerError::HeldBack(_)))
    }
}

/// One session after the other, each on a connection that is there for all queues. If it is this queue that
/// is in trouble there, the next session has a connection of its own, and the others keep theirs.
async fn sessions(desk: Desk<'_>, shutdown: &Shutdown) {
    let Desk {
        store, telemetry, ..
    } = desk;
    let mut prefetch = desk.config.prefetch();
    let mut connections = desk.trades.clone();
    loop {
        let open = Session::open(desk, &mut connections, prefetch);
        let Some(mut session) = shutdown.or(open).await else {
            return;
        };
        let outcome = session.run(shutdown).await;
        let is_silent = outcome.as_ref().is_err_and(Interruption::is_silence);
        let connection = session.end(is_silent).await;
        let Err(interruption) = outcome else {
            return;
        };
        connections = if interruption.calls_for_another_connection() {
            connections.separate()
        } else {
            desk.trades.clone()
        };
        match interruption {
            Interruption::Broker(error) => {
                telemetry.waiting(Server::rabbitmq, wait_of(&connection, &error));
            }
            Interruption::Displaced => {
                warn!("{interruption}");
                let prepare = insist(telemetry, || store.prepare());
                if shutdown.or(prepare).await.is_none() {
                    return;
                }
            }
            Interruption::Crowded(_) => {
                warn!("{interruption}");
                prefetch = LARGEST_PREFETCH;
            }
        }
    }
}

/// What a queue waits for after an error on a connection.
fn wait_of(connection: &Connection, error: &BrokerError) -> Wait {
    if connection.is_open() {
        Wait::of_queue(error)
    } else {
        Wait::common(error)
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
    desk: Desk<'a>,
    connection: Arc<Connection>,
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
    /// Subscribes to the queue; keeps trying until it can.
    async fn open(desk: Desk<'a>, connections: &mut Connections, prefetch: u16) -> Self {
        let (connection, subscription) = subscribe(desk, connections, prefetch).await;
        let telemetry = desk.telemetry;
        telemetry.ready(Server::rabbitmq);
        telemetry.windows_in_flight(0);
        telemetry.rejected_waiting(0);
        Self {
            desk,
            connection,
            subscription,
            prefetch,
            rejects: Rejects::new(desk.rejected, &desk.queue.name, telemetry),
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
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Interruption> {
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
            let may_read = !stopping && full < self.desk.config.windows_in_flight;
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
                group = self.subscription.take(), if may_read => self.accept(&group?).await,
                look = wait_for(&mut self.look) => self.looked(look)?,
                () = sleep_until(self.next_look), if may_look => self.begin_look(),
                () = sleep(Duration::from_millis(200)), if self.rejected() > 0 => {
                    self.notice_crowd()?;
                }
            }
        }
        Ok(())
    }

    /// Gives the deliveries that are not acknowledged back to the queue. If the broker's part of the channel
    /// hangs, they come back only with the end of the connection, which others share. If it is the queue that
    /// hangs, that would not help.
    async fn end(self, is_silent: bool) -> Arc<Connection> {
        let (connection, queue) = (self.connection, &self.desk.queue.name);
        if is_silent {
            let is_alone = self.desk.config.queues.len() == 1;
            if is_alone || connection.reaches(queue).await {
                connection.cut();
            }
        } else if let Err(error) = self.subscription.close().await {
            debug!(%error, "ending the subscription");
        }
        connection
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
        self.desk.telemetry.windows_in_flight(line.full_windows());
        self.desk.telemetry.rejected_waiting(line.rejected());
        Ok(())
    }

    /// Nothing is on its way any more, or it takes too long.
    fn is_finished(&self, stopping_since: Instant) -> bool {
        let nothing_to_store = self.write.is_none() && self.record.is_none();
        let all_moved = self.rejected() == 0 || stopping_since.elapsed() >= MOVING_LIMIT;
        nothing_to_store && all_moved
    }

    /// Adds the trades of a group of deliveries to windows, and moves invalid ones aside.
    async fn accept(&mut self, group: &Group) {
        self.postpone_look();
        self.desk.telemetry.trades_read(group.len());
        let Desk {
            config,
            store,
            telemetry,
            ..
        } = self.desk;
        let (queue, rules) = (&self.desk.queue.name, &self.desk.queue.rules);
        let line = match &mut self.line {
            Some(line) => line,
            None => {
                let last = insist(telemetry, || store.last_window(queue)).await;
                self.line.insert(Line::new(config.batch_size.into(), last))
            }
        };
        let mut doubles = 0;
        for delivery in group.iter() {
            if delivery.redelivered {
                telemetry.redelivered(redeliveries(&delivery));
            }
            let marks = delivery.properties.marks();
            let identity = Identity::read(marks.kind, marks.message_id);
            let message = Message {
                delivery_tag: delivery.delivery_tag,
                trade: rules.parse(delivery.data),
                identity,
                timestamp: marks.timestamp,
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
            || line.full_windows() * 2 >= self.desk.config.windows_in_flight;
        if !(stopping || is_due) {
            return;
        }
        let Some(group) = line.write(ObjectId::new) else {
            return;
        };
        let Desk {
            store, telemetry, ..
        } = self.desk;
        let (queue, company) = (&self.desk.queue.name, &self.desk.queue.rules.company);
        let documents = group
            .windows
            .into_iter()
            .map(|window| WindowDocument::new(company, queue, window))
            .collect::<Vec<_>>();
        self.writing = documents.len();
        self.write_began = Instant::now();
        let write = write(store, telemetry, queue, group.after, documents);
        self.write = Some(write.boxed_local());
    }

    fn written(&mut self, outcome: Outcome) {
        self.write = None;
        let Some(line) = &mut self.line else {
            return;
        };
        let settlement = line.written(self.writing, outcome);
        for _ in 0..settlement.stored {
            self.desk
                .telemetry
                .window_stored(self.write_began.elapsed());
        }
        self.desk.telemetry.trades_skipped(settlement.doubles);
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
        let Desk {
            store, telemetry, ..
        } = self.desk;
        let queue = &self.desk.queue.name;
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
        let (store, queue) = (self.desk.store, &self.desk.queue.name);
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
        let wait = Wait::of_queue(reason);
        self.desk.telemetry.waiting(Server::rabbitmq, wait);
        Ok(())
    }
}

/// Connects, and subscribes as soon as the queue is there and free.
async fn subscribe(
    desk: Desk<'_>,
    connections: &mut Connections,
    prefetch: u16,
) -> (Arc<Connection>, Subscription) {
    let (queue, telemetry) = (&desk.queue.name, desk.telemetry);
    // A queue that is not there costs the broker a channel each time.
    let longest = TRY_INTERVAL * desk.config.queues.len() as u32;
    let mut backoff = Backoff::up_to(longest.max(Duration::from_secs(1)));
    loop {
        let connection = match connections.get().await {
            Ok(connection) => connection,
            Err(error) => {
                telemetry.waiting(Server::rabbitmq, Wait::common(error));
                continue;
            }
        };
        let open = Subscription::open(&connection, queue, prefetch);
        match in_turn(desk.turns, open).await {
            Ok(subscription) => return (connection, subscription),
            Err(BrokerError::QueueTaken) => telemetry.standing_by(),
            Err(error) if error.is_out_of_channels() => {
                *connections = connections.overflow();
                continue;
            }
            Err(error) => {
                telemetry.waiting(Server::rabbitmq, wait_of(&connection, &error));
                if error.closed_the_connection() {
                    // The others need not suffer from it again.
                    *connections = connections.separate();
                }
            }
        }
        backoff.pause().await;
    }
}

/// Does something when it is its turn, so that many queues do not come upon the broker at once. If it takes
/// long, others have their turn meanwhile.
async fn in_turn<T>(turns: &Semaphore, something: impl Future<Output = T>) -> T {
    let mut something = pin!(something);
    // Fails only for a closed semaphore.
    let turn = turns.acquire().await;
    match timeout(TURN, &mut something).await {
        Ok(outcome) => outcome,
        Err(_) => {
            drop(turn);
            something.await
        }
    }
}

/// Writes windows until they, or others with their numbers, are durably stored. If the outcome of a
/// try is unknown, it is repeated with the same documents, so that no trade counts twice.
async fn write(
    store: &Store,
    telemetry: &QueueTelemetry,
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
            Err(error) => telemetry.waiting(Server::mongodb, Wait::common(error)),
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
async fn insist<T>(
    telemetry: &QueueTelemetry,
    request: impl AsyncFn() -> Result<T, StoreError>,
) -> T {
    let mut backoff = Backoff::default();
    loop {
        match request().await {
            Ok(answer) => {
                telemetry.ready(Server::mongodb);
                return answer;
            }
            Err(error) => telemetry.waiting(Server::mongodb, Wait::common(error)),
        }
        backoff.pause().await;
    }
}

/// How often the broker has delivered a message in vain; quorum queues tell it.
fn redeliveries(delivery: &Delivery<'_>) -> i64 {
    let properties = delivery.properties.decode();
    let headers = properties.headers().as_ref();
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
