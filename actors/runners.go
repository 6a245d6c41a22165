package actors

import (
	"runtime"
	"sync/atomic"
)

// runners empty mailboxes. A goroutine that has emptied one waits a while for
// the next, because a fresh one pays for the growth of its stack again. Any
// number may run; only few wait.
type runners struct {
	hand chan job
	idle atomic.Int32
	most int32 // that wait
	over atomic.Bool
}

// job is a mailbox to be emptied, and others behind it.
type job struct {
	first *mailbox
	rest  []*mailbox
}

func newRunners() *runners {
	return &runners{hand: make(chan job), most: int32(4 * runtime.GOMAXPROCS(0))}
}

// run has mailboxes emptied on another goroutine.
func (r *runners) run(j job) {
	select {
	case r.hand <- j:
	default:
		go r.work(j)
	}
}

func (r *runners) work(j job) {
	for j.first != nil {
		j.do()
		if r.idle.Add(1) > r.most || r.over.Load() {
			r.idle.Add(-1)
			return
		}
		j = <-r.hand
		r.idle.Add(-1)
	}
}

// do empties the mailboxes, one that takes long on a goroutine of its own.
func (j job) do() {
	for b := j.first; ; j.rest = j.rest[1:] {
		if !b.work(lendFor) {
			if len(j.rest) == 0 {
				b.drain()
			} else {
				b.kind.runners.run(job{first: b})
			}
		}
		if len(j.rest) == 0 {
			return
		}
		b = j.rest[0]
	}
}

// stop has those end that wait, and nobody wait from now on. It returns
// whether none does any more.
func (r *runners) stop() bool {
	r.over.Store(true)
	select {
	case r.hand <- job{}:
	default:
	}
	return r.idle.Load() == 0
}
