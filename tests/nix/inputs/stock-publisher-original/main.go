// A stand-in for the publisher that the assignment hands out: the same module with the same
// dependency, so that the same expression builds it and the hash of the dependency is the same.
package main

import (
	"fmt"
	"os"

	"github.com/streadway/amqp"
)

func main() {
	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	connection.Close()
}
