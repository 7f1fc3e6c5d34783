//! The whole job with amqprs: parse, average, store each window, acknowledge it.

use std::env;
use std::error::Error;

use amqprs::channel::{BasicAckArguments, BasicConsumeArguments, BasicQosArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use mongodb::Client;
use mongodb::options::{CollectionOptions, WriteConcern};
use serde::{Deserialize, Serialize};

const WINDOW: u32 = 1000;

#[derive(Deserialize)]
struct Trade {
    company: String,
    price: f64,
}

#[derive(Serialize)]
struct Average {
    company: String,
    #[serde(rename = "avgPrice")]
    avg_price: f64,
    window: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut durable = WriteConcern::majority();
    durable.journal = Some(true);
    let options = CollectionOptions::builder().write_concern(durable).build();
    let averages = Client::with_uri_str(env::var("MONGODB_URL")?)
        .await?
        .database(&env::var("MONGODB_DB")?)
        .collection_with_options::<Average>("stocks", options);

    let url = env::var("RABBITMQ_URL")?;
    let mut arguments = OpenConnectionArguments::try_from(url.as_str())?;
    // It does not decode the URL's `%2f`.
    arguments.virtual_host("/");
    let connection = Connection::open(&arguments).await?;
    let channel = connection.open_channel(None).await?;
    let prefetch = env::var("PREFETCH").map_or(Ok(17_000), |text| text.parse())?;
    channel
        .basic_qos(BasicQosArguments::new(0, prefetch, false))
        .await?;
    let consume = BasicConsumeArguments::new(&env::var("RABBITMQ_QUEUE")?, "");
    let (_, mut deliveries) = channel.basic_consume_rx(consume).await?;

    let (mut count, mut sum, mut window) = (0, 0.0, 0);
    while let Some(message) = deliveries.recv().await {
        let trade: Trade = serde_json::from_slice(&message.content.unwrap_or_default())?;
        sum += trade.price;
        count += 1;
        if count < WINDOW {
            continue;
        }
        let average = Average {
            company: trade.company,
            avg_price: sum / f64::from(WINDOW),
            window,
        };
        averages.insert_one(average).await?;
        let delivery = message.deliver.ok_or("a message without a delivery")?;
        channel
            .basic_ack(BasicAckArguments::new(delivery.delivery_tag(), true))
            .await?;
        (count, sum, window) = (0, 0.0, window + 1);
    }
    Err("the broker closed the channel".into())
}
