//! Other people's publishers, brokers and databases: whatever they send, refuse, drop or restore.

use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use lapin::BasicProperties;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::market::{Consumer, Kind, Market, eventually, finally, identified, servers, variable};

#[tokio::test]
async fn message_ids_of_other_publishers_are_no_identities() {
    let schemes: [fn(u64) -> String; 5] = [
        |_| "order:17".into(),
        |n| format!("2024-08-13T10:15:{:02}", n % 60),
        |n| format!("{n:032x}:0"),
        |n| n.to_string(),
        |_| "urn:trade:1:1".into(),
    ];
    let market = Market::open("foreign-ids").await;
    market.declare(Kind::Classic).await;
    for scheme in schemes {
        let properties = |number| BasicProperties::default().with_message_id(scheme(number).into());
        market.publish_with(0..20_000, properties).await;
    }
    let consumer = market.ready_consumer().await;
    let windows = market.windows(100).await;
    assert!(windows.iter().all(|window| window.trades.is_empty()));
    assert_eq!(consumer.metric("trades_skipped_total").await, 0.0);
    consumer.stop().await;
    assert!(market.audit().await.contains("(no identity)"));
}

/// What the database itself says: the size of each document, in the order of their numbers.
async fn sizes(market: &Market) -> Vec<i32> {
    let size = doc! { "$project": { "size": { "$bsonSize": "$$ROOT" } } };
    let all = market
        .documents()
        .aggregate([doc! { "$sort": { "window": 1 } }, size])
        .await
        .expect("the database");
    let all: Vec<Document> = all.try_collect().await.expect("the database");
    all.iter()
        .map(|document| document.get_i32("size").expect("a size"))
        .collect()
}

#[tokio::test]
async fn gaps_that_last_make_no_document_large_and_no_trade_count_twice() {
    let market = Market::open("gaps").await;
    market.declare(Kind::QuorumSingleActive).await;
    for part in 0..3u64 {
        let consumer = market.ready_consumer().await;
        let every_other = (part * 10_000..(part + 1) * 10_000).map(|number| 2 * number);
        market.publish_with(every_other, identified("run")).await;
        market.windows_at_least((part as usize + 1) * 10 - 3).await;
        // The next consumer gets again what this one has stored, but not acknowledged.
        consumer.kill().await;
    }
    let consumer = market.ready_consumer().await;
    let windows = market.windows(30).await;
    let mut counted: Vec<i64> = windows
        .iter()
        .flat_map(|window| &window.trades)
        .flat_map(|trades| {
            trades
                .ranges
                .iter()
                .flat_map(|[first, last]| *first..=*last)
        })
        .collect();
    counted.sort_unstable();
    assert!(counted.into_iter().eq((0..30_000).map(|number| 2 * number)));
    let largest = sizes(&market).await.into_iter().max();
    assert!(largest < Some(200_000), "{largest:?} bytes");

    // One that comes when nobody can tell any more.
    market.publish(Some("run"), 1..2).await;
    let rejected = format!("{}.rejected", market.queue);
    eventually("it is moved aside", async || {
        consumer.metric("trades_rejected_total").await == 1.0
            && consumer.metric("rejected_waiting").await == 0.0
    })
    .await;
    let message = market.get(&rejected).await.expect("a message").delivery;
    let headers = message.properties.headers().as_ref().expect("headers");
    assert_eq!(
        headers.inner()["x-rejected-reason"],
        AMQPValue::LongString("too-late".into())
    );
    consumer.stop().await;
}

#[tokio::test]
async fn rejected_trades_are_settled_and_documents_do_not_grow() {
    let market = Market::open("settled").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market.ready_consumer().await;
    let identified = identified("run");
    market
        .publish_all(0..20_000, |number| {
            let body = match number % 100 {
                7 => b"nothing".to_vec(),
                _ => market.body(number),
            };
            (body, identified(number))
        })
        .await;
    market.windows(19).await;
    eventually("all are moved", async || {
        consumer.metric("rejected_waiting").await == 0.0
            && consumer.metric("trades_rejected_total").await >= 200.0
    })
    .await;
    consumer.stop().await;
    let told = market.audit().await;
    let line = told
        .lines()
        .find(|line| line.contains(" run "))
        .expect("the epoch");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3..7], ["19000", "0", "0", "200"], "{told}");
    let sizes = sizes(&market).await;
    let growth = sizes.iter().max().copied().unwrap_or(0) - sizes[0];
    assert!(growth <= 500, "{growth} bytes: {sizes:?}");
}

