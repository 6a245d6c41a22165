package main

import "testing"

func TestGarbageIsBounded(t *testing.T) {
	for _, row := range []struct {
		live uint64
		want int
	}{{0, 400}, {1 << 20, 400}, {16 << 20, 400}, {32 << 20, 200}, {64 << 20, 100}, {1 << 40, 100}} {
		if got := percent(row.live); got != row.want {
			t.Errorf("with %d bytes alive: %d %%, not %d %%", row.live, got, row.want)
		}
	}
}
