package publishing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/broker"
	"stock-publisher/internal/pacing"
	"stock-publisher/internal/retry"
)

// group is the streams that share a connection. A stream that fails gets a new
// channel; the others do not notice. All its state belongs to run.
type group struct {
	options  Options
	log      *slog.Logger
	name     string
	clock    pacing.Beat
	openings gate
	streams  []*stream
	leave    func([]*stream) // gives streams a connection apart from this one

	connection  *broker.Connection
	opened      chan opened // sessions that this connection has opened, or failed to open
	blocked     string      // why the broker blocks the connection; empty: it does not
	stopping    bool
	progress    time.Time // when the broker last judged a trade or opened a session, or the connection began
	backoff     retry.Backoff
	lastProblem string
}

// opened is the result of opening a session.
type opened struct {
	stream  *stream
	session *broker.Session
	err     error
}

func newGroup(options Options, streams []*stream, clock pacing.Beat, openings gate, leave func([]*stream)) *group {
	g := &group{
		options: options, clock: clock, openings: openings, streams: streams, leave: leave,
		backoff: newBackoff(),
	}
	g.rename()
	return g
}

// rename names the group after its streams.
func (g *group) rename() {
	g.name, g.log = g.streams[0].Symbol, g.streams[0].log
	if others := len(g.streams) - 1; others > 0 {
		g.name = fmt.Sprintf("%s and %d more", g.name, others)
		g.log = g.options.Log.With("companies", g.name)
	}
}

// keep keeps some of the streams; the others get a connection apart.
func (g *group) keep(streams, others []*stream) {
	g.streams = streams
	g.rename()
	g.leave(others)
}

func newBackoff() retry.Backoff {
	return retry.Backoff{First: 100 * time.Millisecond, Longest: 5 * time.Second}
}

// run publishes until ctx ends or the trade limit is reached, and all is confirmed.
func (g *group) run(ctx context.Context) {
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(confirmGrace, cut) })
	defer stop()

	var problem error
	for !g.finished(ctx) && life.Err() == nil {
		begin := time.Now()
		problem = g.runConnection(ctx, life)
		if problem == nil || g.finished(ctx) {
			break
		}
		g.report(problem)
		if ctx.Err() == nil {
			g.backoff.Wait(ctx, begin)
		} else {
			g.backoff.Wait(life, begin)
		}
	}
	for _, s := range g.streams {
		s.stopped(problem)
	}
}

// finished reports whether there is nothing left to make or to confirm.
func (g *group) finished(ctx context.Context) bool {
	for _, s := range g.streams {
		if !s.finished(ctx.Err() != nil) {
			return false
		}
	}
	return true
}

func (g *group) unconfirmed() (trades int) {
	for _, s := range g.streams {
		trades += s.unconfirmed.len()
	}
	return trades
}

// runConnection publishes through one connection until it fails or all is finished.
func (g *group) runConnection(ctx, life context.Context) error {
	opening := life
	if g.unconfirmed() == 0 {
		opening = ctx // With nothing to confirm, a stop does not wait for the broker.
	}
	connection, err := broker.Open(opening, life, broker.Options{URL: g.options.URL, For: g.name, Version: g.options.Version})
	if err != nil {
		return err
	}
	if most := connection.ChannelMax(); len(g.streams) > most {
		g.log.Info("the broker allows fewer channels on a connection than there are companies: opening one more",
			"channel_max", most)
		g.keep(g.streams[:most:most], g.streams[most:])
	}
	g.connection, g.blocked, g.progress = connection, "", time.Now()
	g.opened = make(chan opened, len(g.streams))
	err = g.publish(ctx)
	connection.Close()
	suspects := g.declaring(time.Now())
	for _, s := range g.streams {
		s.disconnect(connection.AnsweredAt())
	}
	if broker.ClosedConnection(err) {
		g.suspect(suspects)
	}
	return err
}

// declaring returns the streams whose queues are being declared. A declaration that
// takes as long as silence hangs, and does not count.
func (g *group) declaring(now time.Time) (streams []*stream) {
	for _, s := range g.streams {
		if s.opening && now.Sub(s.since) < silence {
			streams = append(streams, s)
		}
	}
	return streams
}

// suspect finds the stream whose declaration made the broker close the connection: if
// it may be one of several, they are declared one by one from now on. So that it does
// not happen to the others again, it gets a connection of its own.
func (g *group) suspect(suspects []*stream) {
	if len(suspects) == 1 && len(g.streams) > 1 {
		culprit := suspects[0]
		culprit.log.Warn("declaring its queue makes the broker close the connection; it gets one of its own")
		g.keep(slices.DeleteFunc(g.streams, func(s *stream) bool { return s == culprit }), suspects)
		return
	}
	for _, s := range suspects {
		s.suspect = true
	}
}

// publish lets the streams work until the connection fails or all is finished. It
// wakes up at beats, not for each trade and each confirmation; only at full speed it
// also wakes up for confirmations.
func (g *group) publish(ctx context.Context) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	stopping := ctx.Done()
	for {
		now := time.Now()
		again, err := g.work(now)
		if err != nil || g.finished(ctx) {
			return err
		}
		if !again.IsZero() {
			wake.Reset(time.Until(g.clock.From(later(again, now.Add(1)))))
		}
		select {
		case <-wake.C:
		case <-g.room():
		case result := <-g.opened:
			g.take(result)
		case blocking, open := <-g.connection.Blocked:
			if !open {
				return cmp.Or(g.connection.Ended(), broker.ClosedBecause(nil))
			}
			g.noteBlocking(blocking)
		case reason := <-g.connection.Closed:
			return g.connection.EndedBecause(reason)
		case <-stopping:
			stopping, g.stopping = nil, true
			g.log.Info("stopping: waiting for the last confirmations; a second signal ends it at once",
				"unconfirmed", g.unconfirmed())
		}
	}
}

