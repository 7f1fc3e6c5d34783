package publishing

import (
	"time"

	"stock-publisher/internal/retry"
)

// calm is how long the broker must refuse nothing until the publisher says so. A
// full queue that is read slowly takes some trades and refuses others all the time.
const calm = 5 * time.Second

// stuckAfter is how many refusals in a row call for a new channel.
const stuckAfter = 5

// flow bounds what is sent to a broker that refuses trades (nacks), so that the
// refused ones do not flood a full queue. After a refusal nothing is sent for a
// pause, which doubles with each refusal in a row. Then one trade is sent, and for
// each that the broker confirms one more may be in flight. So the broker refuses
// about as many trades as it takes, or one for each pause when it takes none.
type flow struct {
	limit   int // most trades in flight
	allowed int // trades that may be in flight now
	pause   retry.Backoff
	resume  time.Time // when the pause ends
	since   uint64    // the first delivery tag after the last refusal
	inARow  int       // refusals since the last confirmation, one for each pause
	refused time.Time // when the broker last refused a trade; zero: calm since then
}

func newFlow(limit int) *flow {
	return &flow{
		limit:   limit,
		allowed: limit,
		pause:   retry.Backoff{First: 100 * time.Millisecond, Longest: 5 * time.Second},
	}
}

// restart begins a session, whose delivery tags begin anew.
func (f *flow) restart() { f.since = 0 }

// confirm records that the broker took the trade with this delivery tag.
func (f *flow) confirm(tag uint64) {
	if f.allowed < f.limit && tag >= f.since {
		f.allowed++
		f.inARow = 0
		f.pause.Reset()
	}
}

// refuse records that the broker refused the trade with this delivery tag, and
// that the next one will be nextTag. It returns true when the refusals begin.
// Trades that were in flight at the last refusal tell nothing new.
func (f *flow) refuse(tag, nextTag uint64, now time.Time) (begin bool) {
	begin = f.refused.IsZero()
	f.refused = now
	if tag >= f.since {
		f.allowed, f.since = 1, nextTag
		f.inARow++
		f.resume = now.Add(f.pause.Next())
	}
	return begin
}

// isRefused reports whether the broker refuses trades, or did a moment ago.
func (f *flow) isRefused() bool { return !f.refused.IsZero() }

// isStuck reports whether the broker has taken nothing for a while. RabbitMQ's
// channel may refuse trades for a quorum queue that has room again: lifting a
// length limit does not always reach it (rabbitmq/rabbitmq-server#12206). A new
// channel asks the queue.
func (f *flow) isStuck() bool { return f.inARow >= stuckAfter }

// calmAt returns when the refusals count as over unless another one comes. It
// returns the zero time when there are none, or none was followed by a confirmation.
func (f *flow) calmAt() time.Time {
	if f.refused.IsZero() || f.inARow > 0 {
		return time.Time{}
	}
	return f.refused.Add(calm)
}

// end records that the refusals are over.
func (f *flow) end() { f.refused = time.Time{} }
