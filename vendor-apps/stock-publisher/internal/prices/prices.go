// Package prices generates a company's trades and their prices.
package prices

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"stock-publisher/internal/trade"
)

// The range of all prices, the same as the original publisher's.
const (
	Lowest  = 50.0
	Highest = 550.0
)

// walkStep is the standard deviation of one step of a walk, as a fraction of
// the price: at 1000 trades a second an average moves by about 0.4 % a second.
const walkStep = 0.0002

// Models returns the names of the price models.
func Models() []string { return []string{"uniform", "walk"} }

// Market generates the trades of one company. It is not safe for concurrent use.
type Market struct {
	company string
	random  *rand.Rand
	price   func() float64
}

// NewMarket returns a market that follows one of Models. The same seed and
// company give the same trades, whatever the other companies are.
func NewMarket(company, model string, seed uint64) *Market {
	name := fnv.New64a()
	name.Write([]byte(company))
	random := rand.New(rand.NewPCG(seed, name.Sum64()))
	market := &Market{company: company, random: random, price: uniform(random)}
	if model == "walk" {
		market.price = walk(random)
	}
	return market
}

// Next returns the next trade. Its price is rounded to four decimals.
func (m *Market) Next() trade.Trade {
	event := trade.Buy
	if m.random.Uint64()&1 == 1 {
		event = trade.Sell
	}
	return trade.Trade{
		Company:   m.company,
		EventType: event,
		Price:     math.Round(m.price()*1e4) / 1e4,
	}
}

// uniform draws each price independently from the whole range.
func uniform(random *rand.Rand) func() float64 {
	return func() float64 { return Lowest + random.Float64()*(Highest-Lowest) }
}

// walk changes the last price by a small random fraction, and reflects it at
// both ends of the range.
func walk(random *rand.Rand) func() float64 {
	price := uniform(random)()
	return func() float64 {
		price *= math.Exp(walkStep * random.NormFloat64())
		if price < Lowest {
			price = Lowest * Lowest / price
		}
		if price > Highest {
			price = Highest * Highest / price
		}
		return price
	}
}
