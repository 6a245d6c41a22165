package actors

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vera"
)

// meters counts what the actors do. What is on the way of a request is a few
// additions to places known before; the rest is looked up when somebody asks.
type meters struct {
	system   *System
	registry prometheus.Registerer

	requests [len(actions)][codeCount]atomic.Uint64
	answers  [len(actions)]durations
	notices  durations

	described []*prometheus.Desc
	requestsTotal, requestSeconds, notificationsTotal, notificationSeconds,
	sessions, items, lists, watches, followers, outboxBytes,
	actorCount, actorMessages, actorRestarts, mailboxDepth *prometheus.Desc
}

// actions are the values of the label action; the first is for messages that
// could not be read.
var actions = [...]vera.Action{
	"invalid", vera.ActionGet, vera.ActionPush, vera.ActionUpdate, vera.ActionRemove, vera.ActionWatch,
	vera.ActionUnwatch, vera.ActionSession, vera.ActionPing, vera.ActionClose,
}

// codes are the values of the label code.
var codes = vera.Codes()

const codeCount = 16 // at least len(codes)

// durations is a histogram of times whose bounds are powers of two: finding
// the bucket is counting bits.
type durations struct {
	buckets [shortest + 1]atomic.Uint64
	sum     atomic.Int64
}

// The bounds of the buckets in ns: 2^14 (16 µs) to 2^34 (17 s), then all.
const (
	firstBound = 14
	lastBound  = 34
	shortest   = lastBound - firstBound + 1
)

func (d *durations) add(t time.Duration) {
	t = max(t, 0)
	d.buckets[min(max(bits.Len64(uint64(t))-firstBound, 0), shortest)].Add(1)
	d.sum.Add(int64(t))
}

func (d *durations) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	bounds := map[float64]uint64{}
	count := uint64(0)
	for i := range d.buckets {
		count += d.buckets[i].Load()
		if i < shortest {
			bounds[time.Duration(1<<(firstBound+i)).Seconds()] = count
		}
	}
	return prometheus.MustNewConstHistogram(desc, count, time.Duration(d.sum.Load()).Seconds(), bounds, labels...)
}

func (d *durations) count() (n uint64) {
	for i := range d.buckets {
		n += d.buckets[i].Load()
	}
	return n
}

func newMeters(y *System) *meters {
	m := &meters{system: y}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("vera_"+name, help, labels, nil)
		m.described = append(m.described, d)
		return d
	}
	m.requestsTotal = desc("requests_total", "Requests on WebSockets that were answered.", "action", "code")
	m.requestSeconds = desc("request_seconds", "From a request's arrival to its answer's way out.", "action")
	m.notificationsTotal = desc("notifications_total", "Notifications handed to sockets and streams.")
	m.notificationSeconds = desc("notification_seconds", "From a change's application on this peer to a notification's way out.")
	m.sessions = desc("sessions", "Sessions that live, in the whole cluster.")
	m.items = desc("items", "Items on all lists.")
	m.lists = desc("lists", "Lists that are not empty.")
	m.watches = desc("watches", "Watches of sessions that the log has.")
	m.followers = desc("followers", "HTTP clients of this peer that follow a list.")
	m.outboxBytes = desc("outbox_bytes", "Bytes of requests whose answers have not been taken by their sockets.")
	m.actorCount = desc("actors", "Actors that live.", "kind")
	m.actorMessages = desc("actor_messages_total", "Messages that actors received.", "kind")
	m.actorRestarts = desc("actor_restarts_total", "Actors that failed and were restarted.", "kind")
	m.mailboxDepth = desc("mailbox_depth_max", "The deepest that any mailbox of the kind has been.", "kind")
	return m
}

func (m *meters) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	m.registry = r
	return r.Register(m)
}

func (m *meters) unregister() {
	if m.registry != nil {
		m.registry.Unregister(m)
	}
}

// answered counts an answer that goes out.
func (m *meters) answered(action vera.Action, code vera.Code, took time.Duration) {
	a := max(slices.Index(actions[:], action), 0)
	m.requests[a][max(slices.Index(codes, code), 0)].Add(1)
	m.answers[a].add(took)
}

// notified counts a notification that goes out now, of a change that was read
// at the time given; 0 when it is not about a change.
func (m *meters) notified(since, now time.Duration) {
	if since == 0 {
		since = now
	}
	m.notices.add(now - since)
}

// Describe tells Prometheus what there is.
func (m *meters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range m.described {
		out <- d
	}
}

// Collect tells Prometheus how it is.
func (m *meters) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for a, action := range actions {
		for c, code := range codes {
			if n := m.requests[a][c].Load(); n > 0 {
				counter(m.requestsTotal, n, string(action), string(code))
			}
		}
		out <- m.answers[a].metric(m.requestSeconds, string(action))
	}
	counter(m.notificationsTotal, m.notices.count())
	out <- m.notices.metric(m.notificationSeconds)
	counts := m.system.log.Machine().Counts()
	gauge(m.sessions, counts.Sessions)
	gauge(m.items, counts.Items)
	gauge(m.lists, counts.Lists)
	gauge(m.watches, counts.Watches)
	gauge(m.followers, int(m.system.followers.Load()))
	bytes := 0
	m.system.kinds.connection.each(func(b *mailbox) { bytes += int(b.who.(*connection).valve.bytes.Load()) })
	gauge(m.outboxBytes, bytes)
	for _, k := range m.system.kinds.all() {
		gauge(m.actorCount, k.count(), k.name)
		counter(m.actorMessages, k.handled(), k.name)
		counter(m.actorRestarts, k.restarts.Load(), k.name)
		gauge(m.mailboxDepth, int(k.deepest.Load()), k.name)
	}
}
