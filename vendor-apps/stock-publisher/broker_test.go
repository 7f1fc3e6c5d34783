package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/broker"
	"stock-publisher/internal/trade"
)

const terminate = syscall.SIGTERM

func TestEveryTradeArrivesOnceAndInOrderWithItsProperties(t *testing.T) {
	for _, queueType := range []string{"quorum", "classic"} {
		t.Run(queueType, func(t *testing.T) {
			one, two := newCompany(t), newCompany(t)
			begin := time.Now().Truncate(time.Second)
			p := start(t, map[string]string{
				"RABBITMQ_URL": brokerURL(t), "STOCKS": one + "," + two, "QUEUE_TYPE": queueType,
				"TICKER_INTERVAL": "0", "TRADES": "5000",
			})
			if code := p.awaitExit(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			for _, company := range []string{one, two} {
				messages := drain(t, company, 5000)
				if repeats := checkAllInOrder(t, sequencesOf(t, messages), 0, 5000); repeats > 0 {
					t.Errorf("%d repeats without any failure", repeats)
				}
				for _, message := range messages {
					made := body(t, message)
					if made.Company != company || made.EventType != "buy" && made.EventType != "sell" || made.Price < 50 || made.Price > 550 {
						t.Fatalf("body %s", message.Body)
					}
					if message.DeliveryMode != amqp.Persistent || message.ContentType != "application/json" ||
						message.AppId != "stock-publisher" || message.Type != "stockmarket.trade.v1" || message.Timestamp.Before(begin) || len(message.Headers) > 0 {
						t.Fatalf("properties %+v", message)
					}
				}
			}
		})
	}
}

func TestTradesThatFallDueTogetherAreSentTogether(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 100)
	writes, trades := network.written(), p.metric("trades_published_total", company)
	p.awaitMore(company, 2000)
	writes, trades = network.written()-writes, p.metric("trades_published_total", company)-trades
	if writes > int(trades)/10 {
		t.Errorf("%v trades were sent with %d writes, want a tenth at most", trades, writes)
	}
	p.stopAndCheck(company, fromTheFirst)
}

func TestTheRateIsTheConfiguredOne(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 100)
	published := func() (float64, time.Time) { return p.metric("trades_published_total", company), time.Now() }
	first, begin := published()
	p.awaitMore(company, 4000)
	last, end := published()
	// The machine may be busy, so this bound is wide. That the beats keep the rate is a unit test.
	if rate := (last - first) / end.Sub(begin).Seconds(); rate < 950 || rate > 1050 {
		t.Errorf("%v trades in %v: %.0f a second, want 1000", last-first, end.Sub(begin), rate)
	}
}

func TestSymbolsAsExchangesUseThemHaveQueues(t *testing.T) {
	companies := []string{"BRK.B", "0700.HK", "^GSPC", "BTC-USD", "RDS/A", "ES=F", "msft", "NYSE:BRK_B", "-X"}
	for _, company := range companies {
		deleteAfterwards(t, company)
	}
	p := start(t, map[string]string{
		"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(companies, ","), "TICKER_INTERVAL": "0", "TRADES": "100",
	})
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, company := range companies {
		messages := drain(t, company, 100)
		checkAllInOrder(t, sequencesOf(t, messages), 0, 100)
		if made := body(t, messages[0]); made.Company != company {
			t.Errorf("a trade of %s is in the queue of %s", made.Company, company)
		}
	}
}

