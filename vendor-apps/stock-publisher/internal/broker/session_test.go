package broker

import (
	"context"
	"net"
	"testing"
	"time"
)

// deafServer accepts connections, and never reads or writes.
func deafServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}

func TestOpeningABrokerThatNeverAnswersEndsWithEitherContext(t *testing.T) {
	for name, open := range map[string]func(short, long context.Context, options Options) (*Session, error){
		"opening": func(short, long context.Context, options Options) (*Session, error) {
			return Open(short, long, options)
		},
		"life": func(short, long context.Context, options Options) (*Session, error) {
			return Open(long, short, options)
		},
	} {
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		session, err := open(short, t.Context(), Options{URL: "amqp://user:hush@" + deafServer(t) + "/", Queue: "MSFT"})
		cancel()
		if err == nil {
			session.Close()
			t.Fatalf("%s: a session with a broker that never answered", name)
		}
		if waited := time.Since(begin); waited >= connectionTimeout {
			t.Errorf("%s: the context's end was ignored for %v", name, waited)
		}
	}
}

func TestTheURLBoundsHowLongConnectingMayTake(t *testing.T) {
	const timeout = 300 * time.Millisecond
	begin := time.Now()
	session, err := Open(t.Context(), t.Context(), Options{URL: "amqp://user:hush@" + deafServer(t) + "/?connection_timeout=300", Queue: "MSFT"})
	if err == nil {
		session.Close()
		t.Fatal("a session with a broker that never answered")
	}
	if waited := time.Since(begin); waited < timeout || waited > connectionTimeout/2 {
		t.Errorf("gave up after %v, want %v", waited, timeout)
	}
}

func TestAWriteThatNobodyReadsEndsWhenTheTransportIsAborted(t *testing.T) {
	connection, err := net.Dial("tcp", deafServer(t))
	if err != nil {
		t.Fatal(err)
	}
	life, cut := context.WithCancel(context.Background())
	stuck := newTransport(connection, context.Background(), life)
	failed := make(chan error)
	go func() {
		for {
			if _, err := stuck.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return
			}
		}
	}()
	cut()
	<-failed
}
