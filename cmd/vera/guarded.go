package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// statusLost says that what a command ran for was lost, and that it was
// stopped: worth another try (EX_TEMPFAIL of sysexits.h).
const statusLost = 75

// patience is how long a guard has to kill what is due at once.
const patience = 100 * time.Millisecond

// passed are the signals that vera passes on to a command that it runs.
func passed() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	return slices.DeleteFunc(all, signal.Ignored) // nohup's, for instance
}

// guarded is a command that runs under a guard, as vera sees it.
type guarded struct {
	guard    *exec.Cmd
	moments  *os.File
	reports  chan report // closed with the guard
	end      time.Duration
	at       moments
	force    time.Duration  // when vera kills the command itself, by sinceBoot
	group    int            // of the command's processes; 0: not known yet, or gone
	early    syscall.Signal // to be passed on as soon as it is known
	stopping bool
}

// hold is what a command runs for.
type hold struct {
	lost  <-chan struct{}      // closed when there is no reason any more
	after func() time.Duration // the moment at which it is killed then
	end   func() time.Duration // the moment at which nothing of it may run unless more is told; asked every look. Nil: never
	look  time.Duration
}

// within returns when a command must be sent signals so that nothing of it runs
// at a moment: of the time until then it has two thirds to hear of more time, which
// is time for one question and its answer to be lost, a quarter to end by itself,
// and the rest is for SIGKILL to take effect.
func within(now, end time.Duration) (at moments, force time.Duration) {
	if end == never {
		return moments{never, never}, never
	}
	left := max(0, end-now)
	return moments{now + left*2/3, now + left*11/12}, now + left*23/24
}

// startGuarded starts a command under a guard. Its variables come on top of
// the environment's own. Nothing of it runs at the moment of its end.
func startGuarded(s streams, argv, variables []string, end time.Duration) (*guarded, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	if err := adopt(); err != nil { // should the guard be killed, what it guarded is ours
		return nil, err
	}
	momentsOut, momentsIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer momentsOut.Close()
	reportsOut, reportsIn, err := os.Pipe()
	if err != nil {
		_ = momentsIn.Close() // nobody was told of it
		return nil, err
	}
	defer reportsIn.Close()
	g := &guarded{moments: momentsIn, reports: make(chan report, 8), end: end}
	g.at, g.force = within(sinceBoot(), end)
	g.guard = exec.Command(program, append([]string{"guard", "--"}, argv...)...)
	g.guard.Args[0] = "vera"
	g.guard.Env = append(os.Environ(), variables...)
	g.guard.Stdout, g.guard.Stderr = s.out, s.err
	if !isTerminal(s.in) { // a terminal listens to one group, and that is ours
		g.guard.Stdin = s.in
	}
	g.guard.ExtraFiles = []*os.File{momentsFD - 3: momentsOut, reportsFD - 3: reportsIn}
	g.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.guard.Start(); err != nil {
		_, _ = momentsIn.Close(), reportsOut.Close() // nobody was told of them
		return nil, err
	}
	go g.listen(reportsOut)
	g.tell()
	return g, nil
}

// listen takes reports until the guard is no more.
func (g *guarded) listen(in io.ReadCloser) {
	defer close(g.reports)
	defer in.Close()
	for d := json.NewDecoder(in); ; {
		var r report
		if d.Decode(&r) != nil {
			_ = g.guard.Wait() // how it ended says nothing that it did not report
			return
		}
		g.reports <- r
	}
}

// tell sends the moments. A guard that stands still will read those of before
// when it wakes, which are earlier.
func (g *guarded) tell() {
	_ = g.moments.SetWriteDeadline(time.Now().Add(lastLook)) // a pipe has deadlines
	_, _ = g.moments.Write(g.at.bytes())                     // a guard that is gone is noticed by its reports' end
}

// attend stays until the command has ended, and returns the last report.
func (g *guarded) attend(h hold, signals <-chan os.Signal) report {
	defer g.moments.Close()
	if h.look == 0 {
		h.look = lookEvery
	}
	look := time.NewTicker(h.look)
	defer look.Stop()
	for {
		select {
		case r, ok := <-g.reports:
			switch {
			case !ok:
				return g.kill("its guard was killed")
			case r.Ended:
				return r
			}
			g.heard(r)
		case s := <-signals:
			g.pass(s)
		case <-h.lost:
			h.lost = nil
			g.stop(h.after())
		case <-look.C:
			if h.end != nil && !g.stopping {
				g.renew(h.end())
			}
			if sinceBoot() >= g.force {
				return g.kill("its guard did not answer in time")
			}
		}
	}
}

func (g *guarded) heard(r report) {
	switch {
	case r.Started != 0:
		if g.group = r.Started; g.early != 0 {
			g.pass(g.early)
		}
	case r.Stopping:
		g.stopping = true
	case r.Over:
		g.group = 0
	}
}

// renew gives the command more time; less is what it has anyway.
func (g *guarded) renew(end time.Duration) {
	if end > g.end+time.Millisecond {
		g.end = end
		g.at, g.force = within(sinceBoot(), end)
		g.tell()
	}
}

// stop has the command stop now, and be killed at a moment, but no later than
// it would be anyway.
func (g *guarded) stop(kill time.Duration) {
	g.stopping = true
	g.at = moments{0, min(kill, g.at.kill)}
	g.force = min(min(kill, never-patience)+patience, g.force)
	g.tell()
}

// pass passes a signal on to the command's group.
func (g *guarded) pass(s os.Signal) {
	number, _ := s.(syscall.Signal)
	if g.early = number; g.group != 0 {
		_ = syscall.Kill(-g.group, number) // or it has just ended
	}
}

// kill kills the command, whatever its guard does, and the guard.
func (g *guarded) kill(why string) report {
	g.pass(syscall.SIGKILL)
	sweep(g.guard.Process.Pid)
	_ = g.guard.Process.Kill() // if it lives
	for range g.reports {
	}
	return report{Ended: true, Stopped: true, Error: why}
}

// shell is a command line as a shell takes it.
func shell(line string) []string { return []string{"sh", "-c", line} }

// ending is what vera ends with after a command: its status, or why it was
// stopped.
func ending(r report, lost error) error {
	switch {
	case r.Stopped && lost != nil:
		return statusError{statusLost, fmt.Errorf("%w; the command was stopped", lost)}
	case r.Stopped:
		return statusError{statusLost, fmt.Errorf("the command was stopped: %s", r.Error)}
	case r.Error != "":
		return statusError{r.Status, fmt.Errorf("the command cannot be run: %s", r.Error)}
	case r.Status != 0:
		return exitError(r.Status)
	default:
		return nil
	}
}
