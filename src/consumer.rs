//! The consumer: from deliveries to acknowledged windows.
//!
//! Windows are written one group after the other, and inside a group in order, so that window
//! *n* + 1 is never stored unless *n* is. A unique index on (queue, window number) is the fence: of
//! two consumers that write window *n*, one is refused, reads what the other counted, drops those
//! trades and goes on. Exactly-once counting relies on nothing else: the broker may let a second
//! consumer in, and a consumer need not notice that it was frozen or lost its connection.
//!
//! Reading goes on during a write. The windows that fill up until the next write are the next group.

use std::time::Duration;

use bson::oid::ObjectId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::message::Delivery;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::broker::{self, BrokerError, Rejects, Subscription};
use crate::config::Config;
use crate::ledger::{EpochId, Ledger};
use crate::shutdown::Shutdown;
use crate::store::{self, Store, StoreError, StoredWindow, WindowDocument};
use crate::telemetry::{Server, Telemetry};
use crate::trade::{Identity, Rejection};
use crate::window::{Entry, Place, Windows};

/// How long a shutdown may take. Trades that are unacknowledged by then stay in the queue.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);

/// The least time from one write to the next. A journaled majority write costs the members of the
/// replica set several times what reading a window costs, however few windows are in it; on the
/// other hand the broker slows down when much is unacknowledged: by a tenth at 2000 trades, by a
/// seventh at 6000 (a classic queue of RabbitMQ 3.10.8 on two cores).
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// Consumes the configured queue until shutdown is requested, whatever happens to broker and database
/// meanwhile. Returns within five seconds after the request.
pub async fn consume(config: &Config, store: &Store, telemetry: &Telemetry, shutdown: &Shutdown) {
    let too_late = async {
        shutdown.requested().await;
        sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::select! {
        () = sessions(config, store, telemetry, shutdown) => info!("stopped"),
        () = too_late => warn!("stopped before all was stored: the rest stays in the queue"),
    }
}

/// One session after the other, each from a new connection to its loss.
async fn sessions(config: &Config, store: &Store, telemetry: &Telemetry, shutdown: &Shutdown) {
    let prepare = insist(telemetry, || store.prepare());
    if shutdown.or(prepare).await.is_none() {
        return;
    }
    while let Some(session) = shutdown.or(Session::open(config, store, telemetry)).await {
        match session.run(shutdown).await {
            Ok(()) => return,
            Err(error) => telemetry.waiting(Server::rabbitmq, error.to_string()),
        }
    }
}

/// One subscription, and the trades read from it. When it ends, those that are not stored are dropped:
/// the broker delivers them again, and the database knows which were counted.
struct Session<'a> {
    config: &'a Config,
    store: &'a Store,
    telemetry: &'a Telemetry,
    /// Held for the subscription: dropping it ends the connection.
    connection: lapin::Connection,
    subscription: Subscription,
    rejects: Rejects,
    ledger: Ledger,
    windows: Windows,
    /// Whether `last_stored` has been read. That waits for the first delivery: a hot standby may wait
    /// for days.
    positioned: bool,
    /// The queue's last stored window.
    last_stored: Option<Place>,
    write_began: Instant,
}

/// The outcome of writing a group of windows.
enum Outcome {
    /// All of them are stored.
    Stored(usize),
    /// These windows have their numbers, from the first one on: our own, if an earlier try succeeded
    /// unnoticed, or another consumer's.
    Taken(Vec<StoredWindow>),
}

impl<'a> Session<'a> {
    /// Subscribes to the queue; keeps trying until it can.
    async fn open(config: &'a Config, store: &'a Store, telemetry: &'a Telemetry) -> Self {
        let (connection, subscription) = subscribe(config, telemetry).await;
        telemetry.ready(Server::rabbitmq);
        telemetry.windows_in_flight(0);
        Self {
            config,
            store,
            telemetry,
            connection,
            subscription,
            rejects: Rejects::new(&config.broker),
            ledger: Ledger::default(),
            windows: Windows::new(config.batch_size.into()),
            positioned: false,
            last_stored: None,
            write_began: Instant::now(),
        }
    }

