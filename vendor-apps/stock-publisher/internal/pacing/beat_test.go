package pacing

import (
	"math/rand/v2"
	"testing"
	"time"
)

const length = 25 * time.Millisecond

func TestABeatIsAtAMultipleOfItsLength(t *testing.T) {
	beat := NewBeat(start, length)
	for after, want := range map[time.Duration]struct{ from, next time.Duration }{
		0:                         {0, length},
		1:                         {length, length},
		length - 1:                {length, length},
		length:                    {length, 2 * length},
		time.Hour + 1:             {time.Hour + length, time.Hour + length},
		time.Hour - time.Second/2: {time.Hour - time.Second/2, time.Hour - time.Second/2 + length},
	} {
		now := start.Add(after)
		if from := beat.From(now).Sub(start); from != want.from {
			t.Errorf("the beat from %v on is at %v, want %v", after, from, want.from)
		}
		if next := beat.Next(now).Sub(start); next != want.next {
			t.Errorf("the beat after %v is at %v, want %v", after, next, want.next)
		}
	}
}

func TestTheRateHoldsInEverySecondOfBeats(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, interval := range []time.Duration{time.Millisecond, 3 * time.Millisecond} {
		beat, schedule := NewBeat(start, length), NewSchedule(start, interval, time.Second)
		makeDue(schedule, start)
		now := start
		for second := range 60 {
			made, begin := 0, now
			for now.Sub(begin) < time.Second-length/2 {
				// Wake up to 5 ms late.
				now = beat.Next(now).Add(time.Duration(random.IntN(5000)) * time.Microsecond)
				made += makeDue(schedule, now)
			}
			if want := float64(now.Sub(begin)) / float64(interval); float64(made) < 0.99*want-1 || float64(made) > 1.01*want+1 {
				t.Errorf("%v: %d trades in second %d, want %.0f", interval, made, second, want)
			}
		}
	}
}

func TestASlowerBeatHasTicksOfTheFasterOne(t *testing.T) {
	slow := NewBeat(start, length).Times(4)
	for after, want := range map[time.Duration]time.Duration{
		0:            0,
		1:            4 * length,
		length:       4 * length,
		4 * length:   4 * length,
		4*length + 1: 8 * length,
	} {
		if from := slow.From(start.Add(after)).Sub(start); from != want {
			t.Errorf("the tick from %v on is at %v, want %v", after, from, want)
		}
	}
}
