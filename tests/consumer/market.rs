//! Shared by the tests: a queue and a database of their own on real servers, known trades, and the
//! real program.

use std::collections::HashMap;
use std::net::TcpListener;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures_util::{FutureExt, TryStreamExt};
use lapin::message::BasicGetMessage;
use lapin::options::*;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use mongodb::Collection;
use stock_consumer::document::WindowDocument;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Far longer than anything takes, even on a slow machine: after that a test has failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// A test that stops servers has them to itself. All others share them.
static SERVERS: LazyLock<RwLock<()>> = LazyLock::new(|| RwLock::new(()));

/// A test's claim to its servers, for as long as its market exists.
pub enum Claim {
    Shared(#[allow(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[allow(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
    /// Another market's.
    Lent,
}

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need real servers; run `make test`, or `tests/with-servers cargo test`")
    })
}

/// How a queue is declared by its publisher.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// As the original publisher does it: not durable, no arguments.
    Transient,
    Classic,
    ClassicSingleActive,
    Quorum,
    /// As our publisher does it.
    QuorumSingleActive,
}

impl Kind {
    fn declaration(self) -> (QueueDeclareOptions, FieldTable) {
        let mut arguments = FieldTable::default();
        if matches!(self, Self::Quorum | Self::QuorumSingleActive) {
            arguments.insert(
                "x-queue-type".into(),
                AMQPValue::LongString("quorum".into()),
            );
        }
        if matches!(self, Self::ClassicSingleActive | Self::QuorumSingleActive) {
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        let durable = !matches!(self, Self::Transient);
        (
            QueueDeclareOptions {
                durable,
                ..Default::default()
            },
            arguments,
        )
    }
}

/// Where a broker and a database are.
#[derive(Clone)]
pub struct Servers {
    pub rabbitmq_url: String,
    pub mongodb_url: String,
    /// The broker's authority if it is a private one, as PEM.
    pub authority: Option<String>,
}

impl Servers {
    /// Those of `tests/with-servers`.
    fn plain() -> Self {
        Self {
            rabbitmq_url: variable("TEST_RABBITMQ_URL"),
            mongodb_url: variable("TEST_MONGODB_URL"),
            authority: None,
        }
    }

    async fn connect(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let authorities = OwnedTLSConfig {
            cert_chain: self.authority.clone(),
            ..Default::default()
        };
        let runtime = lapin::runtime::default_runtime().expect("a runtime");
        let url = &self.rabbitmq_url;
        let broker = Connection::connect_with_config(url, properties, authorities, runtime)
            .await
            .expect("the broker");
        let channel = broker.create_channel().await.expect("a channel");
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .expect("confirms");
        (broker, channel)
    }
}

/// A queue of its own on the broker, and a database of its own for its windows.
pub struct Market {
    pub queue: String,
    pub database: String,
    servers: Servers,
    broker: Connection,
    pub channel: Channel,
    windows: Collection<WindowDocument>,
    _claim: Claim,
}

impl Market {
    pub async fn open(name: &str) -> Self {
        let claim = Claim::Shared(SERVERS.read().await);
        Self::at(Servers::plain(), name, claim).await
    }

    /// A market on servers that nobody else uses meanwhile.
    pub async fn alone(name: &str) -> Self {
        let claim = Claim::Alone(SERVERS.write().await);
        Self::at(Servers::plain(), name, claim).await
    }

    /// A market on other servers.
    pub async fn at(servers: Servers, name: &str, claim: Claim) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let client = mongodb::Client::with_uri_str(&servers.mongodb_url)
            .await
            .expect("a MongoDB URL");
        let (broker, channel) = servers.connect().await;
        Self {
            servers,
            windows: client.database(&name).collection("stocks"),
            database: name.clone(),
            queue: name,
            broker,
            channel,
            _claim: claim,
        }
    }

    /// A market with another queue, whose windows are in the same database.
    pub async fn beside(&self, name: &str) -> Self {
        let (broker, channel) = self.servers.connect().await;
        let queue = format!("{name}-{}", std::process::id());
        Self {
            servers: self.servers.clone(),
            windows: self.windows.clone(),
            database: self.database.clone(),
            queue,
            broker,
            channel,
            _claim: Claim::Lent,
        }
    }

    /// Connects again after the broker was restarted.
    pub async fn reconnect(&mut self) {
        (self.broker, self.channel) = self.servers.connect().await;
    }

    pub async fn declare(&self, kind: Kind) {
        let (options, arguments) = kind.declaration();
        self.channel
            .queue_declare(self.queue.as_str().into(), options, arguments)
            .await
            .expect("declared");
    }

