package sim

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// nemesis is what goes wrong in a run.
type nemesis struct {
	*cluster
	random *rand.Rand
	told   []string
}

func (n *nemesis) note(format string, args ...any) {
	n.told = append(n.told, fmt.Sprintf("%v ", time.Since(n.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// someone is a peer's name.
func (n *nemesis) someone() string { return n.names[n.random.IntN(len(n.names))] }

// leader is the name of the peer that leads, or of any.
func (n *nemesis) leader() string {
	for _, name := range n.names {
		if p := n.peer(name); p != nil && p.raft.Leading() {
			return name
		}
	}
	return n.someone()
}

// victim is a peer, often the one that leads.
func (n *nemesis) victim() string {
	if n.random.IntN(2) == 0 {
		return n.leader()
	}
	return n.someone()
}

func (n *nemesis) rest(most time.Duration) {
	<-time.After(time.Duration(n.random.Int64N(int64(most))))
}

// strike does harm, waits, and mends it.
func (n *nemesis) strike() {
	a, b := n.victim(), n.someone()
	defer n.record.Trouble(a).Over()
	defer n.record.Trouble(b).Over()
	switch n.random.IntN(14) {
	case 0, 1:
		n.note("crash %s", a)
		n.crash(a, n.peer(a))
		n.rest(2 * time.Second)
		n.restart(a)
	case 2:
		n.note("partition %s %s", a, b)
		n.memory.Partition(a, b)
		n.rest(2 * time.Second)
		n.memory.Heal(a, b)
	case 3:
		n.note("partition from %s to %s", a, b)
		n.memory.PartitionOneWay(a, b)
		n.rest(2 * time.Second)
		n.memory.Heal(a, b)
	case 4, 5:
		n.note("alone %s", a)
		n.memory.Isolate(a)
		n.rest(3 * time.Second)
		n.memory.HealAll()
	case 6:
		n.note("stopped %s", a)
		n.stop(a, true)
		n.rest(3 * time.Second)
		n.stop(a, false)
	case 7:
		n.note("crash %s and %s", a, b)
		n.crash(a, n.peer(a))
		n.crash(b, n.peer(b))
		n.rest(time.Second)
		n.restart(a)
		n.restart(b)
	case 8:
		n.note("drain %s", a)
		n.drain(a)
		n.rest(time.Second)
		n.restart(a)
	case 9:
		n.replace(a)
	default:
		n.sicken(a)
	}
	n.note("over")
}

// replace has a peer removed, dead or alive, and an empty machine take its name.
func (n *nemesis) replace(name string) {
	if n.peer(name) == nil {
		return
	}
	dead := n.random.IntN(2) == 0
	n.note("replace %s, dead: %v", name, dead)
	if dead {
		n.awaitWhole() // or the others may be no majority without it
		n.crash(name, n.peer(name))
	}
	if err := n.remove(name); err != nil {
		n.wrong("remove %s: %v", name, err)
		return
	}
	for range 100 { // it learns that it was removed, and ends
		if n.peer(name) == nil {
			n.memory.Wipe(name)
			n.restart(name)
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	n.wrong("%s was removed and is still there", name)
}

// remove has any other peer remove one, until one of them has.
func (n *nemesis) remove(name string) (err error) {
	ctx, cancel := context.WithTimeout(n.running, time.Minute)
	defer cancel()
	for ; ctx.Err() == nil; <-time.After(50 * time.Millisecond) {
		p := n.peer(n.someone())
		if p == nil || p.name == name {
			continue
		}
		if err = p.raft.Remove(ctx, name); err == nil || strings.Contains(err.Error(), "there is no peer") {
			return nil
		}
	}
	return cmp.Or(err, ctx.Err())
}

// sicken has a peer's disk be slow, also when it crashes, hang, fail or be full
// for a while.
func (n *nemesis) sicken(a string) {
	switch n.random.IntN(5) {
	case 0:
		n.note("slow disk %s", a)
		n.memory.Slow(a, time.Duration(20+n.random.IntN(200))*time.Millisecond)
		n.rest(2 * time.Second)
		n.memory.Mend(a)
	case 1:
		n.note("hung disk %s", a)
		n.memory.Hang(a)
		n.rest(3 * time.Second)
		n.memory.Mend(a)
	case 2:
		n.note("failing disk %s", a)
		n.memory.Fail(a)
		n.rest(time.Second)
		n.memory.Mend(a)
		n.restart(a) // if it ended
	case 3:
		n.note("full disk %s", a)
		n.memory.Fill(a)
		n.rest(2 * time.Second)
		n.memory.Mend(a)
	case 4:
		n.note("slow disk %s, then a crash", a)
		n.memory.Slow(a, time.Duration(20+n.random.IntN(200))*time.Millisecond)
		n.rest(time.Second)
		n.crash(a, n.peer(a))
		n.memory.Mend(a)
		n.rest(time.Second)
		n.restart(a)
	}
}

// stop has a peer stand still, as far as others see: its network, its disk and
// its sockets. Its clock goes on, since there is one for all.
func (n *nemesis) stop(name string, still bool) {
	if p := n.peer(name); p != nil {
		p.freeze(still)
	}
	if still {
		n.memory.Isolate(name)
		n.memory.Hang(name)
		return
	}
	n.memory.HealAll()
	n.memory.Mend(name)
}

// restart starts a peer that is down, in the background, since it needs others.
// What keeps it from starting may last for a while.
func (n *nemesis) restart(name string) {
	n.note("restart %s", name)
	n.jobs.Go(func() {
		if !n.starts(name, true) {
			return
		}
		defer n.starts(name, false)
		var err error
		for range 100 {
			if err = n.open(name); err == nil || n.running.Err() != nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
		n.wrong("restart: %v", err)
	})
}
