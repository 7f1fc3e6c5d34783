// Package retry computes the waits between attempts.
//
// A library such as cenkalti/backoff would not make it smaller: one that is reset
// on success and waits until a context ends needs the same code around it.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff doubles the wait after every failure, from First up to Longest. Each
// wait is a random time from half of that to all of it, so that many clients of
// one server do not reconnect at the same time.
type Backoff struct {
	First   time.Duration
	Longest time.Duration

	last time.Duration
}

// Next returns the wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.First), b.Longest)
	return b.last/2 + rand.N(b.last/2+1)
}

// Reset records a success: the next wait begins at First again.
func (b *Backoff) Reset() { b.last = 0 }

// Wait waits for the time that Next returns, counted from the begin of the failed
// attempt, or until the context ends. So an attempt that took long is repeated soon.
func (b *Backoff) Wait(ctx context.Context, begin time.Time) {
	timer := time.NewTimer(time.Until(begin.Add(b.Next())))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
