package main

// Helpers for the tests of the whole program: the program as a process, a link
// to the broker that can be cut and frozen, and reading queues.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience ends a wait for something that never happens. It measures nothing.
const patience = 90 * time.Second

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("STOCK_PUBLISHER_TEST_AS_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// program is a running stock-publisher.
type program struct {
	t       *testing.T
	address string
	command *exec.Cmd
	ended   chan struct{}

	mutex sync.Mutex
	log   strings.Builder
}

// start runs the program with these variables and no others, on a free port.
func start(t *testing.T, variables map[string]string, arguments ...string) *program {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, address: freeAddress(t), command: exec.Command(binary, arguments...), ended: make(chan struct{})}
	p.command.Env = []string{"STOCK_PUBLISHER_TEST_AS_PROGRAM=1", "HTTP_ADDRESS=" + p.address, "LOG_LEVEL=debug"}
	for name, value := range variables {
		p.command.Env = append(p.command.Env, name+"="+value)
	}
	output, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout = p.command.Stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			p.mutex.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mutex.Unlock()
		}
		p.command.Wait()
	}()
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("output of the program:\n%s", p.output())
		}
	})
	return p
}

func (p *program) output() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.log.String()
}

func (p *program) awaitLog(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("the log says %q", text), func() bool { return strings.Contains(p.output(), text) })
}

func (p *program) signal(signal syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// awaitExit returns the exit code; negative when a signal ended the program.
func (p *program) awaitExit() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the program did not end")
		return 0
	}
}

// get returns the status and body of a path; status 0 when there is no answer.
func (p *program) get(path string) (int, string) {
	response, err := http.Get("http://" + p.address + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// metric returns the value of one of the company's metrics, 0 before there is any.
func (p *program) metric(name, company string) float64 {
	return p.value("stock_publisher_" + name + `{company="` + company + `"}`)
}

// value returns the value of a metric with its labels, 0 before there is any.
func (p *program) value(metric string) float64 {
	_, body := p.get("/metrics")
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(line, metric+" "); found {
			number, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return number
		}
	}
	return 0
}

func (p *program) awaitMetric(name, company string, atLeast float64) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s of %s reaches %v", name, company, atLeast), func() bool {
		return p.metric(name, company) >= atLeast
	})
}

// freeAddress returns an address without a listener. Its port is below those
// that the system gives to outgoing connections and to listeners on port 0, and
// apart from those of the other suites, so that nobody takes it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(21_000+rand.IntN(6_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatal("no free port from 21000 to 26999")
	return ""
}

// stopAndCheck stops a program that publishes without end. It checks that the
// queue holds all trades in order from first to the last that was confirmed
// before the stop, or a later one. It returns the number of repeats.
func (p *program) stopAndCheck(company string, first func(inQueue uint64) uint64) (repeats int) {
	p.t.Helper()
	confirmed := p.metric("trades_confirmed_total", company)
	p.signal(terminate)
	if code := p.awaitExit(); code != 0 {
		p.t.Fatalf("exit code %d", code)
	}
	sequences := sequencesOf(p.t, drain(p.t, company, 1))
	end := slices.Max(sequences) + 1
	if end < uint64(confirmed) {
		p.t.Fatalf("the queue ends with trade %d, but %v were confirmed", end-1, confirmed)
	}
	return checkAllInOrder(p.t, sequences, first(sequences[0]), end)
}

// fromTheFirst is for queues that hold all trades.
func fromTheFirst(uint64) uint64 { return 0 }

// awaitMore waits until so many trades more than now are confirmed.
func (p *program) awaitMore(company string, trades float64) {
	p.t.Helper()
	p.awaitMetric("trades_confirmed_total", company, p.metric("trades_confirmed_total", company)+trades)
}

// brokerURL returns the URL of the real broker that the tests run against.
func brokerURL(t *testing.T) string {
	t.Helper()
	address := os.Getenv("TEST_RABBITMQ_URL")
	if address == "" {
		t.Fatal("TEST_RABBITMQ_URL is not set: this test needs a real RabbitMQ; run it through `make test`")
	}
	return address
}

