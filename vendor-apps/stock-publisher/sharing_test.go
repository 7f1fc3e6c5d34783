package main

// The program with many companies, which share connections.

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// connectionsOf returns how many connections of our program the broker has whose
// name begins with one of the companies.
func connectionsOf(t *testing.T, companies []string) (count int) {
	t.Helper()
	listed := control(t, "rabbitmqctl", "--silent", "list_connections", "client_properties")
	for _, company := range companies {
		if strings.Contains(listed, "stock-publisher "+company) {
			count++
		}
	}
	return count
}

func TestManyCompaniesShareFewConnections(t *testing.T) {
	const many, trades = 200, 50
	var companies []string
	for range many {
		companies = append(companies, newCompany(t))
	}
	p := start(t, map[string]string{
		"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(companies, ",\n"), "TICKER_INTERVAL": "100",
		"QUEUE_TYPE": "classic", "TRADES": strconv.Itoa(trades),
	})
	eventually(t, "/readyz answers 200", func() bool { status, _ := p.get("/readyz"); return status == 200 })
	if connections := connectionsOf(t, companies); connections != 16 {
		t.Errorf("%d companies have %d connections, want 16", many, connections)
	}
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, company := range companies {
		if repeats := checkAllInOrder(t, sequencesOf(t, drain(t, company, trades)), 0, trades); repeats > 0 {
			t.Errorf("%s: %d repeats without any failure", company, repeats)
		}
	}
}

// A broker may allow fewer channels than the companies of a connection need, or the URL.
func TestCompaniesWithoutAChannelGetAnotherConnection(t *testing.T) {
	control(t, "rabbitmqctl", "eval", "application:set_env(rabbit, channel_max, 3).")
	t.Cleanup(func() { control(t, "rabbitmqctl", "eval", "application:set_env(rabbit, channel_max, 2047).") })
	const many, trades = 64, 20
	var companies []string
	for range many {
		companies = append(companies, newCompany(t))
	}
	for _, test := range []struct {
		query       string
		connections int
	}{
		{"", 2 * 16}, // 3 and 1 of 4
		{"?channel_max=1", many},
	} {
		p := start(t, map[string]string{
			"RABBITMQ_URL": brokerURL(t) + test.query, "STOCKS": strings.Join(companies, ","), "TICKER_INTERVAL": "100",
			"QUEUE_TYPE": "classic", "TRADES": strconv.Itoa(trades),
		})
		eventually(t, "/readyz answers 200", func() bool { status, _ := p.get("/readyz"); return status == 200 })
		if connections := connectionsOf(t, companies); connections != test.connections {
			t.Errorf("%q: %d connections, want %d", test.query, connections, test.connections)
		}
		if code := p.awaitExit(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		for _, company := range companies {
			checkAllInOrder(t, sequencesOf(t, drain(t, company, trades)), 0, trades)
		}
	}
}

func TestASickCompanyDoesNotHoldUpThoseOfItsConnection(t *testing.T) {
	var companies []string
	for range 20 {
		companies = append(companies, newCompany(t))
	}
	// The first three share their connections with three of the last four.
	refused, full, hung := companies[0], companies[1], companies[2]
	healthy := companies[16:]
	withChannel(t, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare(refused, true, false, false, false, nil) // as another program might
		return err
	})
	limitLength(t, full, 50)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(companies, ","), "TICKER_INTERVAL": "10"})
	p.awaitLog("rabbitmqctl delete_queue -- " + refused)
	p.awaitMetric("refused", full, 1)
	p.awaitMetric("trades_confirmed_total", hung, 100)
	queue := fmt.Sprintf(`binary_to_existing_atom(<<"%%2F_%s">>)`, hung)
	control(t, "rabbitmqctl", "eval", "sys:suspend("+queue+").")
	resume := func() { control(t, "rabbitmqctl", "eval", "sys:resume("+queue+").") }
	t.Cleanup(resume)
	// RabbitMQ stops reading a connection with 400 messages that it cannot handle.
	for _, company := range healthy {
		p.awaitMore(company, 1000)
	}
	if waits := p.metric("trades_unconfirmed", hung); waits != 200 {
		t.Errorf("%v trades wait for a queue that hangs, want 200", waits)
	}
	p.awaitLog("the broker has confirmed nothing for 30s")
	for _, company := range healthy {
		p.awaitMore(company, 500)
	}
	resume()
	p.awaitMore(hung, 500)
	for _, company := range healthy {
		if reconnects := p.metric("reconnects_total", company); reconnects > 0 {
			t.Errorf("%s: %v reconnections, want none", company, reconnects)
		}
	}
	confirmed := map[string]float64{}
	for _, company := range append(healthy, hung) {
		confirmed[company] = p.metric("trades_confirmed_total", company)
	}
	p.signal(terminate)
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for company, trades := range confirmed {
		sequences := sequencesOf(t, drain(t, company, int(trades)))
		repeats := checkAllInOrder(t, sequences, 0, uint64(sequences[len(sequences)-1])+1)
		if repeats > 0 && company != hung {
			t.Errorf("%s: %d repeats", company, repeats)
		}
	}
}

