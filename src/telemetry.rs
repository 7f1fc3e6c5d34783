//! What an operator sees: logs, metrics and readiness.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
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
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
}

/// So many deliveries in vain are a reason to warn: a quarter of the default limit.
const OFTEN: i64 = 5;

/// The least time between two log lines about messages that were rejected for the same reason.
const REJECTED_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

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
struct ServerLabel {
    server: Server,
}

/// The consumer's metrics, and what it is waiting for. Clones share both.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    trades_read: Counter,
    trades_rejected: Family<ReasonLabel, Counter>,
    trades_skipped: Counter,
    windows_stored: Counter,
    windows_removed: Counter,
    store_seconds: Histogram,
    windows_in_flight: Gauge,
    rejected_waiting: Gauge,
    reconnects: Family<ServerLabel, Counter>,
    since_last_window: Gauge<f64, AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    started: Instant,
    last_window: Option<Instant>,
    broker: Link,
    database: Link,
    /// Why rejected messages cannot be moved, if they cannot.
    moving: Option<String>,
    /// It was ready when `not_started` was called, at least once.
    was_ready: bool,
    told_of_redeliveries: bool,
    /// For each reason, when a rejected message was logged last, and how many came since then.
    rejected: BTreeMap<&'static str, (Option<Instant>, u64)>,
}

/// The state of the consumer's work with one server.
#[derive(Debug)]
struct Link {
    phase: Phase,
    was_ready: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Waiting(String),
    /// Another consumer holds the queue: this one is a hot standby.
    StandingBy,
    Ready,
}

impl Link {
    fn new() -> Self {
        Self {
            phase: Phase::Waiting("not connected yet".into()),
            was_ready: false,
        }
    }
}

impl Telemetry {
    /// Metrics of the consumer of one queue; not ready until both servers are.
    pub fn new(queue: &str) -> Self {
        let mut root = Registry::default();
        let registry = root
            .sub_registry_with_prefix("stock_consumer")
            .sub_registry_with_label(("queue".into(), queue.to_owned().into()));
        let inner = Inner {
            trades_read: Counter::default(),
            trades_rejected: Family::default(),
            trades_skipped: Counter::default(),
            windows_stored: Counter::default(),
            windows_removed: Counter::default(),
            // From a local replica set's milliseconds up to the time-out of a write.
            store_seconds: Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
            windows_in_flight: Gauge::default(),
            rejected_waiting: Gauge::default(),
            reconnects: Family::default(),
            since_last_window: Gauge::default(),
            registry: Registry::default(),
            state: Mutex::new(State {
                started: Instant::now(),
                last_window: None,
                broker: Link::new(),
                database: Link::new(),
                moving: None,
                was_ready: false,
                told_of_redeliveries: false,
                rejected: BTreeMap::new(),
            }),
        };
        registry.register(
            "trades_read",
            "Deliveries read from the queue",
            inner.trades_read.clone(),
        );
        registry.register(
            "trades_rejected",
            "Deliveries moved to the queue of rejected messages, by the rule that they break",
            inner.trades_rejected.clone(),
        );
        registry.register(
            "trades_skipped",
            "Trades that a window held already",
            inner.trades_skipped.clone(),
        );
        registry.register(
            "windows_stored",
            "Windows stored with a majority, journaled write",
            inner.windows_stored.clone(),
        );
        registry.register(
            "windows_removed",
            "Windows removed because they were older than RETENTION",
            inner.windows_removed.clone(),
        );
        registry.register_with_unit(
            "store",
            "Time from handing windows to the database to their majority, journaled write",
            Unit::Seconds,
            inner.store_seconds.clone(),
        );
        registry.register(
            "windows_in_flight",
            "Full windows that are not stored yet",
            inner.windows_in_flight.clone(),
        );
        registry.register(
            "rejected_waiting",
            "Rejected messages that are not in the queue of rejected messages yet",
            inner.rejected_waiting.clone(),
        );
        registry.register(
            "reconnects",
            "Connections that were lost and made again, by server",
            inner.reconnects.clone(),
        );
        registry.register_with_unit(
            "since_last_window",
            "Time since a window was stored, or since the start",
            Unit::Seconds,
            inner.since_last_window.clone(),
        );
        Self(Arc::new(Inner {
            registry: root,
            ..inner
        }))
    }

    pub fn trades_read(&self, count: usize) {
        self.0.trades_read.inc_by(count as u64);
    }

    /// Counts a rejected message, and logs it unless one with the same reason was logged a moment ago.
    pub fn trade_rejected(&self, rejection: &Rejection) {
        let reason = rejection.reason();
        self.0
            .trades_rejected
            .get_or_create(&ReasonLabel { reason })
            .inc();
        let mut state = self.state();
        let (told, messages) = state.rejected.entry(reason).or_default();
        *messages += 1;
        if told.is_none_or(|told| told.elapsed() >= REJECTED_INTERVAL) {
            *told = Some(Instant::now());
            let messages = std::mem::take(messages);
            warn!(reason, detail = %rejection, messages, "rejected");
        }
    }

    pub fn trades_skipped(&self, count: usize) {
        self.0.trades_skipped.inc_by(count as u64);
    }

    pub fn window_stored(&self, latency: Duration) {
        self.0.windows_stored.inc();
        self.0.store_seconds.observe(latency.as_secs_f64());
        self.state().last_window = Some(Instant::now());
    }

