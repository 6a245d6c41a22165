package actors

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vera"
)

func TestWheelIsNeverEarlyAndAtMostOneGrainLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		now, set := time.Duration(0), 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "set") {
				w.add(&alarm{due: now + time.Duration(rapid.IntRange(0, 20_000).Draw(t, "in"))*time.Millisecond})
				set++
				continue
			}
			step := time.Duration(rapid.IntRange(1, 300).Draw(t, "step")) * time.Millisecond
			if rapid.IntRange(0, 9).Draw(t, "stall") == 0 {
				step += 15 * time.Second
			}
			before := now
			now += step
			w.advance(now, func(a *alarm) {
				set--
				if a.due > now {
					t.Fatalf("due at %v, rung at %v", a.due, now)
				}
				if a.due+2*grain <= before {
					t.Fatalf("due at %v, not rung at %v", a.due, before)
				}
			})
			if w.n != set {
				t.Fatalf("%d alarms in the wheel, %d set", w.n, set)
			}
		}
		w.advance(now+time.Minute, func(*alarm) { set-- })
		if set != 0 || w.n != 0 {
			t.Fatalf("%d alarms were never rung", set)
		}
	})
}

func TestCallsAreAnOrderedTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table calls
		var model []*call
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(model) == 0 || rapid.Bool().Draw(t, "add") {
				m := &call{}
				table.add(m)
				model = append(model, m)
			} else {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				table.remove(model[i])
				table.remove(model[i])
				if table.has(model[i]) {
					t.Fatal("it has what was removed")
				}
				model = slices.Delete(model, i, i+1)
			}
			var got []*call
			for m := table.first; m != nil; m = m.newer {
				got = append(got, m)
			}
			if !slices.Equal(got, model) || table.n != len(model) {
				t.Fatalf("%d calls, want %d in order", len(got), len(model))
			}
		}
	})
}

func TestValveShutsAtItsBoundsAndOpensAtHalf(t *testing.T) {
	l := &vera.Limits{InFlight: 10, Outbox: 1000, Rate: 1000}
	var v valve
	for i := range 9 {
		if v.admit(10, 0, l); !v.open(l) {
			t.Fatalf("shut with %d under way", i+1)
		}
	}
	if v.admit(10, 0, l); v.open(l) {
		t.Fatal("open with all under way that is allowed")
	}
	if v.release(5, 50, l) {
		t.Error("resumed with half under way")
	}
	if !v.release(1, 10, l) {
		t.Error("not resumed with less than half under way")
	}
	if v.release(4, 40, l) {
		t.Error("resumed twice")
	}
	if v.admit(1000, 0, l); v.open(l) {
		t.Error("open with all bytes under way that are allowed")
	}
	if !v.release(1, 1000, l) {
		t.Error("not resumed without any bytes")
	}
}

func TestValveKeepsTheRate(t *testing.T) {
	l := &vera.Limits{InFlight: 1 << 30, Outbox: 1 << 30, Rate: 1000}
	var v valve
	now, admitted := time.Duration(0), 0
	for now < 10*time.Second {
		pause := v.admit(1, now, l)
		admitted++
		now += pause
	}
	if admitted < 10_900 || admitted > 11_100 {
		t.Errorf("%d requests in 10 s at 1000 a second and a second's burst", admitted)
	}
	v = valve{}
	for now = 0; now < 5*time.Second; now += 2 * time.Millisecond {
		if v.admit(1, now, l) > 0 {
			t.Fatal("paused at half the rate")
		}
	}
}

