package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test runs f in a bubble of its own, whose time begins at midnight UTC
// 2000-01-01 and passes when all in it wait; see synctest.Test.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if Raced {
		narrow.enter()
		defer narrow.leave()
	}
	synctest.Test(t, f)
}

// narrow is where the bubbles of a process are under the race detector.
var narrow bottleneck

// bottleneck has one processor for all that are in it.
type bottleneck struct {
	sync.Mutex
	inside  int // how many are
	outside int // the processors while nobody is
}

func (b *bottleneck) enter() {
	b.Lock()
	defer b.Unlock()
	if b.inside++; b.inside == 1 {
		b.outside = runtime.GOMAXPROCS(1)
	}
}

func (b *bottleneck) leave() {
	b.Lock()
	defer b.Unlock()
	if b.inside--; b.inside == 0 {
		runtime.GOMAXPROCS(b.outside)
	}
}