    pub fn windows_removed(&self, count: usize) {
        self.0.windows_removed.inc_by(count as u64);
    }

    pub fn rejected_waiting(&self, count: usize) {
        self.0.rejected_waiting.set(count as i64);
    }

    /// Notes why rejected messages cannot be moved, or that they can, and logs it if it is new.
    pub fn moving(&self, trouble: Option<String>) {
        let before = std::mem::replace(&mut self.state().moving, trouble.clone());
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
    pub fn redelivered(&self, queue: &str, times: i64) {
        if times < OFTEN || std::mem::replace(&mut self.state().told_of_redeliveries, true) {
            return;
        }
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
        self.0.windows_in_flight.set(count as i64);
    }

    /// Notes what the consumer waits for at a server, and logs it if it is new.
    pub fn waiting(&self, server: Server, reason: impl Into<String>) {
        let phase = Phase::Waiting(reason.into());
        if let Some(Phase::Waiting(reason)) = self.enter(server, phase) {
            warn!(server = server.name(), reason, "waiting");
        }
    }

    /// Notes that another consumer holds the queue, and logs it if it is new.
    pub fn standing_by(&self) {
        if self.enter(Server::rabbitmq, Phase::StandingBy).is_some() {
            info!("standing by: another consumer holds the queue");
        }
    }

    /// Notes that a server works for the consumer, and logs it if it is new.
    pub fn ready(&self, server: Server) {
        if self.enter(server, Phase::Ready).is_some() {
            info!(server = server.name(), "ready");
        }
    }

    /// Changes the phase. Returns it if it differs from the last one.
    fn enter(&self, server: Server, phase: Phase) -> Option<Phase> {
        let mut state = self.state();
        let link = match server {
            Server::rabbitmq => &mut state.broker,
            Server::mongodb => &mut state.database,
        };
        if link.phase == phase {
            return None;
        }
        if phase == Phase::Ready && std::mem::replace(&mut link.was_ready, true) {
            self.0
                .reconnects
                .get_or_create(&ServerLabel { server })
                .inc();
        }
        link.phase = phase.clone();
        Some(phase)
    }

    /// What the consumer is waiting for; empty when it is ready.
    pub fn not_ready(&self) -> Vec<String> {
        let state = self.state();
        [
            (Server::rabbitmq, &state.broker),
            (Server::mongodb, &state.database),
        ]
        .into_iter()
        .filter_map(|(server, link)| match &link.phase {
            Phase::Waiting(reason) => Some(format!("{}: {reason}", server.name())),
            Phase::StandingBy | Phase::Ready => None,
        })
        .collect()
    }

    /// What the consumer waited for since its start; empty for ever from the first call at which it is ready.
    pub fn not_started(&self) -> Vec<String> {
        let waits = self.not_ready();
        let mut state = self.state();
        state.was_ready |= waits.is_empty();
        if state.was_ready { Vec::new() } else { waits }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn metrics(&self) -> String {
        let since = {
            let state = self.state();
            state.last_window.unwrap_or(state.started).elapsed()
        };
        self.0.since_last_window.set(since.as_secs_f64());
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let telemetry = Telemetry::new("MSFT");
        telemetry.trades_read(3);
        telemetry.trade_rejected(&Rejection::TooLate);
        telemetry.trades_skipped(2);
        telemetry.window_stored(Duration::ZERO);
        telemetry.windows_in_flight(4);
        telemetry.ready(Server::rabbitmq);
        telemetry.waiting(Server::rabbitmq, "gone");
        telemetry.ready(Server::rabbitmq);
        let text = telemetry.metrics();
        for line in [
            r#"stock_consumer_trades_read_total{queue="MSFT"} 3"#,
            r#"stock_consumer_trades_rejected_total{queue="MSFT",reason="too-late"} 1"#,
            r#"stock_consumer_trades_skipped_total{queue="MSFT"} 2"#,
            r#"stock_consumer_windows_stored_total{queue="MSFT"} 1"#,
            r#"stock_consumer_store_seconds_count{queue="MSFT"} 1"#,
            r#"stock_consumer_windows_in_flight{queue="MSFT"} 4"#,
            r#"stock_consumer_reconnects_total{queue="MSFT",server="rabbitmq"} 1"#,
            r#"stock_consumer_since_last_window_seconds{queue="MSFT"} "#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn readiness_tells_what_is_missing() {
        let telemetry = Telemetry::new("MSFT");
        assert_eq!(telemetry.not_ready().len(), 2);
        telemetry.ready(Server::mongodb);
        telemetry.waiting(Server::rabbitmq, "no queue");
        assert_eq!(telemetry.not_ready(), ["RabbitMQ: no queue"]);
        telemetry.standing_by();
        assert!(telemetry.not_ready().is_empty());
    }

    #[test]
    fn what_was_ready_once_has_started_for_ever() {
        let telemetry = Telemetry::new("MSFT");
        assert_eq!(telemetry.not_started().len(), 2);
        telemetry.ready(Server::mongodb);
        telemetry.standing_by();
        assert!(telemetry.not_started().is_empty());
        telemetry.waiting(Server::rabbitmq, "gone");
        assert_eq!(telemetry.not_ready().len(), 1);
        assert!(telemetry.not_started().is_empty());
    }
}
