// Package pacing says when a trade is due.
package pacing

import "time"

// Schedule spaces trades evenly in time. It counts from its start, not from the
// last trade, so late wake-ups do not add up: the average rate is one trade per
// interval, whatever the timer's resolution.
//
// After a pause of up to the limit, all missed trades are due at once. After a
// longer pause only those of its last part, as long as the limit, are due; the
// rest is skipped, so that an outage of an hour does not end in a flood.
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

// Made records that the trade that was due has been made.
func (s *Schedule) Made() { s.next = s.next.Add(s.interval) }

// Next returns when the next trade is due: a time in the past when it is due already.
func (s *Schedule) Next() time.Time { return s.next }