/// Whether the database refuses all that is written to a collection.
async fn refuse_writes(market: &Market, collection: &str, refuses: bool) {
    let database = market.documents().client().database(&market.database);
    // Fails if it is there already.
    let _ = database.create_collection(collection).await;
    let validator = match refuses {
        true => doc! { "$expr": false },
        false => doc! {},
    };
    let command = doc! { "collMod": collection, "validator": validator };
    database.run_command(command).await.expect("refused");
}

/// It is moved, but the database knows nothing of it: neither its record, nor, perhaps, the window after it.
#[tokio::test]
async fn a_rejected_trade_of_a_killed_consumer_is_not_missing() {
    let market = Market::open("moved-and-killed").await;
    let rejected = format!("{}.rejected", market.queue);
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    market
        .channel
        .queue_declare(rejected.as_str().into(), durable, FieldTable::default())
        .await
        .expect("declared");
    market.declare(Kind::QuorumSingleActive).await;
    for (round, refused) in [&["stocks.settled"][..], &["stocks.settled", "stocks"]]
        .into_iter()
        .enumerate()
    {
        let begin = 2001 * round as u64;
        let consumer = market.ready_consumer().await;
        market.publish(Some("run"), begin..begin + 1000).await;
        market.windows(2 * round + 1).await;
        for collection in refused {
            refuse_writes(&market, collection, true).await;
        }
        market
            .publish_invalid([begin + 1000], identified("run"))
            .await;
        market.rejected(2 * round as u32 + 1).await;
        market
            .publish(Some("run"), begin + 1001..begin + 2001)
            .await;
        if refused.contains(&"stocks") {
            eventually("the window waits", async || {
                consumer.metric("windows_in_flight").await == 1.0
            })
            .await;
        } else {
            market.windows(2 * round + 2).await;
        }
        assert_eq!(consumer.metric("rejected_waiting").await, 1.0);
        consumer.kill().await;
        market.audit().await;

        for collection in refused {
            refuse_writes(&market, collection, false).await;
        }
        let consumer = market.ready_consumer().await;
        let windows = market.windows(2 * round + 2).await;
        eventually("it is moved again, and recorded", async || {
            consumer.metric("trades_rejected_total").await == 1.0
                && consumer.metric("rejected_waiting").await == 0.0
        })
        .await;
        market.holds(0).await;
        consumer.stop().await;
        let settled = [[0, begin as i64 + 2000]];
        assert_eq!(windows[2 * round + 1].ledger[0].ranges, settled);
        market.rejected(2 * round as u32 + 2).await;
        let told = market.audit().await;
        let line = told.lines().find(|line| line.contains(" run "));
        let fields = line.map(|line| line.split_whitespace().collect::<Vec<_>>());
        let counted = (2000 * (round + 1)).to_string();
        let rejected = (round + 1).to_string();
        assert_eq!(
            fields.expect("the epoch")[3..7],
            [&counted, "0", "0", &rejected],
            "{told}"
        );
    }
}

/// More than AMQP can let a consumer hold. Nor do they fill its log, which nobody reads meanwhile.
#[tokio::test]
async fn a_hundred_thousand_invalid_messages_do_not_stop_the_line() {
    let market = Market::open("flood-bad").await;
    market.declare(Kind::Classic).await;
    let consumer = market.consumer_with(&[("LOG_LEVEL", "info")]).await;
    market.publish_invalid(0..100_000, identified("run")).await;
    market.publish(Some("run"), 100_000..101_000).await;
    market.windows(1).await;
    eventually("all are moved", async || {
        consumer.metric("rejected_waiting").await == 0.0 && market.waiting().await == 0
    })
    .await;
    let log = consumer.stop().await;
    assert!(log.len() < 20_000, "{log}");
    let told = market.audit().await;
    assert!(told.contains(" 100000 "), "{told}");
    market.rejected(100_000).await;
}

