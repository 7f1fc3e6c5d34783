package publishing

import (
	"fmt"
	"testing"
	"time"
)

func companies(count int) (companies []Company) {
	for i := range count {
		companies = append(companies, Company{Symbol: fmt.Sprint("C", i)})
	}
	return companies
}

func TestManyCompaniesShareFewConnections(t *testing.T) {
	for _, test := range []struct{ companies, channelMax, connections, most int }{
		{1, 0, 1, 1},
		{3, 0, 3, 1},
		{16, 0, 16, 1},
		{17, 0, 16, 2},
		{500, 0, 16, 32},
		{500, 2047, 16, 32},
		{500, 10, 50, 10},
		{20, 1, 20, 1},
	} {
		shares := share(companies(test.companies), test.channelMax)
		if len(shares) != test.connections {
			t.Errorf("%d companies and %d channels: %d connections, want %d", test.companies, test.channelMax, len(shares), test.connections)
		}
		seen := map[string]bool{}
		for _, share := range shares {
			if len(share) < 1 || len(share) > test.most {
				t.Errorf("%d companies and %d channels: %d on one connection, want 1 to %d", test.companies, test.channelMax, len(share), test.most)
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
