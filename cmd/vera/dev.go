package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// devBlock is how far apart the ports of two peers are: the last digits
	// tell what listens, those before which peer.
	devBlock = 10
	mostDev  = 9
	// wholeFor bounds the wait until all peers have a vote.
	wholeFor = 15 * time.Second
)

// dev is a cluster on this machine, to try things out: a process a peer.
type dev struct {
	streams
	peers, port int
	dir         string
	more        []string // flags of `vera serve`

	children []*child
}

func devCommand(s streams) *cobra.Command {
	d := &dev{streams: s}
	cmd := &cobra.Command{Use: "dev [-- FLAGS OF SERVE]", Short: "start a cluster on this machine, to try"}
	cmd.Long = "start a cluster on this machine, a process a peer, until Ctrl-C; what is behind -- is for each `vera serve`"
	cmd.Flags().IntVar(&d.peers, "peers", 3, "how many")
	cmd.Flags().IntVar(&d.port, "port", 8372, "the first peer's for clients; its others and those of more peers are counted up from here")
	cmd.Flags().StringVar(&d.dir, "data-dir", "./vera-dev", "where each peer has its data directory, and the secret is")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
			return usageError{fmt.Errorf("vera dev: %q is no flag; those of serve come behind --", args[0])}
		}
		d.more = args
		if err := d.check(); err != nil {
			return usageError{err}
		}
		return d.run(cmd.Context())
	}
	return cmd
}

func (d *dev) check() error {
	var errs []error
	if d.peers < 1 || d.peers > mostDev {
		errs = append(errs, fmt.Errorf("--peers is %d, outside 1 … %d", d.peers, mostDev))
	}
	if last := 65535 - mostDev*devBlock; d.port < 1 || d.port > last {
		errs = append(errs, fmt.Errorf("--port is %d, outside 1 … %d", d.port, last))
	}
	if d.dir == "" {
		errs = append(errs, errors.New("--data-dir is empty"))
	}
	return errors.Join(errs...)
}

// plan makes the directory and the secret, and says how each peer is started.
func (d *dev) plan() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	secret := filepath.Join(d.dir, "secret")
	if _, err := os.Stat(secret); errors.Is(err, os.ErrNotExist) {
		if err := writeSecret(secret, newSecret()); err != nil {
			return err
		}
	}
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	var all []string
	for i := range d.peers {
		port := d.port + i*devBlock
		c := &child{name: "peer-" + strconv.Itoa(i+1), colour: i, addresses: addresses{Client: at(port), Peer: at(port + 1), Admin: at(port + 2)}}
		all = append(all, c.Peer)
		d.children = append(d.children, c)
	}
	var together []string
	if d.peers > 1 {
		together = []string{"--join", strings.Join(all, ","), "--expect", strconv.Itoa(d.peers)}
	}
	for _, c := range d.children {
		c.args = slices.Concat([]string{"serve", "--data-dir", filepath.Join(d.dir, c.name), "--name", c.name,
			"--client-addr", c.Client, "--peer-addr", c.Peer, "--admin-addr", c.Admin,
			"--cluster-secret-file", secret, "--drain", "1s"}, together, d.more)
	}
	return d.free()
}

// free says which ports are taken, before anything is started.
func (d *dev) free() error {
	var errs []error
	for _, c := range d.children {
		for _, addr := range []string{c.Client, c.Peer, c.Admin} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
				continue
			}
			errs = append(errs, l.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nIs another vera running? Stop it, or choose other ports with --port", err)
	}
	return nil
}

// run starts the peers and stays until ctx is done or none is left.
func (d *dev) run(ctx context.Context) error {
	if err := d.plan(); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	k := &keeper{children: d.children, program: program, out: newLabelled(d.err), heard: make(chan news)}
	k.ready = func() { d.greet(ctx, d.out) }
	return k.run(ctx)
}

// called is how a person calls this program.
func (d *dev) called() string {
	if _, err := exec.LookPath("vera"); err == nil {
		return "vera"
	}
	if strings.HasPrefix(os.Args[0], filepath.Join(os.TempDir(), "go-build")) {
		return "go run ./cmd/vera"
	}
	return os.Args[0]
}

// whole waits until all peers have a vote, since before that not any one may be
// killed, and returns who leads; "" when that is not known in time.
func (d *dev) whole(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, wholeFor)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	ask := operator{server: "http://" + d.children[0].Admin}
	for {
		members, err := ask.members(ctx)
		if err == nil && len(members) >= len(d.children) && members[0].Role == "leader" && !slices.ContainsFunc(members, func(m member) bool { return m.Role == "observer" }) {
			return members[0].Name
		}
		select {
		case <-ctx.Done():
			return ""
		case <-look.C:
		}
	}
}

// greet says what a person does next.
func (d *dev) greet(ctx context.Context, out io.Writer) {
	first, last := d.children[0], d.children[len(d.children)-1]
	leader := d.whole(ctx)
	var b strings.Builder
	b.WriteString("\n" + strconv.Itoa(len(d.children)) + " peers are one Vera.\n\n")
	for _, c := range d.children {
		role := ""
		if c.name == leader {
			role = "   leads"
		}
		fmt.Fprintf(&b, "  %s   clients http://%s   admin http://%s/   kill -9 %d%s\n", c.name, c.Client, c.Admin, c.process.Process.Pid, role)
	}
	fmt.Fprintf(&b, `
Watch a list through one peer and push through another, each in a terminal of its own:
  %[1]s watch /data/hello --server http://%[2]s
  %[1]s push /data/hello '{"from":"me"}' --server http://%[3]s

Kill a peer as above: the others go on. Who leads says
  %[1]s peers --server http://%[4]s

Ctrl-C stops all. The data stays in %[5]s.

`, d.called(), last.Client, first.Client, last.Admin, d.dir)
	fmt.Fprint(out, b.String())
}
