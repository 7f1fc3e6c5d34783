package broker

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// serve accepts connections until the test ends, hands each to handle, and returns its own address.
func serve(t *testing.T, handle func(client net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(client)
		}
	}()
	return listener.Addr().String()
}

// deafServer accepts connections, and never reads or writes.
func deafServer(t *testing.T) string {
	t.Helper()
	return serve(t, func(net.Conn) {})
}

func TestOpeningABrokerThatNeverAnswersEndsWithEitherContext(t *testing.T) {
	for name, open := range map[string]func(short, long context.Context, options Options) (*Connection, error){
		"opening": func(short, long context.Context, options Options) (*Connection, error) {
			return Open(short, long, options)
		},
		"life": func(short, long context.Context, options Options) (*Connection, error) {
			return Open(long, short, options)
		},
	} {
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		connection, err := open(short, t.Context(), Options{URL: "amqp://user:hush@" + deafServer(t) + "/"})
		cancel()
		if err == nil {
			connection.Close()
			t.Fatalf("%s: a connection to a broker that never answered", name)
		}
		if waited := time.Since(begin); waited >= connectionTimeout {
			t.Errorf("%s: the context's end was ignored for %v", name, waited)
		}
	}
}

func TestTheURLBoundsHowLongConnectingMayTake(t *testing.T) {
	const timeout = 300 * time.Millisecond
	begin := time.Now()
	connection, err := Open(t.Context(), t.Context(), Options{URL: "amqp://user:hush@" + deafServer(t) + "/?connection_timeout=300"})
	if err == nil {
		connection.Close()
		t.Fatal("a connection to a broker that never answered")
	}
	if !strings.Contains(err.Error(), "does not answer within 300ms") {
		t.Errorf("the error is %v", err)
	}
	if waited := time.Since(begin); waited < timeout || waited > connectionTimeout/2 {
		t.Errorf("gave up after %v, want %v", waited, timeout)
	}
}

// silentServer accepts connections, reads and never writes.
func silentServer(t *testing.T) string {
	t.Helper()
	return serve(t, func(client net.Conn) {
		io.Copy(io.Discard, client)
		client.Close()
	})
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(descriptors)
}

func TestManyTriesAtASilentBrokerLeaveNothingBehind(t *testing.T) {
	for _, scheme := range []string{"amqp", "amqps"} {
		t.Run(scheme, func(t *testing.T) {
			url := scheme + "://user:hush@" + silentServer(t) + "/?connection_timeout=10"
			life, cut := context.WithCancel(t.Context())
			defer cut()
			try := func(times int) (memory uint64) {
				for range times {
					connection, err := Open(life, life, Options{URL: url})
					if err == nil {
						connection.Close()
						t.Fatal("a connection to a broker that never answered")
					}
				}
				var stats runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&stats)
				return stats.HeapAlloc
			}
			memory := try(20)
			goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
			grown := int64(try(200)) - int64(memory)
			if now := runtime.NumGoroutine(); now > goroutines+5 {
				t.Errorf("%d goroutines after 200 tries, %d before", now, goroutines)
			}
			if now := openDescriptors(t); now > descriptors+5 {
				t.Errorf("%d descriptors after 200 tries, %d before", now, descriptors)
			}
			if grown > 200*1024 {
				t.Errorf("%d bytes more memory after 200 tries", grown)
			}
		})
	}
}

func TestABrokerThatFallsSilentDuringTheLoginRefusesNobody(t *testing.T) {
	address := serve(t, func(client net.Conn) {
		// connection.start of version 0-9 with the mechanism PLAIN, as a frame of channel 0.
		arguments := "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"
		fmt.Fprintf(client, "\x01\x00\x00\x00\x00\x00%c%s\xce", len(arguments), arguments)
		io.Copy(io.Discard, client)
	})
	_, err := Open(t.Context(), t.Context(), Options{
		URL: "amqp://user:hush@" + address + "/?connection_timeout=300",
	})
	if err == nil || IsRefusal(err) || !strings.Contains(err.Error(), "does not answer within 300ms") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnAlertOfTLSIsNamed(t *testing.T) {
	address := serve(t, func(client net.Conn) {
		// What RabbitMQ's TLS port answers to a client that speaks none: a fatal alert.
		io.ReadFull(client, make([]byte, 8))
		client.Write([]byte("\x15\x03\x03\x00\x02\x02\x0a"))
		client.Close()
	})
	for scheme, says := range map[string]string{"amqp": "the broker speaks TLS on this port; use amqps://", "amqps": "remote error: tls"} {
		_, err := Open(t.Context(), t.Context(), Options{URL: scheme + "://user:hush@" + address})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: the error is %v, want %q", scheme, err, says)
		}
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
