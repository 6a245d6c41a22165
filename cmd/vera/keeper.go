package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// longestLine bounds a line of a child's log.
const longestLine = 1 << 20

// child is a peer that is a process of its own.
type child struct {
	name   string
	colour int
	args   []string
	addresses

	process *exec.Cmd
	over    bool
}

// news is what a child has to tell: that it listens, or that it ended.
type news struct {
	child *child
	over  bool
	err   error // how it ended
}

// keeper starts children, shows what they log, and stops them.
type keeper struct {
	children []*child
	program  string
	out      *labelled
	ready    func() // all listen
	heard    chan news

	running sync.WaitGroup
}

// run returns when no child is left. The error says why, unless ctx was done.
func (k *keeper) run(ctx context.Context) error {
	err := k.start()
	defer k.running.Wait()
	up, living := 0, 0
	for _, c := range k.children {
		if c.process != nil {
			living++
		}
	}
	stop, hurry := ctx.Done(), make(chan os.Signal, 1)
	if err != nil {
		k.signal(syscall.SIGTERM)
	}
	for living > 0 {
		select {
		case n := <-k.heard:
			if !n.over {
				if up++; up == len(k.children) && err == nil {
					go k.ready() // it asks the children, which go on telling meanwhile
				}
				continue
			}
			living--
			if n.child.over = true; stop == nil || err != nil {
				continue
			}
			if err = k.lost(n, up); err != nil {
				k.signal(syscall.SIGTERM)
			}
		case <-stop:
			stop = nil
			signal.Notify(hurry, syscall.SIGINT, syscall.SIGTERM)
			defer signal.Stop(hurry)
			k.signal(syscall.SIGTERM)
		case <-hurry:
			k.signal(syscall.SIGKILL)
		}
	}
	if err == nil && stop != nil {
		err = errors.New("no peer is left")
	}
	return err
}

// lost tells of a child that ended by itself. The error says that the others
// must end as well: it never came up.
func (k *keeper) lost(n news, up int) error {
	if up < len(k.children) {
		return fmt.Errorf("%s did not come up: %w", n.child.name, n.err)
	}
	how := "ended"
	if n.err != nil {
		how = "ended: " + n.err.Error()
	}
	k.out.say(n.child, fmt.Sprintf("process %d %s. The others go on. This starts it again:\n%s %s\n", n.child.process.Process.Pid, how, k.program, quoted(n.child.args)))
	return nil
}

// start starts all children on one thread that lives for as long as they do:
// the kernel ends a child with the thread that started it.
func (k *keeper) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for _, c := range k.children {
			if err := k.begin(c); err != nil {
				started <- fmt.Errorf("%s: %w", c.name, err)
				k.running.Wait()
				return
			}
		}
		started <- nil
		k.running.Wait()
	}()
	return <-started
}

func (k *keeper) begin(c *child) error {
	cmd := exec.Command(k.program, append(c.args, "--log-format", "json")...)
	cmd.SysProcAttr = dependent()
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.process = cmd
	k.running.Go(func() {
		k.follow(c, log)
		k.heard <- news{child: c, over: true, err: cmd.Wait()}
	})
	return nil
}

// follow shows what a child logs, and says when it listens.
func (k *keeper) follow(c *child, log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		k.out.line(c, lines.Bytes())
		var said struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Message == listeningMessage {
			k.heard <- news{child: c}
		}
	}
	_, _ = io.Copy(io.Discard, log) // behind a line that is too long: it must not wait for us
}

// signal sends a signal to the children that live.
func (k *keeper) signal(s syscall.Signal) {
	for _, c := range k.children {
		if c.process != nil && !c.over {
			_ = c.process.Process.Signal(s) // one that has just ended needs none
		}
	}
}

// quoted writes arguments as a shell takes them.
func quoted(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("-_./:,=@%+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		b.WriteString(a)
	}
	return b.String()
}

// labelled writes what several peers log, each line with its peer's name.
type labelled struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
}

func newLabelled(out io.Writer) *labelled {
	return &labelled{out: out, colour: isTerminal(out) && os.Getenv("NO_COLOR") == ""}
}

// line shows one line of a log: made readable when it is JSON, else as it is.
func (l *labelled) line(c *child, line []byte) {
	var b strings.Builder
	console := zerolog.ConsoleWriter{Out: &b, NoColor: !l.colour, TimeFormat: time.TimeOnly}
	if _, err := console.Write(line); err != nil {
		b.Reset()
		b.Write(line)
		b.WriteByte('\n')
	}
	l.say(c, b.String())
}

// say shows lines of a text.
func (l *labelled) say(c *child, text string) {
	label := c.name + " | "
	if l.colour {
		label = fmt.Sprintf("\x1b[%dm%s\x1b[0m", 31+(c.colour+1)%6, label)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(text) {
		fmt.Fprint(l.out, label, line)
	}
}
