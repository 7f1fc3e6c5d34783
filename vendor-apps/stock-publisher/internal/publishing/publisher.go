// Package publishing sends a company's trades to its queue, each at least once
// and in order, whatever happens to the broker.
//
// The path of a trade: the schedule tells when it is due, the market makes it,
// unconfirmed numbers and holds it, a session sends it, and the broker's
// confirmation releases it. A trade that the broker refuses is sent again in the
// same session, as soon as flow allows. When a session fails, the next one first
// sends all held trades again.
package publishing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/broker"
	"stock-publisher/internal/pacing"
	"stock-publisher/internal/prices"
	"stock-publisher/internal/retry"
	"stock-publisher/internal/telemetry"
	"stock-publisher/internal/trade"
)

const (
	// inFlight is the maximum number of unconfirmed trades of one company: two
	// seconds at the default rate, more than a healthy broker leaves unconfirmed.
	inFlight = 2048
	// beat is how often the publisher wakes up: what fell due since the last time is
	// sent together, and what the broker has judged is taken together. At 1000 trades
	// a second a beat of 10 ms costs a third more, and one for each trade six times
	// as much.
	beat = 25 * time.Millisecond
	// catchUp is how much of a pause is caught up on afterwards.
	catchUp = time.Second
	// idle is how often it wakes up when it waits for nothing but an event.
	idle = time.Hour
	// silence is how long the broker may judge none of the trades in flight. After that
	// the session counts as hung: a broker's part of a channel may hang by itself.
	silence = 30 * time.Second
	// confirmGrace is how long a stop waits for the last confirmations.
	confirmGrace = 3500 * time.Millisecond
)

// Options are the settings of a publisher.
type Options struct {
	Company   string
	URL       string
	QueueType string
	Interval  time.Duration
	// TradeLimit ends publishing after this many trades; 0: no limit.
	TradeLimit uint64
	Market     *prices.Market
	Version    string
	Log        *slog.Logger
	Meter      *telemetry.Meter
}

// Publisher publishes one company's trades. Its state belongs to Run.
type Publisher struct {
	Options
	epoch       string
	unconfirmed *unconfirmed
	flow        *flow
	clock       pacing.Beat
	schedule    *pacing.Schedule // nil until the first session
	blocked     string           // why the broker blocks the connection; empty: it does not
	backoff     retry.Backoff
	judged      time.Time // when the broker last judged a trade, or got the first to judge
	sessions    int
	lastProblem string
}

// started is the origin of all companies' beats, so that they wake up together.
var started = time.Now()

// New returns a publisher with a new epoch.
func New(options Options) *Publisher {
	epoch := trade.NewEpoch(time.Now())
	options.Log = options.Log.With("company", options.Company, "epoch", epoch)
	return &Publisher{
		Options:     options,
		epoch:       epoch,
		unconfirmed: newUnconfirmed(inFlight),
		flow:        newFlow(inFlight),
		clock:       pacing.NewBeat(started, beat),
		backoff:     retry.Backoff{First: 100 * time.Millisecond, Longest: 5 * time.Second},
	}
}

// Run publishes until ctx ends or the trade limit is reached, then waits for all
// confirmations. After the end of ctx it waits for at most confirmGrace; the
// error then tells how many trades are unconfirmed.
func (p *Publisher) Run(ctx context.Context) error {
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(confirmGrace, cut) })
	defer stop()

	var problem error
	for !p.finished(ctx) && life.Err() == nil {
		begin := time.Now()
		problem = p.runSession(ctx, life)
		if problem == nil || p.finished(ctx) {
			break
		}
		p.report(problem)
		if ctx.Err() == nil {
			p.backoff.Wait(ctx, begin)
		} else {
			p.backoff.Wait(life, begin)
		}
	}
	p.Meter.NotReady("stopped")
	if left := p.unconfirmed.len(); left > 0 {
		return fmt.Errorf("%s stopped with %d trades unconfirmed, %s on: %w",
			p.Company, left, trade.ID(p.epoch, p.unconfirmed.oldest), problem)
	}
	p.Log.Info("stopped, every trade is confirmed", "trades", p.unconfirmed.made())
	return nil
}