/// Lets the broker believe that it is short of memory, or not.
async fn memory_alarm(is_on: bool) {
    let share = if is_on { "0.00001" } else { "0.6" };
    servers(&["rabbitmqctl", "-q", "set_vm_memory_high_watermark", share]).await;
}

#[tokio::test]
async fn a_memory_alarm_holds_up_invalid_messages_but_no_valid_trade() {
    let market = Market::alone("alarm").await;
    market.declare(Kind::QuorumSingleActive).await;
    for part in 0..5u64 {
        let begin = part * 10_001;
        market.publish(Some("run"), begin..begin + 10_000).await;
        market
            .publish_invalid([begin + 10_000], identified("run"))
            .await;
    }
    memory_alarm(true).await;
    let mut consumer = market.consumer().await;
    let alarmed = async {
        market.windows(50).await;
        market.holds(5).await;
        consumer.says("rejected messages wait").await;
        assert!(consumer.is_ready().await, "valid trades go on");
    };
    finally(alarmed, memory_alarm(false)).await;
    eventually("the invalid ones are moved", async || {
        consumer.metric("rejected_waiting").await == 0.0
    })
    .await;
    consumer.stop().await;
    market.rejected(5).await;
    assert_eq!(market.waiting().await, 0);
    market.audit().await;
}

/// A queue of rejected messages that takes none: valid trades go on, invalid ones wait.
#[tokio::test]
async fn a_full_queue_of_rejected_messages_holds_up_nothing() {
    let market = Market::open("rejected-full").await;
    let rejected = format!("{}.rejected", market.queue);
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    market
        .channel
        .queue_declare(rejected.as_str().into(), durable, arguments)
        .await
        .expect("declared");
    market.declare(Kind::QuorumSingleActive).await;
    // With a smaller prefetch count than invalid messages.
    let mut consumer = market
        .consumer_with(&[("BATCH_SIZE", "10"), ("WINDOWS_IN_FLIGHT", "2")])
        .await;
    for number in 0..100u64 {
        market
            .publish_invalid([2 * number], identified("run"))
            .await;
        market
            .publish(Some("run"), 2 * number + 1..2 * number + 2)
            .await;
    }
    market.windows(10).await;
    consumer.says("reject-publish").await;
    // Somebody deletes it: the next one is the consumer's own. What the broker has not decided about when a
    // queue is deleted counts as deleted with it, so nothing may be on its way.
    consumer.signal("-STOP");
    eventually("all is decided", async || {
        let list = ["rabbitmqctl", "-q", "list_channels", "messages_unconfirmed"];
        let counts = servers(&list).await;
        let mut counts = counts.lines().filter_map(|count| count.parse::<u32>().ok());
        counts.all(|count| count == 0)
    })
    .await;
    market
        .channel
        .queue_delete(rejected.as_str().into(), QueueDeleteOptions::default())
        .await
        .expect("deleted");
    consumer.signal("-CONT");
    market.holds(0).await;
    consumer.stop().await;
    eventually("all are in the other queue", async || {
        market.waiting_in(&rejected).await >= 98
    })
    .await;
    market.audit().await;
}

/// A user of the broker, of the same name as the market's queue.
struct BrokerUser<'a> {
    market: &'a Market,
}

impl BrokerUser<'_> {
    const PASSWORD: &'static str = "guessed";

    async fn control(command: &str, arguments: &[&str]) {
        servers(&[&["rabbitmqctl", "-q", command], arguments].concat()).await;
    }

    /// Adds the user. It may not do anything yet.
    async fn add(&self) {
        Self::control("add_user", &[&self.market.queue, Self::PASSWORD]).await;
    }

    /// Lets it read the queue, and no more than this besides.
    async fn permit(&self, configure: &str, write: &str) {
        let name = &self.market.queue;
        let read = format!("^{name}$");
        Self::control("set_permissions", &[name, configure, write, &read]).await;
    }

    async fn delete(&self) {
        Self::control("delete_user", &[&self.market.queue]).await;
    }

    fn url(&self) -> String {
        let url = variable("TEST_RABBITMQ_URL");
        let host = url.rsplit_once('@').expect("a host").1;
        format!("amqp://{}:{}@{host}", self.market.queue, Self::PASSWORD)
    }
}