// control runs the script that stops, kills and starts the servers, or runs
// rabbitmqctl. It returns what the script printed.
func control(t *testing.T, arguments ...string) string {
	t.Helper()
	script := os.Getenv("TEST_SERVERS")
	if script == "" {
		t.Fatal("TEST_SERVERS is not set: this test restarts a RabbitMQ; run it through `make test`")
	}
	// Into a file: a server that it starts keeps the output open.
	output, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	command := exec.Command(script, arguments...)
	command.Stdout, command.Stderr = output, output
	err = command.Run()
	said, _ := os.ReadFile(output.Name())
	if err != nil {
		t.Fatalf("%v: %v\n%s", arguments, err, said)
	}
	return string(said)
}

// newCompany returns a symbol whose queue no other test uses, and which is
// deleted after the test.
func newCompany(t *testing.T) string {
	t.Helper()
	company := "T" + strings.ToUpper(strconv.FormatUint(rand.Uint64(), 36))
	deleteAfterwards(t, company)
	return company
}

// deleteAfterwards deletes a queue after the test.
func deleteAfterwards(t *testing.T, queue string) {
	t.Helper()
	t.Cleanup(func() {
		withChannel(t, func(channel *amqp.Channel) error {
			_, err := channel.QueueDelete(queue, false, false, false)
			return err
		})
	})
}

// shell runs rabbitmqctl with arguments as a shell reads them.
func shell(t *testing.T, arguments string) {
	t.Helper()
	output, err := exec.Command("sh", "-c", `"$TEST_SERVERS" rabbitmqctl `+arguments).CombinedOutput()
	if err != nil {
		t.Fatalf("rabbitmqctl %s: %v\n%s", arguments, err, output)
	}
}

// withChannel runs do with a channel on a new connection.
func withChannel(t *testing.T, do func(*amqp.Channel) error) {
	t.Helper()
	connection, err := amqp.Dial(brokerURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(channel); err != nil {
		t.Fatal(err)
	}
}

// drain empties a queue whose publisher has ended. The queue must hold at least
// atLeast messages; repeats may add more.
func drain(t *testing.T, queue string, atLeast int) (messages []amqp.Delivery) {
	t.Helper()
	const mark = "the last message"
	withChannel(t, func(channel *amqp.Channel) error {
		// A mark, because a pause does not mean that a queue is empty: a busy broker pauses too.
		if err := channel.Publish("", queue, true, false, amqp.Publishing{Type: mark}); err != nil {
			return err
		}
		deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for last := false; !last; {
			select {
			case message, open := <-deliveries:
				if !open {
					return errors.New("the broker ended the consumer")
				}
				last = message.Type == mark
				if !last {
					messages = append(messages, message)
				}
				// Few acknowledgements: closing the channel may lose some of many.
				if last || len(messages)%1000 == 0 {
					if err := message.Ack(true); err != nil {
						return err
					}
				}
			case <-time.After(patience):
				t.Fatalf("no message arrives after the first %d", len(messages))
			}
		}
		return nil
	})
	if len(messages) < atLeast {
		t.Fatalf("the queue held %d messages, want %d", len(messages), atLeast)
	}
	return messages
}

// sequencesOf returns the sequences of messages, which must all have one epoch.
func sequencesOf(t *testing.T, messages []amqp.Delivery) (sequences []uint64) {
	t.Helper()
	for _, message := range messages {
		epoch, number, _ := strings.Cut(message.MessageId, ":")
		first, _, _ := strings.Cut(messages[0].MessageId, ":")
		sequence, err := strconv.ParseUint(number, 10, 64)
		if err != nil || epoch == "" || epoch != first {
			t.Fatalf("message id %q, after %q", message.MessageId, messages[0].MessageId)
		}
		sequences = append(sequences, sequence)
	}
	return sequences
}

// checkAllInOrder checks that a queue held the sequences first, first+1, …
// end-1 in this order, not counting repeats. It returns the number of repeats.
func checkAllInOrder(t *testing.T, sequences []uint64, first, end uint64) (repeats int) {
	t.Helper()
	next := first
	for place, sequence := range sequences {
		switch {
		case sequence == next:
			next++
		case sequence > next:
			t.Fatalf("at place %d of the queue is trade %d before trade %d", place, sequence, next)
		default:
			repeats++
		}
	}
	if next != end {
		t.Fatalf("the queue ends with trade %d, want %d", int64(next)-1, end-1)
	}
	return repeats
}

// checkEachOnce checks that a queue held the sequences from 0 on, each once, in
// any order.
func checkEachOnce(t *testing.T, sequences []uint64) {
	t.Helper()
	slices.Sort(sequences)
	for place, sequence := range sequences {
		switch {
		case sequence > uint64(place):
			t.Fatalf("trade %d is missing", place)
		case sequence < uint64(place):
			t.Fatalf("trade %d is there twice", sequence)
		}
	}
}

// body decodes a message as any consumer of the queue does.
func body(t *testing.T, message amqp.Delivery) (trade struct {
	Company, EventType string
	Price              float64
}) {
	t.Helper()
	if err := json.Unmarshal(message.Body, &trade); err != nil {
		t.Fatalf("body %q: %v", message.Body, err)
	}
	return trade
}

// link is a network between the program and the broker that can fail.
type link struct {
	listener net.Listener
	broker   string

	mutex  sync.Mutex
	takes  attitude
	taken  int // connections from the program
	writes int // of the program, as they arrive
	pairs  []net.Conn
	freeze chan struct{} // holds back the broker's data until it is closed; nil: nothing is held back
}

// attitude is what a link does with a new connection.
type attitude int

const (
	connects attitude = iota // to the broker
	closes                   // at once
	ignores                  // accepts it, and is silent for ever
)

// newLink returns a link, and the broker's URL through it.
func newLink(t *testing.T) (*link, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newLinkOn(t, listener)
}

// newLinkOn returns a link that accepts connections from this listener.
func newLinkOn(t *testing.T, listener net.Listener) (*link, string) {
	t.Helper()
	address, err := url.Parse(brokerURL(t))
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, broker: address.Host}
	address.Host = listener.Addr().String()
	go l.serve()
	t.Cleanup(func() {
		listener.Close()
		l.thaw()
		l.cut()
	})
	return l, address.String()
}

