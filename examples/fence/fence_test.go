package main

import (
	"os"
	"slices"
	"testing"

	"vera/examples/peer"
)

// TestMain is the example itself in the processes that it starts.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-store") {
		main()
		return
	}
	os.Exit(m.Run())
}

// A worker that is frozen in the middle of a step takes back what another has
// counted, unless the store looks at the fence.
func TestAFenceRefusesWhoIsLate(t *testing.T) {
	p, err := peer.Use(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, fenced := range []bool{false, true} {
		s := &store{fenced: fenced}
		if err := play(t.Context(), p.URL, s); err != nil {
			t.Fatal(err)
		}
		written, lost, refused := s.result()
		t.Logf("fenced: %v: %d counts acknowledged, %d of them lost; %d requests refused", fenced, written, lost, refused)
		if written < freezes*10 {
			t.Errorf("fenced: %v: only %d counts: this showed little", fenced, written)
		}
		switch {
		case fenced && lost != 0:
			t.Errorf("%d counts are lost in spite of the fence", lost)
		case fenced && refused == 0:
			t.Error("the fence refused nobody")
		case !fenced && lost == 0:
			t.Error("without a fence nothing was lost: nobody was late")
		}
	}
}
