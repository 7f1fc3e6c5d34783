package publishing

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"stock-publisher/internal/pacing"
)

func companies(count int) (companies []Company) {
	for i := range count {
		companies = append(companies, Company{Symbol: fmt.Sprint("C", i)})
	}
	return companies
}

func TestManyCompaniesShareFewConnections(t *testing.T) {
	for _, test := range []struct{ companies, connections, most int }{
		{1, 1, 1},
		{3, 3, 1},
		{16, 16, 1},
		{17, 16, 2},
		{500, 16, 32},
	} {
		shares := share(companies(test.companies))
		if len(shares) != test.connections {
			t.Errorf("%d companies: %d connections, want %d", test.companies, len(shares), test.connections)
		}
		seen := map[string]bool{}
		for _, share := range shares {
			if len(share) < 1 || len(share) > test.most {
				t.Errorf("%d companies: %d on one connection, want 1 to %d", test.companies, len(share), test.most)
			}
			for _, company := range share {
				seen[company.Symbol] = true
			}
		}
		if len(seen) != test.companies {
			t.Errorf("%d of %d companies are published", len(seen), test.companies)
		}
	}
}

func TestUnconfirmedTradesAreTwoSecondsWorthWithinLimits(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		alone    bool
		want     int
	}{
		{0, true, 2048},
		{0, false, 200},
		{time.Microsecond, true, 2048},
		{time.Millisecond, true, 2000},
		{time.Millisecond, false, 200},
		{20 * time.Millisecond, true, 100},
		{20 * time.Millisecond, false, 100},
		{time.Hour, false, 32},
	} {
		if got := inFlightOf(test.interval, test.alone); got != test.want {
			t.Errorf("interval %v, alone %v: %d, want %d", test.interval, test.alone, got, test.want)
		}
	}
}

func TestTradesOfOneOfManyCompaniesWaitForEachOther(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		0:                      beat,
		time.Millisecond:       beat,
		10 * time.Millisecond:  beat,
		11 * time.Millisecond:  2 * beat,
		20 * time.Millisecond:  2 * beat,
		100 * time.Millisecond: longestBeat,
		time.Hour:              longestBeat,
	} {
		if got := time.Duration(beatsOf(interval, false)) * beat; got != want {
			t.Errorf("with %v between its trades, a company's are collected for %v, want %v", interval, got, want)
		}
		if beats := beatsOf(interval, true); beats != 1 {
			t.Errorf("with %v between its trades, those of one of few companies are collected for %d beats, want 1", interval, beats)
		}
	}
}

func TestASlowCompanysTradesAreMadeAtItsOwnBeatsAndNoneIsLate(t *testing.T) {
	start := time.Unix(1, 0)
	s := newStream(Company{Interval: 100 * time.Millisecond}, Options{Log: slog.New(slog.DiscardHandler)}, false,
		pacing.NewBeat(start, beat))
	s.schedule = pacing.NewSchedule(start.Add(7*time.Millisecond), s.Interval, catchUp)
	made := 0
	for now := start; now.Sub(start) < 10*time.Second; now = now.Add(beat) {
		before := made
		for s.due(now) {
			if late := now.Sub(s.schedule.Next()); late > longestBeat {
				t.Errorf("trade %d is %v late", made, late)
			}
			s.schedule.Made()
			made++
		}
		if onBeat := now.Sub(start)%longestBeat == 0; made > before && !onBeat {
			t.Errorf("%d trades are made between two beats", made-before)
		}
	}
	if made < 97 || made > 100 {
		t.Errorf("%d trades in 10 s, want 97 to 100", made)
	}
}

func TestWhoTakesLongAtTheGateDoesNotKeepOthersOut(t *testing.T) {
	g := make(gate, 2)
	g.enter()
	g.enter() // Neither leaves.
	entered := make(chan struct{})
	go func() {
		g.enter()()
		close(entered)
	}()
	select {
	case <-entered:
	case <-time.After(time.Minute):
		t.Error("two that never leave keep a third one out")
	}
}
