//! The broker: finding the queue, taking deliveries in groups, moving rejected ones aside.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind};

use crate::config::BrokerConfig;
use crate::trade::Rejection;

/// How long one request to the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds. A broker that is silent for two of these intervals counts as lost.
const HEARTBEAT: u16 = 10;

/// The pause when no delivery is there. Waking up for each delivery costs several times what reading
/// many at once does, and a window takes far longer to fill.
const GATHER: Duration = Duration::from_millis(2);

/// The most deliveries that are handed on at once.
const GROUP: usize = 1000;

/// Why a request to the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the queue does not exist: its publisher has to declare it")]
    QueueMissing,
    #[error("another consumer holds the queue")]
    QueueTaken,
    #[error("the broker cancelled the subscription: the queue is gone, or has moved")]
    Cancelled,
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the broker refused a rejected message")]
    RejectedRefused,
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
}

/// Connects to the broker.
///
/// # Errors
/// When the broker cannot be reached, or refuses the user.
pub async fn connect(config: &BrokerConfig, purpose: &str) -> Result<Connection, BrokerError> {
    let mut url = config.url.clone();
    url.query.heartbeat.get_or_insert(HEARTBEAT);
    let name = format!("stock-consumer {} ({purpose})", config.queue);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    timed(Connection::connect_uri(url, properties)).await
}

/// A queue being read.
pub struct Subscription {
    channel: Channel,
    deliveries: Consumer,
}

impl Subscription {
    /// Subscribes to a queue as it is found; never declares it. At most `prefetch` deliveries
    /// are held unacknowledged.
    ///
    /// # Errors
    /// [`BrokerError::QueueMissing`] and [`BrokerError::QueueTaken`] may pass by themselves.
    pub async fn open(
        connection: &Connection,
        queue: &str,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        // Exclusive consumption keeps a second consumer waiting. Some kinds of queue refuse it if the
        // queue has a single active consumer anyway.
        match Self::consume(connection, queue, prefetch, true).await {
            Err(BrokerError::QueueTaken) => Self::consume(connection, queue, prefetch, false).await,
            outcome => outcome,
        }
    }

