//! One consumer reads the queues of many companies.

use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;

use crate::faults::suspend_channel_of;
use crate::market::{
    Consumer, Kind, Market, anonymous, assert_average, eventually, servers, variable,
};

/// Waits until each market's windows are those of so many of its trades.
async fn all_counted(markets: &[&Market], trades: u64) {
    for market in markets {
        for (number, window) in (0..).zip(market.windows(trades as usize / 1000).await) {
            assert_eq!(window.company, market.queue);
            assert_average(&window, number * 1000..(number + 1) * 1000);
        }
    }
}

/// The value of a metric of a queue.
async fn metric(consumer: &Consumer, name: &str, market: &Market) -> f64 {
    let metrics = consumer.http("/metrics").await;
    let name = format!("stock_consumer_{name}{{queue=\"{}\"}} ", market.queue);
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    let value = value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn queues_of_all_kinds_are_read_over_one_connection() {
    let first = Market::open("group").await;
    let mut others = Vec::new();
    for number in 1..20 {
        others.push(first.beside(&format!("group-{number}")).await);
    }
    let markets: Vec<&Market> = std::iter::once(&first).chain(&others).collect();
    let kinds = [
        Kind::QuorumSingleActive,
        Kind::Transient,
        Kind::ClassicSingleActive,
    ];
    for (market, kind) in std::iter::zip(&markets, kinds.iter().cycle()) {
        market.declare(*kind).await;
        market.publish(Some(&market.queue), 0..2500).await;
    }
    let consumer = first.consumer_of(&markets).await;
    all_counted(&markets, 2500).await;
    assert_eq!(consumer.broker_ports().await.len(), 1);
    for market in &markets {
        assert_eq!(metric(&consumer, "trades_read_total", market).await, 2500.0);
    }
    let log = consumer.stop().await;
    for market in &markets {
        eventually("the rest is back", async || market.waiting().await == 500).await;
        let named = format!(r#""queue":"{}""#, market.queue);
        assert!(log.contains(&named), "no {named} in\n{log}");
    }
    first.audit().await;
}

/// A broker may allow few channels on a connection, or its URL.
#[tokio::test]
async fn queues_without_a_channel_share_another_connection() {
    let first = Market::open("channels").await;
    let mut others = Vec::new();
    for number in 1..5 {
        others.push(first.beside(&format!("channels-{number}")).await);
    }
    let markets: Vec<&Market> = std::iter::once(&first).chain(&others).collect();
    for market in &markets {
        market.declare(Kind::QuorumSingleActive).await;
        market.publish_invalid(0..10, anonymous).await;
        market.publish(Some("run"), 0..1000).await;
    }
    let queues: Vec<&str> = markets.iter().map(|market| &*market.queue).collect();
    let url = format!("{}?channel_max=2", variable("TEST_RABBITMQ_URL"));
    let consumer = first
        .consumer_with(&[
            ("RABBITMQ_QUEUE", &queues.join(",")),
            ("RABBITMQ_URL", &url),
        ])
        .await;
    all_counted(&markets, 1000).await;
    for market in &markets {
        market.rejected(10).await;
    }
    // Three read, three move rejected messages.
    assert_eq!(consumer.broker_ports().await.len(), 6);
    consumer.stop().await;
    first.audit().await;
}

#[tokio::test]
async fn a_queue_in_trouble_does_not_hold_up_the_others() {
    let good = Market::open("group-good").await;
    let missing = good.beside("group-missing").await;
    let taken = good.beside("group-taken").await;
    let invalid = good.beside("group-invalid").await;
    let markets = [&missing, &taken, &invalid, &good];
    for market in [&taken, &invalid, &good] {
        market.declare(Kind::Classic).await;
    }
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..Default::default()
    };
    let stranger = taken.channel.basic_consume(
        taken.queue.as_str().into(),
        "stranger".into(),
        exclusive,
        FieldTable::default(),
    );
    let stranger = stranger.await.expect("subscribed");
    let consumer = good.consumer_of(&markets).await;
    invalid.publish_invalid(0..100, anonymous).await;
    for market in [&invalid, &good] {
        market.publish(Some("run"), 0..1000).await;
    }
    all_counted(&[&invalid, &good], 1000).await;
    invalid.rejected(100).await;

    let told = consumer.http("/readyz").await;
    let expected = format!(
        "RabbitMQ, queue {}: the queue does not exist",
        missing.queue
    );
    assert!(told.contains(&expected), "{told}");
    for others in [&taken, &invalid, &good] {
        assert!(!told.contains(&others.queue), "{told}");
    }
    missing.declare(Kind::QuorumSingleActive).await;
    consumer.ready().await;
    missing.publish(Some("run"), 0..1000).await;
    all_counted(&[&missing], 1000).await;

    // The stranger goes: what it was given comes again.
    taken.publish(Some("run"), 0..1000).await;
    drop(stranger);
    taken.channel.close(200, "".into()).await.expect("closed");
    all_counted(&[&taken], 1000).await;
    consumer.stop().await;
    good.audit().await;
}

/// Its trades come back only with the end of the connection. After that it has one of its own.
#[tokio::test]
async fn a_queue_whose_channel_hangs_in_the_broker_gets_a_connection_of_its_own() {
    let good = Market::open("group-others").await;
    let hanging = good.beside("group-hanging").await;
    let markets = [&good, &hanging];
    for market in &markets {
        market.declare(Kind::QuorumSingleActive).await;
    }
    let mut consumer = good.consumer_of(&markets).await;
    consumer.ready().await;
    for times in 1..=2 {
        suspend_channel_of(&hanging).await;
        let ports = consumer.broker_ports().await;
        assert_eq!(ports.len(), times);
        let numbers = (times as u64 - 1) * 11_000..times as u64 * 11_000;
        hanging.publish(Some("run"), numbers.clone()).await;
        good.publish(Some("run"), numbers).await;
        good.windows(11 * times).await;
        consumer.says("no answer within 10 s").await;
        hanging.windows(11 * times).await;
        consumer.ready().await;
        let kept = consumer.broker_ports().await;
        let kept = kept.iter().filter(|port| ports.contains(port)).count();
        assert_eq!(kept, times - 1, "the second time the others keep theirs");
    }
    all_counted(&markets, 22_000).await;
    consumer.stop().await;
    good.audit().await;
}

/// RabbitMQ 3 closes the whole connection of whoever wants to read such a queue.
#[tokio::test]
async fn a_queue_that_the_broker_cannot_reach_costs_the_others_one_connection_at_most() {
    let good = Market::open("group-reached").await;
    let lost = good.beside("group-lost").await;
    for market in [&good, &lost] {
        market.declare(Kind::QuorumSingleActive).await;
        market.publish(Some("run"), 0..1000).await;
    }
    let member = format!("quorum_queues, {{'%2F_{}', node()}}", lost.queue);
    let rabbitmq = async |what: &str| {
        let what = format!("ok = ra:{what}_server({member}).");
        servers(&["rabbitmqctl", "-q", "eval", &what]).await;
    };
    rabbitmq("stop").await;
    let mut consumer = good.consumer_of(&[&lost, &good]).await;
    consumer.says("INTERNAL_ERROR").await;
    for windows in 1..=20 {
        all_counted(&[&good], windows * 1000).await;
        good.publish(Some("run"), windows * 1000..(windows + 1) * 1000)
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let metrics = consumer.http("/metrics").await;
    let reconnects = format!(r#"reconnects_total{{queue="{}","#, good.queue);
    let reconnects = metrics.lines().find(|line| line.contains(&reconnects));
    assert!(
        reconnects.is_none_or(|line| line.ends_with(" 1")),
        "{metrics}"
    );

    rabbitmq("restart").await;
    all_counted(&[&lost], 1000).await;
    consumer.ready().await;
    consumer.stop().await;
    good.audit().await;
}

#[tokio::test]
async fn a_standby_with_the_same_list_takes_over_all_that_the_other_leaves() {
    let first = Market::alone("group-standby").await;
    let second = first.beside("group-standby-2").await;
    let third = first.beside("group-standby-3").await;
    let markets = [&first, &second, &third];
    for (market, kind) in std::iter::zip(
        markets,
        [Kind::QuorumSingleActive, Kind::Classic, Kind::Quorum],
    ) {
        market.declare(kind).await;
    }
    let active = first.consumer_of(&markets).await;
    active.ready().await;
    let standby = first.consumer_of(&markets).await;
    standby.ready().await;
    for market in &markets {
        market.publish(Some("run"), 0..10_500).await;
        market.windows_at_least(1).await;
    }
    active.kill().await;
    for market in &markets {
        market.publish(Some("run"), 10_500..15_000).await;
    }
    all_counted_in_any_order(&markets, 15).await;

    // The broker's end ends all sessions at once.
    servers(&["restart", "rabbitmq"]).await;
    standby.ready().await;
    assert_eq!(standby.broker_ports().await.len(), 1);
    standby.stop().await;
    first.audit().await;
}

/// A quorum queue with two consumers hands its trades to both.
async fn all_counted_in_any_order(markets: &[&Market], windows: usize) {
    for market in markets {
        let windows = market.windows(windows).await;
        assert!(windows.iter().all(|window| window.count == 1000));
    }
}
