// Package retry spaces the attempts at something that fails for now.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits longer after every failure, from First up to Longest, and each
// time between half and all of that, so that many clients of one server do not
// come back in step.
type Backoff struct {
	First   time.Duration
	Longest time.Duration

	last time.Duration
}

// Next returns how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.First), b.Longest)
	return b.last/2 + rand.N(b.last/2+1)
}

// Reset takes note of a success: the next failure waits First again.
func (b *Backoff) Reset() { b.last = 0 }

// Wait waits for Next, or until the context ends.
func (b *Backoff) Wait(ctx context.Context) {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