// finished reports whether there is nothing left to make or to confirm.
func (p *Publisher) finished(ctx context.Context) bool {
	return p.unconfirmed.len() == 0 && (ctx.Err() != nil || p.limitReached())
}

func (p *Publisher) limitReached() bool {
	return p.TradeLimit > 0 && p.unconfirmed.made() == p.TradeLimit
}

// runSession publishes through one session until the session fails or all is
// finished.
func (p *Publisher) runSession(ctx, life context.Context) error {
	opening := life
	if p.unconfirmed.len() == 0 {
		opening = ctx // With nothing to confirm, a stop does not wait for the broker.
	}
	session, err := broker.Open(opening, life, broker.Options{
		URL: p.URL, Queue: p.Company, QueueType: p.QueueType, InFlight: inFlight, Version: p.Version,
	})
	if err != nil {
		return err
	}
	p.opened(session)
	err = p.publish(ctx, session)
	p.Meter.NotReady("not connected")
	session.Close()
	if err != nil {
		// With the last verdicts fewer trades are sent again. What else they tell ends
		// the session, and it has ended.
		_ = p.takeVerdicts(session, time.Now())
	}
	return err
}

// opened records a new session.
func (p *Publisher) opened(session *broker.Session) {
	p.sessions++
	if p.sessions > 1 {
		p.Meter.Reconnects.Inc()
	}
	p.lastProblem, p.blocked = "", ""
	p.unconfirmed.restart()
	p.flow.restart()
	if p.schedule == nil {
		p.schedule = pacing.NewSchedule(time.Now(), p.Interval, catchUp)
	}
	p.Log.Info("publishing", "sending_again", p.unconfirmed.len())
	if session.LimitedDelivery && p.sessions == 1 {
		p.Log.Warn("the queue is from before RabbitMQ 4 and has a delivery limit: unless a policy lifts it, " +
			"a trade redelivered too often is dropped. Lift it with: " + broker.UnlimitedDeliveryCommand(p.Company))
	}
	p.showState()
}

// showState shows what keeps the broker from taking trades, if anything.
func (p *Publisher) showState() {
	switch {
	case p.blocked != "":
		p.Meter.Blocked("blocked by the broker: " + p.blocked)
	case p.flow.isRefused():
		p.Meter.Refused("the broker refuses trades (nack): the queue is probably full")
	default:
		p.Meter.Ready()
	}
}

// publish sends all unconfirmed trades, then new ones as they fall due, until
// the session fails or all is finished. It wakes up at beats, not for each trade
// and each confirmation; only at full speed it also wakes up for confirmations.
func (p *Publisher) publish(ctx context.Context, session *broker.Session) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	stopping := ctx.Done()
	for !p.finished(ctx) {
		again, err := p.work(ctx, session)
		if err != nil {
			return err
		}
		wake.Reset(time.Until(again))
		select {
		case <-wake.C:
		case <-p.room():
		case blocking, open := <-session.Blocked:
			if !open {
				return closedBecause(<-session.Closed)
			}
			p.noteBlocking(blocking)
		case reason := <-session.Closed:
			return closedBecause(reason)
		case <-stopping:
			stopping = nil // From here on finished and sendDue check ctx.
			p.Log.Info("stopping: waiting for the last confirmations; a second signal ends it at once",
				"unconfirmed", p.unconfirmed.len())
		}
	}
	return nil
}

// work takes the broker's verdicts and sends what is due. It returns the beat at
// which to do so again.
func (p *Publisher) work(ctx context.Context, session *broker.Session) (again time.Time, err error) {
	now := time.Now()
	if err := p.takeVerdicts(session, now); err != nil {
		return time.Time{}, err
	}
	if p.blocked == "" {
		if again, err = p.sendDue(ctx, session, now); err != nil {
			return time.Time{}, err
		}
		if err := p.checkSilence(now); err != nil {
			return time.Time{}, err
		}
		again = earlier(again, p.noteCalm(now))
	}
	if p.unconfirmed.inFlight() > 0 {
		return p.clock.Next(now), nil // It looks for verdicts.
	}
	if again.IsZero() {
		again = now.Add(idle)
	}
	return p.clock.From(later(again, now.Add(1))), nil
}

