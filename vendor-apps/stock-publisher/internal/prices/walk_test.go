package prices

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"stock-publisher/internal/trade"
)

// minuteChange is the standard deviation of a price's change in a minute, as a
// fraction, for a volatility of 100 % a year.
var minuteChange = 1 / math.Sqrt(252*390)

func walkOf(company string, seed uint64) *walk {
	return newWalk(Options{Company: company, Seed: seed, StartPrice: 100})
}

// deviationOf returns the standard deviation of numbers around 0.
func deviationOf(numbers []float64) float64 {
	sum := 0.0
	for _, number := range numbers {
		sum += number * number
	}
	return math.Sqrt(sum / float64(len(numbers)))
}

func TestAWalkChangesAsItsVolatilitySaysOverEveryTime(t *testing.T) {
	w := walkOf("MSFT", 7)
	for _, elapsed := range []time.Duration{tickLength, time.Second, time.Minute, time.Hour} {
		changes := make([]float64, 4000)
		for i := range changes {
			// The step is no multiple of a period's parts.
			at := noon.Add(time.Duration(i) * 7919 * time.Second)
			changes[i] = math.Log(w.price(at.Add(elapsed)) / w.price(at))
		}
		want := minuteChange * math.Sqrt(elapsed.Minutes())
		if got := deviationOf(changes); math.Abs(got/want-1) > 0.08 {
			t.Errorf("in %v the price changes by %.5f, want %.5f", elapsed, got, want)
		}
	}
}

func TestAveragesOf1000TradesMoveByTenthsOfAPercentInAMinuteAndNotInASecond(t *testing.T) {
	const seconds = 1200
	market := NewMarket(Options{Company: "MSFT", Model: Walk, StartPrice: 430})
	averages := make([]float64, seconds)
	for i := range seconds * 1000 {
		averages[i/1000] += market.Next(noon.Add(time.Duration(i)*time.Millisecond)).Price / 1000
	}
	changesIn := func(elapsed int) float64 {
		var changes []float64
		for i := elapsed; i < seconds; i++ {
			changes = append(changes, averages[i]/averages[i-elapsed]-1)
		}
		return 100 * deviationOf(changes)
	}
	if change := changesIn(1); change < 0.02 || change > 0.06 {
		t.Errorf("averages change by %.3f %% in a second, want some hundredths", change)
	}
	if change := changesIn(60); change < 0.15 || change > 0.6 {
		t.Errorf("averages change by %.3f %% in a minute, want some tenths", change)
	}
}

func TestAWalkHasNoJumps(t *testing.T) {
	w := walkOf("MSFT", 7)
	// The end of a period is where all values are drawn anew.
	boundary := time.Unix(noon.Unix()/(period/16)*(period/16), 0)
	for _, begin := range []time.Time{noon, boundary.Add(-5 * time.Second), time.Unix(-5, 0)} {
		last := w.price(begin)
		for i := range 10_000 {
			price := w.price(begin.Add(time.Duration(i) * time.Millisecond))
			// Eight standard deviations of a tick, in a 62nd of its time.
			if step := math.Abs(price/last - 1); step > 8*w.deviation/62 {
				t.Fatalf("%v ms after %v the price goes from %v to %v", i, begin, last, price)
			}
			last = price
		}
	}
}

func TestARestartGoesOnWhereThePriceIsByThen(t *testing.T) {
	options := Options{Company: "MSFT", Model: Walk, StartPrice: 430}
	running := NewMarket(options)
	for i := range 5000 {
		at := noon.Add(time.Duration(i) * time.Second)
		price := running.Next(at).Price
		if i%100 == 0 {
			if again := NewMarket(options).Next(at).Price; math.Abs(again/price-1) > 2*widestSpread+1e-6 {
				t.Fatalf("at %v a market that runs has %v, a new one %v", at, price, again)
			}
		}
	}
}

func TestAClockThatWasSetChangesNothingForGood(t *testing.T) {
	w := walkOf("MSFT", 7)
	before := w.price(noon)
	for _, wrong := range []time.Time{
		noon.Add(-time.Hour), noon.Add(time.Hour), noon.Add(-time.Nanosecond), time.Unix(0, 0), time.Unix(-1, 999), {},
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0),
	} {
		if price := w.price(wrong); !(price > 10 && price < 1000) {
			t.Errorf("at %v the price is %v", wrong, price)
		}
		if after := w.price(noon); after != before {
			t.Errorf("after %v the price is %v, not %v", wrong, after, before)
		}
	}
}

