package prices

import (
	"math"
	"testing"

	"stock-publisher/internal/trade"
)

func TestEveryModelStaysInRangeWithFourDecimals(t *testing.T) {
	for _, model := range Models() {
		market := NewMarket("MSFT", model, 1)
		for i := range 200_000 {
			made := market.Next()
			if made.Price < Lowest || made.Price > Highest {
				t.Fatalf("%s: price %d is %v, outside %v to %v", model, i, made.Price, Lowest, Highest)
			}
			if rounded := math.Round(made.Price*1e4) / 1e4; rounded != made.Price {
				t.Fatalf("%s: price %v has more than four decimals", model, made.Price)
			}
		}
	}
}

func TestUniformPricesFillTheRangeAroundItsMiddleAndEventsAreEven(t *testing.T) {
	const trades = 100_000
	market := NewMarket("MSFT", "uniform", 7)
	sum, buys := 0.0, 0
	for range trades {
		made := market.Next()
		sum += made.Price
		if made.EventType == trade.Buy {
			buys++
		}
	}
	// Seven standard deviations of the mean and of the count of buys.
	if mean := sum / trades; math.Abs(mean-300) > 7*144.3/math.Sqrt(trades) {
		t.Errorf("mean price is %v, want about 300", mean)
	}
	if math.Abs(float64(buys)-trades/2) > 7*math.Sqrt(trades)/2 {
		t.Errorf("%d of %d trades are buys, want about half", buys, trades)
	}
}

func TestWalkMovesInSmallStepsAndDoesMove(t *testing.T) {
	market := NewMarket("MSFT", "walk", 7)
	first := market.Next().Price
	last, farthest := first, 0.0
	for range 100_000 {
		price := market.Next().Price
		if step := math.Abs(price/last - 1); step > 10*walkStep {
			t.Fatalf("one step from %v to %v", last, price)
		}
		last = price
		farthest = max(farthest, math.Abs(price/first-1))
	}
	if farthest < 0.01 {
		t.Errorf("the price stayed within %.2f %% of its start", farthest*100)
	}
}

func TestSameSeedAndCompanyGiveTheSameTrades(t *testing.T) {
	for _, model := range Models() {
		one, same := NewMarket("MSFT", model, 42), NewMarket("MSFT", model, 42)
		other, reseeded := NewMarket("TSLA", model, 42), NewMarket("MSFT", model, 43)
		differs, differsBySeed := false, false
		for range 100 {
			made := one.Next()
			if again := same.Next(); again != made {
				t.Fatalf("%s: %v and %v from the same seed", model, made, again)
			}
			differs = differs || other.Next().Price != made.Price
			differsBySeed = differsBySeed || reseeded.Next().Price != made.Price
		}
		if !differs || !differsBySeed {
			t.Errorf("%s: another company or another seed gives the same prices", model)
		}
	}
}
