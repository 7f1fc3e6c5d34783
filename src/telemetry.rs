//! What an operator sees: logs, metrics and readiness.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::{info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::{LogConfig, LogFormat};
use crate::trade::Rejection;

/// Sends logs to standard error. Call it once, before anything is logged.
pub fn init_logs(config: LogConfig) {
    // The libraries would log each lost connection several times.
    let filter = Targets::new().with_target("stock_consumer", config.level);
    let text = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format.unwrap_or(if text {
        LogFormat::Text
    } else {
        LogFormat::Json
    }) {
        LogFormat::Text => registry
            .with(layer.with_ansi(text).with_target(false))
            .init(),
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_span_list(false))
            .init(),
    }
}

/// So many deliveries in vain are a reason to warn: a quarter of the default limit.
const OFTEN: i64 = 5;

/// The least time between two log lines about messages that were rejected for the same reason.
const REJECTED_INTERVAL: Duration = Duration::from_secs(10);

/// A server that a consumer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Server {
    #[allow(non_camel_case_types, reason = "the label's value, as it is printed")]
    rabbitmq,
    #[allow(non_camel_case_types, reason = "the label's value, as it is printed")]
    mongodb,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::rabbitmq => "RabbitMQ",
            Self::mongodb => "MongoDB",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    queue: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabel {
    queue: Arc<str>,
    server: Server,
}

/// Metrics, and what the consumer waits for, of all its queues. Clones share both.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

/// Metrics of one queue, and what the consumer waits for there. Clones share both.
#[derive(Clone, Debug)]
pub struct QueueTelemetry {
    all: Telemetry,
    /// Its place among the queues.
    place: usize,
    queue: Arc<str>,
    trades_read: Counter,
    trades_skipped: Counter,
    windows_stored: Counter,
    windows_removed: Counter,
    store_seconds: Histogram,
    windows_in_flight: Gauge,
    rejected_waiting: Gauge,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: Families,
    state: Mutex<State>,
}

/// The metrics, each by queue.
#[derive(Debug)]
struct Families {
    trades_read: Family<QueueLabel, Counter>,
    trades_rejected: Family<ReasonLabel, Counter>,
    trades_skipped: Family<QueueLabel, Counter>,
    windows_stored: Family<QueueLabel, Counter>,
    windows_removed: Family<QueueLabel, Counter>,
    store_seconds: Family<QueueLabel, Histogram, fn() -> Histogram>,
    windows_in_flight: Family<QueueLabel, Gauge>,
    rejected_waiting: Family<QueueLabel, Gauge>,
    reconnects: Family<ServerLabel, Counter>,
    since_last_window: Family<QueueLabel, Gauge<f64, AtomicU64>>,
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        // From a local replica set's milliseconds up to the time-out of a write.
        let store_seconds: fn() -> Histogram = || {
            Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ])
        };
        let families = Self {
            trades_read: Family::default(),
            trades_rejected: Family::default(),
            trades_skipped: Family::default(),
            windows_stored: Family::default(),
            windows_removed: Family::default(),
            store_seconds: Family::new_with_constructor(store_seconds),
            windows_in_flight: Family::default(),
            rejected_waiting: Family::default(),
            reconnects: Family::default(),
            since_last_window: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("stock_consumer");
        registry.register(
            "trades_read",
            "Deliveries read from the queue",
            families.trades_read.clone(),
        );
        registry.register(
            "trades_rejected",
            "Deliveries moved to the queue of rejected messages, by the rule that they break",
            families.trades_rejected.clone(),
        );
        registry.register(
            "trades_skipped",
            "Trades that a window held already",
            families.trades_skipped.clone(),
        );
        registry.register(
            "windows_stored",
            "Windows stored with a majority, journaled write",
            families.windows_stored.clone(),
        );
        registry.register(
            "windows_removed",
            "Windows removed because they were older than RETENTION",
            families.windows_removed.clone(),
        );
        registry.register_with_unit(
            "store",
            "Time from handing windows to the database to their majority, journaled write",
            Unit::Seconds,
            families.store_seconds.clone(),
        );
        registry.register(
            "windows_in_flight",
            "Full windows that are not stored yet",
            families.windows_in_flight.clone(),
        );
        registry.register(
            "rejected_waiting",
            "Rejected messages that are not in the queue of rejected messages yet",
            families.rejected_waiting.clone(),
        );
        registry.register(
            "reconnects",
            "Connections that were lost and made again, by server",
            families.reconnects.clone(),
        );
        registry.register_with_unit(
            "since_last_window",
            "Time since a window was stored, or since the start",
            Unit::Seconds,
            families.since_last_window.clone(),
        );
        families
    }
}

