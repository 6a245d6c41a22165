package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A command that may run only for as long as something holds runs under a
// guard: this program once more, between vera and the command. The guard is told
// until when, over a pipe, and stops the command when that moment has come or
// when vera is no more, whatever vera itself is doing: stopped, starved or dead.
//
//	vera ── moments, a pipe ──▸ guard ── SIGTERM, SIGKILL ──▸ command, its group and all below it
//	     ◂── reports, a pipe ──

const (
	// killAfter is how long a command has to end after SIGTERM when nothing
	// else presses.
	killAfter = 5 * time.Second
	// lookEvery bounds how long the guard sleeps: its timers stand still while
	// the machine sleeps, its clock does not.
	lookEvery = 250 * time.Millisecond
	// chaseEvery is how often it looks whether all that it killed is gone.
	chaseEvery = 5 * time.Millisecond
	// lastLook is how long it waits for moments that may be in the pipe
	// already, when it has just been stopped itself.
	lastLook = 5 * time.Millisecond

	momentsFD, reportsFD = 3, 4
)

// never is a moment that does not come.
const never = time.Duration(math.MaxInt64)

// moments are when a command gets SIGTERM and when SIGKILL, by sinceBoot.
type moments struct{ term, kill time.Duration }

func (m moments) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.term))
	return binary.BigEndian.AppendUint64(b, uint64(m.kill))
}

func momentsOf(b []byte) moments {
	return moments{time.Duration(binary.BigEndian.Uint64(b)), time.Duration(binary.BigEndian.Uint64(b[8:]))}
}

// report is what a guard tells, a line of JSON each.
type report struct {
	Started  int    `json:"started,omitzero"`  // the command's process, and its group
	Stopping bool   `json:"stopping,omitzero"` // it was sent SIGTERM
	Over     bool   `json:"over,omitzero"`     // nothing of it is left; the group's number is free from now on
	Ended    bool   `json:"ended,omitzero"`    // the last report
	Status   int    `json:"status,omitzero"`   // as a shell has it: 128+n for signal n
	Stopped  bool   `json:"stopped,omitzero"`  // by the guard
	Error    string `json:"error,omitzero"`    // why it could not be started
}

// guardCommand is `vera guard -- CMD…`, which nobody types.
func guardCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "guard -- CMD", Hidden: true, Args: cobra.MinimumNArgs(1)}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		in, out := os.NewFile(momentsFD, "moments"), os.NewFile(reportsFD, "reports")
		if _, err := out.Stat(); err != nil {
			return usageError{errors.New("guard is for vera's own use: see vera elect --help")}
		}
		rename("vera-guard")
		unix.CloseOnExec(momentsFD)
		unix.CloseOnExec(reportsFD)
		g := &guard{moments: make(chan moments), reports: json.NewEncoder(out), ended: make(chan struct{})}
		return g.run(in, args, s)
	}
	return cmd
}

// guard stops a command in time.
type guard struct {
	moments chan moments // closed when vera is no more
	reports *json.Encoder
	at      moments
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the command itself ended; others of its group may live

	stopping bool
}

func (g *guard) run(in io.Reader, argv []string, s streams) error {
	// Signals are vera's to pass on. They are taken and not ignored, since what
	// is ignored the command would ignore too.
	signal.Notify(make(chan os.Signal, 1), passed()...)
	go listen(in, g.moments)
	m, ok := <-g.moments
	if !ok || sinceBoot() >= m.term {
		return g.reports.Encode(report{Ended: true, Stopped: true})
	}
	g.at = m
	if err := errors.Join(adopt(), g.start(argv, s)); err != nil {
		return g.reports.Encode(report{Ended: true, Status: cannotRun(err), Error: err.Error()})
	}
	g.tell(report{Started: g.cmd.Process.Pid})
	g.watch()
	g.signal(syscall.SIGKILL)
	sweep(g.cmd.Process.Pid)
	g.tell(report{Over: true})
	status := g.reap()
	g.tell(report{Ended: true, Status: status, Stopped: g.stopping})
	return nil
}

// listen takes moments from the pipe until its other end is closed.
func listen(in io.Reader, to chan<- moments) {
	defer close(to)
	for b := make([]byte, 16); ; {
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		to <- momentsOf(b)
	}
}

// start starts the command, on a thread that lives for as long as the guard
// does: the kernel ends the command with it.
func (g *guard) start(argv []string, s streams) error {
	runtime.LockOSThread()
	g.cmd = exec.Command(argv[0], argv[1:]...)
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = s.in, s.out, s.err
	g.cmd.SysProcAttr = dependent()
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func() {
		awaitEnd(g.cmd)
		close(g.ended)
	}()
	return nil
}