    /// Consumes until shutdown is requested.
    ///
    /// # Errors
    /// When the connection to the broker is lost. Open a new session then.
    async fn run(mut self, shutdown: &Shutdown) -> Result<(), BrokerError> {
        let mut group = Vec::new();
        let mut write: Option<BoxFuture<'static, Outcome>> = None;
        let mut stopping = false;
        loop {
            let mut waiting = write.is_none() && !self.windows.full().is_empty();
            if waiting && (stopping || self.write_is_due()) {
                write = Some(self.write());
                waiting = false;
            }
            if stopping && write.is_none() && self.rejects.is_empty() {
                break;
            }
            let may_read = !stopping && self.windows.full().len() < self.config.windows_in_flight;
            tokio::select! {
                biased;
                () = shutdown.requested(), if !stopping => {
                    info!("stopping");
                    stopping = true;
                    self.subscription.cancel().await?;
                }
                outcome = wait_for(&mut write) => {
                    write = None;
                    self.settle(outcome).await?;
                }
                () = sleep_until(self.write_began + WRITE_INTERVAL), if waiting => {}
                confirmed = self.rejects.confirmed() => self.subscription.ack(confirmed?).await?,
                taken = self.subscription.take(&mut group), if may_read => {
                    taken?;
                    self.accept(&mut group).await?;
                }
            }
        }
        // Closing gives the deliveries that are not acknowledged back to the queue.
        if let Err(error) = self.connection.close(200, "stopped".into()).await {
            debug!(%error, "closing the connection");
        }
        Ok(())
    }

    /// Adds the trades of a group of deliveries to windows, and moves invalid ones aside.
    async fn accept(&mut self, group: &mut Vec<Delivery>) -> Result<(), BrokerError> {
        self.telemetry.trades_read(group.len());
        if !self.positioned {
            let queue = &self.config.broker.queue;
            self.last_stored = insist(self.telemetry, || self.store.last_window(queue)).await;
            self.positioned = true;
        }
        let mut doubles = Vec::new();
        for delivery in group.drain(..) {
            let trade = match self.config.rules.parse(&delivery.data) {
                Ok(trade) => trade,
                Err(rejection) => {
                    self.reject(delivery, &rejection).await?;
                    continue;
                }
            };
            let properties = &delivery.properties;
            let identity = match properties
                .message_id()
                .as_ref()
                .and_then(|id| Identity::parse(id.as_str()))
            {
                None => None,
                Some(identity) => {
                    let epoch = match self.ledger.find(identity.epoch) {
                        Some(epoch) => epoch,
                        None => self.open_epoch(identity.epoch).await,
                    };
                    if !self.ledger.take(epoch, identity.sequence) {
                        doubles.push(delivery.delivery_tag);
                        continue;
                    }
                    Some((epoch, identity.sequence))
                }
            };
            self.windows.push(Entry {
                trade,
                identity,
                timestamp: *properties.timestamp(),
                delivery_tag: delivery.delivery_tag,
            });
        }
        self.telemetry.windows_in_flight(self.windows.full().len());
        self.skip(&doubles).await
    }

    async fn reject(
        &mut self,
        delivery: Delivery,
        rejection: &Rejection,
    ) -> Result<(), BrokerError> {
        let reason = rejection.reason();
        warn!(reason, detail = %rejection, "rejected a message");
        self.telemetry.trade_rejected(reason);
        self.rejects.publish(delivery, rejection).await
    }

    /// Acknowledges trades that a window already holds. The window need not be stored: its own copy of
    /// the trade is still unacknowledged.
    async fn skip(&mut self, doubles: &[u64]) -> Result<(), BrokerError> {
        self.telemetry.trades_skipped(doubles.len());
        for &delivery_tag in doubles {
            self.subscription.ack(delivery_tag).await?;
        }
        Ok(())
    }

    async fn open_epoch(&mut self, epoch: &str) -> EpochId {
        let queue = &self.config.broker.queue;
        let stored = insist(self.telemetry, || self.store.ledger(queue, epoch)).await;
        info!(
            epoch,
            counted = stored.count(),
            "a publisher's run begins or goes on"
        );
        self.ledger.open(epoch, stored)
    }

    /// Whether the last write is long enough ago, or half of the windows that may be in flight are
    /// waiting, so that reading does not have to pause.
    fn write_is_due(&self) -> bool {
        self.write_began.elapsed() >= WRITE_INTERVAL
            || self.windows.full().len() * 2 >= self.config.windows_in_flight
    }