func TestTheCommandsInMessagesWorkForEverySymbol(t *testing.T) {
	for _, company := range []string{"^GSPC.B", "-X"} {
		deleteAfterwards(t, company)
		withChannel(t, func(channel *amqp.Channel) error {
			_, err := channel.QueueDeclare(company, true, false, false, false, nil) // as another program might
			return err
		})
		p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "TRADES": "1"})
		p.awaitLog("rabbitmqctl delete_queue")
		_, command, _ := strings.Cut(p.output(), "(rabbitmqctl ")
		command, _, _ = strings.Cut(command, ")")
		shell(t, command)
		if code := p.awaitExit(); code != 0 {
			t.Fatalf("exit code %d", code)
		}

		_, command, _ = strings.Cut(broker.UnlimitedDeliveryCommand(company), "rabbitmqctl ")
		// The limit itself is known only to RabbitMQ 4.
		shell(t, strings.ReplaceAll(command, `{"delivery-limit":-1}`, `{"max-length":1000000}`))
		t.Cleanup(func() { control(t, "rabbitmqctl", "clear_policy", "no-delivery-limit-"+company) })
		eventually(t, "the policy applies to the queue of "+company, func() bool {
			return strings.Contains(control(t, "rabbitmqctl", "--silent", "list_queues", "name", "policy"), company+"\tno-delivery-limit-"+company+"\n")
		})
	}
}

func TestTheQueueHasASingleActiveConsumerAndOutlivesItsPublisher(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "TRADES": "1"})
	p.awaitExit()
	withChannel(t, func(channel *amqp.Channel) error {
		var tags [2]<-chan amqp.Delivery
		for i := range tags {
			deliveries, err := channel.Consume(company, "", false, false, false, false, nil)
			if err != nil {
				return err
			}
			tags[i] = deliveries
		}
		first := <-tags[0]
		if err := first.Ack(false); err != nil {
			return err
		}
		for sequence := range 100 {
			if err := channel.Publish("", company, true, false, amqp.Publishing{Body: []byte{byte(sequence)}}); err != nil {
				return err
			}
		}
		for range 100 {
			select {
			case message := <-tags[0]:
				message.Ack(false)
			case message := <-tags[1]:
				t.Fatalf("the second consumer got %v too", message.Body)
			}
		}
		return nil
	})
}

func TestATradeSurvivesManyFailedDeliveries(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "TRADES": "1"})
	p.awaitExit()
	for delivery := range 60 { // RabbitMQ 4 drops after 20 by default.
		withChannel(t, func(channel *amqp.Channel) error {
			deliveries, err := channel.Consume(company, "", false, false, false, false, nil)
			if err != nil {
				return err
			}
			select {
			case <-deliveries:
			case <-time.After(patience):
				t.Fatalf("the trade was dropped after %d deliveries", delivery)
			}
			return nil // The consumer leaves without an acknowledgement.
		})
	}
}

func TestTheSameSeedMakesTheSameTrades(t *testing.T) {
	company := newCompany(t)
	var runs [2][]string
	for run := range runs {
		p := start(t, map[string]string{
			"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "TICKER_INTERVAL": "0", "TRADES": "200", "SEED": "7",
		})
		p.awaitExit()
		for _, message := range drain(t, company, 200) {
			runs[run] = append(runs[run], string(message.Body))
		}
	}
	if one, two := strings.Join(runs[0], "\n"), strings.Join(runs[1], "\n"); one != two {
		t.Errorf("two runs of seed 7 differ:\n%s\n\n%s", one, two)
	}
}

func TestWalksMoveAroundTheirStartPricesAndARestartGoesOn(t *testing.T) {
	starts := map[string]float64{newCompany(t): 430, newCompany(t): 0.00001}
	var stocks, prices []string
	for company, start := range starts {
		stocks = append(stocks, company)
		prices = append(prices, fmt.Sprint(start))
	}
	last := map[string]float64{}
	for range 2 {
		p := start(t, map[string]string{
			"RABBITMQ_URL": brokerURL(t), "STOCKS": strings.Join(stocks, ","), "TRADES": "200", "PRICE_MODEL": "walk",
			"START_PRICES": strings.Join(prices, ","), "VOLATILITIES": "10",
		})
		p.awaitExit()
		for company, start := range starts {
			for _, message := range drain(t, company, 200) {
				var made trade.Trade
				if err := json.Unmarshal(message.Body, &made); err != nil {
					t.Fatal(err)
				}
				// With this volatility the price changes by 0.03 % in a minute, and is 1 % from its start.
				if math.Abs(made.Price/start-1) > 0.1 {
					t.Fatalf("%s: a price of %v, want about %v", company, made.Price, start)
				}
				if before := last[company]; before != 0 && math.Abs(made.Price/before-1) > 0.005 {
					t.Fatalf("%s: the price goes from %v to %v", company, before, made.Price)
				}
				last[company] = made.Price
			}
		}
	}
}

