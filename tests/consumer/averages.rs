//! Known trades give the expected windows and averages.

use std::time::Duration;

use bson::doc;
use futures_util::TryStreamExt;

use crate::market::{Kind, Market, assert_average, eventually};

#[tokio::test]
async fn five_windows_of_known_trades_give_five_exact_averages_and_an_empty_queue() {
    let market = Market::open("known").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..5000).await;
    let windows = market.account(market.consumer().await, 5000).await;
    for (number, window) in (0u64..).zip(&windows) {
        assert_average(window, number * 1000..(number + 1) * 1000);
        let number = number as i64;
        assert_eq!(
            (window.window, &window.queue, &window.company),
            (number, &market.queue, &market.queue)
        );
        assert_eq!(
            window.trades[0].ranges,
            [[number * 1000, number * 1000 + 999]]
        );
        assert_eq!(window.ledger[0].ranges, [[0, number * 1000 + 999]]);
        let seconds =
            |date: Option<bson::DateTime>| date.map(|date| date.timestamp_millis() / 1000);
        assert_eq!(
            seconds(window.first_trade_at),
            Some(1_700_000_000 + number * 1000)
        );
        assert_eq!(
            seconds(window.last_trade_at),
            Some(1_700_000_999 + number * 1000)
        );
    }
}

#[tokio::test]
async fn a_window_is_stored_with_its_last_trade_and_not_before() {
    let market = Market::open("boundary").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    market.publish(Some("run"), 0..999).await;
    eventually("999 trades are read", async || {
        consumer.metric("trades_read_total").await == 999.0
    })
    .await;
    assert_eq!(market.window_count().await, 0);
    market.publish(Some("run"), 999..1000).await;
    assert_average(&market.windows(1).await[0], 0..1000);
    market.publish(Some("run"), 1000..2500).await;
    let windows = market.account(consumer, 2500).await;
    assert_average(&windows[1], 1000..2000);
}

#[tokio::test]
async fn a_window_has_as_many_trades_as_configured() {
    let market = Market::open("batch").await;
    market.declare(Kind::Classic).await;
    market.publish(Some("run"), 0..25).await;
    let consumer = market.consumer_with(&[("BATCH_SIZE", "7")]).await;
    let windows = market.windows(3).await;
    for (number, window) in (0u64..).zip(&windows) {
        assert_average(window, number * 7..number * 7 + 7);
    }
    consumer.stop().await;
    eventually("the rest is back", async || market.waiting().await == 4).await;
}

/// A write costs every member of the replica set, however small it is.
#[tokio::test]
async fn windows_that_follow_quickly_are_stored_several_at_once() {
    let market = Market::open("quick").await;
    market.declare(Kind::Classic).await;
    let small = [("BATCH_SIZE", "10"), ("WINDOWS_IN_FLIGHT", "64")];
    let consumer = market.consumer_with(&small).await;
    for window in 0..100 {
        market
            .publish(Some("run"), window * 10..window * 10 + 10)
            .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let windows = market.windows(100).await;
    consumer.stop().await;
    // The windows of one write are closed together.
    let closed: Vec<i64> = windows
        .iter()
        .map(|window| window.closed_at.timestamp_millis())
        .collect();
    let writes = closed.chunk_by(|one, next| one == next).count() as i64;
    // One in 100 ms, and one more when half of the windows that may be in flight are waiting.
    let most = (closed[99] - closed[0]) / 100 + 100 / 32 + 3;
    assert!(
        writes <= most,
        "{writes} writes, {most} at most: {closed:?}"
    );
}

#[tokio::test]
async fn trades_without_properties_are_averaged_as_the_original_publisher_sends_them() {
    let market = Market::open("original").await;
    market.declare(Kind::Transient).await;
    let consumer = market.ready_consumer().await;
    market.publish(None, 0..3500).await;
    let windows = market.account(consumer, 3500).await;
    for (number, window) in (0u64..).zip(&windows) {
        assert_average(window, number * 1000..(number + 1) * 1000);
        assert!(
            window.trades.is_empty() && window.first_trade_at.is_none(),
            "{window:?}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_knows_only_company_and_average_sees_the_newest_first() {
    let market = Market::open("reader").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..1000).await;
    let first = market.consumer().await;
    let windows = market.windows(1).await;
    // Another process, perhaps within the same second, with ids of its own.
    first.stop().await;
    market.publish(Some("run"), 1000..4000).await;
    let second = market.consumer().await;
    let all = market.windows(4).await;
    assert_eq!(all[0], windows[0]);
    second.stop().await;
    let documents = market.documents();
    let read = documents.find(doc! { "company": &market.queue });
    let newest_first = read
        .sort(doc! { "_id": -1 })
        .projection(doc! { "_id": 0, "company": 1, "avgPrice": 1 });
    let read: Vec<f64> = newest_first
        .await
        .expect("the database")
        .map_ok(|document| document.get_f64("avgPrice").expect("a double"))
        .try_collect()
        .await
        .expect("the database");
    let written: Vec<f64> = all.iter().rev().map(|window| window.avg_price).collect();
    assert_eq!(read, written);
}

#[tokio::test]
async fn a_trade_sent_twice_is_counted_once() {
    let market = Market::open("doubles").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    for numbers in [0..1500, 0..1500, 700..1600, 1600..3000] {
        market.publish(Some("run"), numbers).await;
    }
    // Another run of the publisher has sequences of its own.
    market.publish(Some("other run"), 0..1000).await;
    let windows = market.windows(4).await;
    assert_eq!(consumer.metric("trades_skipped_total").await, 2300.0);
    assert_average(&windows[1], 1000..2000);
    let windows = market.account(consumer, 4000).await;
    assert_average(&windows[3], 0..1000);
}

/// More doubles than the consumer may hold unacknowledged, while a window is open.
#[tokio::test]
async fn a_flood_of_doubles_does_not_stop_the_line() {
    let market = Market::open("flood").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market
        .consumer_with(&[("BATCH_SIZE", "10"), ("WINDOWS_IN_FLIGHT", "2")])
        .await;
    market.publish(Some("run"), 0..5).await;
    for _ in 0..40 {
        market.publish(Some("run"), 0..5).await;
    }
    market.publish(Some("run"), 5..10).await;
    assert_average(&market.windows(1).await[0], 0..10);
    consumer.stop().await;
    market.audit().await;
    eventually("the queue is empty", async || market.waiting().await == 0).await;
}

#[tokio::test]
async fn trades_of_several_runs_may_be_mixed() {
    let market = Market::open("mixed").await;
    market.declare(Kind::Quorum).await;
    for part in 0..10 {
        for epoch in ["a", "b", "c"] {
            market
                .publish(Some(epoch), part * 100..part * 100 + 100)
                .await;
        }
    }
    market.account(market.consumer().await, 3000).await;
}