/// The user lacks the right to write, then there is no queue to write to, and it may not declare one.
#[tokio::test]
async fn a_queue_of_rejected_messages_that_may_not_be_written_holds_up_nothing() {
    let market = Market::open("rejected-forbidden").await;
    let rejected = format!("{}.rejected", market.queue);
    market.declare(Kind::QuorumSingleActive).await;
    for part in 0..3u64 {
        let begin = part * 1001;
        market.publish_invalid([begin], identified("run")).await;
        market.publish(Some("run"), begin + 1..begin + 1001).await;
    }
    let user = BrokerUser { market: &market };
    user.add().await;
    let consume = async {
        user.permit("^$", "^$").await;
        let url = user.url();
        let mut consumer = market.consumer_with(&[("RABBITMQ_URL", &url)]).await;
        market.windows(3).await;
        consumer.says("ACCESS_REFUSED").await;
        market.holds(3).await;
        user.permit("^$", "^amq\\.default$").await;
        consumer.says("is gone").await;
        market.publish(Some("run"), 3003..4003).await;
        market.windows(4).await;
        assert!(consumer.is_ready().await, "valid trades go on");
        user.permit(&format!("^{rejected}$"), "^amq\\.default$")
            .await;
        eventually("they are moved", async || {
            consumer.metric("rejected_waiting").await == 0.0
        })
        .await;
        let log = consumer.stop().await;
        assert_eq!(
            log.matches("ACCESS_REFUSED").count(),
            1,
            "said once:\n{log}"
        );
    };
    finally(consume, user.delete()).await;
    market.rejected(3).await;
    assert_eq!(market.waiting().await, 0);
    market.audit().await;
}

async fn index_names(market: &Market) -> Vec<String> {
    market
        .documents()
        .list_index_names()
        .await
        .unwrap_or_default()
}