func TestTheURLsParametersAreHonoured(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{
		"RABBITMQ_URL": brokerURL(t) + "?heartbeat=7&channel_max=1&connection_timeout=20000&auth_mechanism=amqplain&unknown=x",
		"STOCKS":       company,
	})
	p.awaitMetric("trades_confirmed_total", company, 100)
	connections := control(t, "rabbitmqctl", "--silent", "list_connections", "timeout", "channel_max", "auth_mechanism", "client_properties")
	want := "7\t1\tAMQPLAIN\t"
	for line := range strings.Lines(connections) {
		if strings.Contains(line, company) {
			if !strings.HasPrefix(line, want) {
				t.Errorf("the broker's heartbeat, channels and mechanism are %q, want %q", line, want)
			}
			return
		}
	}
	t.Errorf("no connection of %s in %s", company, connections)
}

func TestNothingIsLostThroughManyCutConnections(t *testing.T) {
	const cuts = 20
	company := newCompany(t)
	network, through := newLink(t)
	// Without a limit: it would be reached before the last cut when this test gets less of a busy machine than the program.
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company, "TICKER_INTERVAL": "0"})
	for cut := range cuts {
		p.awaitMore(company, 1500)
		network.cut()
		p.awaitMetric("reconnects_total", company, float64(cut+1))
	}
	p.awaitMore(company, 1500)
	t.Logf("%d cuts, %d repeats", cuts, p.stopAndCheck(company, fromTheFirst))
}

func TestItGoesOnWithin10sAfterASilentBroker(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	network.take(closes)
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company})
	network.awaitConnections(t, 8) // From now on it waits for up to 5 s between two tries.
	network.take(ignores)
	network.awaitConnections(t, 1)
	network.take(connects) // but that one connection is never answered
	begin := time.Now()
	p.awaitMetric("trades_confirmed_total", company, 1)
	if waited := time.Since(begin); waited > 10*time.Second {
		t.Errorf("went on after %v, want 10 s at most", waited)
	}
	if said := strings.Count(p.output(), "does not answer within"); said != 1 {
		t.Errorf("the log says %d times that the broker does not answer, want once", said)
	}
	p.stopAndCheck(company, fromTheFirst)
}

func TestManyTriesAtASilentBrokerLeaveNothingBehind(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	network.take(ignores)
	p := start(t, map[string]string{"RABBITMQ_URL": through + "?connection_timeout=50", "STOCKS": company})
	network.awaitConnections(t, 2)
	goroutines, descriptors := p.value("go_goroutines"), p.value("process_open_fds")
	network.awaitConnections(t, 5)
	if now := p.value("go_goroutines"); now > goroutines+3 {
		t.Errorf("%v goroutines after some tries, %v before", now, goroutines)
	}
	if now := p.value("process_open_fds"); now > descriptors+3 {
		t.Errorf("%v descriptors after some tries, %v before", now, descriptors)
	}
	if said := strings.Count(p.output(), `"level":"WARN"`); said != 1 {
		t.Errorf("the log warns %d times, want once", said)
	}
	network.take(connects)
	p.awaitMetric("trades_confirmed_total", company, 1)
	p.stopAndCheck(company, fromTheFirst)
}

func TestNothingIsLostWhenTheBrokerClosesConnections(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 500)
	control(t, "rabbitmqctl", "close_all_connections", "a test")
	p.awaitMetric("reconnects_total", company, 1)
	p.awaitMore(company, 1000)
	p.stopAndCheck(company, fromTheFirst)
}

