package prices

import "math"

// period is the number of ticks after which a path is near 0 again: 36.4 hours.
const period = 1 << 21

// path is a Brownian motion that never goes far away. Its value at a tick is a
// function of its key and the tick alone, found by midpoint displacement:
//
//   - At the ends of each period it has independent normal values.
//   - In the middle between two known ticks it has their mean, plus a normal
//     displacement. The halves are divided again, down to single ticks.
//
// Each tick's normal value comes from a hash. The variances are such that a change
// has the variance of a Brownian motion, 1 for each tick, for any distance within
// a period. The value itself has the same variance, period/2, at all times.
type path struct{ key uint64 }

// pathOf returns the path of a company and a seed.
func pathOf(company string, seed uint64) path {
	return path{key: mix(seed + mix(hashOf(company)))}
}

// at returns the path's value at a tick.
func (p path) at(tick int64) float64 {
	begin := tick &^ (period - 1)
	atBegin, atEnd := ends*p.normal(begin), ends*p.normal(begin+period)
	for half := int64(period / 2); begin != tick; half /= 2 {
		middle := begin + half
		atMiddle := (atBegin+atEnd)/2 + math.Sqrt(float64(half)/2)*p.normal(middle)
		if tick < middle {
			atEnd = atMiddle
		} else {
			begin, atBegin = middle, atMiddle
		}
	}
	return atBegin
}

// ends is the standard deviation of a path's values at the ends of periods.
var ends = math.Sqrt(period / 2)

// normal returns a tick's value of the standard normal distribution.
func (p path) normal(tick int64) float64 {
	return math.Sqrt2 * math.Erfinv(2*fraction(mix(p.key+uint64(tick)*step))-1)
}

// fraction returns a number between 0 and 1 that belongs to the path.
func (p path) fraction() float64 { return fraction(mix(^p.key)) }

// fraction returns a number above 0 and below 1 for a hash.
func fraction(hash uint64) float64 { return (float64(hash>>12) + 0.5) / (1 << 52) }

// step and mix are the generator SplitMix64: equally spaced numbers become
// independent ones.
const step = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
