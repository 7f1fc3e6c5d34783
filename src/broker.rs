//! The broker: finding the queue, taking deliveries in groups, moving rejected ones aside.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{
    AsyncTcpStream, BasicProperties, Channel, Confirmation, ConnectionProperties, Consumer,
    ErrorKind, PublisherConfirm,
};
use tokio::net::lookup_host;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::config::BrokerConfig;
use crate::connections::Connections;
use crate::delivery::{Delivery, Group};
use crate::intake::{Connector, Inbox, Intake, Socket as ClientSocket, Stream};
use crate::telemetry::QueueTelemetry;
use crate::tls::BROKER;
use crate::trade::Rejection;

/// How long one request to the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting, TLS and logging in may take together. With the pause before the next try it is
/// below 10 s, so that a consumer goes on within that time after a broker that was silent.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(7);

/// Seconds. A broker that is silent for two of these intervals counts as lost.
const HEARTBEAT: u16 = 10;

/// Bytes. A trade's frames are far smaller, and the client keeps buffers of 32 frames of this size.
const FRAME_MAX: u32 = 1 << 15;

/// The most messages that are moved at once.
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
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("the broker refuses messages for {0}: is there a length limit with reject-publish?")]
    Refused(String),
    #[error("the queue {0} is gone")]
    Unroutable(String),
    #[error("the broker is short of memory or disk space, and takes no messages")]
    Blocked,
    #[error(
        "nothing arrives, though {0} messages wait in the queue, and no consumer stores windows: \
         connecting again"
    )]
    HeldBack(u32),
    #[error("{0}")]
    Tls(String),
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    /// Of a connection that many wait for.
    #[error(transparent)]
    Connection(#[from] Arc<BrokerError>),
}

impl BrokerError {
    /// Whether it is the broker's answer to something that made it close the connection. RabbitMQ 3 does so
    /// when it cannot reach a quorum queue.
    pub fn closed_the_connection(&self) -> bool {
        let Self::Amqp(error) = self else {
            return false;
        };
        match error.kind() {
            ErrorKind::ProtocolError(error) => matches!(error.kind(), AMQPErrorKind::Hard(_)),
            _ => false,
        }
    }

    /// Whether the connection has as many channels as the broker, or the URL, allows.
    pub fn is_out_of_channels(&self) -> bool {
        matches!(self, Self::Amqp(error) if matches!(error.kind(), ErrorKind::ChannelsLimitReached))
    }
}

/// A connection to the broker. Dropping it ends the connection at once, even if the broker is silent.
pub struct Connection {
    amqp: lapin::Connection,
    intake: Intake,
    /// Held: dropping it ends the client's thread.
    socket: Arc<Socket>,
}

/// The client's socket. Left alone, the client would wait for ever for a broker that accepts the
/// connection and then says nothing, with a thread and a descriptor for each try.
#[derive(Default)]
struct Socket(OnceLock<std::net::TcpStream>);

impl Socket {
    fn keep(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let copy = std::net::TcpStream::from(socket.try_clone_to_owned()?);
        // There is one socket for each connection.
        let _ = self.0.set(copy);
        Ok(())
    }
}

impl Socket {
    fn shut_down(&self) {
        if let Some(stream) = self.0.get() {
            // Fails if the connection is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Connection {
    /// Connects to the broker. Takes no longer than the URL's `connection_timeout`, by default 7 s. Where a
    /// name stands for several brokers, it tries those after `last` first.
    ///
    /// # Errors
    /// When the broker cannot be reached, is silent, or refuses the user.
    pub async fn open(
        config: &BrokerConfig,
        name: &str,
        last: Option<SocketAddr>,
    ) -> Result<Self, BrokerError> {
        let mut url = config.url.clone();
        url.query.heartbeat.get_or_insert(HEARTBEAT);
        let frame_max = *url.query.frame_max.get_or_insert(FRAME_MAX);
        let limit = url.query.connection_timeout;
        let limit = limit.map_or(CONNECTION_TIMEOUT, Duration::from_millis);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let encrypted = url.scheme == AMQPScheme::AMQPS;
        let tls = config.tls.clone();
        let socket = Arc::new(Socket::default());
        let kept = Arc::downgrade(&socket);
        let intake = Intake::default();
        let sorted = intake.clone();
        let tokio = lapin::runtime::default_runtime()?;
        let connection = lapin::Connection::connector(
            url,
            Connector::runtime(intake.clone(), frame_max),
            async move |AMQPUri {
                            scheme, authority, ..
                        },
                        _| {
                let host = authority.host;
                let connect = async {
                    let addresses = lookup_host((host.as_str(), authority.port)).await?;
                    let addresses = following(last, addresses.collect());
                    let stream = ClientSocket::connect(&tokio, addresses).await?;
                    if let (AsyncTcpStream::Plain(plain), Some(kept)) = (&stream, kept.upgrade()) {
                        kept.keep(plain.get_ref().as_fd())?;
                    }
                    match scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => {
                            let name = tls.server_name.as_deref().unwrap_or(&host);
                            stream.into_rustls(&tls.connector()?, name).await
                        }
                    }
                };
                let stream: io::Result<_> = timeout(limit, connect)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                Ok(AsyncTcpStream::Plain(Stream::new(
                    stream?,
                    sorted.clone(),
                    frame_max,
                )))
            },
            properties,
        );
        match timeout(limit, connection).await {
            Ok(Ok(amqp)) => Ok(Self {
                amqp,
                intake,
                socket,
            }),
            Ok(Err(error)) => {
                let explanation = match error.kind() {
                    ErrorKind::IOError(cause) => BROKER.explain(cause, encrypted),
                    // An alert of TLS is no AMQP.
                    ErrorKind::ParsingError(_) => Some(BROKER.explain_end(encrypted)),
                    _ => None,
                };
                Err(explanation.map_or_else(|| error.into(), BrokerError::Tls))
            }
            Err(_) => Err(BrokerError::TimedOut(limit)),
        }
    }

    /// The broker's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.socket.0.get()?.peer_addr().ok()
    }