func TestTenureDecides(t *testing.T) {
	for _, c := range []struct {
		name string
		is   tenure
		need need
		want deed
	}{
		{"nobody ever", tenure{}, need{}, toVacate},
		{"a new client", tenure{}, need{arrivals: 1}, toAdmit},
		{"who may have been here", tenure{}, need{arrivals: 1, unsure: true}, toInquire},
		{"and has a life", tenure{found: 5}, need{arrivals: 1}, toAttach},
		{"and went again", tenure{found: 5}, need{}, toVacate},
		{"reads only", tenure{}, need{connections: 1}, toRest},
		{"writes", tenure{}, need{connections: 1, writes: true}, toOpen},
		{"has a life", tenure{life: 5, held: 2}, need{connections: 1, grace: 2}, toRest},
		{"with a larger grace", tenure{life: 5, held: 2}, need{connections: 1, arrivals: 1, grace: 3}, toAttach},
		{"that the log forgot", tenure{life: 5, held: -1}, need{connections: 1}, toAttach},
		{"a second client", tenure{life: 5, held: 2}, need{connections: 1, arrivals: 1, unsure: true, grace: 2}, toInquire},
		{"of which the log knows", tenure{life: 5, held: 2}, need{connections: 1, arrivals: 1, grace: 2}, toAdmit},
		{"all went", tenure{life: 5, held: 2}, need{}, toDetach},
		{"wants to end", tenure{life: 5, held: 2, ending: true}, need{connections: 1}, toEnd},
		{"before it had a life", tenure{ending: true}, need{connections: 1}, toFinish},
		{"while something is under way", tenure{life: 5, pending: true, ending: true}, need{}, toRest},
	} {
		if got := c.is.next(c.need); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTenureHoldsTheGraceInDoubt(t *testing.T) {
	const s = time.Second
	type went struct {
		clean     bool
		at, grace time.Duration
	}
	for _, c := range []struct {
		name  string
		went  []went
		clean bool
		grace time.Duration
	}{
		{"on purpose", []went{{true, 0, 2 * s}}, true, 0},
		{"lost", []went{{false, 0, 2 * s}}, false, 2 * s},
		{"lost without a grace", []went{{false, 0, 0}}, false, 0},
		{"on purpose while one is missed", []went{{false, 0, 2 * s}, {true, 1 * s, 2 * s}}, false, 2 * s},
		{"on purpose when that is over", []went{{false, 0, 2 * s}, {true, 2 * s, 2 * s}}, true, 0},
		{"sent away, then on purpose", []went{{false, 0, 10 * s}, {true, 9 * s, 2 * s}}, false, 10 * s},
		{"a larger grace is not cut short", []went{{false, 0, 10 * s}, {false, 1 * s, 2 * s}}, false, 10 * s},
		{"but is forgotten when it is over", []went{{false, 0, 10 * s}, {false, 11 * s, 2 * s}}, false, 2 * s},
	} {
		var n tenure
		for _, w := range c.went {
			n.left(w.clean, w.at, w.grace)
		}
		if clean, grace := n.leave(); clean != c.clean || grace != c.grace {
			t.Errorf("%s: clean %v grace %v", c.name, clean, grace)
		}
	}
}

func TestDurationsFindTheirBucket(t *testing.T) {
	var d durations
	for range 1000 {
		d.add(time.Duration(rand.Int64N(int64(time.Minute))))
	}
	d.add(-1)
	d.add(0)
	d.add(1 << firstBound)
	d.add(1<<lastBound - 1)
	d.add(time.Hour)
	if d.count() != 1005 {
		t.Errorf("%d of 1005", d.count())
	}
	if d.buckets[shortest].Load() == 0 || d.buckets[0].Load() < 2 || d.buckets[1].Load() == 0 {
		t.Error("the ends of the range are wrong")
	}
}

func TestAWatchPathTakesInBeforeItSaysSo(t *testing.T) {
	p := &watchPath{path: "/data/a"}
	said := false
	s := &lookout{path: p.path}
	p.join(&joining{lookout: s, limit: vera.NoLimit, items: true, in: func(*joining) {
		said = slices.Contains(s.class.lookouts, s)
	}})
	if !said {
		t.Error("a list may be looked at before its changes are heard")
	}
	p.leave(s)
	p.leave(s)
	if len(p.classes) != 0 {
		t.Error("a class without lookouts is left")
	}
}
