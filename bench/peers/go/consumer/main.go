// The whole job with amqp091-go: parse, average, store each window, acknowledge it.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

const window = 1000

type trade struct {
	Company   string  `json:"company"`
	EventType string  `json:"eventType"`
	Price     float64 `json:"price"`
}

type average struct {
	Company  string  `bson:"company"`
	AvgPrice float64 `bson:"avgPrice"`
	Window   int64   `bson:"window"`
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	prefetch := 17000
	if text := os.Getenv("PREFETCH"); text != "" {
		var err error
		if prefetch, err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	journaled := true
	client, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URL")).
		SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: &journaled}))
	if err != nil {
		return err
	}
	averages := client.Database(os.Getenv("MONGODB_DB")).Collection("stocks")

	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(os.Getenv("RABBITMQ_QUEUE"), "", false, false, false, false, nil)
	if err != nil {
		return err
	}

	var count, number int64
	var sum float64
	for delivery := range deliveries {
		var received trade
		if err := json.Unmarshal(delivery.Body, &received); err != nil {
			return err
		}
		sum += received.Price
		if count++; count < window {
			continue
		}
		full := average{Company: received.Company, AvgPrice: sum / window, Window: number}
		if _, err := averages.InsertOne(context.Background(), full); err != nil {
			return err
		}
		if err := delivery.Ack(true); err != nil {
			return err
		}
		count, sum = 0, 0
		number++
	}
	return amqp.ErrClosed
}