    pub fn is_open(&self) -> bool {
        self.amqp.status().connected()
    }

    /// Whether the broker is short of memory or disk space, and reads nothing from publishers.
    pub fn is_blocked(&self) -> bool {
        self.amqp.status().blocked()
    }

    /// Closes the connection. The broker gives back all deliveries that are not acknowledged.
    pub async fn close(&self) -> Result<(), BrokerError> {
        timed(self.amqp.close(200, "stopped".into())).await
    }

    /// Whether a queue answers on a channel of its own. Where another channel waits for an answer of the same
    /// queue, that tells which of the two hangs.
    pub async fn reaches(&self, queue: &str) -> bool {
        let asked = async {
            let channel = timed(self.amqp.create_channel()).await?;
            look_up(&channel, queue).await
        };
        asked.await.is_ok()
    }

    /// Ends the connection at once, for all who share it, even if the broker is silent.
    pub fn cut(&self) {
        self.socket.shut_down();
    }
}

/// The addresses in the order that begins after `last`.
fn following(last: Option<SocketAddr>, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let found = addresses.iter().position(|address| Some(*address) == last);
    addresses.rotate_left(found.map_or(0, |index| index + 1));
    addresses
}

/// A queue being read.
pub struct Subscription {
    channel: Channel,
    inbox: Inbox,
    /// Tells when and why the subscription ends.
    consumer: Consumer,
    end: Option<BrokerError>,
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
        let channel = timed(connection.amqp.create_channel()).await?;
        look_up(&channel, queue).await?;
        timed(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions {
            exclusive,
            ..Default::default()
        };
        let inbox = connection.intake.inbox(channel.id());
        let consumer = timed(channel.basic_consume(
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
            inbox,
            consumer,
            end: None,
        })
    }

    /// The next group of deliveries, in order. Dropping the future loses none.
    ///
    /// # Errors
    /// When the connection is lost, or the queue vanishes.
    pub async fn take(&mut self) -> Result<Group, BrokerError> {
        loop {
            // Those that came before the end are still valid.
            if let Some(group) = self.inbox.take() {
                return Ok(group);
            }
            if let Some(error) = self.end.take() {
                return Err(error);
            }
            tokio::select! {
                () = self.inbox.arrived() => {}
                end = self.consumer.next() => {
                    self.end = Some(match end {
                        Some(Err(error)) => error.into(),
                        _ => BrokerError::Cancelled,
                    });
                }
            }
        }
    }

