package clients

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// leadersGo: of candidates, each leads until it is killed, frozen or cut off;
// then the next does, with a higher fence, and never before the last one has
// stopped to say that it leads.
func leadersGo(t *testing.T, s *stage) {
	host := s.Host()
	var all []*actor
	for i, name := range []string{"killed", "frozen", "cut off", "last"} {
		var within []string
		if name == "cut off" {
			within = host.Within()
		}
		a := s.connectFrom(t, within, name, Command{GraceMs: 2000, HeartbeatMs: 500})
		must[Line](t)(a.ask(Command{Do: "elect", Path: s.path(t), Data: number{By: i}}))
		all = append(all, a)
	}
	start := time.Time{}
	killed, frozen, cut, last := all[0], all[1], all[2], all[3]
	killed.await("leads", start)

	killed.kill()
	gone := time.Now()
	within(t, "its process killed, another leads", frozen.await("leads", start).at.Sub(gone))

	frozen.signal(syscall.SIGSTOP)
	gone = time.Now()
	within(t, "its process frozen, another leads", cut.await("leads", start).at.Sub(gone))
	frozen.signal(syscall.SIGCONT)
	frozen.awaitOver("woken")

	host.Cut()
	gone = time.Now()
	within(t, "its machine cut off, another leads", last.await("leads", start).at.Sub(gone))
	if over := cut.heard("over"); len(over) == 0 || over[0].Final {
		t.Errorf("who was cut off was told %+v; that it must have stopped, for now, was promised", over)
	}
	host.Heal()
	cut.awaitOver("back")

	if items := s.list(t, s.path(t)); len(items) != 1 {
		t.Errorf("of one candidate that is left the list has %v", versions(items))
	}
	if err := ledAlone(all); err != nil {
		t.Error(err)
	}
	for _, a := range all[1:] {
		a.close()
	}
}

// awaitOver waits until an actor is told that its candidacy is over for good.
func (a *actor) awaitOver(what string) {
	a.t.Helper()
	start := time.Now()
	wait(a.t, a.name+" to be told that it is over", func() error {
		for _, e := range a.heard("over") {
			if e.Final {
				return nil
			}
		}
		return errNotTold
	})
	a.t.Logf("%s, it is told that it is over after %v", what, time.Since(start).Round(time.Millisecond))
}

// ledAlone holds all that was said of leading to the clock of the machine that
// all of them run on: in the order of their fences, one after the other.
func ledAlone(all []*actor) error {
	type reign struct {
		event
		who string
	}
	var reigns []reign
	for _, a := range all {
		for _, e := range a.heard("leads") {
			reigns = append(reigns, reign{e, a.name})
		}
	}
	slices.SortFunc(reigns, func(a, b reign) int { return cmp.Compare(a.After, b.After) })
	last, until := 0, int64(0) // who said longest that it leads
	for i, r := range reigns {
		switch was := reigns[last]; {
		case i == 0:
		case until > r.After: // it was asked after the other one had said so
			return fmt.Errorf("%s said that it leads %d ms after %s did", was.who, until-r.After, r.who)
		case r.Fence < was.Fence || r.Fence == was.Fence && r.who != was.who:
			return fmt.Errorf("%s led with fence %d, then %s with %d", was.who, was.Fence, r.who, r.Fence)
		}
		if r.Before >= until {
			last, until = i, r.Before
		}
	}
	if len(reigns) < len(all) {
		return fmt.Errorf("%d led, %d of them should have", len(reigns), len(all))
	}
	return nil
}
