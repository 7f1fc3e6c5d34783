//! Faults: whatever is killed, frozen, removed or started twice, windows are whole, without gap or double.

use std::time::Duration;

use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRecoverOptions,
};
use lapin::types::FieldTable;

use crate::market::{
    Consumer, Kind, Market, Stopwatch, assert_average, eventually, give_majority_back, servers,
    take_majority_away, variable,
};

#[tokio::test]
async fn a_queue_that_appears_late_is_waited_for() {
    let market = Market::open("late").await;
    let consumer = market.consumer().await;
    eventually("it says what it waits for", async || {
        http_says(&consumer, "the queue does not exist").await
    })
    .await;
    assert!(!consumer.is_ready().await);
    market.declare(Kind::Transient).await;
    market.publish(None, 0..1000).await;
    assert_average(&market.windows(1).await[0], 0..1000);
    let log = consumer.stop().await;
    assert_eq!(
        log.matches("the queue does not exist").count(),
        1,
        "said once:\n{log}"
    );
}

async fn http_says(consumer: &Consumer, what: &str) -> bool {
    consumer.is_serving().await && consumer.http("/readyz").await.contains(what)
}

/// Whether it has tried to reach a server, and cannot.
async fn waits_for(consumer: &Consumer, server: &str) -> bool {
    http_says(consumer, server).await
        && !http_says(consumer, &format!("{server}: not connected yet")).await
}

#[tokio::test]
async fn a_queue_that_vanishes_and_comes_back_is_read_again() {
    let market = Market::open("vanishing").await;
    for (round, kind) in (1u64..).zip([Kind::Transient, Kind::QuorumSingleActive, Kind::Classic]) {
        market.declare(kind).await;
        let consumer = market.ready_consumer().await;
        market.publish(Some(&format!("{round}")), 0..1000).await;
        market.windows(2 * round as usize - 1).await;
        market.delete_queue().await;
        eventually("it notices", async || !consumer.is_ready().await).await;
        market.declare(kind).await;
        market
            .publish(Some(&format!("{round} again")), 0..1000)
            .await;
        market.windows(2 * round as usize).await;
        consumer.stop().await;
        market.delete_queue().await;
    }
    market.audit().await;
}

/// SIGKILL at some fifty moments, spread over reading, writing and acknowledging.
#[tokio::test]
async fn a_consumer_killed_at_any_moment_counts_every_trade_once() {
    let market = Market::open("killed").await;
    market.declare(Kind::QuorumSingleActive).await;
    const TRADES: u64 = 40_500;
    let publish = market.publish(Some("run"), 0..TRADES);
    let kill = async {
        for round in 0..25u64 {
            let consumer = market.ready_consumer().await;
            tokio::time::sleep(Duration::from_millis(round * 17 % 120)).await;
            consumer.kill().await;
        }
    };
    tokio::join!(publish, kill);
    market.account(market.consumer().await, TRADES).await;
}

#[tokio::test]
async fn a_stopped_consumer_leaves_its_open_window_to_the_next() {
    let market = Market::open("restart").await;
    market.declare(Kind::QuorumSingleActive).await;
    for part in 0..6u64 {
        let consumer = market.ready_consumer().await;
        market
            .publish(Some("run"), part * 700..part * 700 + 700)
            .await;
        eventually("they are read", async || {
            consumer.metric("trades_read_total").await >= 700.0
        })
        .await;
        consumer.stop().await;
    }
    let windows = market.account(market.consumer().await, 4200).await;
    for (number, window) in (0u64..).zip(&windows) {
        assert_average(window, number * 1000..(number + 1) * 1000);
    }
}

/// On every kind of queue the second consumer takes over, and trades are counted once.
#[tokio::test]
async fn a_standby_takes_over_within_seconds() {
    for kind in [
        Kind::QuorumSingleActive,
        Kind::ClassicSingleActive,
        Kind::Classic,
    ] {
        let market = Market::open(&format!("standby-{kind:?}")).await;
        market.declare(kind).await;
        let active = market.ready_consumer().await;
        let standby = market.ready_consumer().await;
        market.publish(Some("run"), 0..1500).await;
        market.windows(1).await;
        assert_eq!(
            standby.metric("trades_read_total").await,
            0.0,
            "{kind:?}: it stands by"
        );
        active.kill().await;
        let watch = Stopwatch::start();
        market.publish(Some("run"), 1500..2000).await;
        market.windows(2).await;
        watch.assert_within(Duration::from_secs(10), &format!("{kind:?}"));
        market.account(standby, 2000).await;
    }
}

