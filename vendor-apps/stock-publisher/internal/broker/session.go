package broker

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/trade"
)

// Message is one trade as it is sent.
type Message struct {
	ID     string
	MadeAt time.Time
	Body   []byte
}

// Session is a channel that publishes to one queue.
type Session struct {
	// Returns carries trades that reached no queue. The broker confirms them
	// too; a return arrives before its confirmation. It has room for all trades in
	// flight, so the connection never waits for its reader.
	Returns <-chan amqp.Return
	// Closed carries the reason why the session ended; it is closed without one
	// when there is none.
	Closed <-chan *amqp.Error
	// LimitedDelivery is true when the queue was declared without the argument
	// that turns its delivery limit off. Only a policy can then turn it off.
	LimitedDelivery bool

	queue   string
	channel *amqp.Channel
}

// OpenSession opens a channel, declares the queue and turns publisher confirms on.
// At most inFlight trades may wait for a verdict.
//
// The client library could tell of each confirmation through a Go channel. That
// costs a timer and a wake-up for each trade, and where the broker confirms several
// trades at once, and has refused one of them before, the library (1.16.0) reports
// that one as confirmed too. So the publisher looks at each trade's Verdict.
func (c *Connection) OpenSession(queue, queueType string, inFlight int) (*Session, error) {
	channel, limited, err := declare(c.connection, queue, queueType)
	if err != nil {
		return nil, err
	}
	session := &Session{
		Closed:          channel.NotifyClose(make(chan *amqp.Error, 1)),
		Returns:         channel.NotifyReturn(make(chan amqp.Return, inFlight)),
		LimitedDelivery: limited,
		queue:           queue,
		channel:         channel,
	}
	if err := channel.Confirm(false); err != nil {
		session.Close()
		return nil, fmt.Errorf("cannot turn confirms on: %w", err)
	}
	return session, nil
}

// Publish sends a trade as persistent, and as mandatory so that the broker
// returns it when there is no queue. It blocks while the network or the broker
// is slow.
func (s *Session) Publish(message Message) (Verdict, error) {
	confirmation, err := s.channel.PublishWithDeferredConfirm("", s.queue, true, false, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    message.ID,
		Timestamp:    message.MadeAt,
		AppId:        "stock-publisher",
		Type:         trade.MessageType,
		Body:         message.Body,
	})
	return Verdict{confirmation, s.channel}, err
}

// Ended returns why the session has ended, or nil while it has not.
func (s *Session) Ended() error {
	select {
	case reason := <-s.Closed:
		return ClosedBecause(reason)
	default:
		return nil
	}
}

// Close closes the channel. A broker that does not answer within closeTimeout keeps
// it until the connection ends.
func (s *Session) Close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.channel.Close() // Fails when the connection ends, which is fine.
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}
