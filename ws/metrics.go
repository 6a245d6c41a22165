package ws

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"vera"
	"vera/ws/socket"
)

// metrics counts what ends and what is refused. Requests are counted behind
// the Service.
type metrics struct {
	closes   *prometheus.CounterVec
	slow     prometheus.Counter
	refusals *prometheus.CounterVec
}

// newMetrics registers the metrics, if there is where.
func newMetrics(r prometheus.Registerer, sockets func() int) (*metrics, error) {
	m := &metrics{
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vera_closes_total", Help: "Connections that ended, by close code; 1006: without a Close frame.",
		}, []string{"code"}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vera_slow_connections_total", Help: "Connections closed since nothing could be written to them.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vera_refusals_total", Help: "Requests by HTTP, upgrades included, that were refused, by status.",
		}, []string{"status"}),
	}
	if r == nil {
		return m, nil
	}
	connections := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vera_connections", Help: "WebSockets that are open.",
	}, func() float64 { return float64(sockets()) })
	for _, c := range []prometheus.Collector{m.closes, m.slow, m.refusals, connections} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) refused(status int) { m.refusals.WithLabelValues(strconv.Itoa(status)).Inc() }

// ended counts a close code. Codes that only clients make up count as one, so
// that they cannot fill the memory.
func (m *metrics) ended(code vera.CloseCode) {
	label := "other"
	switch {
	case code >= vera.CloseDone && code <= vera.CloseTryLater,
		code == vera.CloseEnded, code == vera.CloseTooSlow, code == vera.CloseForbidden, code == socket.CloseLost:
		label = strconv.Itoa(int(code))
	}
	m.closes.WithLabelValues(label).Inc()
	if code == vera.CloseTooSlow {
		m.slow.Inc()
	}
}