func TestNothingIsLostWhenTheBrokerIsKilledUnderLoad(t *testing.T) {
	for _, queueType := range []string{"quorum", "classic"} {
		t.Run(queueType, func(t *testing.T) {
			company := newCompany(t)
			p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "QUEUE_TYPE": queueType})
			// RabbitMQ 3 writes a new queue to disk up to two seconds late. Killed
			// earlier, it may forget the queue and the trades that it confirmed.
			p.awaitMetric("trades_confirmed_total", company, 4000)
			isDown := true
			control(t, "kill", "rabbitmq")
			t.Cleanup(func() {
				if isDown {
					control(t, "start", "rabbitmq")
				}
			})
			p.awaitLog("cannot connect")
			if status, _ := p.get("/readyz"); status != 503 {
				t.Errorf("/readyz answers %d without a broker", status)
			}
			isDown = false
			control(t, "start", "rabbitmq")
			p.awaitMore(company, 1000)
			t.Logf("%d repeats", p.stopAndCheck(company, fromTheFirst))
		})
	}
}

// A broker may hang for one channel only.
func TestNothingIsLostWhenItsChannelHangsInTheBroker(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 500)
	// The channel that publishes; its connection goes on.
	// From the broker's tables: asking a process would wait for one that another test has hung.
	control(t, "rabbitmqctl", "eval", `[sys:suspend(Channel) || {Connection, About} <- ets:tab2list(connection_created),
		lists:keyfind(<<"connection_name">>, 1, proplists:get_value(client_properties, About)) =:=
			{<<"connection_name">>, longstr, <<"stock-publisher `+company+`">>},
		{Channel, Its} <- ets:tab2list(channel_created), proplists:get_value(connection, Its) =:= Connection].`)
	p.awaitLog("the broker has confirmed nothing for 30s")
	p.awaitMore(company, 1000)
	t.Logf("%d repeats", p.stopAndCheck(company, fromTheFirst))
}

func TestItExplainsAndWaitsForAQueueWithOtherArguments(t *testing.T) {
	company, other := newCompany(t), newCompany(t)
	withChannel(t, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare(company, true, false, false, false, nil) // as another program might
		return err
	})
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company + "," + other, "TRADES": "100"})
	p.awaitLog("rabbitmqctl delete_queue -- " + company)
	p.awaitMetric("trades_confirmed_total", other, 100) // The other company is not affected.
	if status, body := p.get("/readyz"); status != 503 || !strings.Contains(body, "declared otherwise") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	withChannel(t, func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(company, false, false, false)
		return err
	})
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if said := strings.Count(p.output(), `"level":"ERROR"`); said != 1 {
		t.Errorf("the error was logged %d times, want once", said)
	}
	checkAllInOrder(t, sequencesOf(t, drain(t, company, 100)), 0, 100)
}

func TestItUsesAQuorumQueueFromBeforeRabbitMQ4(t *testing.T) {
	company := newCompany(t)
	var version string
	withChannel(t, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare(company, true, false, false, false,
			amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true})
		return err
	})
	connection, err := amqp.Dial(brokerURL(t))
	if err != nil {
		t.Fatal(err)
	}
	version, _ = connection.Properties["version"].(string)
	connection.Close()

	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "TRADES": "100"})
	if code := p.awaitExit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if warned, limits := strings.Contains(p.output(), "set_policy"), !strings.HasPrefix(version, "3."); warned != limits {
		t.Errorf("RabbitMQ %s: the log warns of the delivery limit: %v", version, warned)
	}
	checkAllInOrder(t, sequencesOf(t, drain(t, company, 100)), 0, 100)
}

func TestADeletedQueueIsDeclaredAgainAndMissesNothingAfterIt(t *testing.T) {
	for queueType, sign := range map[string]string{
		"quorum":  "reconnects_total", // The broker ends the channel (3.10), or nacks (4.3).
		"classic": "trades_returned_total",
	} {
		t.Run(queueType, func(t *testing.T) {
			company := newCompany(t)
			p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "QUEUE_TYPE": queueType})
			p.awaitMetric("trades_confirmed_total", company, 1000)
			withChannel(t, func(channel *amqp.Channel) error {
				_, err := channel.QueueDelete(company, false, false, false)
				return err
			})
			p.awaitMetric(sign, company, 1)
			p.awaitMore(company, 1000)
			p.stopAndCheck(company, func(first uint64) uint64 {
				if first < 1000 {
					t.Errorf("trade %d is in the new queue although it was confirmed in the old one", first)
				}
				return first
			})
		})
	}
}

