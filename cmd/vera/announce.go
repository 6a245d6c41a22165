package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// addresses are those in use, with ports that were picked.
type addresses struct {
	Client string `json:"client"`
	Peer   string `json:"peer,omitempty"` // none: it is alone
	Admin  string `json:"admin"`
}

// listeningMessage is the log's, when a peer serves.
const listeningMessage = "listening"

// announce tells scripts and people where the peer listens: a file, a log
// line, and what to do next.
func (p *peer) announce(s streams) error {
	a := addresses{Client: p.client.Addr().String(), Admin: p.admin.Addr().String()}
	if p.peers != nil {
		a.Peer = p.peers.Addr().String()
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := replaceFile(p.addressesPath(), append(text, '\n')); err != nil {
		return err
	}
	line := p.log.Info().Str("client", a.Client).Str("admin", a.Admin).Str("name", p.config.name)
	if a.Peer != "" {
		line.Str("peer", a.Peer)
	}
	line.Msg(listeningMessage)
	_, err = fmt.Fprint(s.out, p.greeting())
	return err
}

// replaceFile writes a file that others may be reading.
func replaceFile(path string, text []byte) error {
	if err := os.WriteFile(path+".tmp", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// greeting is what a person does next.
func (p *peer) greeting() string {
	url := p.clientURL()
	return fmt.Sprintf(`vera is ready.

Read a list:
  curl %[1]s/data/hello

Watch it, and push onto it, in a browser: open %[1]s and paste into its console
  vera = (await import("/vera.js")).connect(); vera.watch("/data/hello", list => console.log(list.items));
  vera.push("/data/hello", {from: "me"})

Look into this peer:
  %[2]s
%[3]s`, url, p.adminURL(), p.together())
}

// together is what a person may do with a peer that may have company.
func (p *peer) together() string {
	if p.peers == nil {
		return ""
	}
	return fmt.Sprintf(`
Look at the cluster:
  vera peers --server %s
`, p.adminURL())
}
