// Stands in for the original publisher and behaves as it does: one connection with a channel for each
// company, transient queues, no confirms, and each trade published and logged alone.
package main

import (
	"context"
	"encoding/json"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type trade struct {
	Company   string  `json:"company"`
	EventType string  `json:"eventType"`
	Price     float64 `json:"price"`
}

func main() {
	interval, err := strconv.Atoi(os.Getenv("TICKER_INTERVAL"))
	if err != nil {
		log.Fatal(err)
	}
	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	if err != nil {
		log.Fatal(err)
	}
	failed := make(chan error)
	for company := range strings.SplitSeq(os.Getenv("STOCKS"), ",") {
		go func() { failed <- publish(connection, company, time.Duration(interval)*time.Millisecond) }()
	}
	log.Fatal(<-failed)
}

func publish(connection *amqp.Connection, company string, interval time.Duration) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	queue, err := channel.QueueDeclare(company, false, false, false, false, nil)
	if err != nil {
		return err
	}
	for range time.Tick(interval) {
		side := [...]string{"buy", "sell"}[rand.IntN(2)]
		body, err := json.Marshal(trade{company, side, 50 + 500*rand.Float64()})
		if err != nil {
			return err
		}
		message := amqp.Publishing{ContentType: "application/json", Body: body}
		if err := channel.PublishWithContext(context.Background(), "", queue.Name, false, false, message); err != nil {
			return err
		}
		log.Printf("sent %s", body)
	}
	return nil
}
