package raft

import (
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera"
	"vera/raft/state"
)

// What hashicorp/raft has committed and not applied when it is shut down it may
// never answer. Whether it does is left to chance, hence the many times.
func TestChangeThatIsUnderWayDoesNotKeepAPeerFromEnding(t *testing.T) {
	for range 20 {
		play(t, func(t *testing.T, p *party) {
			r := p.open(p.options("a"))
			held := make(chan struct{})
			r.Propose([]state.Command{{Kind: state.Open, Session: vera.SessionID{1}}}, func([]state.Reply, error) { <-held }) // the machine stands still
			synctest.Wait()
			answered := make(chan error, 1)
			r.changing <- struct{}{}
			go func() {
				defer func() { <-r.changing }()
				answered <- r.commit(r.hraft.AddNonvoter("b-00000001", hraft.ServerAddress(p.Memory.card("b", 2).String()), 0, changeWithin))
			}()
			synctest.Wait()
			time.AfterFunc(20*time.Millisecond, func() { close(held) })
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-answered:
			case <-time.After(time.Second):
				t.Fatal("who asked for the change waits still")
			}
		})
	}
}
