package actors

import (
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"vera"
)

func TestMain(m *testing.M) {
	shared() // outside of any bubble
	goleak.VerifyTestMain(m)
}

// shared is one actor system for all tests: each costs 2.9 MB.
var shared = sync.OnceValue(func() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		if os.Getenv("VERA_PROTOACTOR_LOG") != "" {
			return slog.Default()
		}
		return slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}))
})

func testOptions() Options {
	limits := vera.DefaultLimits(10_000)
	return Options{Limits: limits, Shards: 4}
}

// newSystem starts actors on a log in memory. When the test ends nothing of
// them may be left.
func newSystem(t testing.TB, change ...func(*Options)) (*System, *memory) {
	t.Helper()
	o := testOptions()
	o.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	for _, c := range change {
		c(&o)
	}
	l := newMemory()
	y, err := start(o, l, l.feed, shared())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.hold(false)
		y.Close()
		l.close()
		for _, k := range y.kinds.all() {
			if n := k.count(); n > 0 {
				t.Errorf("%d actors of kind %s are left", n, k.name)
			}
		}
		if err := l.machine.Check(); err != nil { // its goroutine has ended
			t.Errorf("the machine: %v", err)
		}
	})
	return y, l
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		<-ticker.C
	}
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { <-time.After(d) }