// room returns what is closed when the broker has judged half of the trades in
// flight. At full speed this makes room for more. At any other rate nothing is sent
// before the next beat.
func (p *Publisher) room() <-chan struct{} {
	if p.Interval > 0 || p.unconfirmed.inFlight() == 0 {
		return nil
	}
	halfway := p.unconfirmed.halfway()
	if halfway.Outcome() != broker.Due { // It came before older ones.
		_, halfway = p.unconfirmed.awaited()
	}
	return halfway.Given()
}

// sendDue sends the unconfirmed trades, then makes and sends those that are due.
// While refused trades wait it makes no new ones. It returns when to call it again,
// or the zero time when it first needs an answer from the broker.
func (p *Publisher) sendDue(ctx context.Context, session *broker.Session, now time.Time) (again time.Time, err error) {
	if p.flow.isStuck() && p.unconfirmed.inFlight() == 0 && !now.Before(p.flow.resume) {
		if err := p.renewChannel(session); err != nil {
			return time.Time{}, err
		}
	}
	session.Gather()
	made := p.unconfirmed.made()
	again, err = p.gatherDue(ctx, session, now)
	if more := p.unconfirmed.made() - made; more > 0 {
		p.Meter.Published.Add(float64(more))
	}
	p.Meter.Unconfirmed.Set(float64(p.unconfirmed.len()))
	if err == nil {
		err = session.Send()
	}
	if err != nil {
		return time.Time{}, failed(session, err)
	}
	return again, nil
}

func (p *Publisher) gatherDue(ctx context.Context, session *broker.Session, now time.Time) (again time.Time, err error) {
	for {
		switch {
		case p.unconfirmed.inFlight() >= p.flow.allowed:
			return time.Time{}, nil
		case now.Before(p.flow.resume):
			return p.flow.resume, nil
		case p.unconfirmed.nextUnsent() != nil:
		case ctx.Err() != nil || p.limitReached() || p.unconfirmed.full():
			return time.Time{}, nil
		case !p.schedule.Due(now):
			return p.schedule.Next(), nil
		default:
			if err := p.makeTrade(now); err != nil {
				return time.Time{}, err
			}
		}
		if err := p.send(session, now); err != nil {
			return time.Time{}, err
		}
	}
}

// renewChannel goes on with a new channel. No verdict is due, so nothing that the
// broker took is sent again.
func (p *Publisher) renewChannel(session *broker.Session) error {
	p.Log.Debug("still refused; trying a new channel", "refused", len(p.unconfirmed.refused))
	if err := session.RenewChannel(); err != nil {
		return err
	}
	p.unconfirmed.restart()
	p.flow.restart()
	return nil
}

// checkSilence fails when the broker has judged nothing for too long.
func (p *Publisher) checkSilence(now time.Time) error {
	if p.unconfirmed.inFlight() > 0 && now.Sub(p.judged) >= silence {
		return fmt.Errorf("the broker has confirmed nothing for %v: do most of its queue's members run?", silence)
	}
	return nil
}

// makeTrade makes the trade that is due and numbers it. From here on it is sent
// until it is confirmed.
func (p *Publisher) makeTrade(now time.Time) error {
	body, err := p.Market.Next(now).Body()
	if err != nil {
		return fmt.Errorf("cannot write a trade: %w", err)
	}
	p.unconfirmed.add(body, now)
	p.schedule.Made()
	return nil
}

// send sends the next trade that this session has not sent.
func (p *Publisher) send(session *broker.Session, now time.Time) error {
	next := p.unconfirmed.nextUnsent()
	verdict, err := session.Publish(broker.Message{
		ID:     trade.ID(p.epoch, next.sequence),
		MadeAt: next.madeAt,
		Body:   next.body,
	})
	if err != nil {
		return err
	}
	if !next.sentAt.IsZero() {
		p.Meter.Resent.Inc()
	}
	if p.unconfirmed.inFlight() == 0 {
		p.judged = now
	}
	p.unconfirmed.sent(now, verdict)
	return nil
}

// failed returns the error of a session that cannot send.
func failed(session *broker.Session, err error) error {
	select {
	case reason := <-session.Closed:
		return closedBecause(reason) // It explains the failure.
	default:
		return fmt.Errorf("cannot send: %w", err)
	}
}

