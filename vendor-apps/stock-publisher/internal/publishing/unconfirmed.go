package publishing

import (
	"fmt"
	"time"
)

// numbered is a trade under the sequence number that it keeps.
type numbered struct {
	sequence uint64
	body     []byte
	madeAt   time.Time

	sentAt   time.Time // the last time; zero when it was never sent
	returned bool      // in this session the broker found no queue for it
}

// unconfirmed holds the trades that have a number and no confirmation, oldest
// first, and knows which of them were sent in the current session. Its capacity
// bounds the publisher's memory and the trades in flight.
//
// Sequences are given out here and nowhere else: 0, 1, 2, … without gaps.
type unconfirmed struct {
	trades []numbered // a ring: sequence n is at n modulo the capacity
	oldest uint64     // the sequence of the oldest trade
	unsent uint64     // the sequence of the first trade not yet sent in this session
	next   uint64     // the sequence that the next trade will get
	tag    uint64     // the delivery tag that the oldest trade has in this session
}

func newUnconfirmed(capacity int) *unconfirmed {
	return &unconfirmed{trades: make([]numbered, capacity), tag: 1}
}

func (u *unconfirmed) at(sequence uint64) *numbered {
	return &u.trades[sequence%uint64(len(u.trades))]
}

// len returns how many trades are held, full whether there is room for no more,
// and made how many ever got a number.
func (u *unconfirmed) len() int     { return int(u.next - u.oldest) }
func (u *unconfirmed) full() bool   { return u.len() == len(u.trades) }
func (u *unconfirmed) made() uint64 { return u.next }

// add gives a trade the next sequence. There must be room for it.
func (u *unconfirmed) add(body []byte, madeAt time.Time) {
	if u.full() {
		panic("a trade was made without room for it")
	}
	*u.at(u.next) = numbered{sequence: u.next, body: body, madeAt: madeAt}
	u.next++
}

// restart begins a session, in which everything held is to be sent again.
func (u *unconfirmed) restart() {
	u.unsent, u.tag = u.oldest, 1
	for sequence := u.oldest; sequence < u.next; sequence++ {
		u.at(sequence).returned = false
	}
}

// nextUnsent returns the trade to send next in this session, or nil.
func (u *unconfirmed) nextUnsent() *numbered {
	if u.unsent == u.next {
		return nil
	}
	return u.at(u.unsent)
}

// sent takes note that nextUnsent is on its way.
func (u *unconfirmed) sent(at time.Time) {
	u.at(u.unsent).sentAt = at
	u.unsent++
}

// markReturned takes note that the broker found no queue for a trade. The
// confirmation that follows it does not count.
func (u *unconfirmed) markReturned(sequence uint64) {
	if sequence >= u.oldest && sequence < u.unsent {
		u.at(sequence).returned = true
	}
}

// oldestFor returns the trade that a verdict with this delivery tag is about.
// Verdicts come in the order of sending, so it is the oldest; anything else
// means that one went missing.
func (u *unconfirmed) oldestFor(tag uint64) (*numbered, error) {
	if u.oldest == u.unsent || tag != u.tag {
		return nil, fmt.Errorf("the broker's verdict on delivery %d came when that on %d was due", tag, u.tag)
	}
	return u.at(u.oldest), nil
}

// confirm lets go of the oldest trade.
func (u *unconfirmed) confirm() {
	*u.at(u.oldest) = numbered{}
	u.oldest++
	u.tag++
}
