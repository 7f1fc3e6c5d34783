package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// writeTimeout bounds a write to a broker that no longer reads. The client
	// library waits for the write before it closes the connection.
	writeTimeout = 15 * time.Second
	// mostGathered is how many bytes are gathered before they are written.
	mostGathered = 64 << 10
)

// transport is a network connection that ends with its contexts, bounds every
// write and can gather many writes into one. Its errors do not name addresses: the
// local port differs each time, and would make every failure look like a new one.
type transport struct {
	net.Conn
	timedOut    atomic.Bool
	answered    atomic.Bool // the broker has sent anything
	alerted     atomic.Bool // the first that it sent looks like an alert of TLS
	closed      atomic.Bool // by the broker
	answeredAt  atomic.Int64
	keepOpening func() bool
	keepLiving  func() bool

	writing   sync.Mutex
	gathering bool
	gathered  []byte
	failure   error // of a write; the connection is of no use after it
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
	t.answeredAt.Store(int64(time.Since(started)))
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

// AnsweredAt returns when the last read ended.
func (t *transport) AnsweredAt() time.Time {
	return started.Add(time.Duration(t.answeredAt.Load()))
}

// started lets AnsweredAt be one atomic number.
var started = time.Now()

// Gather keeps what is written from now on until Send, or until it is much.
func (t *transport) Gather() {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.gathering = true
}

// Send writes what was gathered, and lets further writes through at once.
func (t *transport) Send() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.gathering = false
	return t.writeGathered()
}

func (t *transport) Write(data []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if !t.gathering {
		return t.write(data)
	}
	t.gathered = append(t.gathered, data...)
	if len(t.gathered) >= mostGathered {
		return len(data), t.writeGathered()
	}
	return len(data), nil
}

func (t *transport) writeGathered() error {
	if len(t.gathered) == 0 {
		return nil
	}
	_, err := t.write(t.gathered)
	t.gathered = t.gathered[:0]
	return err
}

func (t *transport) write(data []byte) (int, error) {
	n, err := 0, t.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		n, err = t.Conn.Write(data)
	}
	t.failure = withoutAddresses(err)
	return n, t.failure
}

// Failed returns why a write failed, or nil if none has.
func (t *transport) Failed() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.failure
}

// withoutAddresses returns the cause of a network error.
func withoutAddresses(err error) error {
	if failure, ok := err.(*net.OpError); ok {
		return failure.Err
	}
	return err
}
