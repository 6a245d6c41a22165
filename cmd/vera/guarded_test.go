package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"
)

// TestTheMomentsOfACommandAreInTime holds the moments to their promise: SIGTERM
// before SIGKILL before vera's own, and all before the end, with some of the time
// left for a command to end and for SIGKILL to take effect.
func TestTheMomentsOfACommandAreInTime(t *testing.T) {
	now := time.Hour
	for _, left := range []time.Duration{20 * time.Millisecond, 900 * time.Millisecond, 9 * time.Second, 9 * time.Minute} {
		at, force := within(now, now+left)
		order := []time.Duration{now + left/2, at.term, at.kill, force, now + left}
		if !slices.IsSorted(order) || at.kill-at.term < left/5 || now+left-at.kill < left/15 {
			t.Errorf("left %v: SIGTERM after %v, SIGKILL after %v, by vera after %v", left, at.term-now, at.kill-now, force-now)
		}
		if momentsOf(at.bytes()) != at {
			t.Errorf("%v is read as %v", at, momentsOf(at.bytes()))
		}
	}
	if at, force := within(now, now-time.Second); at.term > now || at.kill > now || force > now {
		t.Errorf("an end that is over: %v %v", at, force)
	}
	if at, force := within(now, never); at != (moments{never, never}) || force != never {
		t.Errorf("no end: %v %v", at, force)
	}
}

func TestTheEndsOfACommandHaveAStatus(t *testing.T) {
	lost := errors.New("the item is gone")
	for _, row := range []struct {
		report report
		lost   error
		status int
	}{
		{report{}, nil, 0},
		{report{Status: 6}, nil, 6},
		{report{Status: 137}, lost, 137},
		{report{Status: 127, Error: "not found"}, nil, 127},
		{report{Status: 143, Stopped: true}, lost, statusLost},
		{report{Stopped: true, Error: "its guard was killed"}, nil, statusLost},
	} {
		err := ending(row.report, row.lost)
		status := 0
		if exit, is := errors.AsType[exitError](err); is {
			status = int(exit)
		} else if coded, is := errors.AsType[statusError](err); is {
			status = coded.status
		} else if err != nil {
			t.Errorf("%+v: %v", row.report, err)
		}
		if status != row.status {
			t.Errorf("%+v: %d, not %d", row.report, status, row.status)
		}
	}
}

// TestACommandThatIsStoppedHasTheTimeThatItHad stops one that may run until a
// moment anyway, with and without a moment of its own.
func TestACommandThatIsStoppedHasTheTimeThatItHad(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	for _, row := range []struct{ asked, kill, force time.Duration }{
		{never, 2 * time.Hour, 3 * time.Hour},
		{4 * time.Hour, 2 * time.Hour, 3 * time.Hour},
		{time.Hour, time.Hour, time.Hour + patience},
		{0, 0, patience},
	} {
		g := &guarded{moments: out, at: moments{time.Hour, 2 * time.Hour}, force: 3 * time.Hour}
		if g.stop(row.asked); g.at != (moments{0, row.kill}) || g.force != row.force {
			t.Errorf("stopped by %v: %v, by vera after %v", row.asked, g.at, g.force)
		}
	}
}

func TestAStoppedGuardTakesNoMoreTime(t *testing.T) {
	g := &guard{at: moments{10, 20}, stopping: true}
	if g.told(moments{100, 200}, true); g.at.kill != 20 {
		t.Errorf("more time after SIGTERM: %v", g.at)
	}
	if g.told(moments{0, 15}, true); g.at.kill != 15 {
		t.Errorf("less time: %v", g.at)
	}
	g = &guard{at: moments{never, never}}
	before := sinceBoot()
	if g.told(moments{}, false); g.at.term != 0 || g.at.kill < before+killAfter || g.at.kill > sinceBoot()+killAfter {
		t.Errorf("without vera: %v", g.at)
	}
	to := make(chan moments, 2)
	in, out := io.Pipe()
	go func() {
		_, _ = out.Write(append(moments{1, 2}.bytes(), 9)) // and a piece of another
		_ = out.Close()
	}()
	listen(in, to)
	if m, ok := <-to; !ok || m != (moments{1, 2}) {
		t.Errorf("read %v", m)
	}
	if m, ok := <-to; ok {
		t.Errorf("a piece was read as %v", m)
	}
}
