// A stand-in for the publisher that the assignment hands out: the same module with the same
// dependency, so that the same expression builds it and the hash of the dependency is the same. It
// sends the same messages as the original: non-durable queues, trades without an id.
package main

import (
	"fmt"
	"log"
	"math/rand"
	"os"
	"strconv"
	"time"

	"github.com/streadway/amqp"
)

var companies = []string{"MSFT", "TSLA", "AAPL"}

func main() {
	if err := publish(); err != nil {
		log.Fatal(err)
	}
}

// publish ends when the broker is lost.
func publish() error {
	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	for _, company := range companies {
		if _, err := channel.QueueDeclare(company, false, false, false, false, nil); err != nil {
			return err
		}
	}
	for range time.Tick(interval()) {
		for _, company := range companies {
			message := amqp.Publishing{ContentType: "application/json", Body: trade(company)}
			if err := channel.Publish("", company, false, false, message); err != nil {
				return err
			}
		}
	}
	return nil
}

func interval() time.Duration {
	milliseconds, err := strconv.Atoi(os.Getenv("TICKER_INTERVAL"))
	if err != nil || milliseconds < 1 {
		milliseconds = 1
	}
	return time.Duration(milliseconds) * time.Millisecond
}

func trade(company string) []byte {
	kind := []string{"buy", "sell"}[rand.Intn(2)]
	return []byte(fmt.Sprintf(`{"company":%q,"eventType":%q,"price":%f}`, company, kind, 50+500*rand.Float64()))
}