#[tokio::test]
async fn after_a_drop_or_a_restore_no_window_is_stored_without_the_fence() {
    let market = Market::open("dropped").await;
    market.declare(Kind::QuorumSingleActive).await;
    let mut consumer = market.ready_consumer().await;
    market.publish(Some("run"), 0..3500).await;
    let backup = market.windows(3).await;
    eventually("they are acknowledged", async || {
        consumer.metric("windows_in_flight").await == 0.0
    })
    .await;

    market.documents().drop().await.expect("dropped");
    market.publish(Some("run"), 3500..5500).await;
    consumer.says("was the collection dropped").await;
    let windows = market.windows(2).await;
    assert_eq!(
        windows
            .iter()
            .map(|window| window.window)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(index_names(&market).await.contains(&"fence".to_owned()));

    // An older state, as a restore brings it: with other windows of the same numbers, without indexes.
    market.documents().drop().await.expect("dropped");
    let older = market.documents().clone_with_type();
    older.insert_many(&backup[..2]).await.expect("restored");
    market.publish(Some("run"), 5500..7500).await;
    eventually("two more windows", async || {
        market.window_count().await == 4
    })
    .await;
    assert!(index_names(&market).await.contains(&"fence".to_owned()));
    let windows = market.windows(4).await;
    assert_eq!(
        windows
            .iter()
            .map(|window| window.window)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    let counted: i64 = windows
        .iter()
        .flat_map(|window| &window.trades)
        .flat_map(|trades| &trades.ranges)
        .map(|[first, last]| last - first + 1)
        .sum();
    assert_eq!(counted, 4000);

    // Newer windows than the consumer knows: it continues after them.
    let newer = windows.iter().zip(4..).map(|(window, number)| {
        let mut newer = window.clone();
        newer.id = bson::oid::ObjectId::new();
        newer.window = number;
        newer.trades.clear();
        newer.ledger.clear();
        newer
    });
    older.insert_many(newer).await.expect("restored");
    market.publish(Some("run"), 7500..8500).await;
    eventually("one more window", async || market.window_count().await == 9).await;
    assert_eq!(market.windows(9).await[8].window, 8);
    consumer.stop().await;
}

/// Renames a collection of this market's database. One that has the new name already is dropped.
async fn rename(market: &Market, from: &str, to: &str) {
    let name = |collection: &str| format!("{}.{collection}", market.database);
    let command = doc! { "renameCollection": name(from), "to": name(to), "dropTarget": true };
    let client = market.documents().client().clone();
    client
        .database("admin")
        .run_command(command)
        .await
        .expect("renamed");
}

#[tokio::test]
async fn after_a_rename_no_window_is_stored_without_the_fence() {
    let market = Market::open("renamed").await;
    market.declare(Kind::QuorumSingleActive).await;
    let mut consumer = market.ready_consumer().await;
    let numbers = async |count: usize| -> Vec<i64> {
        let windows = market.windows(count).await;
        assert!(index_names(&market).await.contains(&"fence".to_owned()));
        windows.iter().map(|window| window.window).collect()
    };
    market.publish(Some("run"), 0..3500).await;
    assert_eq!(numbers(3).await, [0, 1, 2]);
    eventually("they are acknowledged", async || {
        consumer.metric("windows_in_flight").await == 0.0
    })
    .await;

    // Away: the numbers begin anew, with the trades that are not acknowledged.
    rename(&market, "stocks", "away").await;
    market.publish(Some("run"), 3500..5500).await;
    consumer.says("renamed or restored").await;
    assert_eq!(numbers(2).await, [0, 1]);
    assert_eq!(market.windows(2).await[0].trades[0].ranges, [[3000, 3999]]);

    // Over it, a copy without indexes that has fewer windows than the consumer remembers.
    let copy = market.documents().client().database(&market.database);
    let first = market.windows(2).await.remove(0);
    let copy = copy.collection("copy");
    copy.insert_one(first).await.expect("copied");
    rename(&market, "copy", "stocks").await;
    market.publish(Some("run"), 5500..6500).await;
    assert_eq!(numbers(2).await, [0, 1]);
    // The copy did not hold 4000 to 4999, and the consumer has acknowledged them.
    assert_eq!(market.windows(2).await[1].trades[0].ranges, [[5000, 5999]]);

    // Back, with the fence and with more windows than the consumer remembers.
    rename(&market, "away", "stocks").await;
    market.publish(Some("run"), 6500..7500).await;
    assert_eq!(numbers(4).await, [0, 1, 2, 3]);
    assert_eq!(market.windows(4).await[3].trades[0].ranges, [[6000, 6999]]);
    let log = consumer.stop().await;
    assert_eq!(
        log.matches("renamed or restored").count(),
        3,
        "said each time:\n{log}"
    );
}

#[tokio::test]
async fn documents_of_an_older_consumer_are_continued_and_of_a_newer_one_refused() {
    let market = Market::open("upgrade").await;
    market.declare(Kind::QuorumSingleActive).await;
    // As version 0.1 stored them.
    let side = |count: i32| doc! { "count": count, "avgPrice": 300.0 };
    let date = bson::DateTime::from_millis(1_700_000_000_000);
    let epochs = |first: i64, last: i64| vec![doc! { "epoch": "run", "ranges": [[first, last]] }];
    let old = doc! {
        "_id": bson::oid::ObjectId::new(), "company": &market.queue, "avgPrice": 300.0, "count": 1000,
        "buy": side(400), "sell": side(600), "minPrice": 50.0, "maxPrice": 550.0,
        "firstTradeAt": date, "lastTradeAt": date, "closedAt": date, "queue": &market.queue,
        "window": 0_i64, "trades": epochs(0, 999), "ledger": epochs(0, 999),
    };
    market.documents().insert_one(&old).await.expect("stored");
    market.publish(Some("run"), 500..2000).await;
    let consumer = market.ready_consumer().await;
    let windows = market.windows(2).await;
    assert_eq!(
        (windows[0].schema_version, windows[1].schema_version),
        (1, 2)
    );
    assert_eq!(windows[1].trades[0].ranges, [[1000, 1999]]);
    assert_eq!(consumer.metric("trades_skipped_total").await, 500.0);
    consumer.stop().await;
    market.audit().await;

    let mut newer = old;
    newer.insert("_id", bson::oid::ObjectId::new());
    newer.insert("window", 2_i64);
    newer.insert("schemaVersion", 99);
    market.documents().insert_one(&newer).await.expect("stored");
    market.publish(Some("run"), 2000..3000).await;
    let mut consumer = market.consumer().await;
    consumer.says("was stored by a newer stock-consumer").await;
    assert_eq!(market.window_count().await, 3);
    consumer.kill().await;
}

/// A broker that accepts connections and says nothing, until it is told to speak.
async fn silent_broker() -> (u16, watch::Sender<bool>) {
    let url = variable("TEST_RABBITMQ_URL");
    let broker = url
        .rsplit_once('@')
        .and_then(|(_, rest)| rest.split('/').next())
        .expect("a host")
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (speak, speaks) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (broker, mut speaks) = (broker.clone(), speaks.clone());
            tokio::spawn(async move {
                if *speaks.borrow() {
                    let mut broker = TcpStream::connect(broker).await.expect("the broker");
                    // Ends when either side does.
                    let _ = copy_bidirectional(&mut client, &mut broker).await;
                } else {
                    // Those that met silence are never answered.
                    let _ = speaks.wait_for(|speaks| *speaks).await;
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (port, speak)
}

fn threads_and_descriptors(consumer: &Consumer) -> (usize, usize) {
    let count = |what: &str| {
        let path = format!("/proc/{}/{what}", consumer.id());
        std::fs::read_dir(path).expect("its state").count()
    };
    (count("task"), count("fd"))
}

#[tokio::test]
async fn a_silent_broker_leaves_no_thread_and_no_descriptor_behind() {
    let market = Market::open("silent").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..1000).await;
    let (port, speak) = silent_broker().await;
    let url = variable("TEST_RABBITMQ_URL");
    let (user, path) = (
        url.rsplit_once('@').expect("a user").0,
        url.rsplit_once('/').expect("a path").1,
    );
    let url = format!("{user}@127.0.0.1:{port}/{path}?connection_timeout=300");
    let mut consumer = market.consumer_with(&[("RABBITMQ_URL", &url)]).await;
    consumer.says("no answer within 0.3 s").await;
    let mut seen = Vec::new();
    for _ in 0..16 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        seen.push(threads_and_descriptors(&consumer));
    }
    // What is there between two tries.
    let (first, last) = (seen[..8].iter().min(), seen[8..].iter().min());
    assert!(
        last <= first,
        "more and more threads, descriptors: {seen:?}"
    );
    speak.send(true).expect("the broker");
    market.windows(1).await;
    consumer.stop().await;
}

#[tokio::test]
async fn trades_that_are_delivered_in_vain_again_and_again_are_reported_with_the_command_that_helps()
 {
    let market = Market::open("in-vain").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..10).await;
    for _ in 0..5 {
        let consumer = market.ready_consumer().await;
        eventually("they are read", async || {
            consumer.metric("trades_read_total").await >= 10.0
        })
        .await;
        consumer.kill().await;
    }
    let mut consumer = market.consumer().await;
    consumer.says("delivery-limit").await;
    consumer.stop().await;
}

/// Small frames, few channels, short heartbeats, and a broker that takes back what is held for long.
#[tokio::test]
async fn limits_of_the_broker_are_kept() {
    let market = Market::alone("limits").await;
    market.declare(Kind::QuorumSingleActive).await;
    let set = async |name: &str, value: &str| {
        let set = format!("application:set_env(rabbit, {name}, {value}).");
        servers(&["rabbitmqctl", "-q", "eval", &set]).await;
    };
    let get = async |name: &str| {
        let get = format!("{{ok, V}} = application:get_env(rabbit, {name}), V.");
        servers(&["rabbitmqctl", "-q", "eval", &get]).await
    };
    let limits = [
        ("frame_max", "8192"),
        ("channel_max", "8"),
        ("heartbeat", "2"),
        ("consumer_timeout", "2000"),
        ("channel_tick_interval", "500"),
    ];
    let mut before = Vec::new();
    for (name, value) in limits {
        before.push((name, get(name).await));
        set(name, value).await;
    }
    let consume = async {
        let consumer = market.consumer_with(&[("BATCH_SIZE", "5")]).await;
        for number in 0..10 {
            market.publish(Some("run"), number..number + 1).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let windows = market.windows(2).await;
        let log = consumer.stop().await;
        assert_eq!(windows[1].trades[0].ranges, [[5, 9]]);
        assert!(log.contains("timeout"), "it was taken back:\n{log}");
    };
    let restore = async {
        for (name, value) in before {
            set(name, &value).await;
        }
    };
    finally(consume, restore).await;
    market.audit().await;
}
