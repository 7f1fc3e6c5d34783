package retry

import (
	"context"
	"testing"
	"time"
)

func TestWaitsDoubleUpToTheLongestWithJitterBetweenHalfAndAll(t *testing.T) {
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	for range 100 {
		backoff := Backoff{First: first, Longest: longest}
		for step := range 20 {
			full := min(first<<step, longest)
			if wait := backoff.Next(); wait < full/2 || wait > full {
				t.Fatalf("wait %d is %v, want %v to %v", step, wait, full/2, full)
			}
		}
	}
}

func TestAfterASuccessTheFirstWaitIsShortAgain(t *testing.T) {
	backoff := Backoff{First: time.Second, Longest: time.Hour}
	for range 10 {
		backoff.Next()
	}
	backoff.Reset()
	if wait := backoff.Next(); wait > time.Second {
		t.Errorf("wait after a success is %v, want at most 1s", wait)
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	backoff := Backoff{First: time.Hour, Longest: time.Hour}
	backoff.Wait(ctx, time.Now()) // Otherwise it waits for at least half an hour, and the test times out.
}

func TestAnAttemptThatTookLongIsRepeatedAtOnce(t *testing.T) {
	backoff := Backoff{First: time.Hour, Longest: time.Hour}
	backoff.Wait(t.Context(), time.Now().Add(-time.Hour)) // Otherwise the test times out.
}
