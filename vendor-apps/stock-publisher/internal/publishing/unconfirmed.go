package publishing

import (
	"slices"
	"time"

	"stock-publisher/internal/broker"
)

// numbered is a trade with its sequence number.
type numbered struct {
	sequence uint64
	body     []byte
	madeAt   time.Time

	sentAt    time.Time // when it was last sent; zero: never
	returned  bool      // the broker found no queue for it in this session
	confirmed bool      // it waits only for older trades, to leave with them
}

// unconfirmed holds the unconfirmed trades, and knows which of them the current
// session must send, and which it waits for a verdict on. Its capacity bounds the
// publisher's memory, the trades in flight, and how far a refused trade can fall
// behind newer ones.
//
// Only unconfirmed assigns sequence numbers: 0, 1, 2, … without gaps.
type unconfirmed struct {
	trades  []numbered // a ring: sequence n is at n modulo the capacity
	oldest  uint64     // the sequence of the oldest trade; it is unconfirmed
	unsent  uint64     // the sequence of the first trade that this session has not sent
	next    uint64     // the sequence of the next trade to be added
	held    int        // how many of them are unconfirmed
	refused []uint64   // the sequences to be sent again, ascending

	flight  []flying // a ring: at a delivery tag modulo the capacity is the trade sent with it
	tag     uint64   // the tag of the next verdict
	nextTag uint64   // the tag of the next trade that is sent
}

// flying is a trade that waits for the broker's verdict.
type flying struct {
	sequence uint64
	verdict  broker.Verdict
}

func newUnconfirmed(capacity int) *unconfirmed {
	return &unconfirmed{
		trades: make([]numbered, capacity),
		flight: make([]flying, capacity),
		tag:    1, nextTag: 1,
	}
}

func (u *unconfirmed) at(sequence uint64) *numbered {
	return &u.trades[sequence%uint64(len(u.trades))]
}

// len returns how many trades are unconfirmed.
func (u *unconfirmed) len() int { return u.held }

// inFlight returns how many trades wait for a verdict in this session.
func (u *unconfirmed) inFlight() int { return int(u.nextTag - u.tag) }

// full reports whether no more trades can be added.
func (u *unconfirmed) full() bool { return u.next-u.oldest == uint64(len(u.trades)) }

// made returns how many trades were ever added.
func (u *unconfirmed) made() uint64 { return u.next }

// add gives a trade the next sequence. It panics when full.
func (u *unconfirmed) add(body []byte, madeAt time.Time) {
	if u.full() {
		panic("a trade was made without room for it")
	}
	*u.at(u.next) = numbered{sequence: u.next, body: body, madeAt: madeAt}
	u.next++
	u.held++
}

// restart begins a session, which must send all unconfirmed trades again.
func (u *unconfirmed) restart() {
	u.unsent, u.tag, u.nextTag = u.oldest, 1, 1
	u.refused = u.refused[:0]
}

// nextUnsent returns the next trade that this session must send, or nil. Refused
// trades come first, so that they fall behind as little as possible.
func (u *unconfirmed) nextUnsent() *numbered {
	switch {
	case len(u.refused) > 0:
		return u.at(u.refused[0])
	case u.unsent < u.next:
		return u.at(u.unsent)
	default:
		return nil
	}
}

// sent records that the trade of nextUnsent was sent, and where its verdict will be.
func (u *unconfirmed) sent(at time.Time, verdict broker.Verdict) {
	trade := u.nextUnsent()
	trade.sentAt, trade.returned = at, false
	u.flight[u.nextTag%uint64(len(u.flight))] = flying{trade.sequence, verdict}
	u.nextTag++
	if len(u.refused) > 0 {
		u.refused = slices.Delete(u.refused, 0, 1)
		return
	}
	u.unsent++
	// An earlier session may have ended with newer trades confirmed than refused ones.
	for u.unsent < u.next && u.at(u.unsent).confirmed {
		u.unsent++
	}
}

// markReturned records that the broker found no queue for a trade. The
// confirmation that follows does not count.
func (u *unconfirmed) markReturned(sequence uint64) {
	if sequence >= u.oldest && sequence < u.unsent {
		u.at(sequence).returned = true
	}
}

// awaited returns the trade that was sent first of those in flight. Its verdict is
// the next one that counts: verdicts are taken in the order of sending.
func (u *unconfirmed) awaited() (*numbered, broker.Verdict) {
	next := u.flight[u.tag%uint64(len(u.flight))]
	return u.at(next.sequence), next.verdict
}

// halfway returns the verdict on the trade in the middle of those in flight.
func (u *unconfirmed) halfway() broker.Verdict {
	return u.flight[(u.tag+u.nextTag)/2%uint64(len(u.flight))].verdict
}

// confirm releases the trade whose verdict is due.
func (u *unconfirmed) confirm() {
	u.at(u.judged()).confirmed = true
	u.held--
	for u.oldest < u.next && u.at(u.oldest).confirmed {
		*u.at(u.oldest) = numbered{}
		u.oldest++
	}
}

// refuse records that the trade whose verdict is due must be sent again.
func (u *unconfirmed) refuse() {
	sequence := u.judged()
	place, _ := slices.BinarySearch(u.refused, sequence)
	u.refused = slices.Insert(u.refused, place, sequence)
}

// judged returns the sequence of the trade whose verdict is due, and goes on to
// the next verdict.
func (u *unconfirmed) judged() uint64 {
	sequence := u.flight[u.tag%uint64(len(u.flight))].sequence
	u.tag++
	return sequence
}
