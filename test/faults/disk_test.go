package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// needStrace skips, loudly, what this machine cannot do.
func needStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, and with it sick disks: %v (apt-get install strace)", err)
	}
}

// TestSickDisksOfALeader: a leader whose disk fails or hangs gives way to
// another within a few seconds, nothing acknowledged is lost, and a disk that
// failed ends its peer with a sentence.
func TestSickDisksOfALeader(t *testing.T) {
	needStrace(t)
	for _, row := range []struct {
		name, fault string
		ends        bool
		says        string
	}{
		{"fsync fails", "fdatasync:error=EIO", true, "the disk failed"},
		{"fsync hangs", "fdatasync:delay_enter=20000000", false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := cluster.Start(t, 3, cluster.Options{Plain: true})
			leader := c.Leader()
			m := connect(t, c, c.Followers()[0], client.Options{Grace: time.Minute})
			for n := 1; n <= 20; n++ {
				must[client.Listing](t)(m.push("/data/disk", number{n}, ""))
			}
			leader.Doom()
			detach := inject(t, leader, row.fault)
			start := time.Now()
			must[client.Listing](t)(patient(t, m, "/data/disk/after", 1))
			t.Logf("the next push was acknowledged after %v", time.Since(start))
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("no other leader for %v", took)
			}
			if row.ends {
				if err := leader.AwaitExit(cluster.Patience); err != nil {
					t.Fatal(err)
				}
				if leader.ExitError() == nil || !strings.Contains(leader.Log(), row.says) {
					t.Errorf("it ended with %v and without saying %q", leader.ExitError(), row.says)
				}
			}
			detach()
			if !leader.Runs() {
				leader.Restart()
			}
			c.AwaitWhole()
			if got := numbers(t, c, "/data/disk"); len(got) != 20 {
				t.Errorf("the list holds %v", got)
			}
		})
	}
}

// inject puts a fault into a running process's system calls, until the function
// that it returns is called.
func inject(t *testing.T, p *cluster.Peer, fault string) (detach func()) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", "-f", "-qq", "-p", p.PID(), "-e", "trace=fdatasync", "-e", "inject="+fault, "-o", log)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := cluster.Ask(cluster.Patience, func() error { // until strace holds every thread
		tasks, _ := filepath.Glob("/proc/" + p.PID() + "/task/*/status")
		for _, task := range tasks {
			if status, err := os.ReadFile(task); err == nil && strings.Contains(string(status), "TracerPid:\t0\n") {
				return errors.New(task + " is not traced")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	done := false
	detach = func() {
		if !done {
			done = true
			_ = cmd.Process.Signal(os.Interrupt) // it lets go of the process, if that lives
			_ = cmd.Wait()
		}
	}
	t.Cleanup(detach)
	return detach
}

// TestFullDiskOfAPeer: a leader whose disk fills refuses what grows before it is
// full, lets endings through, and takes pushes again when there is space.
func TestFullDiskOfAPeer(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("only root may mount a tmpfs")
		}
		t.Skip("SKIPPED: only root may mount a tmpfs")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=160m", "vera-test", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	c := cluster.Start(t, 3, cluster.Options{Dir: dir, Plain: true})
	m := connect(t, c, c.Followers()[0], client.Options{Grace: time.Minute})
	must[client.Listing](t)(m.push("/data/full", number{1}, ""))
	ballast := filepath.Join(dir, "ballast")
	fill(t, dir, ballast)
	c.Await("a push to be refused", func() error {
		_, err := m.push("/data/full/more", number{2}, "")
		if err == nil {
			return errStillTaken
		}
		if !strings.Contains(err.Error(), "disk") {
			t.Fatalf("refused with %v, which does not name the disk", err)
		}
		return nil
	})
	if err := m.conn.End(t.Context()); err != nil {
		t.Errorf("a session's end on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	again := connect(t, c, c.Leader(), client.Options{})
	c.Await("pushes again", func() error {
		_, err := again.push("/data/full/again", number{3}, "")
		return err
	})
	if got := numbers(t, c, "/data/full"); len(got) != 0 {
		t.Errorf("the ended session's list holds %v", got)
	}
}

var errStillTaken = errors.New("it was taken")

// fill fills a file system but for a megabyte.
func fill(t *testing.T, dir, file string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	left := int64(fs.Bavail)*fs.Bsize - 1<<20
	block := make([]byte, 1<<20)
	for ; left > 0; left -= int64(len(block)) {
		if _, err := out.Write(block[:min(left, int64(len(block)))]); err != nil {
			t.Fatal(err)
		}
	}
}
