// Package publishing sends each company's trades to its queue, each at least once
// and in order, whatever happens to the broker.
//
// The path of a trade: the schedule tells when it is due, the market makes it,
// unconfirmed numbers and holds it, a session sends it, and the broker's
// confirmation releases it. A trade that the broker refuses is sent again in the
// same session, as soon as flow allows. When a session fails, the next one first
// sends all held trades again.
//
// A stream is all of that for one company. A group is the streams that share a
// connection: it wakes up at beats and lets each stream work.
package publishing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stock-publisher/internal/pacing"
	"stock-publisher/internal/prices"
	"stock-publisher/internal/telemetry"
)

const (
	// beat is how often the publisher wakes up: what fell due since the last time is
	// sent together, and what the broker has judged is taken together. At 1000 trades
	// a second a beat of 10 ms costs a third more, and one for each trade six times
	// as much.
	beat = 25 * time.Millisecond
	// longestBeat is how long the trades of a slow company are kept at most. What
	// costs the broker most is a trade that comes alone to its queue. With 500
	// companies at 10 trades a second, two or three at a time need half of the
	// processor time in all.
	longestBeat = 250 * time.Millisecond
	// together is how many trades of a company are worth waiting for.
	together = 2.5
	// mostConnections is how many connections the publisher opens, unless their
	// channels are too few for the companies. As few companies as that have a
	// connection each.
	mostConnections = 16
	// mostOpenings is how many queues are declared at once. With 64, a busy RabbitMQ 3
	// gives some quorum queues up (cluster_not_formed), and closes the connection.
	mostOpenings = 16
	// catchUp is how much of a pause is caught up on afterwards.
	catchUp = time.Second
	// silence is how long the broker may judge none of the trades in flight. After that
	// the session counts as hung: a broker's part of a channel may hang by itself.
	silence = 30 * time.Second
	// confirmGrace is how long a stop waits for the last confirmations.
	confirmGrace = 3500 * time.Millisecond
)

// Options are the settings of a publisher.
type Options struct {
	Companies []Company
	URL       string
	QueueType string
	// TradeLimit ends publishing after this many trades of each company; 0: no limit.
	TradeLimit uint64
	Version    string
	Log        *slog.Logger
}

// Company is what is published for one company.
type Company struct {
	Symbol string
	// Interval is the time between two trades; 0: as fast as the broker confirms.
	Interval time.Duration
	Market   *prices.Market
	Meter    *telemetry.Meter
}

// Run publishes until ctx ends or the trade limit is reached, then waits for all
// confirmations. After the end of ctx it waits for at most confirmGrace, and logs
// how many trades are unconfirmed.
func Run(ctx context.Context, options Options) {
	clock := pacing.NewBeat(time.Now(), beat)
	openings := make(gate, mostOpenings)
	var running sync.WaitGroup
	var start func(streams []*stream)
	start = func(streams []*stream) {
		group := newGroup(options, streams, clock, openings, start)
		running.Go(func() { group.run(ctx) })
	}
	for _, companies := range share(options.Companies) {
		var streams []*stream
		for _, company := range companies {
			streams = append(streams, newStream(company, options, len(companies) == 1, clock))
		}
		start(streams)
	}
	running.Wait()
}

// share deals the companies out to connections. Neighbours, which often have
// similar rates, get different ones.
func share(companies []Company) [][]Company {
	shares := make([][]Company, min(len(companies), mostConnections))
	for i, company := range companies {
		shares[i%len(shares)] = append(shares[i%len(shares)], company)
	}
	return shares
}

// gate bounds how many pass at the same time.
type gate chan struct{}

// slow is when one who passes no longer counts: it waits for something sick.
const slow = time.Second

// enter waits for a place, and returns what gives it back.
func (g gate) enter() (leave func()) {
	g <- struct{}{}
	leave = sync.OnceFunc(func() { <-g })
	time.AfterFunc(slow, leave)
	return leave
}
