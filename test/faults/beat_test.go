package faults

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// beatEvery is how often a leader's command writes that it is at work.
const beatEvery = 4 * time.Millisecond

// A mark is a line of the fenced file: a command was at work at that moment.
type mark struct {
	fence   uint64
	who     int    // number of the candidate
	what    string // start, beat, stop
	refused bool   // by the file: a higher fence wrote before
	at      time.Duration
}

// beat is the command: it writes marks until SIGTERM, which it obeys, or with
// VERA_TEST_STUBBORN does not.
func beat(file string) {
	fence, err := strconv.ParseUint(os.Getenv("VERA_FENCE"), 10, 64)
	who, err2 := strconv.Atoi(os.Getenv("VERA_TEST_CANDIDATE"))
	if err != nil || err2 != nil {
		panic("no VERA_FENCE, or no candidate")
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	beats := time.NewTicker(beatEvery)
	for what := "start"; ; what = "beat" {
		write(f, mark{fence: fence, who: who, what: what, at: boottime()})
		select {
		case <-beats.C:
		case <-term:
			if os.Getenv("VERA_TEST_STUBBORN") == "" {
				write(f, mark{fence: fence, who: who, what: "stop", at: boottime()})
				os.Exit(0)
			}
		}
	}
}

// write is the resource's side: under a lock it sees whether a higher fence
// wrote before. What it refuses it writes down as well, since that is what the
// test is about.
func write(f *os.File, m mark) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		panic(err)
	}
	last := make([]byte, 128)
	size, err := f.Seek(0, 2)
	if err != nil {
		panic(err)
	}
	n, _ := f.ReadAt(last, max(0, size-int64(len(last))))
	lines := strings.Split(strings.TrimSpace(string(last[:n])), "\n")
	var before mark
	if size > 0 {
		before = markOf(lines[len(lines)-1])
	}
	highest := max(before.fence, m.fence)
	if _, err := fmt.Fprintf(f, "%d %d %d %s %d\n", highest, m.fence, m.who, m.what, m.at); err != nil {
		panic(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		panic(err)
	}
}

// markOf reads a line. Of one that was refused the fence is the higher one
// that refused it, so that the last line tells the highest.
func markOf(line string) (m mark) {
	var own uint64
	if _, err := fmt.Sscan(line, &m.fence, &own, &m.who, &m.what, (*int64)(&m.at)); err != nil {
		panic(fmt.Sprintf("%q: %v", line, err))
	}
	m.refused = own < m.fence
	return m
}

// marks reads the fenced file.
func marks(t testing.TB, file string) (all []mark) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasSuffix(line, "\n") {
			all = append(all, markOf(line))
		}
	}
	return all
}

func boottime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}

// TestTheVerdictSeesTwoCommands: the judge of elections must find what it is
// there for, by the file's order and by the clock.
func TestTheVerdictSeesTwoCommands(t *testing.T) {
	for text, wrong := range map[string]bool{
		"5 5 0 start 10\n5 5 0 beat 20\n9 9 1 start 21\n9 9 1 stop 30\n":  false,
		"5 5 0 start 10\n5 5 0 stop 20\n5 5 0 start 25\n9 9 1 start 30\n": false, // stopped in doubt, and led again
		"5 5 0 start 10\n9 9 1 start 20\n9 5 0 beat 19\n":                 true,
		"5 5 0 start 10\n5 5 0 beat 30\n9 9 1 start 29\n":                 true,
	} {
		var all []mark
		for line := range strings.Lines(text) {
			all = append(all, markOf(line))
		}
		if err := verdict(all); (err != nil) != wrong {
			t.Errorf("%q: %v", text, err)
		}
	}
}
