//! The way in for deliveries: past the client library.
//!
//! The library handles each of a delivery's three frames alone, with locks, allocations and copies of handles,
//! and wakes the consumer for each delivery. That costs more than everything else that the consumer does with a
//! trade. So a [`Stream`] stands between the library and the socket: it takes the deliveries out of what the
//! broker sends, and collects them in an [`Inbox`] for each subscription. All other frames reach the library as
//! they came. It still connects, logs in, opens channels, sends, and hears of every end.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use crate::delivery::{Group, Values};

/// Bytes that are read at once, if they are there.
const BUFFER: usize = 1 << 17;

/// How often the socket is read until the library may do something else.
const READS: usize = 4;

/// How long the socket is left alone after all that was there has been read. Waking up for each delivery costs
/// several times what reading many at once does, and a window takes far longer to fill.
const BEAT: Duration = Duration::from_millis(10);

/// Bytes. A group of deliveries that is larger is not added to any more.
const GROUP: usize = 1 << 16;

/// A frame's type, channel and size before its payload, and the octet that ends it.
const HEADER: usize = 7;
const END: u8 = 0xce;

/// Types of frames.
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// The class and method that begin a delivery.
const BASIC: u16 = 60;
const DELIVER: u16 = 60;

/// Tells the library that the broker is there, although no other frame is left for it.
const SIGN_OF_LIFE: [u8; 8] = [HEARTBEAT, 0, 0, 0, 0, 0, 0, END];
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The inboxes of all subscriptions on one connection.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<HashMap<u16, Incoming>>>);

/// What has come for one channel.
#[derive(Debug)]
struct Incoming {
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

/// A frame breaks the rules of AMQP.
struct Malformed;

impl Intake {
    /// An inbox for the deliveries of a channel. It must be there before the subscription.
    pub fn inbox(&self, channel: u16) -> Inbox {
        let arrived = Arc::new(Notify::new());
        let incoming = Incoming {
            groups: VecDeque::new(),
            current: Group::default(),
            expected: None,
            arrived: arrived.clone(),
            is_wanted: true,
        };
        self.channels().insert(channel, incoming);
        Inbox {
            intake: self.clone(),
            channel,
            arrived,
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<u16, Incoming>> {
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
        self.intake.channels().get_mut(&self.channel)?.take()
    }

    /// Waits until there are deliveries; perhaps it returns before.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // The entry stays: deliveries may still be on their way, of which the library knows nothing.
        if let Some(incoming) = self.intake.channels().get_mut(&self.channel)
            && Arc::ptr_eq(&incoming.arrived, &self.arrived)
        {
            incoming.is_wanted = false;
            incoming.groups = VecDeque::new();
            incoming.current = Group::default();
        }
    }
}

impl Incoming {
    fn take(&mut self) -> Option<Group> {
        if let Some(group) = self.groups.pop_front() {
            return Some(group);
        }
        (!self.current.is_empty()).then(|| self.current.take_finished())
    }

    /// Takes a frame if it belongs to a delivery; otherwise it is the library's.
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
            (
                BODY,
                Some(Expected {
                    body: Some((_, missing)),
                    ..
                }),
            ) => {
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
                self.current
                    .finish(delivery_tag, redelivered, size as usize);
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
    /// Until the beat is over.
    pause: Pin<Box<Sleep>>,
    /// Whether something has come that breaks the rules: from there on, all is left to the library, which
    /// tells what is wrong.
    is_malformed: bool,
}

impl<S> Stream<S> {
    /// Inside of a Tokio runtime.
    pub fn new(inner: S, intake: Intake, frame_max: u32) -> Self {
        let frame_max = if frame_max == 0 { u32::MAX } else { frame_max };
        Self {
            inner,
            intake,
            frame_max: frame_max as usize,
            buffer: vec![0; BUFFER],
            next: 0,
            filled: 0,
            passing: 0,
            heartbeat: &[],
            last_heartbeat: Instant::now(),
            pause: Box::pin(sleep(Duration::ZERO)),
            is_malformed: false,
        }
    }

