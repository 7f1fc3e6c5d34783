//! The way in for deliveries: past the client library.
//!
//! The library takes a delivery apart into three frames, each with locks, allocations and copies of
//! handles, and hands it on alone: that costs twice what all the rest of a trade's way through the consumer
//! does. So a [`Stream`] stands between the library and the socket. It takes the deliveries out of the bytes
//! that the broker sends, and puts those of each subscription into its [`Inbox`], many at once. All other
//! frames reach the library as they came: it still connects, logs in, opens channels, and hears of every end.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;
use tokio::sync::Notify;

use crate::delivery::{Group, Values};

/// Bytes. At least as much is read at once, if it is there.
const BUFFER: usize = 1 << 17;

/// Bytes. A group of deliveries that is larger is not added to any more.
const GROUP: usize = 1 << 16;

/// A frame's type, channel and size before its payload, and the octet that ends it.
const HEADER: usize = 7;
const END: u8 = 0xce;

/// Types of frames.
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;

/// The class and method that begin a delivery.
const BASIC: u16 = 60;
const DELIVER: u16 = 60;

/// Tells the library that the broker is there, although no other frame is left for it.
const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, END];
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The inboxes of all subscriptions on one connection.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<HashMap<u16, Shelf>>>);

/// What has come for one channel.
#[derive(Debug)]
struct Shelf {
    /// All but the last are finished.
    groups: VecDeque<Group>,
    current: Group,
    expected: Option<Expected>,
    arrived: Arc<Notify>,
    /// Whether anybody will take it.
    is_wanted: bool,
}

/// What is still to come of a delivery that has begun.
#[derive(Debug)]
struct Expected {
    delivery_tag: u64,
    redelivered: bool,
    /// Bytes of the body, and how many of them are missing. None until they are known.
    body: Option<(u64, u64)>,
}

/// A frame for a shelf breaks the rules of AMQP.
struct Malformed;

impl Intake {
    /// An inbox for the deliveries of a channel. It must be there before the subscription.
    pub fn inbox(&self, channel: u16) -> Inbox {
        let arrived = Arc::new(Notify::new());
        let shelf = Shelf {
            groups: Default::default(),
            current: Group::default(),
            expected: None,
            arrived: arrived.clone(),
            is_wanted: true,
        };
        self.shelves().insert(channel, shelf);
        Inbox {
            intake: self.clone(),
            channel,
            arrived,
        }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<u16, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The deliveries of one subscription.
#[derive(Debug)]
pub struct Inbox {
    intake: Intake,
    channel: u16,
    arrived: Arc<Notify>,
}

impl Inbox {
    /// The next group of deliveries, if there are any.
    pub fn take(&self) -> Option<Group> {
        self.intake.shelves().get_mut(&self.channel)?.take()
    }

    /// Waits until there are deliveries; perhaps it returns before.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // The shelf stays: a delivery may have begun, and what follows would only confuse the library.
        if let Some(shelf) = self.intake.shelves().get_mut(&self.channel)
            && Arc::ptr_eq(&shelf.arrived, &self.arrived)
        {
            shelf.is_wanted = false;
            shelf.groups = Default::default();
            shelf.current = Group::default();
        }
    }
}

impl Shelf {
    fn take(&mut self) -> Option<Group> {
        if let Some(group) = self.groups.pop_front() {
            return Some(group);
        }
        (!self.current.is_empty()).then(|| self.current.take_finished())
    }

    /// Takes a frame if it belongs to a delivery.
    fn accept(&mut self, kind: u8, payload: &[u8]) -> Result<bool, Malformed> {
        match (kind, &mut self.expected) {
            (METHOD, expected) => {
                let Some((delivery_tag, redelivered)) = read_deliver(payload)? else {
                    return Ok(false);
                };
                if expected.is_some() {
                    return Err(Malformed);
                }
                *expected = Some(Expected {
                    delivery_tag,
                    redelivered,
                    body: None,
                });
                if self.current.size() >= GROUP {
                    self.groups.push_back(std::mem::take(&mut self.current));
                }
            }
            (CONTENT_HEADER, Some(Expected { body, .. })) => {
                let (size, properties) = read_content_header(payload).ok_or(Malformed)?;
                if body.replace((size, size)).is_some() {
                    return Err(Malformed);
                }
                if self.is_wanted {
                    self.current.add(properties);
                }
            }
            (BODY, Some(Expected { body: Some((_, missing)), .. })) => {
                *missing = missing.checked_sub(payload.len() as u64).ok_or(Malformed)?;
                if self.is_wanted {
                    self.current.add(payload);
                }
            }
            // Of a returned message, perhaps.
            (_, None) => return Ok(false),
            (_, Some(_)) => return Err(Malformed),
        }
        if let Some(Expected {
            delivery_tag,
            redelivered,
            body: Some((size, 0)),
        }) = self.expected
        {
            self.expected = None;
            if self.is_wanted {
                let is_first = self.groups.is_empty() && self.current.is_empty();
                self.current.finish(delivery_tag, redelivered, size as usize);
                if is_first {
                    self.arrived.notify_one();
                }
            }
        }
        Ok(true)
    }
}

/// The delivery tag, and whether it is a redelivery. None if it is another method.
fn read_deliver(payload: &[u8]) -> Result<Option<(u64, bool)>, Malformed> {
    let mut values = Values(payload);
    if (values.u16(), values.u16()) != (Some(BASIC), Some(DELIVER)) {
        return Ok(None);
    }
    let mut read = || {
        let _consumer_tag = values.short_string()?;
        Some((values.u64()?, values.u8()? & 1 == 1))
    };
    read().map(Some).ok_or(Malformed)
}

/// The size of the body, and the properties.
fn read_content_header(payload: &[u8]) -> Option<(u64, &[u8])> {
    let mut values = Values(payload);
    let _class_and_weight = values.u32()?;
    Some((values.u64()?, values.0))
}

/// A connection's stream of bytes, without the deliveries for which there is an inbox.
pub struct Stream<S> {
    inner: S,
    intake: Intake,
    /// Bytes of the largest frame that the broker may send.
    frame_max: usize,
    /// Of the bytes that have come, `next..filled` have not been sorted.
    buffer: Vec<u8>,
    next: usize,
    filled: usize,
    /// How many of them are the library's.
    passing: usize,
    /// What is left of a heartbeat for the library.
    heartbeat: &'static [u8],
    last_heartbeat: Instant,
    /// Whether something has come that breaks the rules: from there on, all is left to the library, which
    /// tells what is wrong.
    is_malformed: bool,
}

impl<S> Stream<S> {
    pub fn new(inner: S, intake: Intake, frame_max: u32) -> Self {
        Self {
            inner,
            intake,
            frame_max: match frame_max {
                0 => u32::MAX,
                limit => limit,
            } as usize,
            buffer: vec![0; BUFFER],
            next: 0,
            filled: 0,
            passing: 0,
            heartbeat: &[],
            last_heartbeat: Instant::now(),
            is_malformed: false,
        }
    }