// takeVerdicts handles all verdicts that the broker has given. A confirmed trade is
// released. A nacked one is sent again. A returned one ends the session, so that
// the next one declares the queue and sends the trade again before newer ones.
func (p *Publisher) takeVerdicts(session *broker.Session, now time.Time) error {
	confirmed := 0
	defer func() {
		p.Meter.Confirmed.Add(float64(confirmed))
		p.Meter.Unconfirmed.Set(float64(p.unconfirmed.len()))
	}()
	for p.unconfirmed.inFlight() > 0 {
		judged, verdict := p.unconfirmed.awaited()
		outcome := verdict.Outcome()
		if outcome == broker.Due {
			break
		}
		p.noteReturns(session)
		if judged.returned {
			return errors.New("the broker found no queue for a trade: the queue was deleted")
		}
		p.backoff.Reset() // The broker answers.
		p.judged = now
		if outcome == broker.Refused {
			p.noteRefusal(now)
			continue
		}
		confirmed++
		p.Meter.ConfirmSeconds.Observe(session.AnsweredAt().Sub(judged.sentAt).Seconds())
		p.flow.confirm(p.unconfirmed.tag)
		p.unconfirmed.confirm()
	}
	return nil
}

// noteRefusal has the trade whose verdict is due sent again, and logs the first refusal.
func (p *Publisher) noteRefusal(now time.Time) {
	p.Meter.Nacked.Inc()
	tag := p.unconfirmed.tag
	p.unconfirmed.refuse()
	if p.flow.refuse(tag, p.unconfirmed.nextTag, now) {
		p.Log.Warn("the broker refuses trades (nack); sending them again until it takes them, and making no new ones. " +
			"The queue is probably full: it has a length limit with overflow reject-publish. " +
			"Look at its consumers, or lift the limit")
		p.showState()
	}
}

// noteCalm logs the end of the refusals. It returns when to look again, or the
// zero time when there is nothing to look for.
func (p *Publisher) noteCalm(now time.Time) time.Time {
	calmAt := p.flow.calmAt()
	if calmAt.IsZero() || len(p.unconfirmed.refused) > 0 {
		return time.Time{}
	}
	if now.Before(calmAt) {
		return calmAt
	}
	p.flow.end()
	p.Log.Info("the broker refuses no more trades")
	p.showState()
	return time.Time{}
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

// noteReturns reads all pending returns. A return arrives before the
// confirmation of its trade, so none is missed.
func (p *Publisher) noteReturns(session *broker.Session) {
	for {
		select {
		case returned, open := <-session.Returns:
			if !open {
				return
			}
			p.noteReturn(returned)
		default:
			return
		}
	}
}

func (p *Publisher) noteReturn(returned amqp.Return) {
	p.Meter.Returned.Inc()
	number, ours := strings.CutPrefix(returned.MessageId, p.epoch+":")
	if sequence, err := strconv.ParseUint(number, 10, 64); ours && err == nil {
		p.unconfirmed.markReturned(sequence)
	}
}

func (p *Publisher) noteBlocking(blocking amqp.Blocking) {
	if blocking.Active {
		p.Log.Warn("the broker takes no trades for now; waiting", "reason", blocking.Reason)
		p.blocked = cmp.Or(blocking.Reason, "no reason given")
	} else {
		p.Log.Info("the broker takes trades again")
		p.blocked, p.judged = "", time.Now()
	}
	p.showState()
}

// report logs a failure once, and at debug level while it repeats.
func (p *Publisher) report(problem error) {
	p.Meter.NotReady(problem.Error())
	level := slog.LevelWarn
	switch {
	case problem.Error() == p.lastProblem:
		level = slog.LevelDebug
	case broker.IsRefusal(problem):
		level = slog.LevelError
	}
	p.lastProblem = problem.Error()
	p.Log.Log(context.Background(), level, "not publishing; trying again", "error", problem, "unconfirmed", p.unconfirmed.len())
}

// closedBecause returns the error for a session that ended, with or without a
// reason from the broker.
func closedBecause(reason *amqp.Error) error {
	if reason == nil {
		return errors.New("the connection was closed")
	}
	return fmt.Errorf("the connection was lost: %w", reason)
}