#[derive(Debug)]
struct State {
    started: Instant,
    /// All queues were ready when `not_started` was called, at least once.
    were_ready: bool,
    queues: Vec<QueueState>,
}

/// The state of the work on one queue.
#[derive(Debug)]
struct QueueState {
    queue: Arc<str>,
    last_window: Option<Instant>,
    broker: Link,
    database: Link,
    /// Why rejected messages cannot be moved, if they cannot.
    moving: Option<String>,
    told_of_redeliveries: bool,
    /// For each reason, when a rejected message was logged last, and how many came since then.
    rejected: BTreeMap<&'static str, (Option<Instant>, u64)>,
}

impl QueueState {
    fn link(&mut self, server: Server) -> &mut Link {
        match server {
            Server::rabbitmq => &mut self.broker,
            Server::mongodb => &mut self.database,
        }
    }
}

/// The state of the work on one queue with one server.
#[derive(Debug)]
struct Link {
    phase: Phase,
    was_ready: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Waiting(Wait),
    /// Another consumer holds the queue: this one is a hot standby.
    StandingBy,
    Ready,
}

impl Phase {
    fn is_common_wait(&self) -> bool {
        matches!(self, Self::Waiting(wait) if !wait.is_of_queue)
    }
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub reason: String,
    /// Whether it is about this queue alone.
    pub is_of_queue: bool,
}

impl Wait {
    /// Something that any queue may have to wait for, such as a connection.
    pub fn common(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            is_of_queue: false,
        }
    }

    /// Something about this queue alone.
    pub fn of_queue(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            is_of_queue: true,
        }
    }
}

impl Link {
    fn new() -> Self {
        Self {
            phase: Phase::Waiting(Wait::common("not connected yet")),
            was_ready: false,
        }
    }
}

