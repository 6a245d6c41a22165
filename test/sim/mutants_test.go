package sim

import (
	"slices"
	"sync"
	"testing"
	"time"

	"vera"
	"vera/actors"
	"vera/raft"
	"vera/raft/state"
	"vera/test/bubble"
	"vera/test/history"
)

// liar stands between the log and the actors of every peer, and does one thing
// wrong.
type liar struct {
	*raft.Raft
	propose func([]state.Command, func([]state.Reply, error))
	barrier func(func(uint64, error))
}

// Propose is the log's, but for the lie.
func (l *liar) Propose(commands []state.Command, done func([]state.Reply, error)) {
	if l.propose != nil {
		l.propose(commands, done)
		return
	}
	l.Raft.Propose(commands, done)
}

// Barrier is the log's, but for the lie.
func (l *liar) Barrier(done func(uint64, error)) {
	if l.barrier != nil {
		l.barrier(done)
		return
	}
	l.Raft.Barrier(done)
}

// omit keeps some commands from the log, and says that they were done.
func (l *liar) omit(some func(state.Command) bool) {
	l.propose = func(commands []state.Command, done func([]state.Reply, error)) {
		kept := slices.DeleteFunc(slices.Clone(commands), some)
		if len(kept) == len(commands) {
			l.Raft.Propose(commands, done)
			return
		}
		tell := func(replies []state.Reply, err error) {
			all := make([]state.Reply, len(commands))
			for i, c := range commands {
				if some(c) {
					all[i] = state.Reply{Code: vera.OK, Index: l.Machine().Applied(), Life: c.Life}
				} else if len(replies) > 0 {
					all[i], replies = replies[0], replies[1:]
				}
			}
			done(all, err)
		}
		if len(kept) == 0 {
			time.AfterFunc(50*time.Millisecond, func() { tell(nil, nil) }) // who sees that it was not done may ask again, but not without end
			return
		}
		l.Raft.Propose(kept, tell)
	}
}

// mutant is a lie, and by what name it must be found.
type mutant struct {
	name history.Name
	lie  func(*liar)
}

var mutants = []mutant{
	{history.StaleRead, func(l *liar) {
		l.barrier = func(done func(uint64, error)) { done(l.Machine().Applied(), nil) }
	}},
	{history.LostItem, func(l *liar) {
		// The first push of each peer becomes a removal of nothing.
		var first sync.Once
		l.propose = func(commands []state.Command, done func([]state.Reply, error)) {
			i := slices.IndexFunc(commands, func(c state.Command) bool { return c.Kind == state.Push && !c.Conditional })
			lost := -1
			if i >= 0 {
				first.Do(func() { lost = i })
			}
			if lost < 0 {
				l.Raft.Propose(commands, done)
				return
			}
			commands = slices.Clone(commands)
			c := &commands[lost]
			commands[lost] = state.Command{Kind: state.Remove, Session: c.Session, Life: c.Life, Path: c.Path, Version: 1}
			l.Raft.Propose(commands, func(replies []state.Reply, err error) {
				if len(replies) > lost && replies[lost].Code == vera.OK {
					replies[lost].Version = replies[lost].Index
				}
				done(replies, err)
			})
		}
	}},
	{history.ItemOutlivesSession, func(l *liar) {
		l.omit(func(c state.Command) bool { return c.Kind == state.End || c.Kind == state.Detach })
	}},
	{history.LiveSessionEnded, func(l *liar) {
		// Of several peers on which a session is connected only one counts.
		l.omit(func(c state.Command) bool { return c.Kind == state.Attach })
	}},
	{history.WrongHoldings, func(l *liar) {
		// A peer takes another life for the one that it has a part in at first.
		var told sync.Map
		l.propose = func(commands []state.Command, done func([]state.Reply, error)) {
			l.Raft.Propose(commands, func(replies []state.Reply, err error) {
				for i := range replies {
					if commands[i].Kind != state.Attach || replies[i].Life == 0 {
						continue
					}
					if _, again := told.LoadOrStore(commands[i].Session, true); !again {
						replies[i].Life--
					}
				}
				done(replies, err)
			})
		}
	}},
	{history.DoubledPush, func(l *liar) {
		l.propose = func(commands []state.Command, done func([]state.Reply, error)) {
			for _, c := range commands {
				if c.Kind == state.Push && c.Once == "" && !c.Conditional {
					l.Raft.Propose([]state.Command{c}, func([]state.Reply, error) {})
				}
			}
			l.Raft.Propose(commands, done)
		}
	}},
}

// Each lie is found in every run, by its name.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(string(m.name), func(t *testing.T) {
			t.Parallel()
			count := 60
			if testing.Short() || bubble.Raced {
				count = 10
			}
			for seed := range uint64(count) {
				found, told := judge(t, seed, func(r *raft.Raft) actors.Log[*raft.Feed] {
					l := &liar{Raft: r}
					m.lie(l)
					return l
				})
				if !slices.Contains(history.Names(found), m.name) {
					t.Fatalf("not found: %s", told)
				}
			}
		})
	}
}
