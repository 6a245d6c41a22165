package test

import (
	"net/http"
	"strings"
	"testing"

	"vera"
	"vera/client"
)

func TestUpdateKeepsVersionAndPlace(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	first := c.push(path, number(1))
	second := c.push(path, number(2))
	l, err := c.Update(within(t, patience), path, first.Version, map[string]string{"new": "data"})
	if err != nil {
		t.Fatal(err)
	}
	head := l.Items[0]
	if head.Version != first.Version || head.Updated <= second.Version || string(head.Data) != `{"new":"data"}` || etag(t, l.ETag) != head.Updated {
		t.Errorf("after the update: %s", text(l))
	}
	if l.Items[1].Version != second.Version || l.Items[1].Updated != 0 {
		t.Errorf("the other item: %s", text(l.Items[1]))
	}
	if read := call(t, p, client.Options{}).get(path, client.MinIndex(l.Index)); text(read.Items) != text(l.Items) || read.ETag != l.ETag {
		t.Errorf("another client reads %s", text(read))
	}
}

func TestOnlyItsSessionChangesAnItem(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	owner, other := call(t, p, client.Options{}), call(t, p, client.Options{})
	item := owner.push(path, number(1))
	ctx := within(t, patience)
	_, err := other.Update(ctx, path, item.Version, number(2))
	refused(t, err, vera.Forbidden, "")
	_, err = other.Remove(ctx, path, item.Version)
	refused(t, err, vera.Forbidden, "")
	if l := other.get(path); len(l.Items) != 1 || l.ETag != item.ETag {
		t.Errorf("refusals changed the list: %s", text(l))
	}
	// Another connection of the session is not somebody else.
	if _, err := call(t, p, client.Options{Cookie: owner.Cookie()}).Update(ctx, path, item.Version, number(3)); err != nil {
		t.Error(err)
	}
	l, err := owner.Remove(ctx, path, item.Version)
	if err != nil || len(l.Items) != 0 || l.ETag != "0" {
		t.Errorf("removed: %s, %v", text(l), err)
	}
	if _, err := owner.Remove(ctx, path, item.Version); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if _, err := other.Remove(ctx, path, item.Version); err != nil {
		t.Errorf("a stranger removing what is gone: %v", err)
	}
	_, err = owner.Update(ctx, path, item.Version, number(4))
	refused(t, err, vera.NotFound, "")
}

func TestIfMatchMeansTheListsETag(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	ctx := within(t, patience)
	item := c.push(path, number(1), client.IfMatch("0"))
	later := c.push(path, number(2), client.IfMatch(item.ETag))

	l, err := c.Update(ctx, path, item.Version, number(3), client.IfMatch(item.ETag))
	refused(t, err, vera.PreconditionFailed, "ifMatch")
	if l.ETag != later.ETag || len(l.Items) != 2 {
		t.Errorf("a failed update shows %s", text(l))
	}
	l, err = c.Remove(ctx, path, item.Version, client.IfMatch(item.ETag))
	refused(t, err, vera.PreconditionFailed, "ifMatch")
	if l.ETag != later.ETag || len(l.Items) != 2 {
		t.Errorf("a failed removal shows %s", text(l))
	}
	l, err = c.Update(ctx, path, item.Version, number(3), client.IfMatch(later.ETag))
	if err != nil || l.ETag == later.ETag {
		t.Fatalf("update: %s, %v", text(l), err)
	}
	if l, err = c.Remove(ctx, path, item.Version, client.IfMatch(l.ETag)); err != nil || len(l.Items) != 1 || etag(t, l.ETag) <= later.Version {
		t.Errorf("removal: %s, %v", text(l), err)
	}
}

func TestAnItemShowsWhoseItIs(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	item := c.push(path, number(1)).Items[0]
	if item.Owner != "127.0.0.1" || item.Session != c.session().Session {
		t.Errorf("the item: %s", text(item))
	}
	if _, err := vera.ParseSessionID(item.Session); err != nil {
		t.Error(err)
	}
	hidden := startPeer(t, "--owner", "session")
	c = call(t, hidden, client.Options{})
	if item = c.push(path, number(1)).Items[0]; item.Owner != item.Session {
		t.Errorf("with --owner=session: %s", text(item))
	}
}

func TestDataComesBackDigitForDigit(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := speak(t, p, "")
	sent := `{"z":12345678901234567890,"a":1.10,"e":1e999,"__proto__":{"x":1},"page":"<img src=x onerror=alert(1)>","u":"\u0041","deep":[[[]]]}`
	spaced := `{ "z" : 12345678901234567890 , "a":1.10,"e":1e999,"__proto__":{"x": 1},"page":"<img src=x onerror=alert(1)>","u":"\u0041","deep":[[ []] ] }`
	c.ask(`{"rid":1,"action":"push","path":"` + path + `","data":` + spaced + `}`)
	if r := c.ask(`{"rid":2,"action":"get","path":"` + path + `"}`); len(r.Items) != 1 || string(r.Items[0].Data) != sent {
		t.Errorf("came back as %s", r.raw)
	}
}

func TestForwardedAddressesCountOnlyFromTrustedProxies(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("203.0.113.9, ", 500)
	owner := func(p *peer, forwarded string) string {
		o := client.Options{Header: http.Header{"X-Forwarded-For": {forwarded}}}
		return call(t, p, o).push(here(t), number(1), client.Limit(1)).Items[0].Owner
	}
	if shown := owner(startPeer(t), "203.0.113.9"); shown != "127.0.0.1" {
		t.Errorf("from anybody: %s", shown)
	}
	for forwarded, want := range map[string]string{
		"203.0.113.9":                      "203.0.113.9",
		"198.51.100.7, 203.0.113.9":        "203.0.113.9",
		"203.0.113.9, 10.1.2.3, 127.0.0.1": "203.0.113.9",
		many + "198.51.100.7, 10.9.8.7":    "198.51.100.7",
		"2001:db8::1":                      "2001:db8::1",
	} {
		if shown := owner(startPeer(t, "--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"), forwarded); shown != want {
			t.Errorf("%.60s from a trusted one: %s, want %s", forwarded, shown, want)
		}
	}
}