// limitLength limits the company's queue by a policy, as an operator may do: the
// broker refuses (nacks) what has no room. lift lifts the limit.
func limitLength(t *testing.T, company string, trades int) (lift func()) {
	t.Helper()
	control(t, "rabbitmqctl", "set_policy", "--apply-to", "queues", company, "^"+company+"$",
		fmt.Sprintf(`{"max-length":%d,"overflow":"reject-publish"}`, trades))
	lift = sync.OnceFunc(func() { control(t, "rabbitmqctl", "clear_policy", company) })
	t.Cleanup(lift)
	return lift
}

func TestOnlyRefusedTradesAreSentAgainAndSeldom(t *testing.T) {
	for _, queueType := range []string{"quorum", "classic"} {
		t.Run(queueType, func(t *testing.T) {
			company := newCompany(t)
			lift := limitLength(t, company, 500)
			p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "QUEUE_TYPE": queueType})
			p.awaitMetric("refused", company, 1)
			if status, body := p.get("/readyz"); status != 503 || !strings.Contains(body, "refuses trades") {
				t.Errorf("/readyz: %d %s", status, body)
			}
			nacked := p.metric("trades_nacked_total", company)
			time.Sleep(3 * time.Second) // the time in which the broker is to be left alone
			if again := p.metric("trades_nacked_total", company) - nacked; again > 200 {
				t.Errorf("a full queue was tried with %v trades in 3 s, want few", again)
			}
			if held := p.metric("trades_unconfirmed", company); held < 1 || held > 2048 {
				t.Errorf("%v trades wait for room, want 1 to 2048", held)
			}

			lift()
			p.awaitMore(company, 1000)
			p.awaitLog("the broker refuses no more trades")
			eventually(t, "/readyz answers 200", func() bool { status, _ := p.get("/readyz"); return status == 200 })
			if reconnects := p.metric("reconnects_total", company); reconnects > 0 {
				t.Errorf("%v reconnections, want none", reconnects)
			}
			confirmed := p.metric("trades_confirmed_total", company)
			p.signal(terminate)
			if code := p.awaitExit(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			if said := strings.Count(p.output(), `"level":"WARN"`); said != 1 {
				t.Errorf("the log warns %d times, want once", said)
			}
			checkEachOnce(t, sequencesOf(t, drain(t, company, int(confirmed))))
		})
	}
}

func TestAFullQueueThatIsReadGetsEachTradeOnce(t *testing.T) {
	for _, queueType := range []string{"quorum", "classic"} {
		t.Run(queueType, func(t *testing.T) {
			const trades = 5000
			company := newCompany(t)
			limitLength(t, company, 100)
			p := start(t, map[string]string{
				"RABBITMQ_URL": brokerURL(t), "STOCKS": company, "QUEUE_TYPE": queueType, "TICKER_INTERVAL": "0", "TRADES": strconv.Itoa(trades),
			})
			p.awaitMetric("refused", company, 1)
			var messages []amqp.Delivery
			withChannel(t, func(channel *amqp.Channel) error {
				if err := channel.Qos(50, 0, false); err != nil {
					return err
				}
				deliveries, err := channel.Consume(company, "", false, false, false, false, nil)
				if err != nil {
					return err
				}
				for len(messages) < trades {
					select {
					case message := <-deliveries:
						messages = append(messages, message)
						if err := message.Ack(false); err != nil {
							return err
						}
					case <-time.After(patience):
						t.Fatalf("no trade arrives after the first %d", len(messages))
					}
				}
				return nil
			})
			if code := p.awaitExit(); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			checkEachOnce(t, sequencesOf(t, messages))
			if said := strings.Count(p.output(), `"level":"WARN"`); said != 1 {
				t.Errorf("the log warns %d times, want once", said)
			}
			if sessions := strings.Count(p.output(), `"msg":"publishing"`); sessions != 1 {
				t.Errorf("%d connections, want one", sessions)
			}
		})
	}
}

