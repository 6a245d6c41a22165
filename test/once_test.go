package test

import (
	"fmt"
	"sync"
	"testing"

	"vera"
	"vera/client"
)

func TestOnceGivesOneItem(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	again := func(c *caller, options ...client.Option) client.Listing {
		t.Helper()
		return c.push(path, number(1), append(options, client.Once("key-1"))...)
	}
	first := again(c)
	if l := again(c); l.Version != first.Version || len(l.Items) != 1 {
		t.Errorf("again on the same connection: %s", text(l))
	}
	other := call(t, p, client.Options{Cookie: c.Cookie()})
	if l := again(other); l.Version != first.Version || len(l.Items) != 1 {
		t.Errorf("on another connection: %s", text(l))
	}
	if l := again(c, client.IfMatch("0")); l.Version != first.Version {
		t.Errorf("once is looked at before ifMatch: %s", text(l))
	}
	for what, push := range map[string]func() (client.Listing, error){
		"other data": func() (client.Listing, error) {
			return c.Push(within(t, patience), path, number(2), client.Once("key-1"))
		},
		"another path": func() (client.Listing, error) {
			return c.Push(within(t, patience), path+"/b", number(1), client.Once("key-1"))
		},
	} {
		l, err := push()
		refused(t, err, vera.InvalidParameter, "once")
		if l.Version != 0 {
			t.Errorf("%s under a used key gave %s", what, text(l))
		}
	}
	if _, err := c.Remove(within(t, patience), path, first.Version); err != nil {
		t.Fatal(err)
	}
	if l := again(c); l.Version != first.Version || len(l.Items) != 0 {
		t.Errorf("again when the item is gone: %s", text(l))
	}
	stranger := call(t, p, client.Options{})
	if l := again(stranger); l.Version <= first.Version || len(l.Items) != 1 {
		t.Errorf("another session's key: %s", text(l))
	}
}

func TestOnceHoldsOverALostConnectionAndNotOverALife(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	first := c.push(path, number(1), client.Once("k"))
	c.reset()
	c = call(t, p, client.Options{Cookie: c.Cookie()})
	if l := c.push(path, number(1), client.Once("k")); l.Version != first.Version || len(l.Items) != 1 {
		t.Errorf("after a lost connection: %s", text(l))
	}
	if err := c.End(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	c.closedWith(vera.CloseDone)
	c = call(t, p, client.Options{Cookie: c.Cookie()})
	if l := c.push(path, number(1), client.Once("k")); l.Version <= first.Version || len(l.Items) != 1 {
		t.Errorf("in a new life: %s", text(l))
	}
}

func TestOnceSentOnManyConnectionsAtOnceGivesOneItem(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	first := call(t, p, client.Options{})
	callers := []*caller{first}
	for range 7 {
		callers = append(callers, call(t, p, client.Options{Cookie: first.Cookie()}))
	}
	const keys = 20
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() {
			for n := range keys {
				if _, err := c.Push(within(t, patience), path, number(n), client.Once(fmt.Sprint(n)), client.Limit(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if l := first.get(path); len(l.Items) != keys {
		t.Errorf("%d items of %d keys", len(l.Items), keys)
	}
}

func TestOnceIsRememberedFor1024Keys(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	var pending []*client.Pending
	for n := range vera.OnceKeys + 10 {
		sent, err := c.StartPush(within(t, patience), path, number(n), client.Once(fmt.Sprint(n)), client.Limit(0))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, sent)
	}
	var given []uint64
	for _, sent := range pending {
		l, err := sent.Listing(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, l.Version)
	}
	for _, n := range []int{10, 500, vera.OnceKeys + 9} {
		if l := c.push(path, number(n), client.Once(fmt.Sprint(n)), client.Limit(0)); l.Version != given[n] {
			t.Errorf("key %d of the last 1,024 gave %d, then %d", n, given[n], l.Version)
		}
	}
}