func TestAWalkStaysNearItsStartPriceForYearsAndUsesItsBand(t *testing.T) {
	for _, company := range []string{"MSFT", "TSLA", "AAPL"} {
		w := walkOf(company, 0)
		var distances []float64
		for at := noon; at.Before(noon.AddDate(5, 0, 0)); at = at.Add(17 * time.Minute) {
			distance := math.Log(w.price(at) / w.start)
			if math.Abs(distance) > math.Ln2 {
				t.Fatalf("%s: at %v the price is %v, the start price %v", company, at, w.price(at), w.start)
			}
			distances = append(distances, distance)
		}
		want := w.deviation * math.Sqrt(period/2)
		if got := deviationOf(distances); math.Abs(got/want-1) > 0.1 {
			t.Errorf("%s: the price is %.3f from its start, want %.3f", company, got, want)
		}
	}
}

func TestBuysAreSlightlyAboveThePriceAndSellsSlightlyBelow(t *testing.T) {
	const start = 430.0
	market := NewMarket(Options{Company: "MSFT", Model: Walk, StartPrice: start})
	price := newWalk(Options{Company: "MSFT", StartPrice: start}).price(noon)
	farthest := 0.0
	for range 10_000 {
		made := market.Next(noon)
		distance := made.Price/price - 1
		if made.EventType == trade.Sell {
			distance = -distance
		}
		if distance < -1e-6 || distance > widestSpread+1e-6 {
			t.Fatalf("a %s at %v is %.6f beside the price %v", made.EventType, made.Price, distance, price)
		}
		farthest = max(farthest, distance)
	}
	if farthest < 0.9*widestSpread {
		t.Errorf("all trades are within %.6f of the price", farthest)
	}
}

func TestCompaniesWalkOnTheirOwn(t *testing.T) {
	// The second differs in one bit, the third in the order.
	one, others := walkOf("AB", 0), []*walk{walkOf("AC", 0), walkOf("BA", 0), walkOf("AB", 1)}
	const minutes = 4000
	for i, other := range others {
		sum := 0.0
		for minute := range minutes {
			at := noon.Add(time.Duration(minute) * time.Minute)
			change := func(w *walk) float64 { return math.Log(w.price(at.Add(time.Minute))/w.price(at)) / minuteChange }
			sum += change(one) * change(other)
		}
		// The correlation of independent changes has a standard deviation of 0.016.
		if correlation := sum / minutes; math.Abs(correlation) > 0.08 {
			t.Errorf("other walk %d: correlation %.3f", i, correlation)
		}
	}
}

func TestWithoutAStartPriceAWalkHasOneFromTheUniformRange(t *testing.T) {
	seen := map[float64]bool{}
	for seed := range uint64(100) {
		w := newWalk(Options{Company: "MSFT", Seed: seed})
		if w.start < Lowest || w.start > Highest {
			t.Errorf("seed %d starts at %v", seed, w.start)
		}
		seen[w.start] = true
	}
	if len(seen) < 100 {
		t.Errorf("100 seeds have %d start prices", len(seen))
	}
}

func TestPricesHaveAsManyDigitsAsMakeSense(t *testing.T) {
	for start, want := range map[float64]int{
		1e-9: 14, 0.00001: 10, 0.5: 6, 1: 5, 9.99: 5, 10: 4, 430: 4, 99_999: 4, 100_000: 2, 1e6: 2, 1e9: 2,
	} {
		market := NewMarket(Options{Company: "MSFT", Model: Walk, StartPrice: start})
		most := 0
		for i := range 1000 {
			price := market.Next(noon.Add(time.Duration(i) * time.Second)).Price
			most = max(most, decimalsIn(price))
		}
		if most != want {
			t.Errorf("prices around %v have up to %d decimals, want %d", start, most, want)
		}
	}
}

// decimalsIn returns the number of decimals of a number that is written without
// more digits than it needs.
func decimalsIn(number float64) int {
	_, decimals, _ := strings.Cut(strconv.FormatFloat(number, 'f', -1, 64), ".")
	return len(decimals)
}

func TestTheMostExtremeSettingsGiveFinitePricesAbove0(t *testing.T) {
	for _, start := range []float64{LowestStart, HighestStart} {
		for _, volatility := range []float64{LowestVolatility, HighestVolatility} {
			market := NewMarket(Options{Company: "MSFT", Model: Walk, StartPrice: start, Volatility: volatility})
			for i := range 50_000 {
				made := market.Next(noon.Add(time.Duration(i) * time.Hour))
				if !(made.Price > 0 && made.Price < 1e15) {
					t.Fatalf("start price %v, volatility %v: a price of %v", start, volatility, made.Price)
				}
			}
		}
	}
}