impl Telemetry {
    /// Not ready until all queues are.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            families,
            state: Mutex::new(State {
                started: Instant::now(),
                were_ready: false,
                queues: Vec::new(),
            }),
        }))
    }

    /// Adds a queue.
    pub fn queue(&self, name: &str) -> QueueTelemetry {
        let queue: Arc<str> = name.into();
        let label = QueueLabel {
            queue: queue.clone(),
        };
        let families = &self.0.families;
        let mut state = self.state();
        state.queues.push(QueueState {
            queue: queue.clone(),
            last_window: None,
            broker: Link::new(),
            database: Link::new(),
            moving: None,
            told_of_redeliveries: false,
            rejected: BTreeMap::new(),
        });
        QueueTelemetry {
            all: self.clone(),
            place: state.queues.len() - 1,
            queue,
            trades_read: families.trades_read.get_or_create_owned(&label),
            trades_skipped: families.trades_skipped.get_or_create_owned(&label),
            windows_stored: families.windows_stored.get_or_create_owned(&label),
            windows_removed: families.windows_removed.get_or_create_owned(&label),
            store_seconds: families.store_seconds.get_or_create_owned(&label),
            windows_in_flight: families.windows_in_flight.get_or_create_owned(&label),
            rejected_waiting: families.rejected_waiting.get_or_create_owned(&label),
        }
    }

    /// What the consumer is waiting for; empty when it is ready. What several queues wait for is told
    /// once.
    pub fn not_ready(&self) -> Vec<String> {
        let state = self.state();
        let mut told = Vec::new();
        for queue in &state.queues {
            for (server, link) in [
                (Server::rabbitmq, &queue.broker),
                (Server::mongodb, &queue.database),
            ] {
                let Phase::Waiting(Wait {
                    reason,
                    is_of_queue,
                }) = &link.phase
                else {
                    continue;
                };
                let line = if *is_of_queue && state.queues.len() > 1 {
                    format!("{}, queue {}: {reason}", server.name(), queue.queue)
                } else {
                    format!("{}: {reason}", server.name())
                };
                if !told.contains(&line) {
                    told.push(line);
                }
            }
        }
        told
    }

    /// What the consumer waited for since its start; empty for ever from the first call at which it is ready.
    pub fn not_started(&self) -> Vec<String> {
        let waits = self.not_ready();
        let mut state = self.state();
        state.were_ready |= waits.is_empty();
        if state.were_ready { Vec::new() } else { waits }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn metrics(&self) -> String {
        {
            let state = self.state();
            for QueueState {
                queue, last_window, ..
            } in &state.queues
            {
                let since = last_window.unwrap_or(state.started).elapsed();
                let label = QueueLabel {
                    queue: queue.clone(),
                };
                let gauge = self.0.families.since_last_window.get_or_create(&label);
                gauge.set(since.as_secs_f64());
            }
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl QueueTelemetry {
    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.queue
    }

    pub fn trades_read(&self, count: usize) {
        self.trades_read.inc_by(count as u64);
    }

    /// Counts a rejected message, and logs it unless one with the same reason was logged a moment ago.
    pub fn trade_rejected(&self, rejection: &Rejection) {
        let reason = rejection.reason();
        let queue = self.queue.clone();
        let label = ReasonLabel { queue, reason };
        self.all
            .0
            .families
            .trades_rejected
            .get_or_create(&label)
            .inc();
        let to_tell = self.with_state(|state| {
            let (told, messages) = state.rejected.entry(reason).or_default();
            *messages += 1;
            let is_due = told.is_none_or(|told| told.elapsed() >= REJECTED_INTERVAL);
            is_due.then(|| {
                *told = Some(Instant::now());
                std::mem::take(messages)
            })
        });
        if let Some(messages) = to_tell {
            warn!(reason, detail = %rejection, messages, "rejected");
        }
    }

    pub fn trades_skipped(&self, count: usize) {
        self.trades_skipped.inc_by(count as u64);
    }

    pub fn window_stored(&self, latency: Duration) {
        self.windows_stored.inc();
        self.store_seconds.observe(latency.as_secs_f64());
        self.with_state(|state| state.last_window = Some(Instant::now()));
    }

    pub fn windows_removed(&self, count: usize) {
        self.windows_removed.inc_by(count as u64);
    }

    pub fn rejected_waiting(&self, count: usize) {
        self.rejected_waiting.set(count as i64);
    }

    /// Notes why rejected messages cannot be moved, or that they can, and logs it if it is new.
    pub fn moving(&self, trouble: Option<String>) {
        let before = self.with_state(|state| std::mem::replace(&mut state.moving, trouble.clone()));
        match trouble {
            Some(reason) if before.as_ref() != Some(&reason) => {
                warn!(
                    reason,
                    "rejected messages wait in the queue, valid trades go on"
                );
            }
            None if before.is_some() => info!("rejected messages are moved again"),
            _ => {}
        }
    }

    /// Warns, once, that a message was delivered so often in vain that the broker may soon drop it.
    pub fn redelivered(&self, times: i64) {
        let is_told =
            |state: &mut QueueState| std::mem::replace(&mut state.told_of_redeliveries, true);
        if times < OFTEN || self.with_state(is_told) {
            return;
        }
        let queue = &self.queue;
        let command = format!(
            "rabbitmqctl set_policy --apply-to queues --priority 9 unlimited-{queue} '^{}$' \
             '{{\"delivery-limit\": -1}}'",
            escape_pattern(queue)
        );
        warn!(
            times,
            command,
            "trades are delivered again and again; a quorum queue with a delivery limit, by default 20 \
             since RabbitMQ 4.0, drops them: lift the limit with this command unless that is done"
        );
    }

    pub fn windows_in_flight(&self, count: usize) {
        self.windows_in_flight.set(count as i64);
    }

    /// Notes what the queue waits for at a server, and logs it if it is new. What several queues wait for
    /// is logged once.
    pub fn waiting(&self, server: Server, wait: Wait) {
        let phase = Phase::Waiting(wait.clone());
        let is_told = !wait.is_of_queue && self.others(server, |other| *other == phase);
        if self.enter(server, phase).is_some() && !is_told {
            warn!(server = server.name(), reason = wait.reason, "waiting");
        }
    }

    /// Notes that another consumer holds the queue, and logs it if it is new.
    pub fn standing_by(&self) {
        if self.enter(Server::rabbitmq, Phase::StandingBy).is_some() {
            info!("standing by: another consumer holds the queue");
        }
    }

    /// Notes that a server works for the queue, and logs it if it is new. What several queues have waited
    /// for is over when the last of them goes on.
    pub fn ready(&self, server: Server) {
        let Some(before) = self.enter(server, Phase::Ready) else {
            return;
        };
        if !(before.is_common_wait() && self.others(server, Phase::is_common_wait)) {
            info!(server = server.name(), "ready");
        }
    }

    /// Whether another queue is in such a phase.
    fn others(&self, server: Server, is: impl Fn(&Phase) -> bool) -> bool {
        let mut state = self.all.state();
        let mut queues = state.queues.iter_mut().enumerate();
        queues.any(|(place, queue)| place != self.place && is(&queue.link(server).phase))
    }

    /// Changes the phase. Returns the last one if it was another.
    fn enter(&self, server: Server, phase: Phase) -> Option<Phase> {
        self.with_state(|state| {
            let link = state.link(server);
            if link.phase == phase {
                return None;
            }
            if phase == Phase::Ready && std::mem::replace(&mut link.was_ready, true) {
                let queue = self.queue.clone();
                let label = ServerLabel { queue, server };
                self.all.0.families.reconnects.get_or_create(&label).inc();
            }
            Some(std::mem::replace(&mut link.phase, phase))
        })
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut QueueState) -> T) -> T {
        act(&mut self.all.state().queues[self.place])
    }
}

/// A regular expression that matches exactly this text.
fn escape_pattern(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !"-_/:=".contains(c);
    let escaped = |c| special(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_documented_names() {
        let all = Telemetry::new();
        let (telemetry, other) = (all.queue("MSFT"), all.queue("TSLA"));
        telemetry.trades_read(3);
        other.trades_read(1);
        telemetry.trade_rejected(&Rejection::TooLate);
        telemetry.trades_skipped(2);
        telemetry.window_stored(Duration::ZERO);
        telemetry.windows_in_flight(4);
        telemetry.ready(Server::rabbitmq);
        telemetry.waiting(Server::rabbitmq, Wait::common("gone"));
        telemetry.ready(Server::rabbitmq);
        let text = all.metrics();
        for line in [
            r#"stock_consumer_trades_read_total{queue="MSFT"} 3"#,
            r#"stock_consumer_trades_read_total{queue="TSLA"} 1"#,
            r#"stock_consumer_trades_rejected_total{queue="MSFT",reason="too-late"} 1"#,
            r#"stock_consumer_trades_skipped_total{queue="MSFT"} 2"#,
            r#"stock_consumer_trades_skipped_total{queue="TSLA"} 0"#,
            r#"stock_consumer_windows_stored_total{queue="MSFT"} 1"#,
            r#"stock_consumer_store_seconds_count{queue="MSFT"} 1"#,
            r#"stock_consumer_windows_in_flight{queue="MSFT"} 4"#,
            r#"stock_consumer_reconnects_total{queue="MSFT",server="rabbitmq"} 1"#,
            r#"stock_consumer_since_last_window_seconds{queue="MSFT"} "#,
            r#"stock_consumer_since_last_window_seconds{queue="TSLA"} "#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn readiness_tells_what_is_missing() {
        let all = Telemetry::new();
        let telemetry = all.queue("MSFT");
        assert_eq!(all.not_ready().len(), 2);
        telemetry.ready(Server::mongodb);
        telemetry.waiting(Server::rabbitmq, Wait::of_queue("no queue"));
        assert_eq!(all.not_ready(), ["RabbitMQ: no queue"]);
        telemetry.standing_by();
        assert!(all.not_ready().is_empty());
    }

    #[test]
    fn readiness_names_the_queue_unless_all_may_wait_for_it() {
        let all = Telemetry::new();
        let queues = ["MSFT", "TSLA", "AAPL"].map(|name| all.queue(name));
        for queue in &queues {
            queue.ready(Server::rabbitmq);
            queue.waiting(Server::mongodb, Wait::common("no primary"));
        }
        assert_eq!(all.not_ready(), ["MongoDB: no primary"]);
        queues[1].waiting(Server::rabbitmq, Wait::of_queue("no queue"));
        let told = ["MongoDB: no primary", "RabbitMQ, queue TSLA: no queue"];
        assert_eq!(all.not_ready(), told);
    }

    #[test]
    fn what_was_ready_once_has_started_for_ever() {
        let all = Telemetry::new();
        let telemetry = all.queue("MSFT");
        assert_eq!(all.not_started().len(), 2);
        telemetry.ready(Server::mongodb);
        telemetry.standing_by();
        assert!(all.not_started().is_empty());
        telemetry.waiting(Server::rabbitmq, Wait::common("gone"));
        assert_eq!(all.not_ready().len(), 1);
        assert!(all.not_started().is_empty());
    }
}