    async fn consume(
        connection: &Connection,
        queue: &str,
        prefetch: u16,
        exclusive: bool,
    ) -> Result<Self, BrokerError> {
        let channel = timed(connection.create_channel()).await?;
        let look_up = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        timed(channel.queue_declare(queue.into(), look_up, FieldTable::default()))
            .await
            .map_err(|error| match soft_error(&error) {
                Some((AMQPSoftError::NOTFOUND, _)) => BrokerError::QueueMissing,
                _ => error,
            })?;
        timed(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions {
            exclusive,
            ..Default::default()
        };
        let deliveries = timed(channel.basic_consume(
            queue.into(),
            ShortString::default(),
            options,
            FieldTable::default(),
        ))
        .await
        .map_err(|error| match soft_error(&error) {
            Some((AMQPSoftError::ACCESSREFUSED, text)) if text.contains("exclusive use") => {
                BrokerError::QueueTaken
            }
            _ => error,
        })?;
        Ok(Self {
            channel,
            deliveries,
        })
    }

    /// Waits for deliveries, and returns those that are there, in order, up to a limit. Dropping the
    /// future loses none.
    ///
    /// # Errors
    /// When the connection is lost, or the queue vanishes.
    pub async fn take(&mut self, group: &mut Vec<Delivery>) -> Result<(), BrokerError> {
        self.take_present(group)?;
        if group.is_empty() {
            // Blocks the thread on purpose. Meanwhile data gathers in the socket, and the client reads
            // it at once instead of waking up for each segment.
            std::thread::sleep(GATHER);
            let first = self.deliveries.next().await;
            group.push(first.ok_or(BrokerError::Cancelled)??);
            self.take_present(group)?;
        }
        Ok(())
    }

    fn take_present(&mut self, group: &mut Vec<Delivery>) -> Result<(), BrokerError> {
        while group.len() < GROUP {
            match self.deliveries.next().now_or_never() {
                Some(Some(delivery)) => group.push(delivery?),
                // The deliveries before the end are still valid.
                Some(None) if group.is_empty() => return Err(BrokerError::Cancelled),
                Some(None) | None => break,
            }
        }
        Ok(())
    }

    /// Acknowledges one delivery.
    pub async fn ack(&self, delivery_tag: u64) -> Result<(), BrokerError> {
        timed(
            self.channel
                .basic_ack(delivery_tag, BasicAckOptions::default()),
        )
        .await
    }

    /// Acknowledges all deliveries up to one.
    pub async fn ack_up_to(&self, delivery_tag: u64) -> Result<(), BrokerError> {
        timed(
            self.channel
                .basic_ack(delivery_tag, BasicAckOptions { multiple: true }),
        )
        .await
    }

    /// Stops deliveries. Those received can still be acknowledged.
    pub async fn cancel(&self) -> Result<(), BrokerError> {
        timed(
            self.channel
                .basic_cancel(self.deliveries.tag(), BasicCancelOptions::default()),
        )
        .await
    }
}

/// Moves invalid trades to the durable queue `<queue>.rejected`.
///
/// It has a connection of its own: a broker that is short of memory or disk stops reading from
/// connections that publish, and acknowledgements must not wait for that.
pub struct Rejects {
    config: BrokerConfig,
    queue: String,
    /// Opened when the first message is moved.
    outlet: Option<(Connection, Channel)>,
    /// Messages that the broker has not confirmed yet, with the delivery tag of each original.
    unconfirmed:
        FuturesUnordered<futures_util::future::BoxFuture<'static, Result<u64, BrokerError>>>,
}

impl Rejects {
    pub fn new(config: &BrokerConfig) -> Self {
        Self {
            config: config.clone(),
            queue: format!("{}.rejected", config.queue),
            outlet: None,
            unconfirmed: FuturesUnordered::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// Publishes a message to the queue of rejected messages. Body and properties stay as they are; the
    /// header `x-rejected-reason` names the broken rule, `x-rejected-detail` explains it.
    pub async fn publish(
        &mut self,
        delivery: Delivery,
        rejection: &Rejection,
    ) -> Result<(), BrokerError> {
        let channel = match &self.outlet {
            Some((_, channel)) => channel,
            None => &self.outlet.insert(self.open().await?).1,
        };
        let text = |text: String| AMQPValue::LongString(text.into());
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers.insert("x-rejected-reason".into(), text(rejection.reason().into()));
        headers.insert("x-rejected-detail".into(), text(rejection.to_string()));
        let properties = delivery
            .properties
            .with_headers(headers)
            .with_delivery_mode(2);
        // The broker also confirms a message that no queue takes, unless it is mandatory.
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let queue = self.queue.as_str().into();
        let confirm = channel
            .basic_publish(
                ShortString::default(),
                queue,
                options,
                &delivery.data,
                properties,
            )
            .await?;
        let delivery_tag = delivery.delivery_tag;
        self.unconfirmed.push(
            async move {
                match confirm.await? {
                    Confirmation::Ack(None) => Ok(delivery_tag),
                    _ => Err(BrokerError::RejectedRefused),
                }
            }
            .boxed(),
        );
        Ok(())
    }

    /// Waits for the next confirmation, and returns the delivery tag of the original. Waits for ever if
    /// no message is unconfirmed.
    pub async fn confirmed(&mut self) -> Result<u64, BrokerError> {
        match self.unconfirmed.next().await {
            Some(confirmed) => confirmed,
            None => std::future::pending().await,
        }
    }

    async fn open(&self) -> Result<(Connection, Channel), BrokerError> {
        let connection = connect(&self.config, "rejected").await?;
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        // Since version 4, brokers drop a message after 20 redeliveries by default. For them -1 means
        // no limit; for 3.10 it means that none is allowed.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let channel = match self.declare(&connection, durable, arguments).await {
            // The queue exists with other arguments: use it as it is.
            Err(error)
                if matches!(
                    soft_error(&error),
                    Some((AMQPSoftError::PRECONDITIONFAILED, _))
                ) =>
            {
                self.declare(&connection, passive, FieldTable::default())
                    .await?
            }
            outcome => outcome?,
        };
        timed(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok((connection, channel))
    }

    /// Declares the queue of rejected messages on a channel of its own: a refusal closes it.
    async fn declare(
        &self,
        connection: &Connection,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Channel, BrokerError> {
        let channel = timed(connection.create_channel()).await?;
        timed(channel.queue_declare(self.queue.as_str().into(), options, arguments)).await?;
        Ok(channel)
    }
}

/// Limits the time of a request: a broker without a quorum may never answer.
async fn timed<T>(request: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(BrokerError::TimedOut),
    }
}

/// The code and text of an error that closed only the channel.
fn soft_error(error: &BrokerError) -> Option<(AMQPSoftError, &str)> {
    let BrokerError::Amqp(error) = error else {
        return None;
    };
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return None;
    };
    match error.kind() {
        AMQPErrorKind::Soft(kind) => Some((kind.clone(), error.get_message().as_str())),
        AMQPErrorKind::Hard(_) => None,
    }
}
