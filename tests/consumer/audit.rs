//! `stock-consumer audit` tells what became of every trade, whoever lost it.

use std::ops::Range;

use bson::doc;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use crate::market::{Kind, Market, eventually, finally, identified, servers};

/// A line of the audit's table, for one epoch.
#[derive(Debug, Default, PartialEq)]
struct Row {
    windows: u64,
    trades: u64,
    gaps: u64,
    doubles: u64,
    rejected: u64,
    expired: u64,
}

impl Row {
    fn read(told: &str, epoch: &str) -> Self {
        let mut rows = told
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|fields| fields.get(1) == Some(&epoch));
        let fields = row.unwrap_or_else(|| panic!("no {epoch} in\n{told}"));
        let number = |at: usize| {
            let number = fields.get(at).and_then(|field| field.parse().ok());
            number.unwrap_or_else(|| panic!("no column {at} in\n{told}"))
        };
        Self {
            windows: number(2),
            trades: number(3),
            gaps: number(4),
            doubles: number(5),
            rejected: number(6),
            expired: number(7),
        }
    }
}

/// Has the trades counted in windows of ten. Returns when so many windows are there, and what is left is
/// in the queue again.
async fn count(market: &Market, windows: usize) {
    let consumer = market.consumer_with(&[("BATCH_SIZE", "10")]).await;
    market.windows_at_least(windows).await;
    eventually("no rejected message waits", async || {
        consumer.metric("rejected_waiting").await == 0.0
    })
    .await;
    consumer.stop().await;
}

#[tokio::test]
async fn rejected_expired_missing_and_doubled_trades_are_told_apart() {
    let market = Market::open("fates").await;
    market.declare(Kind::QuorumSingleActive).await;
    let assert_tells = async |exit_code: i32, row: Row, what: &[&str]| {
        let (code, told) = market.audited().await;
        assert_eq!(Row::read(&told, "run"), row, "{told}");
        assert_eq!(code, Some(exit_code), "{told}");
        for what in what {
            assert!(told.contains(what), "no {what:?} in\n{told}");
        }
    };

    market.publish(Some("run"), 0..24).await;
    market.publish_invalid(24..26, identified("run")).await;
    market.publish(Some("run"), 26..52).await;
    count(&market, 5).await;
    let rejected = Row {
        windows: 5,
        trades: 50,
        rejected: 2,
        ..Row::default()
    };
    assert_tells(0, rejected, &["every trade is counted exactly once"]).await;

    // As retention removes them.
    let windows = market.documents();
    let oldest = doc! { "window": { "$lt": 2 } };
    let removed = windows.delete_many(oldest).await.expect("removed");
    assert_eq!(removed.deleted_count, 2);
    let expired = Row {
        windows: 3,
        trades: 30,
        rejected: 2,
        expired: 20,
        ..Row::default()
    };
    let by_hand = Row {
        gaps: 20,
        expired: 0,
        ..expired
    };
    assert_tells(1, by_hand, &["missing: 0-1\n"]).await;
    let note = doc! { "queue": &market.queue, "removedBelow": 2_i64 };
    market.settled().insert_one(note).await.expect("noted");
    assert_tells(0, expired, &["windows removed on purpose: 0-1\n"]).await;

    // Three trades that nobody brings, until somebody does.
    market.publish(Some("run"), 55..65).await;
    count(&market, 4).await;
    let missing = Row {
        windows: 4,
        trades: 40,
        gaps: 3,
        rejected: 2,
        expired: 20,
        ..Row::default()
    };
    assert_tells(1, missing, &["rejected: 52-54\n", "NOT SOUND"]).await;
    market.publish(Some("run"), 52..55).await;
    market.publish(Some("run"), 65..72).await;
    count(&market, 5).await;
    let found = Row {
        windows: 5,
        trades: 50,
        rejected: 2,
        expired: 20,
        ..Row::default()
    };
    assert_tells(0, found, &["every trade is counted exactly once"]).await;

    // A window that somebody stores a second time, under the next number.
    let mut double = windows
        .find_one(doc! { "window": 6 })
        .await
        .expect("the database")
        .expect("the window");
    double.insert("_id", bson::oid::ObjectId::new());
    double.insert("window", 7_i64);
    windows.insert_one(&double).await.expect("stored");
    let doubled = Row {
        windows: 6,
        trades: 50,
        doubles: 10,
        rejected: 2,
        expired: 20,
        ..Row::default()
    };
    assert_tells(1, doubled, &["counted more than once", "NOT SOUND"]).await;

    // All at once.
    market.publish(Some("run"), 80..90).await;
    count(&market, 7).await;
    let all = Row {
        windows: 7,
        trades: 60,
        gaps: 8,
        doubles: 10,
        rejected: 2,
        expired: 20,
    };
    assert_tells(1, all, &["rejected: 72-79\n", "windows removed on purpose"]).await;
}

