package test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"vera"
	"vera/client"
)

func TestWatchesAndItemsSurviveALostConnection(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	other := call(t, p, client.Options{})
	head := other.push(path+"/head", number(0))
	c := call(t, p, client.Options{})
	held := c.push(path+"/own", number(1))
	c.push(path+"/head", number(1))
	c.watch(path + "/own")
	c.watch(path+"/head", client.Limit(1))
	c.watch(path+"/long", client.NoItems())
	c.watch(path + "/empty")
	c.reset()
	missed := other.push(path+"/long", number(2))

	var resets []client.Notification // by the reading goroutine
	c = call(t, p, client.Options{Cookie: c.Cookie(), Trace: func(sent bool, message []byte) {
		var n client.Notification
		if !sent && json.Unmarshal(message, &n) == nil && n.Reset {
			resets = append(resets, n)
		}
	}})
	s := c.session()
	if !s.Resumed || !slices.Contains(s.Items, client.Held{Path: path + "/own", Version: held.Version}) || len(s.Items) != 2 || len(s.Watches) != 4 {
		t.Errorf("resumed as %s", text(s))
	}
	for list, want := range map[string][]uint64{"/own": {held.Version}, "/head": {head.Version}, "/long": {missed.Version}, "/empty": {}} {
		first := (&feed{t, c.Watched(path + list), client.Listing{}}).next()
		if !first.Reset || first.Items == nil || !slices.Equal(versions(first.Items), want) {
			t.Errorf("%s begins again with %s, want a reset with %v", list, text(first), want)
		}
		f := follow(client.Listing{Index: first.Index, ETag: first.ETag, Items: first.Items})
		if list == "/head" {
			continue // more behind the head are not told
		}
		other.push(path+list, number(3))
		if err := f.take((&feed{t, c.Watched(path + list), client.Listing{}}).next()); err != nil {
			t.Errorf("%s goes on: %v", list, err)
		}
	}
	c.Abort()
	if len(resets) != 4 {
		t.Errorf("four watched lists were reset %d times: %s", len(resets), text(resets))
	}
}

func TestASessionThatComesBackTooLateIsANewLife(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	c := call(t, p, client.Options{Grace: 200 * time.Millisecond})
	item := c.push(path, number(1))
	c.watch(path)
	id := c.session().Session
	c.reset()
	if _, reason := w.removal(item.Version); reason != "expired" {
		t.Errorf("reason %q", reason)
	}
	c = call(t, p, client.Options{Cookie: c.Cookie()})
	if s := c.session(); s.Resumed || len(s.Items) != 0 || len(s.Watches) != 0 || s.Session != id {
		t.Errorf("came back as %s, was %s", text(s), id)
	}
	if l := c.get(path); len(l.Items) != 0 {
		t.Errorf("the new life found %s", text(l))
	}
	_, err := c.Update(within(t, patience), path, item.Version, number(2))
	refused(t, err, vera.NotFound, "")
}

func TestWhoeverHasANewConnectionMayCloseTheOldOne(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	item := c.push(path, number(1))
	for range 20 {
		next := call(t, p, client.Options{Cookie: c.Cookie()})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = next
	}
	if s := c.session(); !s.Resumed || len(s.Items) != 1 || s.Items[0].Version != item.Version {
		t.Errorf("after twenty changes of connection: %s", text(s))
	}
}

func TestLabelsMakeSessionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	plain := call(t, p, client.Options{})
	a := call(t, p, client.Options{Cookie: plain.Cookie(), Label: "tab-A"})
	b := call(t, p, client.Options{Cookie: plain.Cookie(), Label: "tab_b.2"})
	ids := []string{plain.session().Session, a.session().Session, b.session().Session}
	if slices.Sort(ids); len(slices.Compact(ids)) != 3 {
		t.Errorf("the sessions are %v", ids)
	}
	ofA, ofB := a.push(path, number(1)), b.push(path, number(2))
	_, err := b.Remove(within(t, patience), path, ofA.Version)
	refused(t, err, vera.Forbidden, "")
	w := plain.watch(path)
	b.reset()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	w.removal(ofA.Version)
	b = call(t, p, client.Options{Cookie: plain.Cookie(), Label: "tab_b.2"})
	if s := b.session(); !s.Resumed || len(s.Items) != 1 || s.Items[0].Version != ofB.Version {
		t.Errorf("the other label resumed as %s", text(s))
	}
	for _, label := range []string{"with space", "ä", strings.Repeat("x", 65), "a/b"} {
		_, err := tryCall(t, p, client.Options{Label: label})
		refused(t, err, vera.InvalidParameter, "client")
	}
	if s := call(t, p, client.Options{Label: strings.Repeat("x", 64)}).session(); s.Resumed {
		t.Errorf("a label of 64: %s", text(s))
	}
}

