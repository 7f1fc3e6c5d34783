// Package broker opens sessions with RabbitMQ: one connection with one channel
// that publishes to one queue. RabbitMQ blocks whole connections, so with one
// per company a slow or refused queue does not block the others.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/trade"
)

const (
	// heartbeat is the heartbeat interval. The client library closes the connection
	// when the broker is silent for three of them.
	heartbeat = 5 * time.Second
	// writeTimeout bounds a write to a broker that no longer reads. The client
	// library waits for the write before it closes the connection.
	writeTimeout = 15 * time.Second
	// connectionTimeout bounds connecting, TLS and logging in together, unless the
	// URL's connection_timeout does. A broker that accepted a connection, was silent
	// and then answers new ones gets one within 10 s.
	connectionTimeout = 7 * time.Second
	// closeTimeout bounds closing the connection in an orderly way.
	closeTimeout = 500 * time.Millisecond
)

// Message is one trade as it is sent.
type Message struct {
	ID     string
	MadeAt time.Time
	Body   []byte
}

// Session is an open connection that publishes to one queue. Its Go channels
// have room for all trades in flight, so the connection never waits for their
// reader. The reader must read all of them.
type Session struct {
	// Confirms tells that the broker has judged a trade, in the order of publishing.
	// Took tells how.
	Confirms <-chan amqp.Confirmation
	// Returns carries trades that reached no queue. The broker confirms them
	// too; a return arrives before its confirmation.
	Returns <-chan amqp.Return
	// Blocked tells when the broker stops and resumes accepting trades.
	Blocked <-chan amqp.Blocking
	// Closed carries the reason why the session ended; it is closed without one
	// when there is none.
	Closed <-chan *amqp.Error
	// LimitedDelivery is true when the queue was declared without the argument
	// that turns its delivery limit off. Only a policy can then turn it off.
	LimitedDelivery bool

	queue      string
	connection *amqp.Connection
	channel    *amqp.Channel
	transport  *transport

	verdicts []*amqp.DeferredConfirmation // a ring: at a delivery tag modulo its length is the verdict on that trade
	nextTag  uint64                       // the delivery tag of the next trade
}

// Options are the settings of a session.
type Options struct {
	// URL may have RabbitMQ's query parameters, such as heartbeat and connection_timeout.
	URL       string
	Queue     string
	QueueType string
	// InFlight is the maximum number of unconfirmed trades.
	InFlight int
	// Version is the program's version; the broker shows it to its operators.
	Version string
}

// Open connects, declares the queue and turns publisher confirms on. It fails
// when opening ends first; the session ends with life. IsRefusal tells errors
// that a person must resolve from those that a retry may.
func Open(opening, life context.Context, options Options) (*Session, error) {
	session := &Session{queue: options.Queue, verdicts: make([]*amqp.DeferredConfirmation, options.InFlight)}
	properties := amqp.NewConnectionProperties()
	properties["product"] = "stock-publisher"
	properties["version"] = options.Version
	properties.SetClientConnectionName("stock-publisher " + options.Queue)

	uri, err := amqp.ParseURI(options.URL)
	if err != nil {
		return nil, err
	}
	timeout := connectionTimeout
	if uri.ConnectionTimeout > 0 {
		timeout = time.Duration(uri.ConnectionTimeout) * time.Millisecond
	}
	connection, err := amqp.DialConfig(options.URL, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			deadline := time.Now().Add(timeout)
			connecting, cancel := context.WithDeadline(opening, deadline)
			defer cancel()
			connection, err := new(net.Dialer).DialContext(connecting, network, address)
			if err != nil {
				return nil, err
			}
			session.transport = newTransport(connection, opening, life)
			// The library lifts the deadline after the login.
			return session.transport, connection.SetDeadline(deadline)
		},
	})
	if err != nil {
		session.transport.Abort()
		return nil, explain(err, session.transport, timeout, uri.Scheme == "amqps")
	}
	session.connection = connection
	session.Blocked = connection.NotifyBlocked(make(chan amqp.Blocking, 16))

	if err := session.prepare(options); err != nil {
		session.Close()
		return nil, err
	}
	if !session.transport.Opened() {
		session.Close()
		return nil, context.Cause(opening)
	}
	return session, nil
}

// prepare declares the queue and opens the channel that publishes to it.
func (s *Session) prepare(options Options) error {
	var err error
	if s.LimitedDelivery, err = declare(s.connection, options.Queue, options.QueueType); err != nil {
		return err
	}
	return s.openChannel()
}