    pub async fn delete_queue(&self) {
        self.channel
            .queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .expect("deleted");
    }

    /// Publishes the trades with these numbers, as our publisher does if there is an epoch.
    pub async fn publish(&self, epoch: Option<&str>, numbers: Range<u64>) {
        match epoch {
            Some(epoch) => self.publish_with(numbers, identified(epoch)).await,
            None => self.publish_with(numbers, anonymous).await,
        }
    }

    /// Publishes the trades with these numbers, each with its properties.
    pub async fn publish_with(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        properties: impl Fn(u64) -> BasicProperties,
    ) {
        self.publish_all(numbers, |number| (self.body(number), properties(number)))
            .await;
    }

    /// Publishes messages that are no trades, with the properties of those that have these numbers.
    pub async fn publish_invalid(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        properties: impl Fn(u64) -> BasicProperties,
    ) {
        self.publish_all(numbers, |number| (b"nothing".to_vec(), properties(number)))
            .await;
    }

    /// Publishes messages, a few thousand at a time. As any publisher must, it sends again what the broker
    /// refuses.
    pub async fn publish_all(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        message: impl Fn(u64) -> (Vec<u8>, BasicProperties),
    ) {
        let mut numbers = numbers.into_iter();
        let mut refused = Vec::new();
        loop {
            let mut confirms = Vec::new();
            for number in refused.drain(..).chain(numbers.by_ref().take(2000)) {
                let (body, properties) = message(number);
                confirms.push((number, self.send(&body, properties).await));
            }
            if confirms.is_empty() {
                return;
            }
            for (number, confirm) in confirms {
                if !confirm.await.expect("an answer").is_ack() {
                    refused.push(number);
                }
            }
        }
    }

    /// A trade's body.
    pub fn body(&self, number: u64) -> Vec<u8> {
        let KnownTrade { buy, price } = trade(number);
        let (company, side) = (&self.queue, if buy { "buy" } else { "sell" });
        let body = format!(r#"{{"company":"{company}","eventType":"{side}","price":{price}}}"#);
        body.into_bytes()
    }

    pub async fn send(&self, body: &[u8], properties: BasicProperties) -> lapin::PublisherConfirm {
        self.channel
            .basic_publish(
                "".into(),
                self.queue.as_str().into(),
                BasicPublishOptions::default(),
                body,
                properties,
            )
            .await
            .expect("published")
    }

    /// The number of messages in the queue, without the unacknowledged ones. A quorum queue that is busy
    /// may say 0.
    pub async fn waiting(&self) -> u32 {
        self.waiting_in(&self.queue).await
    }

    /// Waits until there are so many messages in the queue of rejected messages, which the consumer declares.
    pub async fn rejected(&self, count: u32) {
        let queue = format!("{}.rejected", self.queue);
        eventually(&format!("{count} messages in {queue}"), async || match self
            .look_into(&queue)
            .await
        {
            Ok(waiting) => waiting == count,
            Err(error) => {
                assert!(error.to_string().contains("NOT_FOUND"), "{error}");
                false
            }
        })
        .await;
    }

    pub async fn waiting_in(&self, queue: &str) -> u32 {
        self.look_into(queue).await.expect("the queue")
    }

    /// How many messages wait in a queue.
    async fn look_into(&self, queue: &str) -> lapin::Result<u32> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let channel = self.broker.create_channel().await.expect("a channel");
        let queue = channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await?;
        channel.close(200, "".into()).await.expect("closed");
        Ok(queue.message_count())
    }

    /// Waits until the broker holds so many messages of the queue, with the unacknowledged ones.
    pub async fn holds(&self, count: u32) {
        let line = format!("{}\t{count}", self.queue);
        let list = ["rabbitmqctl", "-q", "list_queues", "name", "messages"];
        eventually(&format!("{count} messages of {}", self.queue), async || {
            servers(&list).await.lines().any(|told| told == line)
        })
        .await;
    }

