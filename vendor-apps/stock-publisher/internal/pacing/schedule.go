// Package pacing says when a trade is due.
package pacing

import "time"

// Schedule spaces trades evenly in time. It counts from its start, not from the
// last trade, so that late wake-ups do not add up: over any stretch the rate is
// one trade an interval, whatever the timer's grain.
//
// After a hold-up of up to the limit, the trades that fell due meanwhile are
// due at once; of a longer one only the last stretch as long as the limit is
// made up for, and the rest is given up, so that an outage of an hour does not
// end in a flood.
type Schedule struct {
	interval time.Duration
	limit    time.Duration
	next     time.Time
}

// NewSchedule returns a schedule whose first trade is due at start. With an
// interval of 0 a trade is always due.
func NewSchedule(start time.Time, interval, limit time.Duration) *Schedule {
	return &Schedule{interval: interval, limit: limit, next: start}
}

// Due reports whether a trade is due at now.
func (s *Schedule) Due(now time.Time) bool {
	if earliest := now.Add(-s.limit); s.next.Before(earliest) {
		s.next = earliest
	}
	return !s.next.After(now)
}

// Made takes note that the trade that was due has been made.
func (s *Schedule) Made() { s.next = s.next.Add(s.interval) }

// Next returns when the next trade is due; in the past when one is due already.
func (s *Schedule) Next() time.Time { return s.next }