// openChannel opens the channel that publishes. Its delivery tags begin with 1.
func (s *Session) openChannel() error {
	channel, err := s.connection.Channel()
	if err != nil {
		return fmt.Errorf("cannot open a channel: %w", err)
	}
	s.channel, s.nextTag = channel, 1
	s.Closed = channel.NotifyClose(make(chan *amqp.Error, 1))
	s.Returns = channel.NotifyReturn(make(chan amqp.Return, len(s.verdicts)))
	s.Confirms = channel.NotifyPublish(make(chan amqp.Confirmation, len(s.verdicts)))
	if err := channel.Confirm(false); err != nil {
		return fmt.Errorf("cannot turn confirms on: %w", err)
	}
	return nil
}

// RenewChannel replaces the channel, and with it Confirms, Returns and Closed.
// The verdicts that were due are lost.
func (s *Session) RenewChannel() error {
	if err := s.channel.Close(); err != nil {
		return fmt.Errorf("cannot close a channel: %w", err)
	}
	return s.openChannel()
}

// Publish sends a trade as persistent, and as mandatory so that the broker
// returns it when there is no queue. It blocks while the network or the broker
// is slow. The broker's answer comes through Confirms.
func (s *Session) Publish(message Message) error {
	verdict, err := s.channel.PublishWithDeferredConfirm("", s.queue, true, false, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    message.ID,
		Timestamp:    message.MadeAt,
		AppId:        "stock-publisher",
		Type:         trade.MessageType,
		Body:         message.Body,
	})
	if err != nil {
		return err
	}
	s.verdicts[s.nextTag%uint64(len(s.verdicts))] = verdict
	s.nextTag++
	return nil
}

// Took reports whether the broker took the trade with this delivery tag, which
// Confirms named. The confirmation's own Ack does not tell: where the broker
// confirms several trades at once, and has refused one of them before, the client
// library (1.16.0) reports that one as confirmed too.
func (s *Session) Took(tag uint64) bool {
	return s.verdicts[tag%uint64(len(s.verdicts))].Acked()
}

// Close closes the connection in an orderly way, or after closeTimeout by force.
func (s *Session) Close() {
	timer := time.AfterFunc(closeTimeout, s.transport.Abort)
	defer timer.Stop()
	s.connection.Close() // Fails when it is closed already, which is fine.
	s.transport.Abort()
}

// transport is a network connection that ends with its contexts and bounds
// every write. Its errors do not name addresses: the local port differs each time,
// and would make every failure look like a new one.
type transport struct {
	net.Conn
	timedOut    atomic.Bool
	answered    atomic.Bool // the broker has sent anything
	alerted     atomic.Bool // the first that it sent looks like an alert of TLS
	closed      atomic.Bool // by the broker
	keepOpening func() bool
	keepLiving  func() bool
}

func newTransport(connection net.Conn, opening, life context.Context) *transport {
	cut := func() { connection.Close() }
	return &transport{
		Conn:        connection,
		keepOpening: context.AfterFunc(opening, cut),
		keepLiving:  context.AfterFunc(life, cut),
	}
}

// Opened detaches the opening context. It returns false when that context has
// closed the connection already.
func (t *transport) Opened() bool { return t.keepOpening() }

// Abort closes the connection at once.
func (t *transport) Abort() {
	if t == nil {
		return // Dialling failed.
	}
	t.keepOpening()
	t.keepLiving()
	t.Conn.Close()
}

// TimedOut reports whether a read took longer than its deadline.
func (t *transport) TimedOut() bool { return t.timedOut.Load() }

// SentAlert reports whether the broker answered with an alert of TLS.
func (t *transport) SentAlert() bool { return t.alerted.Load() }

// Unanswered reports whether the broker closed the connection without an answer.
func (t *transport) Unanswered() bool { return t.closed.Load() && !t.answered.Load() }

func (t *transport) Read(data []byte) (int, error) {
	const tlsAlert = 21
	n, err := t.Conn.Read(data)
	if n > 0 && !t.answered.Load() {
		t.answered.Store(true)
		t.alerted.Store(data[0] == tlsAlert)
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.timedOut.Store(true)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		t.closed.Store(true)
	}
	return n, withoutAddresses(err)
}

func (t *transport) Write(data []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, withoutAddresses(err)
	}
	n, err := t.Conn.Write(data)
	return n, withoutAddresses(err)
}

// withoutAddresses returns the cause of a network error.
func withoutAddresses(err error) error {
	if failure, ok := err.(*net.OpError); ok {
		return failure.Err
	}
	return err
}
