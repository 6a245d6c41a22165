package wheel

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const tick = 10 * time.Millisecond

func TestWheelFiresNeverEarlyAndLessThanATickLate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w := New[time.Duration](tick, 64)
	entries := make([]Entry[time.Duration], 2000)
	for i := range entries {
		entries[i].Value = time.Duration(random.Int64N(int64(5 * time.Second))) // up to eight turns
		w.Set(&entries[i], entries[i].Value)
	}
	count := 0
	for now := time.Duration(0); now <= 6*time.Second; now += tick {
		for _, e := range w.Advance(now, nil) {
			count++
			if late := now - e.Value; late < 0 || late >= tick && e.Value > 0 {
				t.Fatalf("due at %v, fired at %v", e.Value, now)
			}
		}
	}
	if count != len(entries) || w.Len() != 0 {
		t.Errorf("%d of %d fired, %d wait", count, len(entries), w.Len())
	}
}

func TestWheelIsToldLate(t *testing.T) {
	w := New[int](tick, 8)
	entries := make([]Entry[int], 40)
	for i := range entries {
		entries[i].Value = i + 1
		w.Set(&entries[i], time.Duration(i+1)*tick)
	}
	var fired []int
	for _, now := range []time.Duration{0, 5*tick - 1, 25 * tick, 25*tick + 1, time.Second} {
		some := []int{}
		for _, e := range w.Advance(now, nil) {
			some = append(some, e.Value)
		}
		slices.Sort(some)
		fired = append(fired, some...)
		if want := min(len(entries), int(now/tick)); len(fired) != want {
			t.Fatalf("at %v %d fired, want %d", now, len(fired), want)
		}
	}
	for i, n := range fired {
		if n != i+1 {
			t.Fatalf("fired %v", fired)
		}
	}
}

func TestWheelMovesAndRemoves(t *testing.T) {
	w := New[int](tick, 8)
	var moved, removed, past Entry[int]
	w.Set(&moved, 3*tick)
	w.Set(&removed, 3*tick)
	w.Advance(2*tick, nil)
	w.Set(&moved, 20*tick)
	w.Remove(&removed)
	w.Remove(&removed)
	if fired := w.Advance(19*tick, nil); len(fired) != 0 || removed.Set() || !moved.Set() {
		t.Errorf("%d fired", len(fired))
	}
	w.Set(&past, tick)
	if fired := w.Advance(19*tick+1, nil); len(fired) != 0 {
		t.Error("fired twice in a tick")
	}
	if fired := w.Advance(20*tick, nil); len(fired) != 2 || w.Len() != 0 {
		t.Errorf("%d fired, %d wait", len(fired), w.Len())
	}
	w.Set(&moved, 0)
	if fired := w.Advance(21*tick, nil); len(fired) != 1 || fired[0] != &moved {
		t.Error("an entry that fired cannot be set again")
	}
}

func BenchmarkSet(b *testing.B) {
	w := New[int](tick, 512)
	entries := make([]Entry[int], 100_000)
	for i := range entries {
		w.Set(&entries[i], time.Duration(i)*tick)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		w.Set(&entries[n%len(entries)], time.Duration(n)*time.Microsecond)
	}
}
