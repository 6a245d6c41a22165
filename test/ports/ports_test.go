package ports

import (
	"net"
	"sync"
	"testing"
)

// Many ask at once, each gets its own, and all of them can be listened on.
func TestNobodyGetsAPortThatAnotherHas(t *testing.T) {
	const asking, each = 50, 9
	var (
		mu    sync.Mutex
		owner = map[int]int{}
		all   sync.WaitGroup
	)
	for n := range asking {
		all.Go(func() {
			b, err := Reserve(each)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(b.Release)
			for i := range each {
				listener, err := net.Listen("tcp", b.Address(i))
				if err != nil {
					t.Error(err)
					continue
				}
				t.Cleanup(func() { listener.Close() })
				mu.Lock()
				if other, taken := owner[b.First+i]; taken {
					t.Errorf("%d and %d both have port %d", other, n, b.First+i)
				}
				owner[b.First+i] = n
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for port := range owner {
		if port < lowest || port >= kernels() {
			t.Errorf("port %d is not between %d and %d", port, lowest, kernels())
		}
	}
}

// What somebody has, or listens on, is not given again; what was given back is.
func TestAPortIsTakenUntilItIsGivenBack(t *testing.T) {
	b := For(t, 1)
	same := &Block{First: b.First}
	if err := same.hold(1); err == nil {
		t.Error("it was given twice")
	}
	same.Release()
	b.Release()
	if err := same.hold(1); err != nil {
		t.Error(err)
	}
	same.Release()
	listener, err := net.Listen("tcp", b.Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := same.hold(1); err == nil {
		t.Error("it was given though somebody listens")
	}
	same.Release()
}
