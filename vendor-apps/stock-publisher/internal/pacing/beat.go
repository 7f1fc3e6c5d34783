package pacing

import "time"

// Beat is a clock with few ticks. What falls due between two of them is done
// together, because waking up costs more than most of what is done then. All
// who use the same Beat wake up together, too.
type Beat struct {
	origin time.Time
	length time.Duration
}

// NewBeat returns a beat of this length.
func NewBeat(origin time.Time, length time.Duration) Beat { return Beat{origin, length} }

// From returns the first beat at a time or after it.
func (b Beat) From(t time.Time) time.Time {
	beats := (t.Sub(b.origin) + b.length - 1) / b.length
	return b.origin.Add(beats * b.length)
}

// Next returns the first beat after a time.
func (b Beat) Next(t time.Time) time.Time { return b.From(t.Add(1)) }

// Times returns the beat that leaves out all ticks but every nth.
func (b Beat) Times(n int) Beat { return Beat{b.origin, time.Duration(n) * b.length} }
