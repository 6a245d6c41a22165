package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

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
