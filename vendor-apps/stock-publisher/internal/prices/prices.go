// Package prices generates a company's trades and their prices.
package prices

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"stock-publisher/internal/trade"
)

// The range of all uniform prices, the same as the original publisher's, and of
// the start prices of walks that have none.
const (
	Lowest  = 50.0
	Highest = 550.0
)

// The names of the price models.
const (
	Uniform = "uniform" // independent prices from Lowest to Highest
	Walk    = "walk"    // prices that move as shares do
)

// Models returns the names of the price models.
func Models() []string { return []string{Uniform, Walk} }

// Options are the settings of a market.
type Options struct {
	Company string
	Model   string // one of Models
	Seed    uint64
	// StartPrice is what a walk moves around. 0: drawn from Lowest to Highest, by
	// company and seed.
	StartPrice float64
	// Volatility of a walk, in percent a year. 0: DefaultVolatility.
	Volatility float64
}

// Market generates the trades of one company. It is not safe for concurrent use.
type Market struct {
	company string
	random  *rand.Rand
	price   func(at time.Time, event string) float64
	scale   float64 // 10 to the power of the prices' decimals
}

// NewMarket returns a market. With the same seed and company, a uniform market
// gives the same trades, and a walk the same prices at the same times, whatever
// the other companies are.
func NewMarket(options Options) *Market {
	random := rand.New(rand.NewPCG(options.Seed, hashOf(options.Company)))
	market := &Market{company: options.Company, random: random}
	if options.Model == Walk {
		walk := newWalk(options)
		market.price = func(at time.Time, event string) float64 {
			return quote(walk.price(at), event, random)
		}
		market.scale = math.Pow10(decimalsOf(walk.start))
	} else {
		market.price = func(time.Time, string) float64 {
			return Lowest + random.Float64()*(Highest-Lowest)
		}
		market.scale = 1e4
	}
	return market
}

func hashOf(company string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(company))
	return hash.Sum64()
}

// Next returns the trade that is made at a time. Times may be in any order.
func (m *Market) Next(at time.Time) trade.Trade {
	event := trade.Buy
	if m.random.Uint64()&1 == 1 {
		event = trade.Sell
	}
	return trade.Trade{
		Company:   m.company,
		EventType: event,
		Price:     m.round(m.price(at, event)),
	}
}

// round rounds a price to the market's decimals. No price becomes 0.
func (m *Market) round(price float64) float64 {
	return max(1, math.Round(price*m.scale)) / m.scale
}

// decimalsOf returns how many decimals the prices around start have: four, as
// uniform prices; more below 10, so that start has six significant digits; two
// from 100,000.
func decimalsOf(start float64) int {
	if start >= 100_000 {
		return 2
	}
	decimals := 4
	for ; start < 10; start *= 10 {
		decimals++
	}
	return decimals
}