    /// Takes deliveries, up to a frame that is the library's or incomplete. Returns whether there were any.
    fn sort(&mut self) -> bool {
        let begin = self.next;
        let mut channels = self.intake.channels();
        while self.passing == 0
            && !self.is_malformed
            && let Some(frame) = Frame::read(&self.buffer[self.next..self.filled])
        {
            let taken = match frame.payload {
                _ if frame.length > self.frame_max => Err(Malformed),
                _ if ![METHOD, CONTENT_HEADER, BODY, HEARTBEAT].contains(&frame.kind) => {
                    Err(Malformed)
                }
                None => break,
                Some((_, end)) if end != END => Err(Malformed),
                Some((payload, _)) => match channels.get_mut(&frame.channel) {
                    Some(incoming) => incoming.accept(frame.kind, payload),
                    None => Ok(false),
                },
            };
            match taken {
                Ok(true) => self.next += frame.length,
                Ok(false) => self.passing = frame.length,
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

    /// Gives the library what is its own, if there is anything.
    fn pass(&mut self, target: &mut [u8]) -> Option<usize> {
        let source = if self.passing > 0 {
            &self.buffer[self.next..][..self.passing]
        } else {
            self.heartbeat
        };
        let count = source.len().min(target.len());
        target[..count].copy_from_slice(&source[..count]);
        if self.passing > 0 {
            self.next += count;
            self.passing -= count;
        } else {
            self.heartbeat = &self.heartbeat[count..];
        }
        (count > 0).then_some(count)
    }
}

/// A frame, perhaps not all of it.
struct Frame<'a> {
    kind: u8,
    channel: u16,
    length: usize,
    /// With the octet after it.
    payload: Option<(&'a [u8], u8)>,
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
            payload: values.bytes(size).zip(values.u8()),
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
        let mut reads = 0;
        loop {
            if this.sort() {
                reads += 1;
                if this.last_heartbeat.elapsed() >= HEARTBEAT_INTERVAL {
                    this.last_heartbeat = Instant::now();
                    this.heartbeat = &SIGN_OF_LIFE;
                }
            }
            if let Some(count) = this.pass(target) {
                return Poll::Ready(Ok(count));
            }
            ready!(this.pause.as_mut().poll(context));
            if reads == READS {
                // The library may have something to send.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.make_room();
            // After deliveries, it is the beat that wakes, and not the next one.
            let mut asleep = Context::from_waker(Waker::noop());
            let context = if reads == 0 {
                &mut *context
            } else {
                &mut asleep
            };
            let target = &mut this.buffer[this.filled..];
            match Pin::new(&mut this.inner).poll_read(context, target) {
                Poll::Pending if reads == 0 => return Poll::Pending,
                Poll::Pending => {
                    let end = tokio::time::Instant::now() + BEAT;
                    this.pause.as_mut().reset(end);
                }
                // The library tells what is wrong with a broken frame.
                Poll::Ready(Ok(0)) if this.filled > 0 => this.passing = this.filled,
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(count)) => this.filled += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
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
    /// What the library's connection runs on: Tokio, with streams that take the deliveries out. The broker
    /// may send frames of so many bytes (0: of any size).
    pub fn runtime(intake: Intake, frame_max: u32) -> Runtime<RuntimeParts<Tokio, Self>> {
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

#[cfg(test)]
mod tests {
    use futures_util::future::poll_fn;
    use proptest::prelude::*;

    use super::*;

    /// What a broker sends, piece by piece; then it is silent or, at the end, gone.
    struct Broker {
        pieces: VecDeque<Vec<u8>>,
        ends: bool,
    }

    impl AsyncRead for Broker {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            target: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let Some(piece) = self.pieces.front_mut() else {
                return if self.ends {
                    Poll::Ready(Ok(0))
                } else {
                    Poll::Pending
                };
            };
            let count = piece.len().min(target.len());
            target[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Poll::Ready(Ok(count))
        }
    }

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let size = payload.len() as u32;
        let header = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes()].concat();
        [&header[..], payload, &[END]].concat()
    }

    fn deliver(channel: u16, delivery_tag: u64) -> Vec<u8> {
        let tag = delivery_tag.to_be_bytes();
        let payload = [&[0, 60, 0, 60, 3][..], b"tag", &tag, &[1, 0, 1], b"q"].concat();
        frame(METHOD, channel, &payload)
    }

    fn content_header(channel: u16, size: u64) -> Vec<u8> {
        let payload = [&[0, 60, 0, 0][..], &size.to_be_bytes(), &[0, 0]].concat();
        frame(CONTENT_HEADER, channel, &payload)
    }

    /// A delivery whose body comes in frames of at most so many bytes.
    fn delivery(channel: u16, delivery_tag: u64, body: &[u8], most: usize) -> Vec<u8> {
        let bodies = body
            .chunks(most)
            .flat_map(|part| frame(BODY, channel, part));
        let header = content_header(channel, body.len() as u64);
        [deliver(channel, delivery_tag), header]
            .concat()
            .into_iter()
            .chain(bodies)
            .collect()
    }

    /// Reads until nothing comes any more for a while, a beat not being one.
    async fn read_all(stream: &mut Stream<Broker>) -> Vec<u8> {
        let mut all = Vec::new();
        let mut part = [0; 5];
        let read = async {
            loop {
                match poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut part)).await
                {
                    Ok(0) => break,
                    Ok(count) => all.extend_from_slice(&part[..count]),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let _ = tokio::time::timeout(10 * BEAT, read).await;
        all
    }

    fn bodies(inbox: &Inbox) -> Vec<(u64, Vec<u8>)> {
        let groups: Vec<Group> = std::iter::from_fn(|| inbox.take()).collect();
        let deliveries = groups.iter().flat_map(Group::iter);
        deliveries
            .map(|delivery| {
                assert!(delivery.redelivered);
                (delivery.delivery_tag, delivery.data.to_vec())
            })
            .collect()
    }

    fn stream(intake: &Intake, pieces: impl IntoIterator<Item = Vec<u8>>) -> Stream<Broker> {
        let broker = Broker {
            pieces: pieces.into_iter().collect(),
            ends: true,
        };
        Stream::new(broker, intake.clone(), 4096)
    }

    proptest! {
        #[test]
        fn deliveries_go_to_their_inboxes_and_the_rest_to_the_library_wherever_the_bytes_are_cut(
            messages in prop::collection::vec((1u16..=3, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            most in 1usize..50,
            sizes in prop::collection::vec(1usize..60, 1..20),
        ) {
            let (mut sent, mut expected, mut rest) = (Vec::new(), [const { Vec::new() }; 2], Vec::new());
            for (number, (channel, body)) in messages.iter().enumerate() {
                let bytes = delivery(*channel, number as u64, body, most);
                // Nobody has subscribed on the third.
                match expected.get_mut(usize::from(channel - 1)) {
                    Some(expected) => expected.push((number as u64, body.clone())),
                    None => rest.extend_from_slice(&bytes),
                }
                sent.extend(bytes);
                let other = frame(METHOD, *channel, &[0, 20, 0, 41]);
                sent.extend_from_slice(&other);
                rest.extend(other);
            }
            let mut pieces = Vec::new();
            let mut sizes = sizes.iter().cycle();
            while !sent.is_empty() {
                let size = sizes.next().map_or(1, |size| *size).min(sent.len());
                pieces.push(sent.drain(..size).collect());
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a runtime").block_on(async {
                let intake = Intake::default();
                let inboxes = [1, 2].map(|channel| intake.inbox(channel));
                let passed = read_all(&mut stream(&intake, pieces)).await;
                prop_assert_eq!(passed, rest);
                prop_assert_eq!(inboxes.each_ref().map(bodies), expected);
                Ok(())
            })?;
        }
    }

    #[tokio::test]
    async fn what_breaks_the_rules_reaches_the_library_from_there_on() {
        let good = delivery(1, 1, b"good", 100);
        let mut without_an_end = delivery(1, 2, b"bad", 100);
        *without_an_end.last_mut().expect("a byte") = 0;
        let header = content_header(1, 3);
        let too_large = frame(BODY, 1, &[0; 5000]);
        let body_without_a_header = [deliver(1, 2), frame(BODY, 1, b"bad")].concat();
        let body_longer_than_said =
            [deliver(1, 2), header.clone(), frame(BODY, 1, b"long")].concat();
        let two_at_once = [deliver(1, 2), deliver(1, 3)].concat();
        let two_headers = [deliver(1, 2), header.clone(), header].concat();
        let short_method = frame(METHOD, 1, &[0, 60, 0, 60, 9]);
        let short_header = [deliver(1, 2), frame(CONTENT_HEADER, 1, &[0, 60])].concat();
        let unknown = b"HTTP/1.1 400 Bad Request".to_vec();
        let cases: [(Vec<u8>, usize); 9] = [
            (unknown, 0),
            // In each case from the broken frame on: so many bytes before it are gone.
            (without_an_end.clone(), without_an_end.len() - 11),
            (too_large, 0),
            (body_without_a_header, deliver(1, 2).len()),
            (
                body_longer_than_said,
                deliver(1, 2).len() + content_header(1, 3).len(),
            ),
            (two_at_once, deliver(1, 2).len()),
            (
                two_headers,
                deliver(1, 2).len() + content_header(1, 3).len(),
            ),
            (short_method, 0),
            (short_header, deliver(1, 2).len()),
        ];
        for (broken, good_frames) in cases {
            let intake = Intake::default();
            let inbox = intake.inbox(1);
            let after = delivery(1, 9, b"after", 100);
            let sent = [&good[..], &broken, &after].concat();
            let passed = read_all(&mut stream(&intake, [sent])).await;
            assert_eq!(passed, [&broken[good_frames..], &after].concat());
            assert_eq!(bodies(&inbox), [(1, b"good".to_vec())]);
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_a_frame_tells_the_library_all() {
        let intake = Intake::default();
        let inbox = intake.inbox(1);
        let mut sent = delivery(1, 1, b"first", 100);
        let begun = delivery(1, 2, b"second", 100);
        let cut = &begun[..begun.len() - 3];
        sent.extend_from_slice(cut);
        let passed = read_all(&mut stream(&intake, [sent])).await;
        assert_eq!(passed, frame(BODY, 1, b"second")[..11]);
        assert_eq!(bodies(&inbox), [(1, b"first".to_vec())]);
    }

    #[tokio::test]
    async fn a_body_larger_than_all_buffers_comes_whole() {
        let intake = Intake::default();
        let inbox = intake.inbox(1);
        let body: Vec<u8> = (0..3 * BUFFER).map(|index| index as u8).collect();
        let broker = Broker {
            pieces: [delivery(1, 1, &body, 2 * BUFFER)].into(),
            ends: true,
        };
        let mut stream = Stream::new(broker, intake, 0);
        assert_eq!(read_all(&mut stream).await, b"");
        assert_eq!(bodies(&inbox), [(1, body)]);
    }

    #[tokio::test]
    async fn groups_are_small_in_order_and_never_hold_half_a_delivery() {
        let intake = Intake::default();
        let inbox = intake.inbox(1);
        let body = [7; 1000];
        let all: Vec<u8> = (0..200)
            .flat_map(|tag| delivery(1, tag, &body, 2000))
            .collect();
        read_all(&mut stream(&intake, [all, deliver(1, 200)])).await;
        let groups: Vec<Group> = std::iter::from_fn(|| inbox.take()).collect();
        let tags = groups
            .iter()
            .flat_map(Group::iter)
            .map(|delivery| delivery.delivery_tag);
        assert!(tags.eq(0..200));
        let largest = groups.iter().map(Group::size).max();
        assert!(
            largest.is_some_and(|size| size < GROUP + 2000),
            "{largest:?}"
        );
        assert!(groups.len() > 2, "{}", groups.len());
    }

    #[tokio::test]
    async fn deliveries_count_as_signs_of_life() {
        let intake = Intake::default();
        let _inbox = intake.inbox(1);
        let mut stream = stream(&intake, [delivery(1, 1, b"a", 9), delivery(1, 2, b"b", 9)]);
        assert_eq!(read_all(&mut stream).await, b"");
        stream.last_heartbeat -= HEARTBEAT_INTERVAL;
        stream.inner.pieces = [delivery(1, 3, b"c", 9), frame(METHOD, 0, b"rest")].into();
        let passed = read_all(&mut stream).await;
        assert_eq!(
            passed,
            [&SIGN_OF_LIFE[..], &frame(METHOD, 0, b"rest")].concat()
        );
    }

    #[tokio::test]
    async fn a_delivery_right_behind_another_frame_does_not_wait_for_more() {
        let intake = Intake::default();
        let inbox = intake.inbox(1);
        let other = frame(METHOD, 1, &[0, 60, 0, 21]);
        let sent = [&other[..], &delivery(1, 1, b"body", 100)].concat();
        let mut stream = stream(&intake, [sent]);
        stream.inner.ends = false;
        assert_eq!(read_all(&mut stream).await, other);
        assert_eq!(bodies(&inbox), [(1, b"body".to_vec())]);
    }

    #[tokio::test]
    async fn an_inbox_that_nobody_has_any_more_swallows_what_still_comes() {
        let intake = Intake::default();
        let inbox = intake.inbox(1);
        let whole = delivery(1, 1, b"body", 100);
        let (begin, rest) = whole.split_at(40);
        let mut stream = stream(&intake, [begin.to_vec()]);
        stream.inner.ends = false;
        assert_eq!(read_all(&mut stream).await, b"");
        drop(inbox);
        stream.inner.pieces = [rest.to_vec(), delivery(1, 2, b"more", 100)].into();
        assert_eq!(read_all(&mut stream).await, b"");
        let next = intake.inbox(1);
        stream.inner.pieces = [delivery(1, 1, b"next", 100)].into();
        assert_eq!(read_all(&mut stream).await, b"");
        assert_eq!(bodies(&next), [(1, b"next".to_vec())]);
    }
}
