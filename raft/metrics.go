package raft

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vera"
	"vera/raft/state"
)

// metrics is what this room counts.
type metrics struct {
	registry prometheus.Registerer // nil: nobody looks
	all      []prometheus.Collector
	live     atomic.Bool // what the log did before this start is not counted

	apply, fsync, batch, lateness prometheus.Histogram
	batches, retries, divergence  prometheus.Counter
	ends                          [vera.Ended + 1]prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{registry: registry}
	m.apply = m.histogram("raft_apply_seconds", "time to apply one batch of log entries", 10e-6)
	m.fsync = m.histogram("raft_fsync_seconds", "time of one fdatasync of the log", 20e-6)
	m.lateness = m.histogram("expiry_lateness_seconds", "from the end of a grace to the end of its session", 100e-6)
	m.batch = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "vera", Name: "raft_batch_size", Help: "log entries applied at once",
		Buckets: prometheus.ExponentialBuckets(1, 2, 11),
	})
	m.batches = m.counter("forward_batches_total", "batches of commands handed over to Raft", nil)
	m.retries = m.counter("forward_retries_total", "batches handed over again, since they may have been lost", nil)
	m.divergence = m.counter("raft_divergence_total", "marks of other peers that tell of another log than this peer applied", nil)
	for r := vera.Closed; r <= vera.Ended; r++ {
		if r != vera.Removed {
			m.ends[r] = m.counter("session_ends_total", "sessions that ended", prometheus.Labels{"reason": r.String()})
		}
	}
	m.all = append(m.all, m.batch)
	return m
}

func (m *metrics) histogram(name, help string, least float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "vera", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(least, 2, 20),
	})
	m.all = append(m.all, h)
	return h
}

func (m *metrics) counter(name, help string, labels prometheus.Labels) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "vera", Name: name, Help: help, ConstLabels: labels})
	m.all = append(m.all, c)
	return c
}

func (m *metrics) gauge(name, help string, value func() float64) {
	m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "vera", Name: name, Help: help}, value))
}

// register adds the gauges of a running Raft and shows everything.
func (m *metrics) register(r *Raft) error {
	number := func(n func() uint64) func() float64 { return func() float64 { return float64(n()) } }
	m.gauge("raft_leader", "1 while this peer leads", func() float64 {
		if r.leading() {
			return 1
		}
		return 0
	})
	m.gauge("raft_term", "Raft's term", number(r.hraft.CurrentTerm))
	m.gauge("raft_commit_index", "index known to be committed", number(r.commitIndex))
	m.gauge("raft_applied_index", "index applied here", number(r.machine.Applied))
	m.gauge("raft_last_contact_seconds", "since this peer heard from a leader; 0 on the leader", func() float64 {
		return r.Status().LastContact.Seconds()
	})
	m.gauge("forward_in_flight", "commands handed over and not answered", number(r.proposer.inFlight))
	if m.registry == nil {
		return nil
	}
	for i, c := range m.all {
		if err := m.registry.Register(c); err != nil {
			m.all = m.all[:i]
			return errors.Join(fmt.Errorf("metrics: %w", err), m.close())
		}
	}
	return nil
}

func (m *metrics) close() error {
	if m.registry == nil {
		return nil
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
	return nil
}

// applied counts a batch of entries.
func (m *metrics) applied(took time.Duration, entries int) {
	m.apply.Observe(took.Seconds())
	m.batch.Observe(float64(entries))
}

// sessions counts sessions that ended.
func (m *metrics) sessions(changes []state.SessionChange) {
	for i := range changes {
		if c := &changes[i]; c.What == state.Over && m.live.Load() && m.ends[c.Reason] != nil {
			m.ends[c.Reason].Inc()
		}
	}
}

// expired takes how long after its grace a session ended.
func (m *metrics) expired(late time.Duration) {
	if m.live.Load() {
		m.lateness.Observe(late.Seconds())
	}
}

// handed counts a batch that was handed over.
func (m *metrics) handed(_ int, again bool) {
	m.batches.Inc()
	if again {
		m.retries.Inc()
	}
}

// diverged counts a mark of a peer that differs.
func (m *metrics) diverged() { m.divergence.Inc() }

// synced takes how long an fdatasync took.
func (m *metrics) synced(took time.Duration, _ int) { m.fsync.Observe(took.Seconds()) }
