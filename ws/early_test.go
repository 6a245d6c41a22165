package ws

import (
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestAPeerThatIsNotUpSaysThatItLives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, logged := l.Addr().String(), &buffer{}
	e := ServeEarly(l.(*net.TCPListener), zerolog.New(logged))
	for route, want := range map[string]int{"/livez": 200, "/readyz": 503, "/connect": 503, "/data/x": 503} {
		answer := ask(t, addr, lines("GET "+route+" HTTP/1.1", "Host: "+addr))
		if answer.StatusCode != want || want == 503 && !strings.Contains(answer.body, "not up yet") {
			t.Errorf("%s: %d %s", route, answer.StatusCode, answer.body)
		}
	}
	idle := dial(t, addr) // who says nothing does not keep the peer from coming up
	e.End()
	e.End()
	_ = idle.Close()
	p, _ := withAdmin(t)
	served := make(chan error, 1)
	go func() { served <- p.server.ServeAdmin(l) }()
	if answer := ask(t, addr, lines("GET /actors HTTP/1.1", "Host: "+addr)); answer.StatusCode != 200 {
		t.Errorf("afterwards: %d", answer.StatusCode)
	}
	p.server.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