/// A plain quorum queue feeds both: nothing but the database keeps their windows apart.
#[tokio::test]
async fn two_active_consumers_store_whole_windows_and_count_every_trade_once() {
    let market = Market::open("two-active").await;
    market.declare(Kind::Quorum).await;
    let (first, second) = (market.ready_consumer().await, market.ready_consumer().await);
    market.publish(Some("run"), 0..30_000).await;
    let read = async |consumer: &Consumer| consumer.metric("trades_read_total").await;
    eventually("all are read", async || {
        read(&first).await + read(&second).await >= 30_000.0
    })
    .await;
    assert!(
        read(&first).await > 0.0 && read(&second).await > 0.0,
        "both are active"
    );
    // The second consumer gets the trades of the first one's open window.
    first.stop().await;
    market.account(second, 30_000).await;
}

/// The worst case: a consumer is frozen while it holds trades and perhaps writes, replaced, and woken.
#[tokio::test]
async fn a_frozen_consumer_that_wakes_up_after_its_replacement_counts_nothing_twice() {
    let market = Market::open("frozen").await;
    market.declare(Kind::QuorumSingleActive).await;
    let frozen = market.ready_consumer().await;
    let standby = market.ready_consumer().await;
    for round in 0..3u64 {
        let start = round * 10_300;
        let publish = market.publish(Some("run"), start..start + 10_300);
        let freeze = async {
            tokio::time::sleep(Duration::from_millis(60 + 45 * round)).await;
            frozen.signal("-STOP");
        };
        tokio::join!(publish, freeze);
        if round == 0 {
            close_connection_of(&frozen, &market).await;
            eventually("the standby takes over", async || {
                standby.metric("trades_read_total").await > 0.0
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        frozen.signal("-CONT");
    }
    let trades = 3 * 10_300;
    market.windows(trades / 1000).await;
    frozen.stop().await;
    market.account(standby, trades as u64).await;
}

/// Has the broker close the connection of one consumer.
async fn close_connection_of(consumer: &Consumer, market: &Market) {
    let port = consumer.broker_port().await;
    let list = servers(&["rabbitmqctl", "-q", "list_connections", "pid", "peer_port"]).await;
    let id = list
        .lines()
        .find_map(|line| line.strip_suffix(&format!("\t{port}")))
        .unwrap_or_else(|| {
            panic!(
                "the connection of {} from port {port} is not in\n{list}",
                market.queue
            )
        });
    servers(&["rabbitmqctl", "-q", "close_connection", id, "frozen"]).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_before_a_majority_has_it() {
    let market = Market::alone("majority").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    // The consumer must have read the queue's last window before the primary is gone.
    market.publish(Some("run"), 0..1000).await;
    eventually("the first window is stored", async || {
        consumer.metric("windows_stored_total").await == 1.0
    })
    .await;
    let others = take_majority_away().await;
    market.publish(Some("run"), 1000..4000).await;
    eventually("three windows wait", async || {
        consumer.metric("windows_in_flight").await == 3.0
    })
    .await;
    consumer.kill().await;
    eventually("all trades are in the queue again", async || {
        market.waiting().await == 3000
    })
    .await;
    give_majority_back(others).await;
    market.account(market.consumer().await, 4000).await;
}

#[tokio::test]
async fn a_lost_primary_costs_neither_a_trade_nor_a_restart() {
    let market = Market::alone("primary").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    let publish = market.publish(Some("run"), 0..30_000);
    let fail = async {
        eventually("it stores windows", async || {
            consumer.metric("windows_stored_total").await > 2.0
        })
        .await;
        let primary = servers(&["primary"]).await;
        servers(&["kill", &primary]).await;
        market.windows_at_least(20).await;
        servers(&["start", &primary]).await;
    };
    tokio::join!(publish, fail);
    market.account(consumer, 30_000).await;
}

#[tokio::test]
async fn a_broker_that_dies_and_returns_loses_no_confirmed_trade() {
    let mut market = Market::alone("broker").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    market.publish(Some("run"), 0..10_500).await;
    // In its first seconds a broker may not have stored yet that the queue exists.
    tokio::time::sleep(Duration::from_secs(3)).await;
    servers(&["kill", "rabbitmq"]).await;
    eventually("it notices", async || !consumer.is_ready().await).await;
    servers(&["start", "rabbitmq"]).await;
    market.reconnect().await;
    market.publish(Some("run"), 10_500..12_000).await;
    market.account(consumer, 12_000).await;
}

/// The original's queue does not survive a restart of the broker: its publisher declares it anew.
#[tokio::test]
async fn the_original_publishers_trades_are_averaged_after_a_broker_restart_too() {
    let mut market = Market::alone("original-restart").await;
    market.declare(Kind::Transient).await;
    let consumer = market.ready_consumer().await;
    market.publish(None, 0..2000).await;
    market.windows(2).await;
    servers(&["restart", "rabbitmq"]).await;
    market.reconnect().await;
    eventually("it waits for the queue", async || {
        http_says(&consumer, "the queue does not exist").await
    })
    .await;
    market.declare(Kind::Transient).await;
    market.publish(None, 2000..4000).await;
    let windows = market.windows(4).await;
    consumer.stop().await;
    for (number, window) in (0u64..).zip(&windows) {
        assert_average(window, number * 1000..(number + 1) * 1000);
    }
}

#[tokio::test]
async fn servers_that_are_not_there_yet_are_waited_for() {
    let market = Market::alone("early").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..1000).await;
    let nowhere = "amqp://127.0.0.1:1/";
    let waiting = market.consumer_with(&[("RABBITMQ_URL", nowhere)]).await;
    eventually("it waits", async || waits_for(&waiting, "RabbitMQ").await).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = waiting.stop().await;
    let lines = log
        .lines()
        .filter(|line| line.contains("waiting") && line.contains("RabbitMQ"));
    assert_eq!(lines.count(), 1, "one line for one state:\n{log}");

    let others = take_majority_away().await;
    let consumer = market.consumer().await;
    eventually("it waits", async || waits_for(&consumer, "MongoDB").await).await;
    let come_back = async {
        // Until an audit that does not wait has given up.
        tokio::time::sleep(Duration::from_secs(6)).await;
        give_majority_back(others).await;
    };
    tokio::join!(market.audit(), come_back);
    market.account(consumer, 1000).await;
}

#[tokio::test]
async fn a_refused_user_is_reported_without_the_password() {
    let market = Market::open("refused").await;
    let broker = variable("TEST_RABBITMQ_URL");
    let at = broker.rfind('@').expect("a user");
    let wrong = format!("amqp://nobody:secret-word{}", &broker[at..]);
    let consumer = market.consumer_with(&[("RABBITMQ_URL", &wrong)]).await;
    eventually("it says so", async || {
        http_says(&consumer, "ACCESS_REFUSED").await
    })
    .await;
    let log = consumer.stop().await;
    assert!(!log.contains("secret-word"), "{log}");
}

/// A broker may hang for one consumer only: its part of the channel, or the queue's member beside it.
#[tokio::test]
async fn a_consumer_whose_channel_hangs_in_the_broker_opens_another() {
    let market = Market::open("hanging").await;
    market.declare(Kind::QuorumSingleActive).await;
    let mut consumer = market.ready_consumer().await;
    market.publish(Some("run"), 0..1000).await;
    market.windows(1).await;
    suspend_channel_of(&market).await;
    market.publish(Some("run"), 1000..12_000).await;
    consumer.says("no answer within 10 s").await;
    market.windows(12).await;
    market.account(consumer, 12_000).await;
}

/// Has the broker's process for the channel that reads this queue handle nothing more. Its connection goes on.
pub async fn suspend_channel_of(market: &Market) {
    let list = servers(&[
        "rabbitmqctl",
        "-q",
        "list_consumers",
        "queue_name",
        "channel_pid",
    ])
    .await;
    let channel = list
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{}\t", market.queue)))
        .unwrap_or_else(|| panic!("no consumer of {} is in\n{list}", market.queue));
    let suspend = format!(r#"sys:suspend(rabbit_misc:string_to_pid("{channel}"))."#);
    servers(&["rabbitmqctl", "-q", "eval", &suspend]).await;
}

/// Here a stranger holds the queue, takes one trade, and does nothing with it. For a broker that hands out
/// what never arrives it looks the same.
#[tokio::test]
async fn a_consumer_to_which_waiting_trades_are_not_delivered_connects_again() {
    let market = Market::open("held-back").await;
    market.declare(Kind::QuorumSingleActive).await;
    let (queue, one) = (market.queue.as_str(), BasicQosOptions::default());
    market.channel.basic_qos(1, one).await.expect("set");
    let stranger = market
        .channel
        .basic_consume(
            queue.into(),
            "stranger".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("subscribed");
    let mut consumer = market.ready_consumer().await;
    let port = consumer.broker_port().await;
    market.publish(Some("run"), 0..3000).await;
    consumer
        .says("nothing arrives, though 2999 messages wait in the queue")
        .await;
    eventually("it has another connection", async || {
        consumer.is_ready().await && consumer.broker_port().await != port
    })
    .await;
    market
        .channel
        .basic_cancel(stranger.tag(), BasicCancelOptions::default())
        .await
        .expect("cancelled");
    drop(stranger);
    market
        .channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await
        .expect("given back");
    market.account(consumer, 3000).await;
}
