package pacing

import (
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

// makeDue makes every trade that is due at now.
func makeDue(s *Schedule, now time.Time) (made int) {
	for s.Due(now) {
		s.Made()
		made++
	}
	return made
}

func TestTheRateHoldsThroughAMinuteOfLateWakeUps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	schedule := NewSchedule(start, time.Millisecond, time.Second)
	now, made := start, 0
	for now.Before(start.Add(time.Minute)) {
		made += makeDue(schedule, now)
		// Wake up to 5 ms late, sometimes 300 ms.
		now = schedule.Next().Add(time.Duration(random.IntN(5000)) * time.Microsecond)
		if random.IntN(1000) == 0 {
			now = now.Add(300 * time.Millisecond)
		}
	}
	elapsed := now.Sub(start).Seconds()
	if rate := float64(made) / elapsed; rate < 999 || rate > 1001 {
		t.Errorf("%d trades in %.2f s: %.1f a second, want 1000", made, elapsed, rate)
	}
}

func TestItCatchesUpInFullAfterAShortPause(t *testing.T) {
	schedule := NewSchedule(start, time.Millisecond, time.Second)
	if made := makeDue(schedule, start); made != 1 {
		t.Fatalf("%d trades due at the start, want 1", made)
	}
	if made := makeDue(schedule, start.Add(900*time.Millisecond)); made != 900 {
		t.Errorf("%d trades due after 900 ms, want 900", made)
	}
}

func TestItCatchesUpOnNoMoreThanTheLimitAfterALongPause(t *testing.T) {
	schedule := NewSchedule(start, time.Millisecond, time.Second)
	back := start.Add(time.Hour)
	if made := makeDue(schedule, back); made != 1001 {
		t.Errorf("%d trades due after an hour, want the 1001 of the last second", made)
	}
	if made := makeDue(schedule, back.Add(time.Second)); made != 1000 {
		t.Errorf("%d trades in the second after, want 1000", made)
	}
}

func TestNothingIsDueBeforeItsTime(t *testing.T) {
	schedule := NewSchedule(start, time.Second, time.Second)
	makeDue(schedule, start)
	if schedule.Due(start.Add(999 * time.Millisecond)) {
		t.Error("a trade is due 1 ms early")
	}
	if !schedule.Due(start.Add(time.Second)) {
		t.Error("no trade is due after the interval")
	}
}

func TestIntervalLongerThanTheLimitMakesOneTradeAtATime(t *testing.T) {
	schedule := NewSchedule(start, time.Minute, time.Second)
	for minute := range 10 {
		if made := makeDue(schedule, start.Add(time.Duration(minute)*time.Minute)); made != 1 {
			t.Fatalf("%d trades due at minute %d, want 1", made, minute)
		}
	}
}

func TestWithoutAnIntervalATradeIsAlwaysDue(t *testing.T) {
	schedule := NewSchedule(start, 0, time.Second)
	for range 10_000 {
		if !schedule.Due(start) {
			t.Fatal("no trade is due")
		}
		schedule.Made()
	}
}