    /// Puts deliveries on their shelves, up to a frame that is the library's or incomplete. Returns whether
    /// there were any.
    fn sort(&mut self) -> bool {
        let begin = self.next;
        let mut shelves = self.intake.shelves();
        while !self.is_malformed
            && let Some(frame) = Frame::read(&self.buffer[self.next..self.filled])
        {
            let length = frame.length;
            let taken = match frame.payload {
                None if length <= self.frame_max => break,
                None => Err(Malformed),
                Some(payload) => match shelves.get_mut(&frame.channel) {
                    Some(shelf) => shelf.accept(frame.kind, payload),
                    None => Ok(false),
                },
            };
            match taken {
                Ok(true) => self.next += length,
                Ok(false) => {
                    self.passing = length;
                    break;
                }
                Err(Malformed) => self.is_malformed = true,
            }
        }
        if self.is_malformed {
            self.passing = self.filled - self.next;
        }
        self.next > begin
    }

    /// Moves what is not sorted yet to the beginning of the buffer, and makes room for the whole of a frame.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        self.next = 0;
        let length = Frame::read(&self.buffer[..self.filled]).map_or(0, |frame| frame.length);
        if length > self.buffer.len() {
            self.buffer.resize(length, 0);
        }
    }
}

/// A frame, perhaps not all of it.
struct Frame<'a> {
    kind: u8,
    channel: u16,
    length: usize,
    payload: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// None while not even the frame's size is known.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut values = Values(bytes);
        let (kind, channel, size) = (values.u8()?, values.u16()?, values.u32()? as usize);
        Some(Self {
            kind,
            channel,
            length: HEADER + size + 1,
            payload: values.bytes(size).filter(|_| values.u8().is_some()),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut took = false;
        loop {
            if this.passing > 0 {
                let count = this.passing.min(target.len());
                target[..count].copy_from_slice(&this.buffer[this.next..][..count]);
                this.next += count;
                this.passing -= count;
                return Poll::Ready(Ok(count));
            }
            if !this.heartbeat.is_empty() {
                let count = this.heartbeat.len().min(target.len());
                let (now, later) = this.heartbeat.split_at(count);
                target[..count].copy_from_slice(now);
                this.heartbeat = later;
                return Poll::Ready(Ok(count));
            }
            if took {
                // The library may have something to send.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.make_room();
            let read = Pin::new(&mut this.inner).poll_read(context, &mut this.buffer[this.filled..]);
            match ready!(read)? {
                // The library tells what is wrong with a broken frame.
                0 if this.filled > 0 => this.passing = this.filled,
                0 => return Poll::Ready(Ok(0)),
                count => this.filled += count,
            }
            took = this.sort();
            if took && this.passing == 0 && this.last_heartbeat.elapsed() >= HEARTBEAT_INTERVAL {
                this.last_heartbeat = Instant::now();
                this.heartbeat = &HEARTBEAT;
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

/// What the library's connection runs on: Tokio, with streams that take the deliveries out.
pub type Kit = RuntimeParts<Tokio, Connector>;

/// A socket, perhaps with TLS.
pub type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Tokio's reactor, but for the type of its streams.
#[derive(Clone, Debug)]
pub struct Connector {
    tokio: Tokio,
    intake: Intake,
    frame_max: u32,
}

impl Connector {
    /// A runtime for a connection on which the broker may send frames of so many bytes (0: of any size).
    pub fn runtime(intake: Intake, frame_max: u32) -> Runtime<Kit> {
        let tokio = Tokio::current();
        let connector = Self {
            tokio: tokio.clone(),
            intake,
            frame_max,
        };
        Runtime::new(RuntimeParts::new(tokio, connector))
    }
}

impl Reactor for Connector {
    type TcpStream = Stream<Socket>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// The library makes no use of it, and the bound that it would need is private.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connect = self.tokio.tcp_connect_addr(address);
        let (intake, frame_max) = (self.intake.clone(), self.frame_max);
        async move {
            let socket = AsyncTcpStream::Plain(connect.await?);
            Ok(Stream::new(socket, intake, frame_max))
        }
    }
}
