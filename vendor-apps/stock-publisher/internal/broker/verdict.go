package broker

import amqp "github.com/rabbitmq/amqp091-go"

// Verdict is what the broker says, or will say, about a trade that was sent.
type Verdict struct {
	confirmation *amqp.DeferredConfirmation
	channel      *amqp.Channel
}

// Outcome is a verdict's value.
type Outcome int

// The outcomes.
const (
	Due     Outcome = iota // the broker has not judged the trade, or never will: its channel ended
	Taken                  // it has the trade
	Refused                // it does not want the trade (nack)
)

// Outcome returns the verdict so far.
func (v Verdict) Outcome() Outcome {
	select {
	case <-v.confirmation.Done():
	default:
		return Due
	}
	switch {
	case v.confirmation.Acked():
		return Taken
	case v.channel.IsClosed(): // The library says no to what is due when a channel ends.
		return Due
	default:
		return Refused
	}
}

// Given is closed when the broker has judged the trade, or its channel has ended.
func (v Verdict) Given() <-chan struct{} { return v.confirmation.Done() }
