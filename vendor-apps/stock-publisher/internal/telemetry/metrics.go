// Package telemetry provides metrics, readiness and logs.
package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics holds the metrics and the readiness of every company.
type Metrics struct {
	registry *prometheus.Registry

	published, confirmed, nacked, returned, resent, reconnects *prometheus.CounterVec
	unconfirmed, connected, blocked, refused                   *prometheus.GaugeVec
	confirmSeconds                                             *prometheus.HistogramVec

	mutex   sync.Mutex
	waiting map[string]string // by company: why it is not ready, or empty when it is
	started bool              // Startup has seen all ready
}

// NewMetrics returns metrics without companies. The version is shown as build_info.
func NewMetrics(version string) *Metrics {
	registry := prometheus.NewRegistry()
	counter := func(name, help string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "stock_publisher", Name: name, Help: help}, []string{"company"})
		registry.MustRegister(vec)
		return vec
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "stock_publisher", Name: name, Help: help}, []string{"company"})
		registry.MustRegister(vec)
		return vec
	}
	metrics := &Metrics{
		registry:    registry,
		published:   counter("trades_published_total", "Trades made and sent, each counted once."),
		confirmed:   counter("trades_confirmed_total", "Trades that the broker confirmed."),
		nacked:      counter("trades_nacked_total", "Trades that the broker refused; they are sent again."),
		returned:    counter("trades_returned_total", "Trades that the broker had no queue for; they are sent again."),
		resent:      counter("trades_resent_total", "Trades sent once more, because their confirmation did not come."),
		reconnects:  counter("reconnects_total", "Connections or channels opened after the first one."),
		unconfirmed: gauge("trades_unconfirmed", "Trades made and not yet confirmed."),
		connected:   gauge("connected", "1 while connected, with the queue declared."),
		blocked:     gauge("blocked", "1 while the broker asks to send nothing, for want of memory or disk."),
		refused:     gauge("refused", "1 while the broker refuses trades, probably because the queue is full."),
		confirmSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "stock_publisher",
			Name:      "confirm_seconds",
			Help:      "Time from sending a trade to its confirmation.",
			Buckets:   prometheus.ExponentialBuckets(0.00025, 2, 16), // 0.25 ms to 8.2 s
		}, []string{"company"}),
		waiting: map[string]string{},
	}
	registry.MustRegister(
		metrics.confirmSeconds,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "stock_publisher", Name: "build_info", Help: "Always 1; the label says which version runs.",
	}, []string{"version"})
	registry.MustRegister(build)
	build.WithLabelValues(version).Set(1)
	return metrics
}

// Meter is one company's part of the metrics.
type Meter struct {
	Published, Confirmed, Nacked, Returned, Resent, Reconnects prometheus.Counter
	Unconfirmed                                                prometheus.Gauge
	ConfirmSeconds                                             prometheus.Observer

	company                     string
	metrics                     *Metrics
	connected, blocked, refused prometheus.Gauge
}

// For returns a company's meter. From then on readiness includes the company.
func (m *Metrics) For(company string) *Meter {
	meter := &Meter{
		Published:      m.published.WithLabelValues(company),
		Confirmed:      m.confirmed.WithLabelValues(company),
		Nacked:         m.nacked.WithLabelValues(company),
		Returned:       m.returned.WithLabelValues(company),
		Resent:         m.resent.WithLabelValues(company),
		Reconnects:     m.reconnects.WithLabelValues(company),
		Unconfirmed:    m.unconfirmed.WithLabelValues(company),
		ConfirmSeconds: m.confirmSeconds.WithLabelValues(company),
		company:        company,
		metrics:        m,
		connected:      m.connected.WithLabelValues(company),
		blocked:        m.blocked.WithLabelValues(company),
		refused:        m.refused.WithLabelValues(company),
	}
	meter.NotReady("not connected yet")
	return meter
}

// Ready records that the company is connected, its queue is declared and the
// broker accepts trades.
func (m *Meter) Ready() { m.set(1, 0, 0, "") }

// Blocked records that the company is connected, but the broker accepts no
// trades, with the reason for /readyz.
func (m *Meter) Blocked(reason string) { m.set(1, 1, 0, reason) }

// Refused records that the company is connected, but the broker refuses trades,
// with the reason for /readyz.
func (m *Meter) Refused(reason string) { m.set(1, 0, 1, reason) }

// NotReady records that the company has no connection or no queue, with the
// reason for /readyz.
func (m *Meter) NotReady(reason string) { m.set(0, 0, 0, reason) }

func (m *Meter) set(connected, blocked, refused float64, waiting string) {
	m.connected.Set(connected)
	m.blocked.Set(blocked)
	m.refused.Set(refused)
	m.metrics.mutex.Lock()
	defer m.metrics.mutex.Unlock()
	m.metrics.waiting[m.company] = waiting
}

// Readiness returns "ready", or the reason why it is not, for each company; and
// whether all are ready.
func (m *Metrics) Readiness() (companies map[string]string, ready bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	companies, ready = make(map[string]string, len(m.waiting)), true
	for company, reason := range m.waiting {
		if reason == "" {
			companies[company] = "ready"
		} else {
			companies[company], ready = reason, false
		}
	}
	return companies, ready
}

// Startup is like Readiness until all are ready. From then on it has started, for
// ever.
func (m *Metrics) Startup() (companies map[string]string, started bool) {
	companies, ready := m.Readiness()
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.started = m.started || ready
	return companies, m.started
}
