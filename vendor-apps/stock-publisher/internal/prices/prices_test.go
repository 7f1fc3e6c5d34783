package prices

import (
	"math"
	"testing"
	"time"

	"stock-publisher/internal/trade"
)

// noon is when the simulated markets begin.
var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestUniformPricesStayInRangeWithFourDecimals(t *testing.T) {
	market := NewMarket(Options{Company: "MSFT", Model: Uniform, Seed: 1})
	for i := range 200_000 {
		made := market.Next(noon)
		if made.Price < Lowest || made.Price > Highest {
			t.Fatalf("price %d is %v, outside %v to %v", i, made.Price, Lowest, Highest)
		}
		if rounded := math.Round(made.Price*1e4) / 1e4; rounded != made.Price {
			t.Fatalf("price %v has more than four decimals", made.Price)
		}
	}
}

func TestUniformPricesFillTheRangeAroundItsMiddle(t *testing.T) {
	const trades = 100_000
	market := NewMarket(Options{Company: "MSFT", Model: Uniform, Seed: 7})
	sum := 0.0
	for range trades {
		sum += market.Next(noon).Price
	}
	// Seven standard deviations of the mean.
	if mean := sum / trades; math.Abs(mean-300) > 7*144.3/math.Sqrt(trades) {
		t.Errorf("mean price is %v, want about 300", mean)
	}
}

func TestEventsAreEven(t *testing.T) {
	const trades = 100_000
	for _, model := range Models() {
		market := NewMarket(Options{Company: "MSFT", Model: model, Seed: 7})
		buys := 0
		for range trades {
			if market.Next(noon).EventType == trade.Buy {
				buys++
			}
		}
		// Seven standard deviations of the count.
		if math.Abs(float64(buys)-trades/2) > 7*math.Sqrt(trades)/2 {
			t.Errorf("%s: %d of %d trades are buys, want about half", model, buys, trades)
		}
	}
}

func TestSameSeedCompanyAndTimesGiveTheSameTrades(t *testing.T) {
	for _, model := range Models() {
		marketOf := func(company string, seed uint64) *Market {
			return NewMarket(Options{Company: company, Model: model, Seed: seed})
		}
		one, same := marketOf("MSFT", 42), marketOf("MSFT", 42)
		other, reseeded := marketOf("TSLA", 42), marketOf("MSFT", 43)
		differs, differsBySeed := false, false
		for i := range 100 {
			at := noon.Add(time.Duration(i) * time.Second)
			made := one.Next(at)
			if again := same.Next(at); again != made {
				t.Fatalf("%s: %v and %v from the same seed", model, made, again)
			}
			differs = differs || other.Next(at).Price != made.Price
			differsBySeed = differsBySeed || reseeded.Next(at).Price != made.Price
		}
		if !differs || !differsBySeed {
			t.Errorf("%s: another company or another seed gives the same prices", model)
		}
	}
}

func TestNoPriceIsRoundedTo0(t *testing.T) {
	market := Market{scale: 1e4}
	for _, price := range []float64{1e-300, 0.00004, 0.0001} {
		if rounded := market.round(price); rounded != 0.0001 {
			t.Errorf("%v is rounded to %v", price, rounded)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, model := range Models() {
		b.Run(model, func(b *testing.B) {
			market := NewMarket(Options{Company: "MSFT", Model: model, Seed: 1})
			at := noon
			for b.Loop() {
				market.Next(at)
				at = at.Add(10 * time.Microsecond)
			}
		})
	}
}
