//! Windows that become too old are removed, and the rest is still proved.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use futures_util::TryStreamExt;

use crate::market::{Kind, Market, eventually, identified, variable};

fn days_ago(days: u64) -> DateTime {
    let now = DateTime::now().timestamp_millis();
    DateTime::from_millis(now - Duration::from_secs(days * 24 * 3600).as_millis() as i64)
}

/// Stores a window for each of these trades, and rejects those of them that are `invalid`.
async fn store(market: &Market, trades: u64, invalid: &[u64]) {
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.consumer_with(&[("BATCH_SIZE", "1")]).await;
    let mut next = 0;
    for &number in invalid {
        market.publish(Some("run"), next..number).await;
        market.publish_invalid([number], identified("run")).await;
        next = number + 1;
    }
    market.publish(Some("run"), next..trades).await;
    market.windows(trades as usize - invalid.len()).await;
    eventually("the rejected trades are recorded", async || {
        records(market).await.len() == invalid.len()
            && consumer.metric("rejected_waiting").await == 0.0
    })
    .await;
    consumer.stop().await;
}

async fn age(market: &Market, windows: Document, days: u64) {
    let closed = doc! { "$set": { "closedAt": days_ago(days) } };
    let changed = market.documents().update_many(windows, closed).await;
    assert!(changed.expect("changed").matched_count > 0);
}

/// Waits until old windows are removed.
async fn left(market: &Market, windows: usize) {
    eventually(&format!("{windows} windows are left"), async || {
        market.window_count().await == windows
    })
    .await;
}

/// The rejected trades of which there is a record.
async fn records(market: &Market) -> Vec<i64> {
    let settled = market.settled();
    let found = settled.find(doc! { "rejected": { "$exists": true } });
    let found: Vec<Document> = found.await.expect("some").try_collect().await.expect("all");
    let number = |record: &Document| {
        let range = record.get_array("rejected").ok()?.first()?.as_array()?;
        range.first().and_then(Bson::as_i64)
    };
    let mut numbers: Vec<i64> = found.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn old_windows_are_removed_in_steps_and_what_they_counted_stays_counted() {
    let market = Market::open("retention").await;
    // 2600 windows: three steps.
    store(&market, 2602, &[1000, 2590]).await;
    age(&market, doc! {}, 40).await;
    let oldest_record = doc! { "rejected": [[1000_i64, 1000_i64]] };
    let recorded = doc! { "$set": { "recordedAt": days_ago(42) } };
    let changed = market.settled().update_one(oldest_record, recorded).await;
    assert_eq!(changed.expect("changed").matched_count, 1);

    let retention = [("BATCH_SIZE", "1"), ("RETENTION", "30d")];
    let consumer = market.consumer_with(&retention).await;
    left(&market, 65).await;
    eventually(
        "the old record is removed, too, and all is counted",
        async || {
            records(&market).await == [2590]
                && consumer.metric("windows_removed_total").await == 2535.0
        },
    )
    .await;

    // Trades of removed windows are delivered again.
    market.publish(Some("run"), 0..1000).await;
    market.publish(Some("run"), 2591..2700).await;
    let windows = market.windows(65 + 98).await;
    assert_eq!((windows[0].window, windows[162].window), (2535, 2697));
    consumer.stop().await;
    let told = market.audit().await;
    assert!(
        told.contains("windows removed on purpose: 0-2534\n"),
        "{told}"
    );
    let epoch = told.lines().find(|line| line.contains(" run "));
    let fields: Vec<&str> = epoch.expect("the epoch").split_whitespace().collect();
    // The rejected trade whose record is gone has expired, too.
    assert_eq!(fields[2..], ["163", "163", "0", "0", "1", "2536"], "{told}");
}

#[tokio::test]
async fn what_is_not_old_stays_and_so_does_what_follows_it() {
    let market = Market::open("retained").await;
    store(&market, 200, &[]).await;
    age(&market, doc! { "window": { "$lt": 20 } }, 40).await;
    // A clock was wrong.
    age(&market, doc! { "window": 10 }, 0).await;
    let consumer = market.consumer_with(&[("RETENTION", "30d")]).await;
    left(&market, 190).await;
    consumer.stop().await;
    let told = market.audit().await;
    assert!(told.contains("windows removed on purpose: 0-9\n"), "{told}");

    age(&market, doc! {}, 40).await;
    let consumer = market.consumer().await;
    consumer.ready().await;
    consumer.stop().await;
    assert_eq!(market.window_count().await, 190, "by default all stay");
}

/// The consumer's user may lack the right: then averages go on.
#[tokio::test]
async fn without_the_right_to_remove_it_says_so_and_goes_on() {
    let market = Market::open("unremovable").await;
    store(&market, 100, &[]).await;
    age(&market, doc! {}, 40).await;
    let client = mongodb::Client::with_uri_str(variable("TEST_MONGODB_URL")).await;
    let admin = client.expect("a client").database("admin");
    let name = market.database.as_str();
    let actions = ["find", "insert", "update", "createIndex"];
    let role = doc! {
        "createRole": name,
        "privileges": [{ "resource": { "db": name, "collection": "" }, "actions": &actions[..] }],
        "roles": [],
    };
    admin.run_command(role).await.expect("a role");
    let user = doc! { "createUser": name, "pwd": "hush", "roles": [name] };
    admin.run_command(user).await.expect("a user");

    let url = variable("TEST_MONGODB_URL");
    let (_, rest) = url.split_once('@').expect("a user in the URL");
    let url = format!("mongodb://{name}:hush@{rest}");
    let changes = [
        ("BATCH_SIZE", "1"),
        ("RETENTION", "30d"),
        ("MONGODB_URL", &url),
    ];
    let mut consumer = market.consumer_with(&changes).await;
    consumer.says("old windows cannot be removed").await;
    market.publish(Some("run"), 100..200).await;
    market.windows(200).await;
    consumer.stop().await;
    admin
        .run_command(doc! { "dropUser": name })
        .await
        .expect("dropped");
    admin
        .run_command(doc! { "dropRole": name })
        .await
        .expect("dropped");
}