    /// How many messages wait in the queue: neither acknowledged nor handed out. It asks on the channel
    /// of the deliveries: if the broker's part of that hangs, there is no answer.
    ///
    /// # Errors
    /// When there is no answer, or no queue.
    pub fn waiting(&self, queue: &str) -> impl Future<Output = Result<u32, BrokerError>> + use<> {
        let (channel, queue) = (self.channel.clone(), queue.to_owned());
        async move { look_up(&channel, &queue).await }
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

    /// Ends the subscription. The broker gives back all deliveries that are not acknowledged.
    pub async fn close(&self) -> Result<(), BrokerError> {
        timed(self.channel.close(200, "ended".into())).await
    }

    /// Stops deliveries. Those received can still be acknowledged.
    pub async fn cancel(&self) -> Result<(), BrokerError> {
        timed(
            self.channel
                .basic_cancel(self.consumer.tag(), BasicCancelOptions::default()),
        )
        .await
    }
}

/// A message on its way to the queue of rejected messages.
struct Rejected {
    delivery_tag: u64,
    properties: BasicProperties,
    data: Vec<u8>,
    rejection: Rejection,
}

/// Moves invalid trades to the durable queue `<queue>.rejected`, in the background, for as long as it
/// takes: the queue may be full or gone, the user may lack the right to write to it, or the broker may
/// be short of memory. Nothing waits for that.
///
/// It has a connection apart from the trades': a broker that is short of memory or disk stops reading from
/// connections that publish, and acknowledgements must not wait for that.
pub struct Rejects {
    messages: UnboundedSender<Rejected>,
    moved: UnboundedReceiver<u64>,
    task: AbortHandle,
}

impl Drop for Rejects {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rejects {
    /// `queue` holds the messages before they are moved.
    pub fn new(connections: &Connections, queue: &str, telemetry: &QueueTelemetry) -> Self {
        let (messages, incoming) = unbounded_channel();
        let (outgoing, moved) = unbounded_channel();
        let mover = Mover {
            queue: format!("{queue}.rejected"),
            connections: connections.clone(),
            telemetry: telemetry.clone(),
            incoming,
            channel: None,
            pending: VecDeque::new(),
            moved: outgoing,
        };
        let task = tokio::spawn(mover.run().in_current_span()).abort_handle();
        Self {
            messages,
            moved,
            task,
        }
    }

    /// Moves a message. Body and properties stay as they are; the header `x-rejected-reason` names the
    /// broken rule, `x-rejected-detail` explains it.
    pub fn publish(&self, delivery: Delivery<'_>, rejection: Rejection) {
        // Fails only while the runtime ends.
        let _ = self.messages.send(Rejected {
            delivery_tag: delivery.delivery_tag,
            properties: delivery.properties.decode(),
            data: delivery.data.to_vec(),
            rejection,
        });
    }

    /// Waits until a message is moved, and returns the delivery tag of the original. Waits for ever if
    /// there is none.
    pub async fn moved(&mut self) -> u64 {
        match self.moved.recv().await {
            Some(delivery_tag) => delivery_tag,
            None => std::future::pending().await,
        }
    }
}

/// The background part of [`Rejects`].
struct Mover {
    connections: Connections,
    queue: String,
    telemetry: QueueTelemetry,
    incoming: UnboundedReceiver<Rejected>,
    /// Kept until something goes wrong.
    channel: Option<Channel>,
    /// Messages that the broker has not confirmed yet.
    pending: VecDeque<Rejected>,
    /// The delivery tags of those that it has.
    moved: UnboundedSender<u64>,
}

impl Mover {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while let Some(message) = self.incoming.recv().await {
            self.pending.push_back(message);
            while !self.pending.is_empty() {
                match self.move_pending().await {
                    Ok(()) => {
                        self.telemetry.moving(None);
                        backoff = Backoff::default();
                    }
                    Err(error) if error.is_out_of_channels() => {
                        self.connections = self.connections.overflow();
                    }
                    Err(error) => {
                        // The queue may have to be declared again.
                        self.channel = None;
                        if error.closed_the_connection() {
                            self.connections = self.connections.separate();
                        }
                        self.telemetry.moving(Some(error.to_string()));
                        backoff.pause().await;
                    }
                }
            }
        }
    }

    /// Moves all messages that are there.
    ///
    /// # Errors
    /// When the broker does not take them. Those that it has taken are not pending any more.
    async fn move_pending(&mut self) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        while !self.pending.is_empty() {
            while let Ok(message) = self.incoming.try_recv() {
                self.pending.push_back(message);
            }
            self.move_some(&channel).await?;
        }
        Ok(())
    }

    /// A channel on which the queue was declared.
    async fn channel(&mut self) -> Result<Channel, BrokerError> {
        let open = |channel: &Channel| channel.status().connected();
        if let Some(channel) = self.channel.take().filter(open) {
            return Ok(self.channel.insert(channel).clone());
        }
        let connection = self.connections.get().await?;
        let channel = open_channel(&connection, &self.queue).await?;
        Ok(self.channel.insert(channel).clone())
    }