// tell reports. When nobody listens any more there is nobody to tell.
func (g *guard) tell(r report) { _ = g.reports.Encode(r) }

// watch returns when the command has ended and what it left behind may be
// killed: at once when it ended by itself; else when all of it is gone, or at
// the moment of SIGKILL.
func (g *guard) watch() {
	orphans := make(chan os.Signal, 1)
	signal.Notify(orphans, syscall.SIGCHLD)
	for ended := g.ended; ended != nil || g.lingers(); g.judge() {
		select {
		case m, ok := <-g.moments:
			g.told(m, ok)
		case <-ended:
			ended = nil
		case <-orphans:
			bury(g.cmd.Process.Pid)
		case <-time.After(g.rest(ended == nil)):
		}
	}
}

// lingers says whether something is left of a command that ended while it was
// stopped, and still has time to end as well.
func (g *guard) lingers() bool {
	living, _ := descendants(os.Getpid())
	return g.stopping && len(living) > 0 && sinceBoot() < g.at.kill
}

// rest is how long there is nothing to do.
func (g *guard) rest(ended bool) time.Duration {
	now := sinceBoot()
	switch {
	case ended, g.stopping && now >= g.at.kill:
		return chaseEvery
	case g.stopping:
		return min(lookEvery, g.at.kill-now)
	default:
		return max(0, min(lookEvery, g.at.term-now))
	}
}

// told takes new moments, or that there will be none. Once the command was
// told to stop it has no more time than it had.
func (g *guard) told(m moments, ok bool) {
	switch {
	case !ok: // vera is no more
		g.moments = nil
		g.at = moments{0, min(g.at.kill, sinceBoot()+killAfter)}
	case g.stopping:
		g.at.kill = min(g.at.kill, m.kill)
	default:
		g.at = m
	}
}

// judge does what is due.
func (g *guard) judge() {
	if !g.stopping && sinceBoot() >= g.at.term {
		select { // a guard that was stopped itself finds its timers first, and then what is in the pipe
		case m, ok := <-g.moments:
			g.told(m, ok)
		case <-time.After(lastLook):
		}
	}
	if !g.stopping && sinceBoot() >= g.at.term {
		g.stopping = true
		g.signal(syscall.SIGTERM)
		g.signal(syscall.SIGCONT) // one that stands still would not hear it
		g.tell(report{Stopping: true})
	}
	if g.stopping && sinceBoot() >= g.at.kill {
		g.signal(syscall.SIGKILL)
		killBelow(os.Getpid())
	}
}

// signal sends a signal to the command's group. One that is gone needs none.
func (g *guard) signal(s syscall.Signal) { _ = syscall.Kill(-g.cmd.Process.Pid, s) }

// reap takes the command's status, as a shell has it.
func (g *guard) reap() int {
	if g.cmd.ProcessState == nil {
		_ = g.cmd.Wait() // what it says is in the state
	}
	return statusOf(g.cmd.ProcessState)
}

// sweep kills all processes below this one, and returns when none of them
// runs. The zombie of one child is left for its parent to reap.
func sweep(but int) {
	for killBelow(os.Getpid()) > 0 {
		<-time.After(chaseEvery)
		bury(but)
	}
	bury(but)
}

// bury reaps the children that others left to this process, all but one.
func bury(but int) {
	_, zombies := descendants(os.Getpid())
	for _, pid := range zombies {
		if pid != but {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // or it goes with this process
		}
	}
}

// killBelow kills every process below one, and says how many there were.
func killBelow(pid int) int {
	living, _ := descendants(pid)
	for _, below := range living {
		_ = syscall.Kill(below, syscall.SIGKILL) // or it has just ended
	}
	return len(living)
}

// statusOf is the exit status of a process as a shell has it.
func statusOf(s *os.ProcessState) int {
	if how, ok := s.Sys().(syscall.WaitStatus); ok && how.Signaled() {
		return 128 + int(how.Signal())
	}
	return s.ExitCode()
}

// cannotRun is the status of a shell whose command cannot be started.
func cannotRun(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// runnable says, before anything is pushed, whether a command can be started.
func runnable(argv []string) error {
	if _, err := exec.LookPath(argv[0]); err != nil {
		return statusError{cannotRun(err), fmt.Errorf("%s cannot be run: %w", argv[0], err)}
	}
	return nil
}
