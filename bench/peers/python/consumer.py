"""The whole job with pika: parse, average, store each window, acknowledge it."""

import json
import os

import pika
import pymongo

WINDOW = 1000


def main():
    averages = pymongo.MongoClient(os.environ["MONGODB_URL"])[os.environ["MONGODB_DB"]].get_collection(
        "stocks", write_concern=pymongo.WriteConcern(w="majority", j=True)
    )
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=int(os.environ.get("PREFETCH", "17000")))
    count, total, window = 0, 0.0, 0

    def on_trade(channel, method, _properties, body):
        nonlocal count, total, window
        trade = json.loads(body)
        total += trade["price"]
        count += 1
        if count < WINDOW:
            return
        averages.insert_one({"company": trade["company"], "avgPrice": total / WINDOW, "window": window})
        channel.basic_ack(method.delivery_tag, multiple=True)
        count, total, window = 0, 0.0, window + 1

    channel.basic_consume(os.environ["RABBITMQ_QUEUE"], on_trade)
    channel.start_consuming()


if __name__ == "__main__":
    main()
