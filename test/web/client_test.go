package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"vera/test/cluster"
)

func TestTheJavaScriptClientInChromium(t *testing.T) {
	browser(t)
	pages := httptest.NewServer(http.FileServer(http.Dir(".")))
	defer pages.Close()
	stranger := httptest.NewServer(http.FileServer(http.Dir(".")))
	defer stranger.Close()
	c := cluster.Start(t, 1, cluster.Options{Flags: append(times(grace), "--allowed-origins", pages.URL)})
	drive(t, "client.mjs", nil, "VERA=http://"+c.Peers[0].Client, "PAGES="+pages.URL, "STRANGER="+stranger.URL,
		fmt.Sprint("GRACE=", grace.Milliseconds()))
}

// TestHiddenTabs: a browser lets the timers of tabs that nobody sees ring once
// a second, and once a minute when they were set by timers.
func TestHiddenTabs(t *testing.T) {
	const grace = 6 * time.Second
	c := cluster.Start(t, 1, cluster.Options{Flags: times(grace)})
	drive(t, "hidden.mjs", nil, "VERA=http://"+c.Peers[0].Client, fmt.Sprint("GRACE=", grace.Milliseconds()))
}
