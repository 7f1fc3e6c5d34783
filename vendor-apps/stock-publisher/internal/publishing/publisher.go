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
	// batch is how many trades are sent before reading the broker's answers.
	batch = 64
	// catchUp is how much of a pause is caught up on afterwards.
	catchUp = time.Second
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
	schedule    *pacing.Schedule // nil until the first session
	blocked     string           // why the broker blocks the connection; empty: it does not
	backoff     retry.Backoff
	judged      time.Time // when the broker last judged a trade, or got the first to judge
	sessions    int
	lastProblem string
}

// New returns a publisher with a new epoch.
func New(options Options) *Publisher {
	epoch := trade.NewEpoch(time.Now())
	options.Log = options.Log.With("company", options.Company, "epoch", epoch)
	return &Publisher{
		Options:     options,
		epoch:       epoch,
		unconfirmed: newUnconfirmed(inFlight),
		flow:        newFlow(inFlight),
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
		p.settle(session)
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
// the session fails or all is finished.
func (p *Publisher) publish(ctx context.Context, session *broker.Session) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	stopping := ctx.Done()
	for !p.finished(ctx) {
		var due <-chan time.Time
		if p.blocked == "" {
			again, err := p.sendBatch(ctx, session)
			if err != nil {
				return err
			}
			silent, err := p.noteSilence()
			if err != nil {
				return err
			}
			again = earlier(earlier(again, p.noteCalm()), silent)
			if !again.IsZero() {
				wake.Reset(time.Until(again))
				due = wake.C
			}
		}
		select {
		case <-due:
		case confirmation, open := <-session.Confirms:
			if !open {
				return closedBecause(<-session.Closed)
			}
			if err := p.judge(session, confirmation); err != nil {
				return err
			}
		case returned, open := <-session.Returns:
			if !open {
				return closedBecause(<-session.Closed)
			}
			p.noteReturn(returned)
		case blocking, open := <-session.Blocked:
			if !open {
				return closedBecause(<-session.Closed)
			}
			p.noteBlocking(blocking)
		case reason := <-session.Closed:
			return closedBecause(reason)
		case <-stopping:
			stopping = nil // From here on finished and sendBatch check ctx.
			p.Log.Info("stopping: waiting for the last confirmations; a second signal ends it at once",
				"unconfirmed", p.unconfirmed.len())
		}
	}
	return nil
}

// sendBatch sends up to batch trades: unconfirmed ones first, then new ones that
// are due. While refused trades wait it makes no new ones. It returns when to call
// it again, or the zero time when it first needs an answer from the broker.
func (p *Publisher) sendBatch(ctx context.Context, session *broker.Session) (again time.Time, err error) {
	for range batch {
		now := time.Now()
		if p.unconfirmed.inFlight() >= p.flow.allowed {
			return time.Time{}, nil
		}
		if now.Before(p.flow.resume) {
			return p.flow.resume, nil
		}
		if p.flow.isStuck() && p.unconfirmed.inFlight() == 0 {
			if err := p.renewChannel(session); err != nil {
				return time.Time{}, err
			}
		}
		if p.unconfirmed.nextUnsent() == nil {
			if ctx.Err() != nil || p.limitReached() || p.unconfirmed.full() {
				return time.Time{}, nil
			}
			if !p.schedule.Due(now) {
				return p.schedule.Next(), nil
			}
			if err := p.makeTrade(now); err != nil {
				return time.Time{}, err
			}
		}
		if err := p.send(session, now); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
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

// noteSilence fails when the broker has judged nothing for too long. It returns when
// to look again, or the zero time when nothing is in flight.
func (p *Publisher) noteSilence() (time.Time, error) {
	if p.unconfirmed.inFlight() == 0 {
		return time.Time{}, nil
	}
	if time.Since(p.judged) >= silence {
		return time.Time{}, fmt.Errorf("the broker has confirmed nothing for %v: "+
			"do most of its queue's members run?", silence)
	}
	return p.judged.Add(silence), nil
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
	p.Meter.Published.Inc()
	p.Meter.Unconfirmed.Set(float64(p.unconfirmed.len()))
	return nil
}

// send sends the next trade that this session has not sent.
func (p *Publisher) send(session *broker.Session, now time.Time) error {
	next := p.unconfirmed.nextUnsent()
	if !next.sentAt.IsZero() {
		p.Meter.Resent.Inc()
	}
	if p.unconfirmed.inFlight() == 0 {
		p.judged = now
	}
	p.unconfirmed.sent(now)
	err := session.Publish(broker.Message{
		ID:     trade.ID(p.epoch, next.sequence),
		MadeAt: next.madeAt,
		Body:   next.body,
	})
	if err != nil {
		select {
		case reason := <-session.Closed:
			return closedBecause(reason) // It explains the failure.
		default:
			return fmt.Errorf("cannot send: %w", err)
		}
	}
	return nil
}

// judge handles the broker's verdict on a trade. A confirmed trade is released. A
// nacked one is sent again. A returned one ends the session, so that the next one
// declares the queue and sends the trade again before newer ones.
func (p *Publisher) judge(session *broker.Session, verdict amqp.Confirmation) error {
	p.noteReturns(session)
	judged, err := p.unconfirmed.awaited(verdict.DeliveryTag)
	if err != nil {
		return err
	}
	if judged.returned {
		return errors.New("the broker found no queue for a trade: the queue was deleted")
	}
	p.backoff.Reset() // The broker answers.
	p.judged = time.Now()
	if !session.Took(verdict.DeliveryTag) {
		p.noteRefusal(verdict.DeliveryTag)
		return nil
	}
	p.Meter.Confirmed.Inc()
	p.Meter.ConfirmSeconds.Observe(time.Since(judged.sentAt).Seconds())
	p.unconfirmed.confirm()
	p.flow.confirm(verdict.DeliveryTag)
	p.Meter.Unconfirmed.Set(float64(p.unconfirmed.len()))
	return nil
}

// noteRefusal has a refused trade sent again, and logs the first refusal.
func (p *Publisher) noteRefusal(tag uint64) {
	p.Meter.Nacked.Inc()
	p.unconfirmed.refuse()
	if p.flow.refuse(tag, p.unconfirmed.nextTag, time.Now()) {
		p.Log.Warn("the broker refuses trades (nack); sending them again until it takes them, and making no new ones. " +
			"The queue is probably full: it has a length limit with overflow reject-publish. " +
			"Look at its consumers, or lift the limit")
		p.showState()
	}
}

// noteCalm logs the end of the refusals. It returns when to look again, or the
// zero time when there is nothing to look for.
func (p *Publisher) noteCalm() time.Time {
	calmAt := p.flow.calmAt()
	if calmAt.IsZero() || len(p.unconfirmed.refused) > 0 {
		return time.Time{}
	}
	if time.Now().Before(calmAt) {
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

// settle handles the verdicts that came before the session ended, so that fewer
// trades are sent again.
func (p *Publisher) settle(session *broker.Session) {
	for {
		select {
		case verdict, open := <-session.Confirms:
			if !open || p.judge(session, verdict) != nil {
				return
			}
		default:
			return
		}
	}
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