    /// Publishes a group of messages, and waits until the broker has decided about each.
    async fn move_some(&mut self, channel: &Channel) -> Result<(), BrokerError> {
        let count = self.pending.len().min(GROUP);
        let telemetry = &self.telemetry;
        let messages = self.pending.iter().take(count);
        let publish = async {
            let mut confirms = Vec::with_capacity(count);
            for message in messages {
                match publish(channel, &self.queue, message).await {
                    Ok(confirm) => confirms.push(confirm),
                    Err(error) if confirms.is_empty() => return Err(error),
                    // The broker has closed the channel: the first confirm tells why.
                    Err(_) => break,
                }
            }
            Ok(join_all(confirms).await)
        };
        let confirms = tokio::select! {
            confirms = publish => confirms?,
            // Never ends, but tells why it takes so long.
            () = tell_if_blocked(&self.connections, telemetry) => Vec::new(),
        };
        // The broker also confirms a mandatory message that it has returned, and of several that are confirmed
        // together lapin does not say which: all of them are sent again.
        let returned = confirms.iter().any(|confirm| {
            matches!(
                confirm,
                Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))
            )
        });
        if returned {
            return Err(BrokerError::Unroutable(self.queue.clone()));
        }
        let mut outcome = Ok(());
        let mut refused = VecDeque::new();
        for confirm in confirms {
            let Some(message) = self.pending.pop_front() else {
                break;
            };
            let error = match confirm {
                Ok(Confirmation::Ack(_)) => {
                    // Fails only when nobody waits for it any more.
                    let _ = self.moved.send(message.delivery_tag);
                    continue;
                }
                Ok(_) => BrokerError::Refused(self.queue.clone()),
                Err(error) => error.into(),
            };
            outcome = outcome.and(Err(error));
            refused.push_back(message);
        }
        refused.append(&mut self.pending);
        self.pending = refused;
        outcome
    }
}

/// Opens a channel that confirms, and declares a queue of rejected messages there.
async fn open_channel(connection: &Connection, queue: &str) -> Result<Channel, BrokerError> {
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
    let channel = timed(connection.amqp.create_channel()).await?;
    let declared = timed(channel.queue_declare(queue.into(), durable, arguments)).await;
    let channel = match declared {
        Ok(_) => channel,
        // The queue exists with other arguments, or the user may not declare it but perhaps write to
        // it: use it as it is. A refusal closes the channel.
        Err(error)
            if matches!(
                soft_error(&error),
                Some((
                    AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::ACCESSREFUSED,
                    _
                ))
            ) =>
        {
            timed(connection.amqp.create_channel()).await?
        }
        Err(error) => return Err(error),
    };
    timed(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

async fn publish(
    channel: &Channel,
    queue: &str,
    message: &Rejected,
) -> lapin::Result<PublisherConfirm> {
    let text = |text: String| AMQPValue::LongString(text.into());
    let Rejected {
        properties,
        data,
        rejection,
        ..
    } = message;
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert("x-rejected-reason".into(), text(rejection.reason().into()));
    headers.insert("x-rejected-detail".into(), text(rejection.to_string()));
    let properties = properties.clone();
    let properties = properties.with_headers(headers).with_delivery_mode(2);
    // The broker also confirms a message that no queue takes, unless it is mandatory.
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let exchange = ShortString::default();
    channel
        .basic_publish(exchange, queue.into(), options, data, properties)
        .await
}

/// Looks every second whether the broker takes messages. Does not end.
async fn tell_if_blocked(connections: &Connections, telemetry: &QueueTelemetry) {
    loop {
        sleep(Duration::from_secs(1)).await;
        let connection = connections.current();
        if connection.is_some_and(|connection| connection.is_blocked()) {
            telemetry.moving(Some(BrokerError::Blocked.to_string()));
        }
    }
}

/// How many messages wait in a queue. A quorum queue that is busy may say 0.
async fn look_up(channel: &Channel, queue: &str) -> Result<u32, BrokerError> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    timed(channel.queue_declare(queue.into(), options, FieldTable::default()))
        .await
        .map(|queue| queue.message_count())
        .map_err(|error| match soft_error(&error) {
            Some((AMQPSoftError::NOTFOUND, _)) => BrokerError::QueueMissing,
            _ => error,
        })
}

/// Limits the time of a request: a broker without a quorum may never answer.
async fn timed<T>(request: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(BrokerError::TimedOut(REQUEST_TIMEOUT)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_goes_to_the_next_broker() {
        let [a, b, c] = [1, 2, 3].map(|host| SocketAddr::from(([10, 0, 0, host], 5672)));
        assert_eq!(following(None, vec![a, b, c]), [a, b, c]);
        assert_eq!(following(Some(a), vec![a, b, c]), [b, c, a]);
        assert_eq!(following(Some(b), vec![b, c, a]), [c, a, b]);
        assert_eq!(following(Some(c), vec![a, b, c]), [a, b, c]);
        assert_eq!(following(Some(c), vec![a, b]), [a, b]);
        assert_eq!(following(Some(a), vec![]), []);
    }
}