func TestItWaitsWhileTheBrokerBlocks(t *testing.T) {
	company := newCompany(t)
	p := start(t, map[string]string{"RABBITMQ_URL": brokerURL(t), "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 100)
	t.Cleanup(func() { control(t, "rabbitmqctl", "set_vm_memory_high_watermark", "0.4") })
	control(t, "rabbitmqctl", "set_vm_memory_high_watermark", "0.000001")
	p.awaitMetric("blocked", company, 1)
	if status, body := p.get("/readyz"); status != 503 || !strings.Contains(body, "blocked by the broker") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	control(t, "rabbitmqctl", "set_vm_memory_high_watermark", "0.4")
	p.awaitMore(company, 1000)
	if repeats := p.stopAndCheck(company, fromTheFirst); repeats > 0 {
		t.Errorf("%d repeats, although the connection was never lost", repeats)
	}
}

func TestAStopWaitsForTheLastConfirmations(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 100)
	network.holdBack()
	p.awaitMetric("trades_unconfirmed", company, 50)
	p.signal(terminate)
	p.awaitLog("stopping")
	network.thaw()
	if code := p.awaitExit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	p.awaitLog("every trade is confirmed")
	sequences := sequencesOf(t, drain(t, company, 150))
	if repeats := checkAllInOrder(t, sequences, 0, uint64(len(sequences))); repeats > 0 {
		t.Errorf("%d repeats", repeats)
	}
}

func TestUnconfirmedTradesAndAStopAreBounded(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company, "TICKER_INTERVAL": "0"})
	p.awaitMetric("trades_confirmed_total", company, 100)
	network.holdBack()
	p.awaitMetric("trades_unconfirmed", company, 2048)
	for range 100 {
		if held := p.metric("trades_unconfirmed", company); held > 2048 {
			t.Fatalf("%v trades are held, want no more than 2048", held)
		}
	}
	p.signal(terminate)
	if code := p.awaitExit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	p.awaitLog("trades unconfirmed")
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	company := newCompany(t)
	network, through := newLink(t)
	p := start(t, map[string]string{"RABBITMQ_URL": through, "STOCKS": company})
	p.awaitMetric("trades_confirmed_total", company, 100)
	network.holdBack()
	p.awaitMetric("trades_unconfirmed", company, 50)
	p.signal(terminate)
	p.awaitLog("stopping")
	p.signal(terminate)
	if code := p.awaitExit(); code != 1 {
		t.Errorf("exit code %d, want 1: the second signal had no effect", code)
	}
}

func TestHealthchecksTellWaitingFromHanging(t *testing.T) {
	network, url := newLink(t)
	p := start(t, map[string]string{"RABBITMQ_URL": url, "STOCKS": newCompany(t)})
	wildcard := "0.0.0.0" + p.address[strings.LastIndex(p.address, ":"):]
	check := func(command ...string) int {
		return start(t, map[string]string{"HTTP_ADDRESS": wildcard}, command...).awaitExit()
	}
	expect := func(when string, ready, started int) {
		t.Helper()
		if code := check("healthcheck"); code != ready {
			t.Errorf("%s: healthcheck exits with %d, want %d", when, code, ready)
		}
		if code := check("healthcheck", "started"); code != started {
			t.Errorf("%s: healthcheck started exits with %d, want %d", when, code, started)
		}
	}
	p.awaitLog(`"publishing"`)
	eventually(t, "/readyz answers 200", func() bool { status, _ := p.get("/readyz"); return status == 200 })
	expect("when ready", 0, 0)
	network.take(closes)
	network.cut()
	eventually(t, "/readyz answers 503", func() bool { status, _ := p.get("/readyz"); return status == 503 })
	expect("when waiting", 1, 0)
	p.signal(syscall.SIGSTOP)
	expect("when hanging", 1, 1)
	p.signal(syscall.SIGCONT)
}
