package prices

import (
	"math"
	"math/rand/v2"
	"time"

	"stock-publisher/internal/trade"
)

// The limits of a walk's settings.
const (
	LowestStart  = 1e-9
	HighestStart = 1e9

	LowestVolatility  = 0.01
	HighestVolatility = 1000.0
	// DefaultVolatility, in percent a year, moves a price by about 0.3 % in a minute.
	DefaultVolatility = 100.0
)

const (
	// tradingYear is the year of a volatility, as share markets count it: the hours
	// that an exchange is open. A walk's market is open day and night.
	tradingYear = 252 * 390 * time.Minute
	// tickLength is the time between two computed points of a walk. Prices between
	// them lie on a straight line.
	tickLength = time.Second / 16
	// widestSpread is how far a trade's price is from the walk's at most, as a fraction.
	widestSpread = 0.0002
)

// walk is a price as a function of time alone: whoever asks for the same time gets
// the same price. So a publisher that starts again goes on where the price is by
// then, and a clock that was set does no harm.
type walk struct {
	path  path
	start float64
	// deviation is the standard deviation of the logarithm's change in one tick.
	deviation float64

	// The last used tick, and the prices at its beginning and end.
	tick     int64
	from, to float64
}

func newWalk(options Options) *walk {
	w := &walk{path: pathOf(options.Company, options.Seed), start: options.StartPrice}
	if w.start == 0 {
		w.start = Lowest + w.path.fraction()*(Highest-Lowest)
	}
	volatility := options.Volatility
	if volatility == 0 {
		volatility = DefaultVolatility
	}
	w.deviation = volatility / 100 * math.Sqrt(float64(tickLength)/float64(tradingYear))
	w.moveTo(0)
	return w
}

// price returns the price at a time.
func (w *walk) price(at time.Time) float64 {
	nanoseconds := int64(at.Nanosecond())
	tick := at.Unix()*int64(time.Second/tickLength) + nanoseconds/int64(tickLength)
	if tick != w.tick {
		w.moveTo(tick)
	}
	part := float64(nanoseconds%int64(tickLength)) / float64(tickLength)
	return w.from + part*(w.to-w.from)
}

func (w *walk) moveTo(tick int64) {
	w.tick = tick
	w.from, w.to = w.priceAt(tick), w.priceAt(tick+1)
}

func (w *walk) priceAt(tick int64) float64 {
	return w.start * math.Exp(w.deviation*w.path.at(tick))
}

// quote returns what one pays or gets at a price: a buyer pays a little more, a
// seller gets a little less.
func quote(price float64, event string, random *rand.Rand) float64 {
	spread := widestSpread * random.Float64()
	if event == trade.Sell {
		spread = -spread
	}
	return price * (1 + spread)
}
