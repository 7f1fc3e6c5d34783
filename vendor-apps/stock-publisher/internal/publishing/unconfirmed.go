package publishing

import (
	"fmt"
	"time"
)

// numbered is a trade with its sequence number.
type numbered struct {
	sequence uint64
	body     []byte
	madeAt   time.Time

	sentAt   time.Time // when it was last sent; zero: never
	returned bool      // the broker found no queue for it in this session
}

// unconfirmed holds the unconfirmed trades, oldest first, and knows which of them
// the current session has sent. Its capacity bounds the publisher's memory and
// the trades in flight.
//
// Only unconfirmed assigns sequence numbers: 0, 1, 2, … without gaps.
type unconfirmed struct {
	trades []numbered // a ring: sequence n is at n modulo the capacity
	oldest uint64     // the sequence of the oldest trade
	unsent uint64     // the sequence of the first trade that this session has not sent
	next   uint64     // the sequence of the next trade to be added
	tag    uint64     // the delivery tag of the oldest trade in this session
}

func newUnconfirmed(capacity int) *unconfirmed {
	return &unconfirmed{trades: make([]numbered, capacity), tag: 1}
}

func (u *unconfirmed) at(sequence uint64) *numbered {
	return &u.trades[sequence%uint64(len(u.trades))]
}

// len returns how many trades are held.
func (u *unconfirmed) len() int { return int(u.next - u.oldest) }

// full reports whether no more trades can be added.
func (u *unconfirmed) full() bool { return u.len() == len(u.trades) }

// made returns how many trades were ever added.
func (u *unconfirmed) made() uint64 { return u.next }

// add gives a trade the next sequence. It panics when full.
func (u *unconfirmed) add(body []byte, madeAt time.Time) {
	if u.full() {
		panic("a trade was made without room for it")
	}
	*u.at(u.next) = numbered{sequence: u.next, body: body, madeAt: madeAt}
	u.next++
}

// restart begins a session, which must send all held trades again.
func (u *unconfirmed) restart() {
	u.unsent, u.tag = u.oldest, 1
	for sequence := u.oldest; sequence < u.next; sequence++ {
		u.at(sequence).returned = false
	}
}

// nextUnsent returns the next trade that this session must send, or nil.
func (u *unconfirmed) nextUnsent() *numbered {
	if u.unsent == u.next {
		return nil
	}
	return u.at(u.unsent)
}

// sent records that the trade of nextUnsent was sent.
func (u *unconfirmed) sent(at time.Time) {
	u.at(u.unsent).sentAt = at
	u.unsent++
}

// markReturned records that the broker found no queue for a trade. The
// confirmation that follows does not count.
func (u *unconfirmed) markReturned(sequence uint64) {
	if sequence >= u.oldest && sequence < u.unsent {
		u.at(sequence).returned = true
	}
}

// oldestFor returns the trade with this delivery tag. Verdicts come in the order
// of sending, so it must be the oldest; else a verdict is missing, and oldestFor
// fails.
func (u *unconfirmed) oldestFor(tag uint64) (*numbered, error) {
	if u.oldest == u.unsent || tag != u.tag {
		return nil, fmt.Errorf("the broker's verdict on delivery %d came when that on %d was due", tag, u.tag)
	}
	return u.at(u.oldest), nil
}

// confirm releases the oldest trade.
func (u *unconfirmed) confirm() {
	*u.at(u.oldest) = numbered{}
	u.oldest++
	u.tag++
}