func (l *link) serve() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mutex.Lock()
		l.taken++
		takes := l.takes
		l.mutex.Unlock()
		switch takes {
		case closes:
			client.Close()
			continue
		case ignores:
			go func() {
				io.Copy(io.Discard, client) // until the program gives up
				client.Close()
			}()
			continue
		}
		server, err := net.Dial("tcp", l.broker)
		if err != nil {
			client.Close()
			continue
		}
		l.mutex.Lock()
		l.pairs = append(l.pairs, client, server)
		l.mutex.Unlock()
		go func() {
			io.Copy(server, struct{ io.Reader }{countingReader{client, l}})
			server.Close()
		}()
		go func() {
			defer client.Close()
			buffer := make([]byte, 4096)
			for {
				n, err := server.Read(buffer)
				l.awaitThaw()
				if n > 0 {
					client.Write(buffer[:n])
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// countingReader counts what the program writes.
type countingReader struct {
	net.Conn
	link *link
}

func (r countingReader) Read(data []byte) (int, error) {
	n, err := r.Conn.Read(data)
	r.link.mutex.Lock()
	defer r.link.mutex.Unlock()
	r.link.writes++
	return n, err
}

// written returns how many times the program has written.
func (l *link) written() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.writes
}

// take sets what happens to new connections.
func (l *link) take(new attitude) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.takes = new
}

// awaitConnections waits for so many more connections from the program.
func (l *link) awaitConnections(t *testing.T, more int) {
	t.Helper()
	taken := func() int {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		return l.taken
	}
	enough := taken() + more
	eventually(t, fmt.Sprintf("the program has opened %d connections", enough), func() bool { return taken() >= enough })
}

// cut closes all current connections abruptly.
func (l *link) cut() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, end := range l.pairs {
		end.Close()
	}
	l.pairs = nil
}

// holdBack keeps the broker's data from the program until thaw.
func (l *link) holdBack() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.freeze = make(chan struct{})
}

func (l *link) thaw() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.freeze != nil {
		close(l.freeze)
		l.freeze = nil
	}
}

func (l *link) awaitThaw() {
	l.mutex.Lock()
	freeze := l.freeze
	l.mutex.Unlock()
	if freeze != nil {
		<-freeze
	}
}
