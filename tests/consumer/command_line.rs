//! The commands, the shutdown and the configuration of the program.

use std::time::Duration;

use crate::market::{
    Kind, Market, Stopwatch, eventually, give_majority_back, program, take_majority_away,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn it_prints_usage_and_version() {
    let none: [(&str, String); 0] = [];
    let help = program(&["--help"], none.clone()).await;
    assert!(help.status.success());
    for word in [
        "audit",
        "healthcheck",
        "RABBITMQ_URL",
        "MONGODB_URL",
        "BATCH_SIZE",
        "HTTP_ADDRESS",
    ] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    let version = program(&["--version"], none.clone()).await;
    assert_eq!(
        text(&version.stdout),
        format!("stock-consumer {}\n", env!("CARGO_PKG_VERSION"))
    );
    let unknown = program(&["consume"], none).await;
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("unknown command: consume"));
}

#[tokio::test]
async fn a_bad_configuration_prints_all_problems_and_exits_with_78() {
    let environment = [
        ("RABBITMQ_URL", "amqp:user:secret-word@host"),
        ("MONGODB_URL", "user:secret-word@host"),
        ("BATCH_SIZE", "0"),
        ("WINDOWS_IN_FLIGHT", "many"),
        ("MAX_BODY_BYTES", "-1"),
        ("HTTP_ADDRESS", "here"),
        ("LOG_FORMAT", "xml"),
        ("RUST_BACKTRACE", "full"),
    ];
    let outcome = program(
        &[],
        environment.map(|(name, value)| (name, value.to_owned())),
    )
    .await;
    assert_eq!(outcome.status.code(), Some(78));
    let told = text(&outcome.stderr);
    for (variable, _) in &environment[..7] {
        assert!(
            told.contains(&format!("for example {variable}=")),
            "{variable}:\n{told}"
        );
    }
    assert!(told.contains("RABBITMQ_QUEUE is missing"), "{told}");
    assert!(
        !told.contains("secret-word")
            && !told.contains("panicked")
            && !told.contains("stack backtrace"),
        "{told}"
    );
}

#[tokio::test]
async fn a_taken_http_address_is_reported() {
    let market = Market::open("address").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (status, log) = market
        .consumer_with(&[("HTTP_ADDRESS", &address)])
        .await
        .ended()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("HTTP_ADDRESS {address} cannot be listened on")),
        "{log}"
    );
}

#[tokio::test]
async fn a_health_check_reports_whether_it_is_ready() {
    let nobody = program(
        &["healthcheck"],
        [("HTTP_ADDRESS", "127.0.0.1:1".to_owned())],
    )
    .await;
    assert_eq!(nobody.status.code(), Some(1));
    let market = Market::open("health").await;
    let consumer = market.consumer().await;
    eventually("it serves", async || consumer.is_serving().await).await;
    assert!(consumer.http("/healthz").await.starts_with("HTTP/1.0 200"));
    assert!(!consumer.is_ready().await, "no queue yet");
    assert!(!consumer.has_started().await, "no queue yet");
    market.declare(Kind::QuorumSingleActive).await;
    consumer.ready().await;
    assert!(consumer.has_started().await);
    assert!(consumer.http("/readyz").await.starts_with("HTTP/1.0 200"));
    assert!(
        consumer
            .http("/metrics")
            .await
            .contains("stock_consumer_trades_read_total")
    );
    market.delete_queue().await;
    eventually("it waits", async || !consumer.is_ready().await).await;
    assert!(consumer.has_started().await, "it merely waits");
    consumer.signal("-STOP");
    assert!(!consumer.has_started().await, "it hangs");
    consumer.signal("-CONT");
    consumer.stop().await;
}

#[tokio::test]
async fn it_ends_in_time_even_when_the_database_does_not_answer() {
    let market = Market::open("deaf").await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..1500).await;
    // Accepts connections, and never answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "mongodb://{}/?directConnection=true",
        deaf.local_addr().expect("bound")
    );
    let consumer = market.consumer_with(&[("MONGODB_URL", &url)]).await;
    eventually("it waits", async || {
        consumer.is_serving().await && consumer.http("/readyz").await.contains("MongoDB")
    })
    .await;
    consumer.stop().await;
    eventually("all are in the queue", async || {
        market.waiting().await == 1500
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let market = Market::alone("impatient").await;
    market.declare(Kind::QuorumSingleActive).await;
    let mut consumer = market.ready_consumer().await;
    // The consumer must have read the queue's last window before the primary is gone.
    market.publish(Some("run"), 0..1000).await;
    market.windows(1).await;
    // A write that cannot end delays the shutdown.
    let others = take_majority_away().await;
    market.publish(Some("run"), 1000..2000).await;
    eventually("a write is under way", async || {
        consumer.metric("windows_in_flight").await == 1.0
    })
    .await;
    consumer.signal("-INT");
    consumer.says("stopping").await;
    let watch = Stopwatch::start();
    consumer.signal("-INT");
    let (status, log) = consumer.ended().await;
    assert!(!status.success());
    watch.assert_within(Duration::from_secs(1), &log);
    give_majority_back(others).await;
}
