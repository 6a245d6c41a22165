package actors

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"
)

// A peer with many sessions is declared gone, again and again and while it
// still attaches them: in the end each is attached, none has ended, and who
// pushed meanwhile did not wait for all of them.
func TestManySessionsAreAttachedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const many = 1500
		y, l := newSystem(t)
		for i := range many {
			h := hello(fmt.Sprint("holder", i))
			h.Grace = 0
			newSink(t, y, h, func([]byte) {}).conn.Receive(pushMessage(i))
		}
		pusher := connect(t, y, hello("pusher"))
		pusher.push("/data/a", `{}`)
		synctest.Wait()
		for n := range 6 {
			l.gone(10 * time.Second)
			if n%2 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		pass(time.Minute)
		if n := l.machine.Counts().Sessions; n != many+1 {
			t.Errorf("%d sessions are left of %d", n, many+1)
		}
		for s := range l.machine.Sessions() {
			if len(s.Attachments()) != 1 {
				t.Fatalf("%s is attached to %v, since %d", s.ID(), s.Attachments(), s.Since())
			}
		}
		pusher.leave(vera.EndedClean)
	})
}

// What waits for a batch of many is let pass: of each batch sessions that are
// attached again take a part, and others the rest.
func TestAttachingAgainLetsOthersPass(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const many = 4 * batchPatient
		y, l := newSystem(t)
		for i := range many {
			newSink(t, y, hello(fmt.Sprint("holder", i)), func([]byte) {}).conn.Receive(pushMessage(i))
		}
		pusher := connect(t, y, hello("pusher"))
		pusher.push("/data/a", `{}`)
		synctest.Wait()
		gate := make(chan struct{})
		l.with(func() { l.between = func() { <-gate } }) // one batch at a time
		l.gone(10 * time.Second)
		synctest.Wait()
		rid := pusher.send(`"action":"push","path":"/data/a","data":{}`)
		for range 2 { // the batch that was under way, and the next
			gate <- struct{}{}
			synctest.Wait()
		}
		answered := false
		for _, m := range pusher.messages() {
			answered = answered || m.RID == rid
		}
		if waiting := len(y.raft.patient); !answered || waiting == 0 {
			t.Errorf("answered is %v with %d sessions still to be attached", answered, waiting)
		}
		close(gate)
		pusher.leave(vera.EndedClean)
	})
}
