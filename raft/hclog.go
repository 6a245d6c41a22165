package raft

import (
	"io"
	"log"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/rs/zerolog"
)

// quietLog is hashicorp/raft's log, written to ours: warnings and errors only,
// with its pairs as fields; no warnings while the peer comes up, since it warns
// of the first election.
type quietLog struct {
	to      zerolog.Logger
	name    string
	implied []any
	up      *atomic.Bool
}

func newQuietLog(to zerolog.Logger) *quietLog {
	return &quietLog{to: to.With().Str("room", "raft").Logger(), up: new(atomic.Bool)}
}

var _ hclog.Logger = (*quietLog)(nil)

// Log writes a message when its level is Warn or Error.
func (q *quietLog) Log(level hclog.Level, message string, pairs ...any) {
	switch {
	case level == hclog.Warn && q.up.Load():
		q.to.Warn().Fields(q.implied).Fields(pairs).Msg(message)
	case level == hclog.Error:
		q.to.Error().Fields(q.implied).Fields(pairs).Msg(message)
	}
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
	return &quietLog{q.to, q.name, slices.Concat(q.implied, pairs), q.up}
}

// Name returns the name that Named gave.
func (q *quietLog) Name() string { return q.name }

// Named returns a log of that name.
func (q *quietLog) Named(name string) hclog.Logger { return &quietLog{q.to, name, q.implied, q.up} }

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