/// What the broker drops because a policy says so, the audit names.
#[tokio::test]
async fn trades_that_a_policy_drops_are_named_until_they_come_back() {
    let market = Market::open("policies").await;
    market.declare(Kind::QuorumSingleActive).await;
    let letters = format!("{}.letters", market.queue);
    let options = QueueDeclareOptions::default();
    market
        .channel
        .queue_declare(letters.as_str().into(), options, FieldTable::default())
        .await
        .expect("declared");
    let dead_letter = format!(
        r#"{{"message-ttl": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "{letters}"}}"#
    );
    market.publish(Some("run"), 0..10).await;
    count(&market, 1).await;
    drop_by_policy(&market, r#"{"max-length": 4}"#, 10..20, 4).await;
    market.publish(Some("run"), 20..26).await;
    count(&market, 2).await;
    assert_gaps(&market, 6, ": 10-15\n").await;

    drop_by_policy(&market, r#"{"message-ttl": 1}"#, 26..30, 0).await;
    market.publish(Some("run"), 30..40).await;
    count(&market, 3).await;
    assert_gaps(&market, 10, ": 10-15 26-29\n").await;

    drop_by_policy(&market, &dead_letter, 40..45, 0).await;
    market.publish(Some("run"), 45..55).await;
    count(&market, 4).await;
    assert_gaps(&market, 15, ": 10-15 26-29 40-44\n").await;

    // Somebody brings the dead letters back.
    while let Some(letter) = market.get(&letters).await {
        let confirm = market.send(&letter.data, letter.properties.clone()).await;
        assert!(confirm.await.expect("an answer").is_ack());
    }
    market.publish(Some("run"), 55..60).await;
    count(&market, 5).await;
    assert_gaps(&market, 10, ": 10-15 26-29\n").await;
    market
        .channel
        .queue_delete(letters.as_str().into(), QueueDeleteOptions::default())
        .await
        .expect("deleted");
}

async fn assert_gaps(market: &Market, gaps: u64, which: &str) {
    let (code, told) = market.audited().await;
    assert_eq!((code, Row::read(&told, "run").gaps), (Some(1), gaps));
    assert!(told.contains(which), "no {which:?} in\n{told}");
}

/// Publishes trades to the queue while it has this policy, which leaves only so many there.
async fn drop_by_policy(market: &Market, policy: &str, trades: Range<u64>, left: u32) {
    let (name, pattern) = (&market.queue, format!("^{}$", market.queue));
    servers(&["rabbitmqctl", "-q", "set_policy", name, &pattern, policy]).await;
    let publish = async {
        market.publish(Some("run"), trades).await;
        eventually("the broker has dropped trades", async || {
            market.waiting().await == left
        })
        .await;
    };
    let clear = async {
        servers(&["rabbitmqctl", "-q", "clear_policy", name]).await;
    };
    finally(publish, clear).await;
}