    pub async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true })
            .await
            .expect("the queue")
    }

    /// The stored windows in their order, as soon as there are so many.
    pub async fn windows(&self, count: usize) -> Vec<WindowDocument> {
        let mut found = Vec::new();
        eventually(&format!("{count} windows of {}", self.queue), async || {
            let ours = self.windows.find(self.ours());
            let all = ours.sort(doc! { "window": 1 }).await;
            found = match all {
                Ok(cursor) => cursor.try_collect().await.unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            found.len() >= count
        })
        .await;
        assert_eq!(found.len(), count, "more windows than trades for them");
        found
    }

    /// Waits until there are so many windows, or more.
    pub async fn windows_at_least(&self, count: usize) {
        eventually(
            &format!("{count} windows of {} or more", self.queue),
            async || {
                self.windows
                    .count_documents(self.ours())
                    .await
                    .is_ok_and(|found| found as usize >= count)
            },
        )
        .await;
    }

    /// Which windows are of this market.
    fn ours(&self) -> Document {
        doc! { "queue": &self.queue }
    }

    pub async fn window_count(&self) -> usize {
        self.windows
            .count_documents(self.ours())
            .await
            .expect("the database") as usize
    }

    pub fn documents(&self) -> Collection<Document> {
        self.windows.clone_with_type()
    }

    /// What is settled without being in a window.
    pub fn settled(&self) -> Collection<Document> {
        let name = format!("{}.settled", self.windows.name());
        self.windows
            .client()
            .database(&self.database)
            .collection(&name)
    }

    /// A consumer of this market.
    pub async fn consumer(&self) -> Consumer {
        self.consumer_with(&[]).await
    }

    /// A consumer of these markets, which are beside this one.
    pub async fn consumer_of(&self, markets: &[&Self]) -> Consumer {
        let queues: Vec<&str> = markets.iter().map(|market| &*market.queue).collect();
        self.consumer_with(&[("RABBITMQ_QUEUE", &queues.join(","))])
            .await
    }

    /// A consumer of this market with other variables.
    pub async fn consumer_with(&self, changes: &[(&str, &str)]) -> Consumer {
        let mut environment: HashMap<&str, String> = HashMap::from([
            ("RABBITMQ_URL", self.servers.rabbitmq_url.clone()),
            ("RABBITMQ_QUEUE", self.queue.clone()),
            ("MONGODB_URL", self.servers.mongodb_url.clone()),
            ("MONGODB_DB", self.database.clone()),
            ("LOG_LEVEL", "debug".into()),
        ]);
        environment.extend(
            changes
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Consumer::start(environment)
    }

    /// Starts a consumer, and waits until it is ready.
    pub async fn ready_consumer(&self) -> Consumer {
        let consumer = self.consumer().await;
        consumer.ready().await;
        consumer
    }

    /// What `stock-consumer audit` prints of this market; fails the test if it finds anything.
    pub async fn audit(&self) -> String {
        let (exit_code, told) = self.audited().await;
        assert_eq!(exit_code, Some(0), "the audit of {}:\n{told}", self.queue);
        told
    }

    /// The exit code of `stock-consumer audit`, and what it prints of this market.
    pub async fn audited(&self) -> (Option<i32>, String) {
        let environment = [
            ("MONGODB_URL", self.servers.mongodb_url.clone()),
            ("MONGODB_DB", self.database.clone()),
        ];
        let output = program(&["audit"], environment).await;
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    }

    /// Waits until all trades but an incomplete window's are stored, stops the consumer, and
    /// checks that the windows are whole, every trade is in exactly one, and the rest is in the
    /// queue again.
    pub async fn account(&self, consumer: Consumer, trades: u64) -> Vec<WindowDocument> {
        let windows = self.windows(trades as usize / 1000).await;
        consumer.stop().await;
        self.audit().await;
        for window in &windows {
            assert_eq!(window.count, 1000, "{window:?}");
        }
        let rest = (trades % 1000) as u32;
        eventually("the rest is back in the queue", async || {
            self.waiting().await == rest
        })
        .await;
        self.windows(trades as usize / 1000).await
    }
}

/// A test that fails while servers are stopped must not make later tests fail.
impl Drop for Market {
    fn drop(&mut self) {
        if !matches!(self._claim, Claim::Alone(_)) || !std::thread::panicking() {
            return;
        }
        for name in ["rabbitmq", "mongo1", "mongo2", "mongo3"] {
            // Fails for servers that run.
            let started = std::process::Command::new(variable("TEST_SERVERS"))
                .args(["start", name])
                .stderr(Stdio::null())
                .status();
            eprintln!("starting {name} again: {started:?}");
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The properties of our publisher's trades.
pub fn identified(epoch: &str) -> impl Fn(u64) -> BasicProperties {
    move |number| {
        BasicProperties::default()
            .with_type("stockmarket.trade.v1".into())
            .with_message_id(format!("{epoch}:{number}").into())
            .with_timestamp(1_700_000_000 + number)
            .with_delivery_mode(2)
    }
}

/// No properties, as the original publisher sends.
pub fn anonymous(_number: u64) -> BasicProperties {
    BasicProperties::default()
}

/// A trade of known price, by its number.
pub struct KnownTrade {
    pub buy: bool,
    pub price: f64,
}

pub fn trade(number: u64) -> KnownTrade {
    KnownTrade {
        buy: !number.is_multiple_of(3),
        // Quarters are exact in binary: so are their sums.
        price: 50.0 + (number * 7919 % 2000) as f64 / 4.0,
    }
}

/// Checks a window against the known trades that it holds, by their numbers.
pub fn assert_average(window: &WindowDocument, numbers: Range<u64>) {
    let mean = |numbers: &[u64]| {
        numbers.iter().map(|&n| trade(n).price).sum::<f64>() / numbers.len() as f64
    };
    let close = |a: f64, b: f64| (a - b).abs() <= b * 1e-9;
    let all: Vec<u64> = numbers.collect();
    let (buy, sell): (Vec<u64>, Vec<u64>) = all.iter().partition(|&&n| trade(n).buy);
    assert_eq!(window.count as usize, all.len());
    assert!(
        close(window.avg_price, mean(&all)),
        "{} is not {}",
        window.avg_price,
        mean(&all)
    );
    assert_eq!(
        (window.buy.count as usize, window.sell.count as usize),
        (buy.len(), sell.len())
    );
    assert!(close(window.buy.avg_price.expect("buys"), mean(&buy)));
    assert!(close(window.sell.avg_price.expect("sells"), mean(&sell)));
    let prices = || all.iter().map(|&n| trade(n).price);
    assert_eq!(window.min_price, prices().fold(f64::MAX, f64::min));
    assert_eq!(window.max_price, prices().fold(0.0, f64::max));
}

/// The real program, consuming.
pub struct Consumer {
    process: Child,
    address: String,
    /// What has been read of it so far.
    log: String,
}

impl Consumer {
    fn start(mut environment: HashMap<&str, String>) -> Self {
        let address = environment
            .entry("HTTP_ADDRESS")
            .or_insert_with(|| format!("127.0.0.1:{}", free_port()))
            .clone();
        let process = Command::new(env!("CARGO_BIN_EXE_stock-consumer"))
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        Self {
            process,
            address,
            log: String::new(),
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    pub fn signal(&self, signal: &str) {
        // The shell's own `kill`: a minimal machine has no program of that name.
        let sent = std::process::Command::new("sh")
            .args(["-c", r#"kill "$0" "$1""#, signal, &self.id().to_string()])
            .status()
            .expect("a shell");
        assert!(sent.success());
    }

    pub async fn is_ready(&self) -> bool {
        self.passes(&["healthcheck"]).await
    }

    pub async fn has_started(&self) -> bool {
        self.passes(&["healthcheck", "started"]).await
    }

    async fn passes(&self, check: &[&str]) -> bool {
        program(check, [("HTTP_ADDRESS", self.address.clone())])
            .await
            .status
            .success()
    }

    pub async fn ready(&self) {
        eventually("the consumer is ready", async || self.is_ready().await).await;
    }

    /// The local port of its connection to the broker.
    pub async fn broker_port(&self) -> u16 {
        let ports = self.broker_ports().await;
        *ports.first().expect("a connection to the broker")
    }

    /// The local ports of its connections to the broker.
    pub async fn broker_ports(&self) -> Vec<u16> {
        let url = variable("TEST_RABBITMQ_URL");
        let port: u16 = url
            .rsplit_once(':')
            .and_then(|(_, rest)| rest.split('/').next()?.parse().ok())
            .expect("a port in the broker's URL");
        let id = self.id();
        let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{id}/fd"))
            .expect("its files")
            .filter_map(|fd| {
                Some(
                    std::fs::read_link(fd.ok()?.path())
                        .ok()?
                        .to_string_lossy()
                        .into_owned(),
                )
            })
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let remote = format!(":{port:04X}");
        let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).expect("its sockets");
        let lines = table.lines().map(|line| line.split_whitespace().collect());
        lines
            .filter(|fields: &Vec<_>| {
                let inode = fields.get(9);
                inode.is_some_and(|inode| inodes.iter().any(|ours| ours == inode))
                    && fields[2].ends_with(&remote)
            })
            .map(|fields| {
                let (_, port) = fields[1].rsplit_once(':').expect("address and port");
                u16::from_str_radix(port, 16).expect("a port")
            })
            .collect()
    }

    /// Whether it answers at all.
    pub async fn is_serving(&self) -> bool {
        tokio::net::TcpStream::connect(&self.address).await.is_ok()
    }

    /// What it answers to a request, status line and all. A consumer that has just been started does not
    /// listen yet.
    pub async fn http(&self, path: &str) -> String {
        use tokio::io::AsyncWriteExt;
        eventually("it serves", async || self.is_serving().await).await;
        let mut stream = tokio::net::TcpStream::connect(&self.address)
            .await
            .expect("connected");
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .await
            .expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    /// The value of a metric, 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.http("/metrics").await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("stock_consumer_{name}")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }

    pub async fn kill(mut self) {
        self.process.kill().await.expect("killed");
    }

    /// Ends it as an operator does, and checks that it ends well and in time. Returns its log.
    pub async fn stop(self) -> String {
        // Before it serves, it may not handle signals yet.
        eventually("it has started", async || self.is_serving().await).await;
        self.signal("-TERM");
        let watch = Stopwatch::start();
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}\n{log}");
        watch.assert_within(Duration::from_secs(5), &log);
        log
    }

    /// Waits until its log holds this.
    pub async fn says(&mut self, what: &str) {
        let stderr = self.process.stderr.as_mut().expect("piped");
        let told = async {
            while !self.log.contains(what) {
                let byte = stderr.read_u8().await.expect("more of its log");
                self.log.push(byte.into());
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        assert!(told.is_ok(), "it does not say {what:?}:\n{}", self.log);
    }

    pub async fn ended(mut self) -> (std::process::ExitStatus, String) {
        let mut stderr = self.process.stderr.take().expect("piped");
        let end = async {
            stderr.read_to_string(&mut self.log).await.expect("UTF-8");
            self.process.wait().await.expect("ended")
        };
        let status = tokio::time::timeout(PATIENCE, end).await.expect("it ends");
        (status, self.log)
    }
}

/// Runs the program to its end.
pub async fn program<K: AsRef<std::ffi::OsStr>>(
    arguments: &[&str],
    environment: impl IntoIterator<Item = (K, String)>,
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stock-consumer"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("it ends")
        .expect("the program")
}

/// The script that stops and starts the servers.
pub async fn servers(arguments: &[&str]) -> String {
    let output = Command::new(variable("TEST_SERVERS"))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("it ends")
        .expect("the control script");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

/// Stops all members of the replica set but the primary, so that no write ends; returns their names.
/// After some ten seconds there is no primary either.
pub async fn take_majority_away() -> Vec<&'static str> {
    let primary = servers(&["primary"]).await;
    let mut others = vec!["mongo1", "mongo2", "mongo3"];
    others.retain(|name| *name != primary);
    for name in &others {
        servers(&["kill", name]).await;
    }
    others
}

pub async fn give_majority_back(others: Vec<&str>) {
    for name in others {
        servers(&["start", name]).await;
    }
}

/// Measures how long something takes.
pub struct Stopwatch {
    began: Instant,
    processors: Processors,
}

/// The time of all processors since the machine's start, in the kernel's units.
struct Processors {
    used: f64,
    /// Taken by another machine on the same hardware.
    stolen: f64,
}

impl Processors {
    fn read() -> Self {
        let all = std::fs::read_to_string("/proc/stat").expect("the processors' time");
        let times: Vec<f64> = all
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|time| time.parse().ok())
            .collect();
        // User, nice and system time; 3 and 4 are idle ones; interrupts.
        let used = times[..3].iter().sum::<f64>() + times[5..7].iter().sum::<f64>();
        let stolen = times[7];
        Self { used, stolen }
    }
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            processors: Processors::read(),
        }
    }

    /// Fails unless less than `limit` has passed. The limit grows with the share of the processors
    /// that other machines take.
    pub fn assert_within(&self, limit: Duration, what: &str) {
        let now = Processors::read();
        let stolen = now.stolen - self.processors.stolen;
        let used = now.used - self.processors.used;
        let slowness = if used > 0.0 { 1.0 + stolen / used } else { 1.0 };
        let took = self.began.elapsed();
        assert!(
            took < limit.mul_f64(slowness),
            "{took:?} on a machine {slowness:.1} times as slow as by itself: {what}"
        );
    }
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Does something, and then another thing even if the first fails.
pub async fn finally(something: impl Future<Output = ()>, then: impl Future<Output = ()>) {
    let outcome = AssertUnwindSafe(something).catch_unwind().await;
    then.await;
    if let Err(failure) = outcome {
        resume_unwind(failure);
    }
}
