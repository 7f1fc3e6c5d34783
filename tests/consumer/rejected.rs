//! Invalid trades move aside, and none is lost.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::market::{Kind, Market, anonymous, assert_average, eventually};

/// Each broken rule, with a message that breaks it.
fn bad_messages(company: &str) -> Vec<(&'static str, Vec<u8>)> {
    let body = |text: &str| text.replace("MSFT", company).into_bytes();
    vec![
        ("too-large", vec![b' '; 65537]),
        ("not-json", b"hello".to_vec()),
        ("not-json", Vec::new()),
        ("not-json", vec![0xff, 0xfe, 0x00]),
        ("not-an-object", b"[1,2]".to_vec()),
        (
            "missing-field",
            body(r#"{"company":"MSFT","eventType":"buy"}"#),
        ),
        ("missing-field", body(r#"{"company":"MSFT","price":1}"#)),
        ("missing-field", body(r#"{"eventType":"buy","price":1}"#)),
        (
            "wrong-type",
            body(r#"{"company":"MSFT","eventType":1,"price":1}"#),
        ),
        (
            "wrong-type",
            body(r#"{"company":"MSFT","eventType":"buy","price":"312.5"}"#),
        ),
        (
            "unknown-event-type",
            body(r#"{"company":"MSFT","eventType":"hold","price":1}"#),
        ),
        (
            "price-not-positive",
            body(r#"{"company":"MSFT","eventType":"buy","price":0}"#),
        ),
        (
            "price-not-positive",
            body(r#"{"company":"MSFT","eventType":"buy","price":-1}"#),
        ),
        (
            "price-not-finite",
            body(r#"{"company":"MSFT","eventType":"buy","price":1e999}"#),
        ),
        (
            "wrong-company",
            body(r#"{"company":"another","eventType":"buy","price":1}"#),
        ),
    ]
}

#[tokio::test]
async fn each_invalid_trade_is_moved_unchanged_with_the_reason_and_stops_nothing() {
    let market = Market::open("rejected").await;
    let rejected = format!("{}.rejected", market.queue);
    market.declare(Kind::QuorumSingleActive).await;
    let bad = bad_messages(&market.queue);
    for (number, (_, body)) in (0u64..).zip(&bad) {
        market
            .publish(Some("run"), number * 50..number * 50 + 50)
            .await;
        let mut headers = FieldTable::default();
        headers.insert("x-own".into(), AMQPValue::LongInt(number as i32));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_correlation_id(format!("bad-{number}").into())
            .with_headers(headers);
        market
            .send(body, properties)
            .await
            .await
            .expect("confirmed");
    }
    let good = bad.len() as u64 * 50;
    market.publish(Some("run"), good..2300).await;
    let consumer = market.consumer().await;
    let windows = market.windows(2).await;
    assert_average(&windows[0], 0..1000);
    // A stop does not wait long for it: what is not moved by then stays in the queue.
    eventually("all invalid ones are moved", async || {
        consumer.metric("rejected_waiting").await == 0.0
    })
    .await;
    market.account(consumer, 2300).await;

    market.rejected(bad.len() as u32).await;
    for (number, (reason, body)) in (0..).zip(&bad) {
        let message = market
            .get(&rejected)
            .await
            .expect("a rejected message")
            .delivery;
        assert_eq!(&message.data, body, "unchanged, and in order");
        let properties = &message.properties;
        assert_eq!(
            properties
                .correlation_id()
                .as_ref()
                .map(|id| id.as_str().to_owned()),
            Some(format!("bad-{number}"))
        );
        assert_eq!(
            properties.content_type().as_ref().map(|t| t.as_str()),
            Some("application/json")
        );
        assert_eq!(properties.delivery_mode(), &Some(2));
        let headers = properties.headers().as_ref().expect("headers").inner();
        assert_eq!(headers["x-own"], AMQPValue::LongInt(number));
        assert_eq!(
            headers["x-rejected-reason"],
            AMQPValue::LongString((*reason).into()),
            "{}",
            String::from_utf8_lossy(body)
        );
        assert!(headers.contains_key("x-rejected-detail"));
    }
}

#[tokio::test]
async fn invalid_trades_alone_do_not_stop_the_line() {
    let market = Market::open("only-bad").await;
    market.declare(Kind::Classic).await;
    let consumer = market
        .consumer_with(&[("BATCH_SIZE", "2"), ("WINDOWS_IN_FLIGHT", "1")])
        .await;
    market.publish_invalid(0..200, anonymous).await;
    eventually("all are moved", async || {
        consumer.metric("trades_rejected_total").await == 200.0 && market.waiting().await == 0
    })
    .await;
    consumer.stop().await;
    assert_eq!(market.waiting().await, 0);
    market.rejected(200).await;
}

/// Of another type than the consumer declares, and with other arguments.
#[tokio::test]
async fn a_queue_of_rejected_messages_that_exists_is_taken_as_it_is() {
    let market = Market::open("rejected-before").await;
    let rejected = format!("{}.rejected", market.queue);
    market.declare(Kind::QuorumSingleActive).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let declarations = [
        (true, vec![]),
        (false, vec![("x-max-priority", AMQPValue::LongInt(3))]),
        (true, vec![("x-queue-type", text("stream"))]),
    ];
    let consumer = market.ready_consumer().await;
    for (durable, arguments) in declarations {
        let options = QueueDeclareOptions {
            durable,
            ..Default::default()
        };
        let arguments = arguments.into_iter();
        let arguments = arguments.map(|(name, value)| (name.into(), value));
        let arguments = FieldTable::from(arguments.collect::<BTreeMap<_, _>>());
        market
            .channel
            .queue_declare(rejected.as_str().into(), options, arguments)
            .await
            .expect("declared");
        market.publish_invalid(0..1, anonymous).await;
        market.rejected(1).await;
        market
            .channel
            .queue_delete(rejected.as_str().into(), QueueDeleteOptions::default())
            .await
            .expect("deleted");
    }
    consumer.stop().await;
}

#[tokio::test]
async fn the_company_may_differ_from_the_queues_name() {
    let market = Market::open("company").await;
    market.declare(Kind::QuorumSingleActive).await;
    let consumer = market
        .consumer_with(&[("COMPANY", "MSFT"), ("BATCH_SIZE", "1")])
        .await;
    let body = br#"{"company":"MSFT","eventType":"sell","price":7}"#;
    market
        .send(body, BasicProperties::default())
        .await
        .await
        .expect("confirmed");
    let windows = market.windows(1).await;
    assert_eq!(
        (windows[0].company.as_str(), windows[0].avg_price),
        ("MSFT", 7.0)
    );
    consumer.stop().await;
}
