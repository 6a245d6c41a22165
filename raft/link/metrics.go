package link

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what this room counts.
type metrics struct {
	registry prometheus.Registerer // nil: nobody looks
	all      []prometheus.Collector

	refusals *prometheus.CounterVec
	streams  *prometheus.GaugeVec
	skew     prometheus.Gauge

	mu   sync.Mutex
	told time.Time // when a skew was logged last
}

// newMetrics registers the metrics, if there is where.
func newMetrics(registry prometheus.Registerer, l *Link) (*metrics, error) {
	m := &metrics{
		registry: registry,
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vera_peer_refused_total", Help: "Requests on the peer listener that were refused, and connections closed for want of room or time, by reason.",
		}, []string{"reason"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vera_peer_streams", Help: "Streams between this peer and others that are open, by who opened them.",
		}, []string{"direction"}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "vera_peer_skew_seconds", Help: "How far another peer's clock was ahead of ours (below zero: behind) when a request of it was last refused for its time.",
		}),
	}
	m.all = []prometheus.Collector{m.refusals, m.streams, m.skew}
	for _, way := range []string{"in", "out"} {
		m.streams.WithLabelValues(way)
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vera_peer_connections", Help: "Connections between this peer and others that are open, streams among them, by who opened them.",
			ConstLabels: prometheus.Labels{"direction": way},
		}, func() float64 { return float64(l.count(way == "in")) }))
	}
	if registry == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := registry.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registry != nil {
		for _, c := range m.all {
			m.registry.Unregister(c)
		}
	}
}

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// skewed shows that a clock is wrong, and says so once a minute.
func (m *metrics) skewed(l *Link, key string, by time.Duration) {
	m.skew.Set(by.Seconds())
	m.mu.Lock()
	quiet := time.Since(m.told) < time.Minute
	if !quiet {
		m.told = time.Now()
	}
	m.mu.Unlock()
	if !quiet {
		l.o.Logger.Warn().Str("key", key).Dur("ahead", by).Msg("the clocks of two peers differ: theirs is ahead of ours by so much")
	}
}

// count says how many connections there are: those that came in, or the others.
func (l *Link) count(came bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if came {
		return l.in
	}
	return len(l.wires) - l.in
}
