package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"vera/test/ports"
)

// veraPeers are three peers of Vera.
type veraPeers struct {
	binary  string
	lean    bool // loaded by the lean client; else by the Go client
	clients []string
	all     []*process
}

func (v *veraPeers) name() string {
	if v.lean {
		return "vera"
	}
	return "vera-go"
}

func (v *veraPeers) installed() error {
	_, err := os.Stat(v.binary)
	return err
}

// buildVera builds the binary as it is shipped.
func buildVera(place string) (string, error) {
	binary := filepath.Join(place, "vera")
	build := exec.Command("go", "build", "-o", binary, "vera/cmd/vera")
	build.Dir = "../.." // the module that this one measures
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return binary, nil
}

func (v *veraPeers) start(dir string, listen *ports.Block) error {
	v.all, v.clients = nil, nil
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		return err
	}
	var join []string
	for i := range peers {
		join = append(join, listen.Address(3*i+2))
	}
	for i := range peers {
		v.clients = append(v.clients, listen.Address(3*i))
		p := &process{path: v.binary, log: peerDir(dir, i) + ".log", args: []string{
			"serve", "--name", fmt.Sprintf("peer-%d", i), "--data-dir", peerDir(dir, i), "--log-level", "warn", "--drain", "0s",
			"--client-addr", listen.Address(3 * i), "--admin-addr", listen.Address(3*i + 1), "--peer-addr", listen.Address(3*i + 2),
			"--cluster-secret-file", secret, "--join", strings.Join(join, ","), "--expect", fmt.Sprint(peers),
			"--max-session-items", "100000000", "--max-list-items", "100000000", "--max-rate", "1000000",
		}}
		v.all = append(v.all, p)
		if err := p.run(); err != nil {
			return err
		}
	}
	if err := awaitPut(v); err != nil {
		return err
	}
	return await("three peers in the list", func() bool {
		known, err := v.known()
		return err == nil && len(known) == peers
	})
}

func (v *veraPeers) stop() error            { return killAll(v.all) }
func (v *veraPeers) process(i int) *process { return v.all[i] }

// known is /vera/peers, the leader first.
func (v *veraPeers) known() (names []string, err error) {
	err = errors.New("no peer answers")
	for _, addr := range v.clients {
		response, failed := http.Get("http://" + addr + "/vera/peers")
		if failed != nil {
			continue
		}
		text, failed := io.ReadAll(response.Body)
		response.Body.Close()
		var list struct {
			Items []struct {
				Data struct{ Name, Role string }
			}
		}
		if failed = errors.Join(failed, json.Unmarshal(text, &list)); failed != nil {
			err = failed
			continue
		}
		if len(list.Items) == 0 || list.Items[0].Data.Role != "leader" {
			err = errors.New("no leader is known")
			continue
		}
		for _, item := range list.Items {
			names = append(names, item.Data.Name)
		}
		return names, nil
	}
	return nil, err
}

func (v *veraPeers) leader() (leader int, err error) {
	err = await("a leader", func() bool {
		names, err := v.known()
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(names[0], "peer-%d", &leader)
		return err == nil
	})
	return leader, err
}

func (v *veraPeers) dial(peer int, crash bool) (client, error) {
	if v.lean {
		return dialLean(v.clients[peer], crash)
	}
	return dialGo(v.clients[peer], crash)
}
