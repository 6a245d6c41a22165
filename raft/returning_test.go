package raft

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

func TestPeerThatWasAwayWhileAllOthersWereReplacedFindsItsWay(t *testing.T) {
	for _, join := range []string{"", "d"} { // it is found by the new leader, or finds it
		t.Run("join "+join, func(t *testing.T) {
			play(t, func(t *testing.T, p *party) {
				p.three()
				p.close("c")
				p.open(p.options("d", "a"))
				p.open(p.options("e", "a"))
				p.eventually(5*time.Second, "d and e vote", func() bool { return strings.Count(list(p.peers["e"]), "follower") == 4 })
				for _, name := range []string{"a", "b"} {
					if err := p.peers["d"].Remove(t.Context(), name); err != nil {
						t.Fatal(err)
					}
					p.ended(name, "was removed")
					p.close(name)
				}
				pushed(t, p.peers["d"], "/data/x", 1)
				o := p.options("c", "b", "a")
				if join != "" {
					o = p.options("c", join)
				}
				p.open(o)
				p.eventually(5*time.Second, "c is back", func() bool {
					l, _ := p.peers["c"].Machine().List("/data/x")
					return l.Len() == 1 && p.agree(list(p.peers["d"]), "c", "e") && len(listed(p.peers["c"])) == 3
				})
				if p.peers["c"].trusted(keyOf(p.peers["d"].directory.key)) != true || len(p.peers["c"].book.rumours)+len(p.peers["c"].book.told) == 0 {
					t.Error("c was not told")
				}
			})
		})
	}
}

func TestStrangerIsBelievedNothing(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		p.close("c")
		// Who does not know the secret says that there is another cluster now.
		stranger := p.Memory.network("s", "key of s", []byte("not the cluster's secret"))
		served := hello{ID: "s-1", Formed: true, Cluster: p.peers["a"].Cluster(), Index: 1 << 40}
		stranger.serve(handlers{trusted: func(string) bool { return true }})
		defer stranger.close()
		for _, name := range []string{"a", "b"} {
			raw, err := json.Marshal(served)
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range []string{callHello, callJoin, callPromise, callChange} {
				if answer, err := stranger.call(t.Context(), target{address: name + ":1"}, what, raw); err == nil {
					t.Errorf("%s answers a stranger's %s with %s", name, what, answer)
				}
			}
		}
		advance(5 * time.Second)
		if len(p.last) > 0 || !p.agree("a leader, b follower, c follower", "a", "b") {
			t.Errorf("%v; %s", p.last, list(p.peers["a"]))
		}
	})
}

func TestChangedCardIsToldToAll(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		for _, name := range []string{"a", "b", "c"} {
			p.close(name)
			o := p.options(name)
			o.ClientURL, o.PeerURL = "https://"+name+".example", "https://"+name+":99"
			p.open(o)
		}
		told := func(client string) func() bool {
			return func() bool {
				for _, r := range p.peers {
					for _, one := range listed(r) {
						if one.Client != fmt.Sprintf(client, one.Name) || one.Peer != "https://"+one.Name+":99" {
							return false
						}
					}
				}
				return true
			}
		}
		p.eventually(5*time.Second, "all are told of the new URLs", told("https://%s.example"))
		for name, r := range p.peers {
			r.SetClientURL("http://" + name + ".test")
		}
		p.eventually(5*time.Second, "all are told of the newer URLs", told("http://%s.test"))
		if strings.Count(list(p.peers["a"]), "follower") != 2 {
			t.Errorf("somebody lost its vote: %s", list(p.peers["a"]))
		}
	})
}

// An older Vera left a directory of a peer that was alone: no key, and its bare
// Raft id where its card would be.
func TestOldDirectoryGrowsIntoThreePeers(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		disk, err := p.disk("a").claim()
		if err != nil {
			t.Fatal(err)
		}
		cluster := strings.Repeat("ab", clusterDigits/2)
		alone := hraft.Configuration{Servers: []hraft.Server{{ID: "a-01020304", Address: "a-01020304"}}}
		for _, err := range []error{
			disk.write(identityFile, []byte(`{"format":1,"cluster":"`+cluster+`","peer":"beef","name":"a","raftId":"a-01020304","formed":true}`)),
			disk.write(cookieFile, []byte(strings.Repeat("17", cookieBytes)+"\n")),
			disk.SetUint64(termName, 1),
			disk.StoreLog(&hraft.Log{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(alone)}),
			disk.Close(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		a := p.open(p.options("a"))
		if a.Peer() != 0xbeef || string(a.Cluster()) != cluster {
			t.Fatalf("it is opened as %x of %s", a.Peer(), a.Cluster())
		}
		for n := range 10 {
			pushed(t, a, "/data/x", n)
		}
		p.open(p.options("b", "a"))
		p.open(p.options("c", "a"))
		p.one("a", "b", "c")
		if err := a.Remove(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		p.ended("a", "was removed")
		for _, name := range []string{"b", "c"} {
			if l, _ := p.peers[name].Machine().List("/data/x"); l.Len() == 0 {
				t.Errorf("%s has lost the items", name)
			}
		}
	})
}

func TestPeersListFollowsTheLeaderWithinASecond(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		for range 10 {
			old := p.leader()
			p.Isolate(old)
			var others []string
			for _, name := range []string{"a", "b", "c"} {
				if name != old {
					others = append(others, name)
				}
			}
			elected := ""
			p.eventually(5*time.Second, "another leads", func() bool {
				for _, name := range others {
					if p.peers[name].Leading() {
						elected = name
					}
				}
				return elected != ""
			})
			p.eventually(time.Second, "its list says so", func() bool {
				return strings.HasPrefix(list(p.peers[others[0]]), elected+" leader") && p.agree(list(p.peers[others[0]]), others...)
			})
			p.HealAll()
			p.eventually(2*time.Second, "that of the old leader, too", func() bool { return p.agree(list(p.peers[others[0]]), old) })
			synctest.Wait()
		}
	})
}

// TestDeadPeerIsGoneInTheList: whoever reads /vera/peers sees which peers are
// not there, and when they are back.
func TestDeadPeerIsGoneInTheList(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		gone := func(r *Raft) (names []string) {
			for _, one := range listed(r) {
				if one.Gone {
					names = append(names, one.Name)
				}
			}
			return names
		}
		p.close("c")
		for _, name := range []string{"a", "b"} {
			p.eventually(5*time.Second, name+" says that c is gone", func() bool { return slices.Equal(gone(p.peers[name]), []string{"c"}) })
		}
		p.open(p.options("c"))
		for _, name := range []string{"a", "b", "c"} {
			p.eventually(2*time.Second, name+" says that c is back", func() bool { return gone(p.peers[name]) == nil })
		}
	})
}
