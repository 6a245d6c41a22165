package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestTimersThatNobodyWaitsOn looks at tickers, from several goroutines, after
// they have ticked. In a plain bubble and under the race detector the process
// dies of it in most runs.
func TestTimersThatNobodyWaitsOn(t *testing.T) {
	Test(t, func(*testing.T) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(tickers)
		}
		all.Wait()
	})
}

func tickers() {
	var some [64]*time.Ticker
	for i := range some {
		some[i] = time.NewTicker(time.Millisecond)
		defer some[i].Stop()
	}
	for range 2000 {
		<-time.After(time.Millisecond)
		for _, ticker := range some {
			select {
			case <-ticker.C:
			default:
			}
		}
	}
}

func TestTheProcessorsAreGivenBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Run("also by who gives up", func(t *testing.T) {
		Test(t, func(t *testing.T) {
			if n := runtime.GOMAXPROCS(0); Raced && n != 1 {
				t.Errorf("a bubble has %d processors under the race detector", n)
			}
			t.SkipNow()
		})
	})
	if after := runtime.GOMAXPROCS(0); after != before {
		t.Errorf("%d processors, %d before", after, before)
	}
}