func TestTwoConnectionsOfOneSession(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	first := call(t, p, client.Options{})
	second := call(t, p, client.Options{Cookie: first.Cookie()})
	item := first.push(path, number(1))
	if _, err := second.Update(within(t, patience), path, item.Version, number(2)); err != nil {
		t.Errorf("the second may not change what the first pushed: %v", err)
	}
	if a, b := first.session().Session, second.session().Session; a != b {
		t.Errorf("the sessions are %s and %s", a, b)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if s := second.session(); len(s.Items) != 1 {
		t.Errorf("after the first closed: %s", text(s))
	}
	if l := second.get(path, client.Consistent()); len(l.Items) != 1 {
		t.Errorf("after the first closed: %s", text(l))
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, reason := w.removal(item.Version); reason != "closed" {
		t.Errorf("reason %q", reason)
	}
}

func TestActionCloseEndsTheSessionForAllItsConnections(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	first := call(t, p, client.Options{})
	second := call(t, p, client.Options{Cookie: first.Cookie()})
	item := second.push(path, number(1))
	w.arrival(item.Version)
	if err := first.End(within(t, patience)); err != nil {
		t.Fatalf("the answer comes first: %v", err)
	}
	first.closedWith(vera.CloseDone)
	second.closedWith(vera.CloseEnded)
	if _, reason := w.removal(item.Version); reason != "closed" {
		t.Errorf("reason %q", reason)
	}
	again := call(t, p, client.Options{Cookie: first.Cookie(), Grace: 100 * time.Millisecond})
	again.push(path, number(2))
	if s := again.session(); s.Resumed || s.GraceMs != 100 {
		t.Errorf("came back as %s", text(s))
	}
}

func TestARequestWhileTheSessionEndsIsAnswered(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	for range 20 {
		first := call(t, p, client.Options{})
		second := call(t, p, client.Options{Cookie: first.Cookie()})
		first.push(path, number(0), client.Limit(0))
		var sent []*client.Pending
		for n := range 10 {
			pending, err := second.StartPush(within(t, patience), path, number(n), client.Limit(0))
			if err != nil {
				t.Fatal(err)
			}
			if sent = append(sent, pending); n == 5 {
				go func() { _ = first.End(within(t, patience)) }()
			}
		}
		for _, pending := range sent { // OK, then SessionEnded, or the connection's end: never silence
			_, err := pending.Listing(within(t, patience))
			over, closed := errors.AsType[*client.Closed](err)
			refusal, is := errors.AsType[*vera.Error](err)
			if err != nil && !(closed && over.Code == vera.CloseEnded) && !(is && refusal.Code == vera.SessionEnded) {
				t.Errorf("answered %v", err)
			}
		}
		second.closedWith(vera.CloseEnded)
	}
	eventually(t, "an empty list", func() bool { return len(call(t, p, client.Options{}).get(path).Items) == 0 })
}

func TestSessionTellsWhatAClientIsAndHolds(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{Grace: 3 * time.Second, Heartbeat: 700 * time.Millisecond})
	fresh := c.session()
	if fresh.Resumed || len(fresh.Items)+len(fresh.Watches) != 0 || fresh.GraceMs != 3000 || fresh.HeartbeatMs != 700 || fresh.Index == 0 {
		t.Errorf("fresh: %s", text(fresh))
	}
	if fresh.Peer == "" || fresh.Leader != fresh.Peer {
		t.Errorf("peer %q, leader %q", fresh.Peer, fresh.Leader)
	}
	item := c.push(path+"/a", number(1))
	c.watch(path+"/b", client.Limit(1), client.NoItems())
	s := c.session()
	if !slices.Equal(s.Items, []client.Held{{Path: path + "/a", Version: item.Version}}) || s.Index < item.Index || s.SafeMs != 3000 {
		t.Errorf("holding one: %s", text(s))
	}
	if len(s.Watches) != 1 || s.Watches[0].Path != path+"/b" || *s.Watches[0].Limit != 1 || *s.Watches[0].Items {
		t.Errorf("watching one: %s", text(s.Watches))
	}
}

func TestGetSessionAnswersWhatTheActionAnswers(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	ask := func(route, cookie string) (s client.Session, r *http.Response) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url()+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			request.Header.Set("Cookie", cookie)
		}
		r, err = quickHTTP().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &s)
		}
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s %v", route, r.Status, body, err)
		}
		return s, r
	}
	fresh, r := ask("/session?graceMs=1234", "")
	cookies := r.Cookies()
	if fresh.Resumed || fresh.GraceMs != 1234 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Path != "/" {
		t.Fatalf("fresh: %s with %v", text(fresh), cookies)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	c := call(t, p, client.Options{Cookie: cookie})
	if s := c.session(); s.Session != fresh.Session || s.Resumed {
		t.Errorf("connected as %s, promised %s", text(s), text(fresh))
	}
	item := c.push(path, number(1))
	s, r := ask("/session", cookie)
	if s.Session != fresh.Session || !s.Resumed || !slices.Equal(s.Items, []client.Held{{Path: path, Version: item.Version}}) {
		t.Errorf("holding one: %s", text(s))
	}
	if len(r.Cookies()) != 0 {
		t.Errorf("a cookie that is good was set anew: %v", r.Cookies())
	}
	if labelled, _ := ask("/session?client=x", cookie); labelled.Session == s.Session || labelled.Resumed {
		t.Errorf("with a label: %s", text(labelled))
	}
	read, err := quickHTTP().Get(p.url() + path)
	if err != nil {
		t.Fatal(err)
	}
	read.Body.Close()
	if len(read.Cookies()) != 0 {
		t.Errorf("a read set %v", read.Cookies())
	}
}
