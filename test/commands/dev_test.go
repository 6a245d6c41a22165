package commands

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"vera/client"
	"vera/test/cluster"
	"vera/test/ports"
)

// shown is a peer as `vera dev` prints it.
type shown struct {
	name, client, admin string
	pid                 int
	leads               bool
}

var line = regexp.MustCompile(`(?m)^  (peer-\d)   clients http://(\S+)   admin http://(\S+)/   kill -9 (\d+)(   leads)?$`)

// develop starts `vera dev` and returns its peers once it has printed them.
func develop(t *testing.T, peers int, more ...string) (*background, []shown) {
	t.Helper()
	port := ports.For(t, 10*peers).First
	bin := cluster.Prepare(t, 0, cluster.Options{}).Binary()
	args := []string{"dev", "--peers", strconv.Itoa(peers), "--port", strconv.Itoa(port), "--data-dir", filepath.Join(t.TempDir(), "dev")}
	dev := start(t, bin, append(args, more...)...)
	var all []shown
	eventually(t, "the peers of vera dev", func() error {
		found := line.FindAllStringSubmatch(dev.out.String(), -1)
		if len(found) < peers && dev.runs() {
			return fmt.Errorf("printed %s", dev.out)
		}
		for _, m := range found {
			pid, err := strconv.Atoi(m[4])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, shown{m[1], m[2], m[3], pid, m[5] != ""})
		}
		return nil
	})
	if len(all) != peers {
		t.Fatalf("vera dev ended: %v", dev.failed)
	}
	return dev, all
}

func TestDevIsAClusterThatLosesAPeerAndNothingElse(t *testing.T) {
	t.Parallel()
	dev, all := develop(t, 3, "--", "--grace", "20s")
	var leader shown
	var others []shown
	for _, p := range all {
		if p.leads {
			leader = p
		} else {
			others = append(others, p)
		}
	}
	if leader.name == "" || len(others) != 2 {
		t.Fatalf("printed %s", dev.out)
	}
	c := call(t, others[0].client, client.Options{})
	if _, err := c.Push(within(t), "/data/kept", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Session(within(t)); err != nil || s.GraceMs != 20_000 {
		t.Errorf("flags behind -- do not reach the peers: %+v, %v", s, err)
	}
	if err := syscall.Kill(leader.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, p := range others {
		eventually(t, "pushes through "+p.name, func() error { return pushes(p.client) })
	}
	if l, err := c.Get(within(t), "/data/kept"); err != nil || len(l.Items) != 1 {
		t.Errorf("kept %v, %v", l.Items, err)
	}
	label := leader.name + " | "
	eventually(t, "the report of the killed peer", func() error {
		if !strings.Contains(dev.err.String(), label+"process "+strconv.Itoa(leader.pid)+" ended: signal: killed") {
			return fmt.Errorf("printed %s", dev.err)
		}
		return nil
	})
	_, rest, _ := strings.Cut(dev.err.String(), "This starts it again:\n"+label)
	again, _, _ := strings.Cut(rest, "\n")
	start(t, "sh", "-c", "exec "+again)
	eventually(t, "pushes through "+leader.name, func() error { return pushes(leader.client) })
	if err := dev.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if dev.await(t); dev.failed != nil {
		t.Errorf("after Ctrl-C: %v", dev.failed)
	}
	for _, p := range others {
		if err := gone(p.pid); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestDevTakesItsPeersWithIt(t *testing.T) {
	t.Parallel()
	dev, all := develop(t, 2)
	if err := dev.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	dev.await(t)
	for _, p := range all {
		eventually(t, p.name+" to be gone", func() error { return gone(p.pid) })
	}
}

func TestDevSaysWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	bin := cluster.Prepare(t, 0, cluster.Options{}).Binary()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := filepath.Join(t.TempDir(), "dev")
	for _, row := range []struct {
		args   []string
		status int
		word   string
	}{
		{[]string{"dev", "--peers", "0"}, 2, "--peers is 0"},
		{[]string{"dev", "--peers", "10", "--port", "0"}, 2, "--port is 0"},
		{[]string{"dev", "three"}, 2, "three"},
		{[]string{"dev", "--port", port, "--data-dir", dir}, 1, "--port"},
		{[]string{"dev", "--peers", "1", "--port", strconv.Itoa(ports.For(t, 10).First), "--data-dir", dir, "--", "--grace", "soon"}, 1, "peer-1 did not come up"},
	} {
		_, said, status := run(t, bin, row.args...)
		if status != row.status || !strings.Contains(said, row.word) {
			t.Errorf("vera %v: %d %s", row.args, status, said)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v, %v", info, err)
	}
}
