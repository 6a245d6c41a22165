package raft

import (
	"io"
	"log"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	"github.com/rs/zerolog"
)

// quietLog is hashicorp/raft's log, written to ours: warnings and errors only,
// as warnings, since none of them is the end; what belongs to any election or
// to any lost peer as debugging, since Raft itself tells of those; with its
// pairs as fields, peers by their names; none while the peer comes up, since it
// warns of the first election; and each message of each peer once in a while,
// since it tells of a dead peer many times a second.
type quietLog struct {
	to      zerolog.Logger
	name    string
	implied []any
	up      *atomic.Bool
	told    *told
}

// tellAgain is how long a message of one peer is not written once more.
const tellAgain = 10 * time.Second

// told remembers when messages were written.
type told struct {
	mu sync.Mutex
	at map[string]time.Time
}

// again says whether a message may be written now. It remembers few: who is
// forgotten is told of once more.
func (t *told) again(message string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, known := t.at[message]; known && now.Sub(last) < tellAgain {
		return false
	}
	if len(t.at) >= 256 {
		clear(t.at)
	}
	t.at[message] = now
	return true
}

func newQuietLog(to zerolog.Logger) *quietLog {
	return &quietLog{to: to.With().Str("room", "raft").Logger(), up: new(atomic.Bool), told: &told{at: map[string]time.Time{}}}
}

var _ hclog.Logger = (*quietLog)(nil)

// Log writes a message when its level is Warn or Error, if it is to be.
func (q *quietLog) Log(level hclog.Level, message string, pairs ...any) {
	if level != hclog.Error && (level != hclog.Warn || !q.up.Load()) {
		return
	}
	which := message
	shown := slices.Concat(q.implied, pairs)
	for i, v := range shown {
		if i%2 == 0 && v == zerolog.TimestampFieldName {
			shown[i] = "silent" // that name is the line's own
		}
		if name, is := named(v); is {
			shown[i] = name
			which += " " + name
		}
	}
	if !q.told.again(which, time.Now()) {
		return
	}
	if ordinary(message) {
		q.to.Debug().Fields(shown).Msg(message)
	} else {
		q.to.Warn().Fields(shown).Msg(message)
	}
}

// ordinary says whether a message comes with every election, or as long as a
// peer can't be reached. "failed to contact", once when it is lost, does not.
func ordinary(message string) bool {
	switch message {
	case "heartbeat timeout reached, starting election", "Election timeout reached, restarting election",
		"failed to make requestVote RPC", "failed to heartbeat to", "failed to appendEntries to", "failed to pipeline appendEntries",
		"appendEntries rejected, sending older logs", "failed to get previous log", "previous log term mis-match", "clearing log suffix",
		"peer has newer term, stopping replication", "new leader elected, stepping down", "failed to flush response", "failed to decode incoming command":
		return true
	}
	return strings.HasPrefix(message, "rejecting vote request since ") || strings.HasPrefix(message, "rejecting pre-vote request since ")
}

// named returns the name of the peer that a value of hashicorp/raft's means.
func named(v any) (name string, is bool) {
	switch v := v.(type) {
	case hraft.Server:
		return peerName(v.ID), true
	case hraft.ServerID:
		return peerName(v), true
	case hraft.ServerAddress:
		if u, err := url.Parse(string(v)); err == nil && u.Host != "" {
			return u.Host, true // of its card, without the rest
		}
		return string(v), true
	}
	return "", false
}

// Trace writes nothing.
func (q *quietLog) Trace(string, ...any) {}

// Debug writes nothing.
func (q *quietLog) Debug(string, ...any) {}

// Info writes nothing.
func (q *quietLog) Info(string, ...any) {}

// Warn writes a warning.
func (q *quietLog) Warn(message string, pairs ...any) { q.Log(hclog.Warn, message, pairs...) }

// Error writes an error.
func (q *quietLog) Error(message string, pairs ...any) { q.Log(hclog.Error, message, pairs...) }

// IsTrace says no.
func (q *quietLog) IsTrace() bool { return false }

// IsDebug says no.
func (q *quietLog) IsDebug() bool { return false }

// IsInfo says no.
func (q *quietLog) IsInfo() bool { return false }

// IsWarn says whether warnings are written.
func (q *quietLog) IsWarn() bool { return q.to.GetLevel() <= zerolog.WarnLevel }

// IsError says whether errors are written.
func (q *quietLog) IsError() bool { return q.to.GetLevel() <= zerolog.ErrorLevel }

// ImpliedArgs returns the pairs that go with every message.
func (q *quietLog) ImpliedArgs() []any { return q.implied }

// With returns a log with more such pairs.
func (q *quietLog) With(pairs ...any) hclog.Logger {
	return &quietLog{q.to, q.name, slices.Concat(q.implied, pairs), q.up, q.told}
}

// Name returns the name that Named gave.
func (q *quietLog) Name() string { return q.name }

// Named returns a log of that name.
func (q *quietLog) Named(name string) hclog.Logger {
	return &quietLog{q.to, name, q.implied, q.up, q.told}
}

// ResetNamed is Named.
func (q *quietLog) ResetNamed(name string) hclog.Logger { return q.Named(name) }

// SetLevel does nothing: zerolog's level counts.
func (q *quietLog) SetLevel(hclog.Level) {}

// GetLevel returns Warn.
func (q *quietLog) GetLevel() hclog.Level { return hclog.Warn }

// StandardLogger returns one that writes nothing: nobody here uses it.
func (q *quietLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}

// StandardWriter is StandardLogger's writer.
func (q *quietLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
