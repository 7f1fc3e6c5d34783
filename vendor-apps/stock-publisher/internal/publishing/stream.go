package publishing

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/broker"
	"stock-publisher/internal/pacing"
	"stock-publisher/internal/retry"
	"stock-publisher/internal/trade"
)

// The most unconfirmed trades of a company are those of inFlightTime, more than a
// healthy broker leaves unconfirmed, between fewestInFlight and mostInFlight.
//
// On a shared connection they are at most mostShared. RabbitMQ stops reading a
// connection when one of its channels has 400 trades to handle, and lets in 200 more
// for every 200 handled. So with 200 unconfirmed trades a channel that hangs, or
// waits for a hung queue, never stops the others.
const (
	inFlightTime   = 2 * time.Second
	fewestInFlight = 32
	mostInFlight   = 2048
	mostShared     = 200
)

// inFlightOf returns the most unconfirmed trades of a company.
func inFlightOf(interval time.Duration, alone bool) int {
	most := mostShared
	if alone {
		most = mostInFlight
	}
	if interval == 0 {
		return most
	}
	return int(min(max(inFlightTime/interval, fewestInFlight), time.Duration(most)))
}

// beatsOf returns how many beats a company's trades are collected for. A company
// with a connection of its own is one of few: whoever has few wants to see each
// trade soon.
func beatsOf(interval time.Duration, alone bool) int {
	if alone {
		return 1
	}
	wait := min(time.Duration(together*float64(interval)), longestBeat)
	return int(max((wait+beat-1)/beat, 1))
}

// stream is one company's trades on their way to the broker.
type stream struct {
	Company
	tradeLimit  uint64
	log         *slog.Logger
	epoch       string
	inFlight    int
	unconfirmed *unconfirmed
	flow        *flow
	schedule    *pacing.Schedule // nil until the first session
	clock       pacing.Beat      // when to make what has fallen due

	session  *broker.Session // nil: none
	opening  bool            // a session is being opened
	suspect  bool            // opening it may have made the broker close a connection
	renewing bool            // that session goes on with what the last one did
	last     *broker.Session // the last session, to be closed
	since    time.Time       // when the last opening began
	retry    time.Time       // when to open the next session
	judged   time.Time       // when the broker last judged a trade, or got the first to judge
	answered time.Time       // when the broker last judged a trade
	renewed  bool            // the session is a new try at a queue that takes nothing, and has sent nothing
	blocked  string          // why the broker blocks the connection; empty: it does not

	backoff     retry.Backoff
	sessions    int
	lastProblem string
}

// newStream returns a stream with a new epoch. A stream that is alone has a
// connection of its own.
func newStream(company Company, options Options, alone bool, clock pacing.Beat) *stream {
	epoch := trade.NewEpoch(time.Now())
	inFlight := inFlightOf(company.Interval, alone)
	return &stream{
		Company:     company,
		tradeLimit:  options.TradeLimit,
		log:         options.Log.With("company", company.Symbol, "epoch", epoch),
		epoch:       epoch,
		inFlight:    inFlight,
		unconfirmed: newUnconfirmed(inFlight),
		flow:        newFlow(inFlight),
		clock:       clock.Times(beatsOf(company.Interval, alone)),
		backoff:     newBackoff(),
	}
}

// finished reports whether there is nothing left to make or to confirm.
func (s *stream) finished(stopping bool) bool {
	return s.unconfirmed.len() == 0 && (stopping || s.limitReached())
}

func (s *stream) limitReached() bool {
	return s.tradeLimit > 0 && s.unconfirmed.made() == s.tradeLimit
}

// stopped logs how the stream ended; problem is the connection's last one. A stop
// does not wait for the broker for ever.
func (s *stream) stopped(problem error) {
	s.Meter.NotReady("stopped")
	if left := s.unconfirmed.len(); left > 0 {
		s.log.Error("a stop left trades unconfirmed: the broker may or may not have them",
			"unconfirmed", left, "first", trade.ID(s.epoch, s.unconfirmed.oldest), "error", problem)
		return
	}
	s.log.Info("stopped, every trade is confirmed", "trades", s.unconfirmed.made())
}

// start goes on with a new session.
func (s *stream) start(session *broker.Session, blocked string) {
	s.session, s.blocked, s.lastProblem = session, blocked, ""
	s.unconfirmed.restart()
	s.flow.restart()
	if s.renewing {
		s.renewing, s.renewed = false, true
		return
	}
	s.sessions++
	if s.sessions > 1 {
		s.Meter.Reconnects.Inc()
	}
	if s.schedule == nil {
		s.schedule = pacing.NewSchedule(time.Now(), s.Interval, catchUp)
	}
	s.log.Info("publishing", "sending_again", s.unconfirmed.len())
	if session.LimitedDelivery && s.sessions == 1 {
		s.log.Warn("the queue is from before RabbitMQ 4 and has a delivery limit: unless a policy lifts it, " +
			"a trade redelivered too often is dropped. Lift it with: " + broker.UnlimitedDeliveryCommand(s.Symbol))
	}
	s.showState()
}