func TestOneCompanysFailedChannelIsReplacedAlone(t *testing.T) {
	var companies []string
	for range 17 {
		companies = append(companies, newCompany(t))
	}
	first, other := companies[0], companies[16] // on one connection
	// Deleting a quorum queue may crash its channel in RabbitMQ 3.10, which then closes the connection (541).
	p := start(t, map[string]string{
		"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(companies, ","), "TICKER_INTERVAL": "5", "QUEUE_TYPE": "classic",
	})
	p.awaitMetric("trades_confirmed_total", first, 100)
	p.awaitMetric("trades_confirmed_total", other, 100)
	before := control(t, "rabbitmqctl", "--silent", "list_connections", "pid")
	withChannel(t, func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(first, false, false, false)
		return err
	})
	p.awaitMetric("reconnects_total", first, 1)
	p.awaitMore(first, 200)
	p.awaitMore(other, 200)
	if reconnects := p.metric("reconnects_total", other); reconnects > 0 {
		t.Errorf("%v reconnections of the other company, want none", reconnects)
	}
	if after := control(t, "rabbitmqctl", "--silent", "list_connections", "pid"); after != before {
		t.Errorf("the connections were\n%s\nand are\n%s", before, after)
	}
	p.signal(terminate)
	p.awaitExit()
	sequences := sequencesOf(t, drain(t, other, 300))
	if repeats := checkAllInOrder(t, sequences, 0, uint64(len(sequences))); repeats > 0 {
		t.Errorf("%d repeats of the other company's trades", repeats)
	}
}

// RabbitMQ 3 closes the connection of whoever declares a quorum queue whose member does not start.
func TestAQueueThatCannotBeDeclaredGetsAConnectionOfItsOwn(t *testing.T) {
	var companies []string
	for range 33 {
		companies = append(companies, newCompany(t))
	}
	lost, healthy := companies[0], []string{companies[16], companies[32]} // on one connection
	// Another process has the name that its member would have.
	member := fmt.Sprintf("'%%2F_%s'", lost)
	control(t, "rabbitmqctl", "eval", "register("+member+", spawn(fun() -> receive stop -> ok end end)).")
	free := func() { control(t, "rabbitmqctl", "eval", "catch "+member+" ! stop.") }
	t.Cleanup(free)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(companies, ","), "TICKER_INTERVAL": "20"})
	p.awaitLog("it gets one of its own")
	for _, company := range healthy {
		p.awaitMetric("trades_confirmed_total", company, 1)
	}
	before := map[string]float64{}
	for _, company := range healthy {
		before[company] = p.metric("reconnects_total", company)
		p.awaitMore(company, 500) // while the lost one is tried again
	}
	for _, company := range healthy {
		if reconnects := p.metric("reconnects_total", company); reconnects > before[company] {
			t.Errorf("%s: %v reconnections after the lost one has left", company, reconnects-before[company])
		}
	}
	free()
	p.awaitMetric("trades_confirmed_total", lost, 100)
	p.signal(terminate)
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, company := range append(healthy, lost) {
		sequences := sequencesOf(t, drain(t, company, 100))
		checkAllInOrder(t, sequences, 0, uint64(sequences[len(sequences)-1])+1)
	}
}