// work lets each stream work, and sends what they publish together. It returns when
// to do so again, or the zero time when first something must happen.
func (g *group) work(now time.Time) (again time.Time, err error) {
	g.connection.Gather()
	for _, s := range g.streams {
		next, problem := g.step(s, now)
		if problem != nil {
			if ended := g.connection.Ended(); ended != nil {
				return time.Time{}, ended
			}
			next = s.fail(problem, g.connection.AnsweredAt())
		}
		again = earlier(again, next)
	}
	if err := g.connection.Send(); err != nil {
		return time.Time{}, cmp.Or(g.connection.Ended(), err)
	}
	return again, g.checkSilence(now)
}

// step lets one stream work, and opens a session if it needs one.
func (g *group) step(s *stream, now time.Time) (again time.Time, err error) {
	if s.session != nil {
		again, err = s.work(now, g.stopping, g.connection.AnsweredAt)
		if s.answered.After(g.progress) {
			g.progress = s.answered
			g.backoff.Reset() // The broker answers.
		}
		return again, err
	}
	switch {
	case s.opening:
		return later(s.since, g.progress).Add(silence), nil
	case s.finished(g.stopping):
		return time.Time{}, nil
	case now.Before(s.retry):
		return s.retry, nil
	case s.suspect && len(g.declaring(now)) > 0:
		return now.Add(time.Second), nil
	}
	g.open(s, now)
	return now.Add(silence), nil
}

// open opens a session for the stream in the background: declaring a queue takes
// long, and for ever when the broker's part of the queue hangs.
func (g *group) open(s *stream, now time.Time) {
	s.opening, s.since = true, now
	last := s.last
	s.last = nil
	connection, results := g.connection, g.opened
	go func() {
		defer g.openings.enter()()
		if last != nil {
			last.Close()
		}
		session, err := connection.OpenSession(s.Symbol, g.options.QueueType, s.inFlight)
		results <- opened{s, session, err}
	}()
}

// take takes a session that was opened.
func (g *group) take(result opened) {
	s := result.stream
	if result.err != nil && g.connection.Ended() != nil {
		return // With opening left true: this may be why the connection has ended.
	}
	s.opening = false
	if result.err != nil {
		g.progress = time.Now()
		s.fail(result.err, time.Time{})
		return
	}
	g.progress, g.lastProblem, s.suspect = time.Now(), "", false
	s.start(result.session, g.blocked)
}

// checkSilence finds out whether the broker has answered nothing for too long. If it
// answers other streams, only this one's session counts as hung.
func (g *group) checkSilence(now time.Time) error {
	if g.blocked != "" {
		return nil
	}
	for _, s := range g.streams {
		if since := s.waitsSince(); since.IsZero() || now.Sub(since) < silence {
			continue
		}
		problem := fmt.Errorf("the broker has confirmed nothing for %v: do most of its queue's members run?", silence)
		if now.Sub(g.progress) >= silence {
			return problem
		}
		if !s.opening {
			s.fail(problem, g.connection.AnsweredAt())
		}
	}
	return nil
}

// room returns what is closed when the broker has judged half of the trades that a
// stream at full speed has in flight: this makes room for more. At any other rate
// nothing is sent before the next beat.
func (g *group) room() <-chan struct{} {
	for _, s := range g.streams {
		if s.Interval == 0 && s.session != nil && s.unconfirmed.inFlight() > 0 {
			return s.room()
		}
	}
	return nil
}

func (g *group) noteBlocking(blocking amqp.Blocking) {
	if blocking.Active {
		g.log.Warn("the broker takes no trades for now; waiting", "reason", blocking.Reason)
		g.blocked = cmp.Or(blocking.Reason, "no reason given")
	} else {
		g.log.Info("the broker takes trades again")
		g.blocked, g.progress = "", time.Now()
	}
	for _, s := range g.streams {
		s.noteBlocking(g.blocked)
	}
}

// report logs a failure of the connection once, and at debug level while it repeats.
func (g *group) report(problem error) {
	for _, s := range g.streams {
		s.Meter.NotReady(problem.Error())
	}
	reportOnce(g.log, &g.lastProblem, problem, g.unconfirmed())
}

func reportOnce(log *slog.Logger, last *string, problem error, unconfirmed int) {
	level := slog.LevelWarn
	switch {
	case problem.Error() == *last:
		level = slog.LevelDebug
	case broker.IsRefusal(problem):
		level = slog.LevelError
	}
	*last = problem.Error()
	log.Log(context.Background(), level, "not publishing; trying again", "error", problem, "unconfirmed", unconfirmed)
}

// earlier returns the earlier one of two times. The zero time stands for never.
func earlier(one, other time.Time) time.Time {
	if one.IsZero() || !other.IsZero() && other.Before(one) {
		return other
	}
	return one
}

// later returns the later one of two times.
func later(one, other time.Time) time.Time {
	if one.Before(other) {
		return other
	}
	return one
}