// fail ends the session, or the try to open one, and returns when to try again.
func (s *stream) fail(problem error, answeredAt time.Time) time.Time {
	s.takeLastVerdicts(answeredAt)
	s.last, s.session, s.renewing, s.renewed = s.session, nil, false, false
	s.retry = s.since.Add(s.backoff.Next())
	s.Meter.NotReady(problem.Error())
	reportOnce(s.log, &s.lastProblem, problem, s.unconfirmed.len())
	return s.retry
}

// disconnect ends the session with its connection.
func (s *stream) disconnect(answeredAt time.Time) {
	s.takeLastVerdicts(answeredAt)
	s.last, s.session, s.opening, s.renewing, s.renewed = nil, nil, false, false, false
	s.retry = time.Time{}
	s.Meter.NotReady("not connected")
}

// takeLastVerdicts takes the verdicts that came before the session ended, so that
// fewer trades are sent again. What else they tell would end the session.
func (s *stream) takeLastVerdicts(answeredAt time.Time) {
	if s.session != nil {
		_ = s.takeVerdicts(time.Now(), func() time.Time { return answeredAt })
	}
}

// showState shows what keeps the broker from taking trades, if anything.
func (s *stream) showState() {
	switch {
	case s.blocked != "":
		s.Meter.Blocked("blocked by the broker: " + s.blocked)
	case s.flow.isRefused():
		s.Meter.Refused("the broker refuses trades (nack): the queue is probably full")
	default:
		s.Meter.Ready()
	}
}

func (s *stream) noteBlocking(blocked string) {
	s.blocked = blocked
	if blocked == "" {
		s.judged, s.since = time.Now(), time.Now()
	}
	if s.session != nil {
		s.showState()
	}
}

// waitsSince returns since when the stream waits for the broker, or the zero time
// when it does not.
func (s *stream) waitsSince() time.Time {
	switch {
	case s.opening:
		return s.since
	case s.session != nil && s.unconfirmed.inFlight() > 0:
		return s.judged
	default:
		return time.Time{}
	}
}

// work takes the broker's verdicts and sends what is due. It returns when to do so
// again, or the zero time when first something must happen. It fails when the
// session must end.
func (s *stream) work(now time.Time, stopping bool, answeredAt func() time.Time) (again time.Time, err error) {
	if err := s.session.Ended(); err != nil {
		return time.Time{}, err
	}
	if err := s.takeVerdicts(now, answeredAt); err != nil {
		return time.Time{}, err
	}
	if s.blocked == "" {
		if s.flow.isStuck() && !s.renewed && s.unconfirmed.inFlight() == 0 && !now.Before(s.flow.resume) {
			s.renew()
			return now, nil
		}
		if again, err = s.sendDue(now, stopping); err != nil {
			return time.Time{}, err
		}
		again = earlier(again, s.noteCalm(now))
	}
	if s.unconfirmed.inFlight() > 0 {
		return now, nil // To look for verdicts.
	}
	return again, nil
}

// room returns what is closed when about half of the trades in flight are judged.
func (s *stream) room() <-chan struct{} {
	verdict := s.unconfirmed.halfway()
	if verdict.Outcome() != broker.Due { // It came before older ones.
		_, verdict = s.unconfirmed.awaited()
	}
	return verdict.Given()
}

// sendDue sends the unconfirmed trades, then makes and sends those that are due.
// While refused trades wait it makes no new ones. It returns when to call it again,
// or the zero time when it first needs an answer from the broker.
func (s *stream) sendDue(now time.Time, stopping bool) (again time.Time, err error) {
	first := s.unconfirmed.made()
	defer func() {
		if made := s.unconfirmed.made() - first; made > 0 {
			s.Meter.Published.Add(float64(made))
			s.Meter.Unconfirmed.Set(float64(s.unconfirmed.len()))
		}
	}()
	for {
		switch {
		case s.unconfirmed.inFlight() >= s.flow.allowed:
			return time.Time{}, nil
		case now.Before(s.flow.resume):
			return s.flow.resume, nil
		case s.unconfirmed.nextUnsent() != nil:
		case stopping || s.limitReached() || s.unconfirmed.full():
			return time.Time{}, nil
		case !s.due(now):
			return s.clock.From(s.schedule.Next()), nil
		default:
			if err := s.makeTrade(now); err != nil {
				return time.Time{}, err
			}
		}
		if err := s.send(now); err != nil {
			return time.Time{}, err
		}
	}
}