    /// Begins to write all full windows.
    fn write(&mut self) -> BoxFuture<'static, Outcome> {
        let mut last = self.last_stored;
        for window in self.windows.full_mut() {
            let place = *window.place.get_or_insert_with(|| next_place(last));
            last = Some(place);
        }
        let places = self
            .windows
            .full()
            .iter()
            .filter_map(|w| Some((w, w.place?)));
        let queue = self.config.broker.queue.clone();
        let documents = store::documents(&self.config.rules.company, &queue, &self.ledger, places);
        self.write_began = Instant::now();
        write(self.store.clone(), self.telemetry.clone(), queue, documents).boxed()
    }

    /// Acknowledges what is stored, and drops what another consumer has counted.
    async fn settle(&mut self, outcome: Outcome) -> Result<(), BrokerError> {
        let mut acknowledge = None;
        let mut foreign = false;
        match outcome {
            Outcome::Stored(count) => {
                for _ in 0..count {
                    acknowledge = self.settle_oldest();
                }
            }
            Outcome::Taken(found) => {
                for StoredWindow {
                    id,
                    window: number,
                    trades,
                } in found
                {
                    let oldest = self.windows.full().front().and_then(|window| window.place);
                    if oldest.is_some_and(|place| place.id == id) {
                        acknowledge = self.settle_oldest();
                        continue;
                    }
                    foreign = true;
                    self.last_stored = Some(Place { number, id });
                    for epoch in trades {
                        self.ledger.store(&epoch.epoch, &epoch.ranges());
                    }
                }
            }
        }
        if let Some(delivery_tag) = acknowledge {
            // This also acknowledges the invalid trades in between: they must be confirmed first.
            while !self.rejects.is_empty() {
                self.rejects.confirmed().await?;
            }
            self.subscription.ack_up_to(delivery_tag).await?;
        }
        if foreign {
            let doubles = self.windows.drop_stored(&self.ledger);
            info!(
                doubles = doubles.len(),
                "another consumer stored windows of this queue"
            );
            self.skip(&doubles).await?;
        }
        self.telemetry.windows_in_flight(self.windows.full().len());
        Ok(())
    }

    /// Notes that the oldest full window is stored. Returns the delivery tag that acknowledges it.
    fn settle_oldest(&mut self) -> Option<u64> {
        let window = self.windows.pop_full()?;
        for (epoch, ranges) in window.ranges() {
            self.ledger.store_in(epoch, &ranges);
        }
        self.last_stored = window.place;
        self.telemetry.window_stored(self.write_began.elapsed());
        let delivery_tag = window.last_delivery_tag();
        self.windows.recycle(window);
        Some(delivery_tag)
    }
}

/// Connects, and subscribes as soon as the queue is there and free.
async fn subscribe(config: &Config, telemetry: &Telemetry) -> (lapin::Connection, Subscription) {
    let mut backoff = Backoff::default();
    loop {
        let connection = match broker::connect(&config.broker, "trades").await {
            Ok(connection) => connection,
            Err(error) => {
                telemetry.waiting(Server::rabbitmq, error.to_string());
                backoff.pause().await;
                continue;
            }
        };
        backoff = Backoff::default();
        loop {
            match Subscription::open(&connection, &config.broker.queue, config.prefetch()).await {
                Ok(subscription) => return (connection, subscription),
                Err(BrokerError::QueueTaken) => telemetry.standing_by(),
                Err(error) => telemetry.waiting(Server::rabbitmq, error.to_string()),
            }
            backoff.pause().await;
            if !connection.status().connected() {
                break;
            }
        }
    }
}

/// Writes windows until they, or others with their numbers, are durably stored. If the outcome of a
/// try is unknown, it is repeated with the same documents, so that no trade counts twice.
async fn write(
    store: Store,
    telemetry: Telemetry,
    queue: String,
    documents: Vec<WindowDocument>,
) -> Outcome {
    let mut backoff = Backoff::default();
    let first = documents.first().map_or(0, |document| document.window);
    loop {
        match store.insert(&documents).await {
            Ok(()) => {
                telemetry.ready(Server::mongodb);
                return Outcome::Stored(documents.len());
            }
            Err(error) if error.is_duplicate() => {}
            Err(error) => telemetry.waiting(Server::mongodb, error.to_string()),
        }
        match store.windows_from(&queue, first).await {
            Ok(found) if !found.is_empty() => {
                telemetry.ready(Server::mongodb);
                return Outcome::Taken(found);
            }
            // None yet, or none that a majority has: try again.
            Ok(_) => {}
            Err(error) => telemetry.waiting(Server::mongodb, error.to_string()),
        }
        backoff.pause().await;
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

/// The place after a queue's last window. The newest window has the highest `_id`, so the new `_id` is
/// higher than the last one even if a faster clock made that.
fn next_place(last: Option<Place>) -> Place {
    let mut id = ObjectId::new();
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

/// Waits for the current write; for ever if there is none.
async fn wait_for(write: &mut Option<BoxFuture<'static, Outcome>>) -> Outcome {
    match write {
        Some(write) => write.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_windows_have_higher_ids_whatever_the_clocks_say() {
        let first = next_place(None);
        assert_eq!(first.number, 0);
        let second = next_place(Some(first));
        assert_eq!(second.number, 1);
        assert!(second.id > first.id);
        let ahead = ObjectId::from_parts(u32::MAX - 1, [0xff; 5], [0xff; 3]);
        let third = next_place(Some(Place {
            number: 1,
            id: ahead,
        }));
        assert!(third.id > ahead);
    }
}