// due reports whether a trade has fallen due, and the beat after that has come.
func (s *stream) due(now time.Time) bool {
	return s.schedule.Due(now) && (s.Interval == 0 || !s.clock.From(s.schedule.Next()).After(now))
}

// makeTrade makes the trade that is due and numbers it. From here on it is sent
// until it is confirmed.
func (s *stream) makeTrade(now time.Time) error {
	body, err := s.Market.Next(now).Body()
	if err != nil {
		return fmt.Errorf("cannot write a trade: %w", err)
	}
	s.unconfirmed.add(body, now)
	s.schedule.Made()
	return nil
}

// send sends the next trade that this session has not sent.
func (s *stream) send(now time.Time) error {
	next := s.unconfirmed.nextUnsent()
	verdict, err := s.session.Publish(broker.Message{
		ID:     trade.ID(s.epoch, next.sequence),
		MadeAt: next.madeAt,
		Body:   next.body,
	})
	if err != nil {
		if ended := s.session.Ended(); ended != nil {
			return ended // It explains the failure.
		}
		return fmt.Errorf("cannot send: %w", err)
	}
	if !next.sentAt.IsZero() {
		s.Meter.Resent.Inc()
	}
	if s.unconfirmed.inFlight() == 0 {
		s.judged = now
	}
	s.unconfirmed.sent(now, verdict)
	s.renewed = false
	return nil
}

// takeVerdicts handles all verdicts that the broker has given. A confirmed trade is
// released. A nacked one is sent again. A returned one ends the session, so that
// the next one declares the queue and sends the trade again before newer ones.
func (s *stream) takeVerdicts(now time.Time, answeredAt func() time.Time) error {
	confirmed := 0
	defer func() {
		if confirmed > 0 {
			s.Meter.Confirmed.Add(float64(confirmed))
			s.Meter.Unconfirmed.Set(float64(s.unconfirmed.len()))
		}
	}()
	for s.unconfirmed.inFlight() > 0 {
		judged, verdict := s.unconfirmed.awaited()
		outcome := verdict.Outcome()
		if outcome == broker.Due {
			break
		}
		s.noteReturns()
		if judged.returned {
			return errors.New("the broker found no queue for a trade: the queue was deleted")
		}
		s.backoff.Reset() // The broker answers.
		s.judged, s.answered = now, now
		if outcome == broker.Refused {
			s.noteRefusal(now)
			continue
		}
		confirmed++
		s.Meter.ConfirmSeconds.Observe(answeredAt().Sub(judged.sentAt).Seconds())
		s.flow.confirm(s.unconfirmed.tag)
		s.unconfirmed.confirm()
	}
	return nil
}

// noteRefusal has the trade whose verdict is due sent again, and logs the first refusal.
func (s *stream) noteRefusal(now time.Time) {
	s.Meter.Nacked.Inc()
	tag := s.unconfirmed.tag
	s.unconfirmed.refuse()
	if s.flow.refuse(tag, s.unconfirmed.nextTag, now) {
		s.log.Warn("the broker refuses trades (nack); sending them again until it takes them, and making no new ones. " +
			"The queue is probably full: it has a length limit with overflow reject-publish. " +
			"Look at its consumers, or lift the limit")
		s.showState()
	}
}

// renew goes on with a new channel. No verdict is due, so nothing that the broker
// took is sent again.
func (s *stream) renew() {
	s.log.Debug("still refused; trying a new channel", "refused", len(s.unconfirmed.refused))
	s.last, s.session, s.renewing = s.session, nil, true
	s.retry = time.Time{}
}

// noteCalm logs the end of the refusals. It returns when to look again, or the
// zero time when there is nothing to look for.
func (s *stream) noteCalm(now time.Time) time.Time {
	calmAt := s.flow.calmAt()
	if calmAt.IsZero() || len(s.unconfirmed.refused) > 0 {
		return time.Time{}
	}
	if now.Before(calmAt) {
		return calmAt
	}
	s.flow.end()
	s.log.Info("the broker refuses no more trades")
	s.showState()
	return time.Time{}
}

// noteReturns reads all pending returns. A return arrives before the
// confirmation of its trade, so none is missed.
func (s *stream) noteReturns() {
	for {
		select {
		case returned, open := <-s.session.Returns:
			if !open {
				return
			}
			s.noteReturn(returned)
		default:
			return
		}
	}
}

func (s *stream) noteReturn(returned amqp.Return) {
	s.Meter.Returned.Inc()
	number, ours := strings.CutPrefix(returned.MessageId, s.epoch+":")
	if sequence, err := strconv.ParseUint(number, 10, 64); ours && err == nil {
		s.unconfirmed.markReturned(sequence)
	}
}
